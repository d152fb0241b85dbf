"""Phase times are of their phase alone: MaskablePPO calls back inside its rollout."""

from __future__ import annotations

import dataclasses
import types

import pytest

from parity import frameworks
from parity.frameworks.base import Iteration
from parity.task.registry import load, resolve


def test_what_runs_after_an_iteration_is_in_none_of_its_phases(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("parity.frameworks.stopwatch.time", types.SimpleNamespace(perf_counter=lambda: clock[0]))
    task = load(resolve("invalid-discrete"))
    task = dataclasses.replace(task, ppo=dataclasses.replace(task.ppo, n_envs=2, n_steps=16, batch_size=16, n_epochs=1))
    session = frameworks.get("sb3").open(task, 0, "cpu", 1)
    seen: list[Iteration] = []

    def evaluate(iteration: Iteration) -> None:
        seen.append(iteration)
        clock[0] += 1000.0

    session.train(96, evaluate)
    session.close()
    assert len(seen) >= 3
    assert {each.sample_s for each in seen} == {0.0}
