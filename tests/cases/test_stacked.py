"""Where a connector makes of the port's observations what SB3's environment shows, they are compared behind it."""

from __future__ import annotations

import pytest
from climb import accused, climb
from stacked import FirstAfterZeros, Rectified, Stack, task

pytestmark = pytest.mark.slow


def test_frames_that_a_connector_stacks_accuse_nobody() -> None:
    document = climb(task())
    assert document.exit_code == 0 and "PAR030" not in accused(document), document.findings


@pytest.mark.parametrize(("port", "code"), [(task(FirstAfterZeros), "PAR030"), (task(Stack, Rectified), "PAR101")])
def test_a_mistake_behind_such_a_connector_is_named_first(port: object, code: str) -> None:
    document = climb(port)  # type: ignore[arg-type]
    assert document.exit_code == 1 and accused(document)[0] == code, document.findings
