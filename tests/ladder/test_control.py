"""The control for a device. The other device is the CPU again here, with its results changed: no GPU is needed."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from captures import Collected

from parity import frameworks
from parity.capture.module_capture import ModuleCapture
from parity.capture.rllib.control import control
from parity.ladder.judge import judge as judge_task
from parity.ladder.rung_input import RungInput
from parity.ladder.rungs.control import control as judge
from parity.ladder.tolerances import CUDA
from parity.results.capture import Capture
from parity.selftest.good import SORTER as LEARNER
from parity.selftest.planted import task_of


@pytest.fixture
def controlled(collected: Collected) -> Capture:
    """The capture of a good port with a control between the CPU and itself."""
    capture = copy.deepcopy(collected("one-agent", "rllib"))
    port = frameworks.get("rllib").port(task_of("one-agent"), seed=0, device="cpu")
    from parity.frameworks.rllib.eval_runner import make_env_runner

    runner = make_env_runner(port.config, 1)
    module = runner.module[LEARNER].unwrapped()
    rollout = capture.rollout[LEARNER]
    observations = {name: torch.as_tensor(array) for name, array in rollout.observations.items()}
    columns = {"obs": observations, "actions": torch.as_tensor(rollout.actions)}
    control(ModuleCapture(capture, LEARNER), module, torch.device("cpu"), columns)
    runner.stop()
    return capture


def judged(capture: Capture) -> dict[str, Any] | None:
    return judge(RungInput(capture.context, CUDA), capture.control)


def test_a_device_that_computes_the_same_uses_nothing_of_the_tolerance(controlled: Capture) -> None:
    assert judged(controlled) == {"device": "cpu", "logits": 0, "values": 0, "gradient": 0}


@pytest.mark.parametrize("quantity", ["logits", "values", "gradient"])
def test_the_control_says_which_quantity_the_device_changes(controlled: Capture, quantity: str) -> None:
    there = controlled.control[LEARNER]
    if quantity == "gradient":
        array = next(each for each in there.device_gradient.values() if np.abs(each).max() > 1e-3)
    else:
        array = getattr(there, f"device_{quantity}")
    array[array >= -1e6] *= np.float32(1 + 5e-4)
    needed = judged(controlled)
    assert needed is not None
    assert {key for key, value in needed.items() if key != "device" and value > 0} == {quantity}
    assert 1 < needed[quantity] < 50


def test_the_document_has_the_control_only_where_there_was_one(controlled: Capture, collected: Collected) -> None:
    document, _ = judge_task("own", {"rllib": controlled}, "cuda")
    assert document.control["rllib"]["logits"] == 0
    without, _ = judge_task("own", {"rllib": collected("one-agent", "rllib")}, "cpu")
    assert '"control"' not in without.to_json()
