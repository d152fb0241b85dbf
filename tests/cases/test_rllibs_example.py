"""RLlib's example of masking, on an environment that observes just what it expects: its mask is taken out, nothing else."""

from __future__ import annotations

import pytest
from climb import accused, climb
from rllibs_example import RLLIBS_OWN, SUB_ACTIONS, WITHOUT_ONE

from parity import Task


@pytest.mark.parametrize("port", [RLLIBS_OWN, SUB_ACTIONS], ids=["its own module", "several sub-actions"])
@pytest.mark.parametrize("framework", ["rllib", "rllib-exact"])
def test_the_example_is_compared_and_holds(port: Task, framework: str) -> None:
    document = climb(port, framework)
    assert document.exit_code == 0, document.findings
    assert document.compared and accused(document) == []


def test_a_sub_action_without_its_mask_is_seen() -> None:
    assert accused(climb(WITHOUT_ONE))[0] == "PAR201"
