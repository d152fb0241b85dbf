"""What callbacks of ``Algorithm`` change is seen; a callback that counts or logs is accused of nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cases import levels
from cases.climb import climb
from ray.rllib.algorithms.ppo import PPOConfig

from parity import frameworks
from parity.cli import call
from parity.frameworks.rllib.callback_watch import (
    _environment_changes,
    _remember_environments,
    attributes,
    has_own,
    plays_otherwise,
)
from parity.results.capture import CallbackChange


@pytest.fixture
def started(ray_started: None) -> Iterator[None]:
    return


def told(task: Any) -> list[Any]:
    return [each for each in climb(task, "rllib", full=True).findings if each.code == "PAR059"]


@pytest.mark.usefixtures("started")
@pytest.mark.parametrize(
    ("given", "severity", "name"),
    [
        ({"callbacks": levels.Curriculum}, "error", "on_train_result"),
        ({"on_algorithm_init": levels.level_at_first}, "error", "on_algorithm_init"),
        ({"callbacks": levels.AfterEvaluation}, "error", "on_evaluate_end"),
        ({"callbacks": levels.ShrinksAtFirst}, "error", "on_algorithm_init"),
        ({"callbacks": levels.Labels}, "warning", "on_train_result"),
    ],
)
def test_what_a_callback_changes_is_named_with_the_callback(given: Any, severity: str, name: str) -> None:
    (finding,) = told(levels.task(**given))
    assert finding.severity == severity and finding.where.startswith(name)


@pytest.mark.usefixtures("started")
@pytest.mark.parametrize("callbacks", [levels.Logs, levels.Counts])
def test_a_callback_that_logs_or_counts_is_accused_of_nothing(callbacks: Any) -> None:
    document = climb(levels.task(callbacks), "rllib", full=True)
    assert document.exit_code == 0
    assert not [each for each in document.findings if each.code == "PAR059" and each.severity != "info"]


def changes(**values: Any) -> list[CallbackChange]:
    """Of an env runner with one environment, after somebody has set these attributes."""
    env = levels.Levels()
    env.reset(seed=0)
    runner = SimpleNamespace(env=SimpleNamespace(envs=[SimpleNamespace(unwrapped=env)]), worker_index=0)
    _remember_environments(runner)
    for name, value in values.items():
        setattr(env, name, value)
    return _environment_changes(runner)


def test_a_level_is_told_from_a_counter_and_both_from_nothing() -> None:
    assert changes() == []
    (level,) = changes(level=3)
    assert level.plays_otherwise is True and level.names == ["Levels.level"] and not level.changes_in_play
    (counter,) = changes(counted=7)
    assert counter.plays_otherwise is False and counter.changes_in_play
    (label,) = changes(label="seen")
    assert label.plays_otherwise is False and not label.changes_in_play


def test_a_parameter_inside_an_environment_inside_is_seen() -> None:
    env = levels.Levels()
    before = attributes(env)
    env.maze.n_colours = 3  # type: ignore[attr-defined]
    assert {name for name, value in attributes(env).items() if before.get(name) != value} == {"Levels.maze.n_colours"}


def test_looking_changes_nothing_in_the_environment() -> None:
    env = levels.Levels()
    env.reset(seed=1)
    before = attributes(env)
    assert plays_otherwise(env, env) is False
    assert attributes(env) == before


def test_a_configuration_without_callbacks_of_its_own_is_not_watched() -> None:
    assert not has_own(PPOConfig())
    assert not has_own(PPOConfig().callbacks(on_episode_end=lambda **_: None))
    assert has_own(PPOConfig().callbacks(on_train_result=lambda **_: None))
    assert has_own(PPOConfig().callbacks(levels.Curriculum))


@pytest.mark.usefixtures("started")
def test_a_level_that_rises_late_is_seen_by_the_trial() -> None:
    session = frameworks.get("rllib").open(levels.late, 0, device="cpu", threads=1)
    try:
        session.train(levels.late.steps, lambda _: None)
        (change,) = session.callback_changes()
    finally:
        session.close()
    assert change.callback == "on_train_result" and change.plays_otherwise is True


def test_run_names_a_level_that_rises_late(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = Path(levels.__file__)
    assert call(["run", "--task", f"{file}:late", "--seeds", "1", "--out", str(tmp_path), "--json"]) == 1
    summary = json.loads(capsys.readouterr().out)
    (finding,) = [each for each in summary["findings"] if each["code"] == "PAR059"]
    assert finding["severity"] == "error" and finding["framework"] == "rllib"
