"""The control for a device. The other device is the CPU again here, with its results changed: no GPU is needed."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from captures import Collected

from parity import frameworks
from parity.capture.rllib.control import control
from parity.ladder.judge import judge as judge_task
from parity.ladder.rung_input import RungInput
from parity.ladder.rungs.control import control as judge
from parity.ladder.tolerances import CUDA
from parity.results.capture import Numbers
from parity.selftest.good import SORTER as LEARNER
from parity.selftest.planted import task_of


@pytest.fixture
def controlled(collected: Collected) -> Numbers:
    """The numbers of a good port with a control between the CPU and itself."""
    numbers = Numbers({}, copy.deepcopy(collected("one-agent", "rllib").facts))
    numbers.arrays = dict(collected("one-agent", "rllib").arrays)
    port = frameworks.get("rllib").port(task_of("one-agent"), seed=0, device="cpu")
    from parity.frameworks.rllib.eval_runner import make_env_runner

    runner = make_env_runner(port.config, 1)
    module = runner.module[LEARNER].unwrapped()
    observations = {
        name.removeprefix("obs/"): torch.as_tensor(array)
        for name, array in numbers.below(f"{LEARNER}/batch").items()
        if name.startswith("obs/")
    }
    columns = {"obs": observations, "actions": torch.as_tensor(numbers[f"{LEARNER}/batch/actions"])}
    control(numbers, LEARNER, module, torch.device("cpu"), columns)
    runner.stop()
    return numbers


def test_a_device_that_computes_the_same_uses_nothing_of_the_tolerance(controlled: Numbers) -> None:
    assert judge(RungInput(controlled, CUDA)) == {"device": "cpu", "logits": 0, "values": 0, "gradient": 0}


@pytest.mark.parametrize("quantity", ["logits", "values", "gradient"])
def test_the_control_says_which_quantity_the_device_changes(controlled: Numbers, quantity: str) -> None:
    folder = f"{LEARNER}/control/device"
    name = (
        f"{folder}/{quantity}"
        if quantity != "gradient"
        else next(
            n for n in controlled.arrays if n.startswith(f"{folder}/gradient/") and np.abs(controlled[n]).max() > 1e-3
        )
    )
    masked = controlled[name] < -1e6
    controlled.arrays[name] = np.where(
        masked, controlled[name], np.where(masked, 0, controlled[name]) * np.float32(1 + 5e-4)
    )
    found = judge(RungInput(controlled, CUDA))
    assert found is not None
    assert {key for key, value in found.items() if key != "device" and value > 0} == {quantity}
    assert 1 < found[quantity] < 50


def test_the_document_has_the_control_only_where_there_was_one(controlled: Numbers, collected: Collected) -> None:
    document, _ = judge_task("own", {"rllib": controlled}, "cuda")
    assert document.control["rllib"]["logits"] == 0
    without, _ = judge_task("own", {"rllib": collected("one-agent", "rllib")}, "cpu")
    assert '"control"' not in without.to_json()
