"""A port that is shown no mask: right where every action is legal, and PAR004 elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from old_ports import Lenient, NewModule, port

from parity.capture import collect
from parity.frameworks.rllib.env import OnlyAgent
from parity.ladder.run_rungs import LadderResult, run_rungs

# One that holds is in the fast tier as a command: translate/test_translated_is_checked.py.
pytestmark = pytest.mark.slow


class Free(Lenient):
    """Every action is legal."""

    def _view(self) -> Any:
        observation, info = super()._view()
        self.mask = np.ones_like(self.mask)
        return observation, info


class Unmasked(NewModule):
    def _forward(self, batch: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {"action_dist_inputs": self.pi(self.features(batch["obs"]))}


class Rectified(Unmasked):
    def features(self, obs: Any) -> torch.Tensor:
        return torch.relu(self.fc(obs["state"]))


def ladder(env: type[Lenient], module: type[NewModule]) -> LadderResult:
    task = port(env=env, rllib_module=module, multi_agent_env=lambda: OnlyAgent(env()))
    capture = collect(task, "rllib", "cpu")
    assert capture is not None
    return run_rungs(capture)


def errors(result: LadderResult) -> set[str]:
    return {each.code for each in result.raw_findings if each.is_error and each.root is None}


def test_a_port_of_an_environment_without_illegal_actions_needs_no_mask() -> None:
    result = ladder(Free, Unmasked)
    assert result and not result.not_compared, errors(result)


def test_another_network_shows_without_masks_too() -> None:
    assert errors(ladder(Free, Rectified)) & {"PAR101", "PAR109", "PAR111"}


def test_a_mask_that_is_needed_and_not_shown_is_named() -> None:
    assert "PAR004" in errors(ladder(Lenient, Unmasked))
