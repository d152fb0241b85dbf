"""Suites: what is in them, what they can decide, and how a study of one is asked for."""

from __future__ import annotations

import json
import math
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parity.cli import call
from parity.results.summary import Summary, Verdict
from parity.study.options import RunOptions
from parity.task.registry import BUILT_IN
from parity.task.suites import SUITES, Suite
from parity.verdict.learning import LEAST_SEEDS
from parity.verdict.power import POWER, seeds_needed
from parity.verdict.simulation import verdict_rates

ROOT = Path(__file__).parents[1]
MARGIN = 0.15


def stored_runs() -> dict[str, dict[str, list[list[float]]]]:
    """Task -> metric -> scores of SB3 and of rllib, as the studies committed here have them."""
    found: dict[str, dict[str, list[list[float]]]] = {}
    for study in ("tiles", "single-agent"):
        summary = Summary.model_validate_json((ROOT / "results" / study / "summary.json").read_text())
        for task, judged in summary.tasks.items():
            arms = {name: [t for t in judged.trials if t.framework == name] for name in ("sb3", "rllib")}
            found[task] = {
                metric: [[getattr(trial, metric) for trial in arm] for arm in arms.values()]
                for metric in ("final", "auc")
            }
    return found


def pooled_sd(suite: Suite) -> float:
    """Root mean square over tasks of the deviation within frameworks, of the noisier primary metric."""
    runs = stored_runs()
    return max(
        math.sqrt(np.mean([np.var(arm, ddof=1) for task in suite.tasks for arm in runs[task][metric]]))
        for metric in ("final", "auc")
    )


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda suite: suite.name)
def test_every_task_of_a_suite_is_built_in_and_enough_seeds_can_say_learns(suite: Suite) -> None:
    assert set(suite.tasks) <= set(BUILT_IN) and len(set(suite.tasks)) == len(suite.tasks)
    assert suite.seeds >= LEAST_SEEDS


def test_full_is_every_task_but_probes_and_what_wants_a_gpu() -> None:
    expected = {name for name in BUILT_IN if not name.startswith("probe-")} - {"tiles-100"}
    assert set(SUITES["full"].tasks) == expected
    script = (ROOT / "benchmarks" / "tasks_study.sh").read_text()
    (listed,) = re.findall(r"^tasks=\((.*?)^\)", script, re.MULTILINE | re.DOTALL)
    assert listed.split() == list(SUITES["full"].tasks)


@pytest.mark.parametrize("name", ["quick", "parity"])
def test_a_suite_decides_equivalence_with_the_deviations_that_were_stored(name: str) -> None:
    suite = SUITES[name]
    rates = verdict_rates(suite.seeds, MARGIN, pooled_sd(suite), tasks=len(suite.tasks))
    assert rates[Verdict.EQUIVALENT] >= POWER
    lower = verdict_rates(suite.seeds, MARGIN, pooled_sd(suite), -MARGIN, tasks=len(suite.tasks))
    assert lower[Verdict.EQUIVALENT] <= 0.06


def test_parity_says_of_the_noisy_task_how_many_seeds_it_lacks_alone() -> None:
    suite, runs = SUITES["parity"], stored_runs()
    needed = {
        task: max(seeds_needed(*runs[task][metric], MARGIN) or 0 for metric in runs[task]) for task in suite.tasks
    }
    assert needed["cartpole"] > suite.seeds
    assert sum(seeds <= suite.seeds for seeds in needed.values()) >= 3


def test_a_suite_brings_tasks_and_seeds_and_the_rest_may_be_changed() -> None:
    quick = RunOptions(suite="quick").resolved()
    assert (quick.task, quick.seeds, quick.suite) == (list(SUITES["quick"].tasks), 3, "quick")
    changed = RunOptions(suite="parity", seeds=3, frameworks=["sb3"], steps=100).resolved()
    assert (changed.seeds, changed.frameworks, changed.steps) == (3, ["sb3"], 100)
    assert changed.task == list(SUITES["parity"].tasks)


def test_a_suite_in_parity_toml_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("parity.toml").write_text('suite = "parity"\nframeworks = ["sb3", "rllib-exact"]\n')
    options = RunOptions(seeds=7).resolved()
    assert (options.task, options.seeds) == (list(SUITES["parity"].tasks), 7)
    assert options.frameworks == ["sb3", "rllib-exact"]
    assert RunOptions(task=["tiles"]).resolved().suite is None


@pytest.fixture
def in_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for runner in ("study.preflight", "system.ray_process"):
        apart = f"parity.{runner}.run_in_subprocess"
        monkeypatch.setattr(apart, lambda work, *arguments, **_: work(*arguments))


@pytest.mark.usefixtures("in_this_process")
def test_a_study_of_a_suite_is_named_after_it_and_remembers_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parity.study.command._compare_and_train", lambda *arguments: None)
    call(["run", "--suite", "quick", "--frameworks", "sb3", "--steps", "64"])
    (folder,) = Path("results").iterdir()
    assert folder.name.endswith("-quick")
    request = json.loads((folder / "study.json").read_text())["request"]
    assert (request["suite"], request["tasks"]) == ("quick", list(SUITES["quick"].tasks))
    assert (request["seeds"], request["steps"]) == ([0, 1, 2], 64)


@pytest.mark.usefixtures("in_this_process")
def test_a_task_that_cannot_be_had_here_ends_the_whole_suite(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setitem(SUITES, "full", Suite("full", ("invalid-discrete", "tictactoe"), 3))
    for name in [name for name in sys.modules if name.partition(".")[0] == "pettingzoo"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pettingzoo", None)
    assert call(["run", "--suite", "full", "--frameworks", "sb3"]) == 2
    assert 'pip install "parity[pettingzoo]"' in capsys.readouterr().err
    assert not list(Path("results").iterdir())
