"""Mistakes in the layouts that people have are named first, as in any other."""

from __future__ import annotations

import pytest
from climb import accused, climb
from mistakes_in_layouts import MISTAKES


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_such_a_layout_is_named_first(name: str) -> None:
    port, code = MISTAKES[name]
    document = climb(port)
    assert document.exit_code == 1 and accused(document)[0] == code, document.findings
