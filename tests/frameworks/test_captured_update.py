"""An update whose minibatches are replayed ends with the parameters of one that computes them one by one.

A CUDA graph needs a GPU (`benchmarks/gpu.sh` compares there). Here the step that it would hold is computed at each replay, so
that all but the launching is the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from exact_sides import one_thread
from parity_envs.tiles import network
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from test_fast_training import configuration, logged, trained
from torch.utils._python_dispatch import TorchDispatchMode

from parity.audit.rllib import watch
from parity.frameworks.rllib.fast import accelerated, captured
from parity.frameworks.rllib.fast.captured import CapturedStep
from parity.task.registry import load, resolve

# Operations that have the CPU wait for a GPU, which a CUDA graph cannot hold.
WAITING = (
    "aten._local_scalar_dense",
    "aten.nonzero",
    "aten.masked_select",
    "aten.equal",
    "aten.unique",
    "aten.is_nonzero",
)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture
def replays(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many minibatches each replay did; allows them on the CPU."""
    counts: list[int] = []
    replay = CapturedStep.replay

    def counting(self: Any, number: int, end: int) -> tuple[bool, bool]:
        finite, alike = replay(self, number, end)
        counts.append(end - number if finite and alike else 0)
        return finite, alike

    monkeypatch.setattr(CapturedStep, "replay", counting)
    monkeypatch.setattr(captured, "DEVICES", ("cuda", "cpu"))
    return counts


def both(config: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, ...]:
    ours, our_results, learner, _ = trained(config)
    monkeypatch.setattr(captured, "DEVICES", ("cuda",))
    theirs, their_results, *_ = trained(config)
    return ours, our_results, theirs, their_results, learner


@pytest.mark.parametrize("framework", ["rllib", "rllib-exact"])
@pytest.mark.parametrize("name", ["tiles", "taxi", "invalid-multidiscrete", "tiles-two-learners"])
def test_parameters_and_metrics_are_the_same_but_for_the_last_bits(
    framework: str, name: str, replays: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = accelerated(configuration(load(resolve(name)), framework))
    ours, our_results, theirs, their_results, learner = both(config, monkeypatch)
    assert len(replays) == 2 and min(replays) >= 8 and learner.left == []  # the first update is computed one by one
    for module_id, values in theirs.items():
        for key, value in values.items():
            assert np.allclose(ours[module_id][key], value, rtol=1e-3, atol=5e-5), (module_id, key)
    found, expected = logged(our_results), logged(their_results)
    assert set(found) == set(expected)
    for path, value in expected.items():
        assert np.allclose(found[path], value, rtol=5e-3, atol=1e-3, equal_nan=True), path


class NoWaiting(TorchDispatchMode):
    """Raises where the CPU would wait for a GPU."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        by_mask = func.overloadpacket is torch.ops.aten.index and any(
            each is not None and each.dtype == torch.bool for each in args[1]
        )
        assert not by_mask and str(func).rpartition(".")[0] not in WAITING, func
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("framework", ["rllib", "rllib-exact"])
def test_a_step_never_waits_for_the_gpu(framework: str, replays: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    # On a CPU PyTorch looks whether an index is too large for one_hot; on a GPU it does not.
    monkeypatch.setattr(network, "one_hot", lambda rows, n: torch.eye(n, dtype=torch.int64).index_select(0, rows))
    compute = CapturedStep._compute

    def computing(self: Any) -> None:
        with NoWaiting():
            compute(self)

    monkeypatch.setattr(CapturedStep, "_compute", computing)
    trained(accelerated(configuration(load(resolve("tiles")), framework)))
    assert sum(replays) > 0


@pytest.mark.parametrize("framework", ["rllib", "rllib-exact"])
def test_a_gradient_that_is_not_finite_undoes_the_replays(
    framework: str, replays: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    losses = CapturedStep._losses

    def spoilt(self: Any, batch: Any) -> Any:
        found = losses(self, batch)
        if torch.is_grad_enabled():
            steps.append(1)
            found = {m: loss * (torch.nan if len(steps) == 3 else 1.0) for m, loss in found.items()}
        return found

    monkeypatch.setattr(CapturedStep, "_losses", spoilt)
    ours, _, theirs, _, learner = both(accelerated(configuration(load(resolve("taxi")), framework)), monkeypatch)
    assert replays[0] == 0 < replays[1] and learner.left == []
    for key, value in theirs["agent"].items():
        assert np.allclose(ours["agent"][key], value, rtol=1e-3, atol=5e-5), key


class Fades(torch.nn.Module):
    """A network whose forward pass depends on a number of Python's."""

    def __init__(self, _: Any, action_space: Any) -> None:
        super().__init__()
        self.head, self.passes = torch.nn.Linear(1, int(action_space.n) + 1), 0

    def forward(self, obs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if torch.is_grad_enabled():
            self.passes += 1
        both = self.head(obs.float()[:, None]) * (1.0 + self.passes)
        return both[:, :-1], both[:, -1]


def test_a_module_that_changes_with_time_is_computed_one_by_one_and_said(
    replays: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    compute, first = CapturedStep._compute, []

    def as_captured(self: Any) -> None:
        # A graph would compute with the number of the time when it was captured.
        if not first:
            first.append(self._learner.module["agent"].network.passes)
        self._learner.module["agent"].network.passes = first[0]
        compute(self)

    monkeypatch.setattr(CapturedStep, "_compute", as_captured)
    task = dataclasses.replace(load(resolve("taxi")), network=Fades)
    *_, learner, _ = trained(accelerated(configuration(task, "rllib")))
    assert 0 in replays
    assert learner.left == ["no CUDA graph: a module's forward pass gives other numbers than when it was captured"]


def norm_clipped(config: Any) -> None:
    config.grad_clip_by = "norm"


def schedule(config: Any) -> None:
    config.entropy_coeff = [[0, 0.1], [1000, 0.0]]


@pytest.mark.parametrize(("change", "why"), [(norm_clipped, 'grad_clip_by is "norm"'), (schedule, "has a schedule")])
def test_what_a_graph_cannot_hold_is_said(change: Any, why: str, replays: list[int]) -> None:
    config = configuration(load(resolve("taxi")), "rllib")
    change(config)
    *_, learner, _ = trained(accelerated(config))
    assert not replays
    assert len(learner.left) == 1 and why in learner.left[0]


def test_a_watched_update_shows_the_minibatches_that_are_looked_at(replays: list[int]) -> None:
    seen: list[int] = []
    config = watch(accelerated(configuration(load(resolve("taxi")), "rllib")))
    compute_losses = PPOTorchLearner.compute_losses

    def counting(self: Any, **given: Any) -> Any:
        seen.append(1)
        return compute_losses(self, **given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PPOTorchLearner, "compute_losses", counting)
        trained(config)
    # The first, the eighth, ... of each update; all of the first update.
    assert replays and len(seen) == 9 + 2 * 2
