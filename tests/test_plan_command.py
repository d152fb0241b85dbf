"""``parity plan``: designs that reach a power, the deviations and times behind them, and what is not known is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from parity.cli import call
from parity.plan import wall_time
from parity.plan.standard_deviation import ASSUMED
from parity.results.plan import Plan
from parity.verdict.power import seeds_for
from parity.verdict.simulation import seeds_by_simulation, verdict_rates

RESULTS = str(Path(__file__).parents[1] / "results")
FEW_CORES = 2


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Callable[..., Plan]:
    """``parity plan … --json`` on a machine of two cores."""
    monkeypatch.setattr("parity.system.machine.cores", lambda: FEW_CORES)

    def run(*arguments: str) -> Plan:
        assert call(["plan", "--json", *arguments]) == 0
        return Plan.model_validate(json.loads(capsys.readouterr().out))

    return run


def test_without_options_it_says_how_tasks_buy_seeds(planned: Callable[..., Plan]) -> None:
    plan = planned()
    assert (plan.margin, plan.power, plan.deviations[0].final) == (0.15, 0.8, ASSUMED)
    assert "assumed" in plan.deviations[0].source
    assert [(d.tasks, d.seeds, d.formula_seeds) for d in plan.designs] == [
        (1, 19, 16),
        (2, 10, 8),
        (4, 5, 4),
        (6, 4, 3),
    ]
    for design in plan.designs:
        assert design.rates[0].drop == 0 and design.rates[0].equivalent >= plan.power
        assert [rate.drop for rate in design.rates] == [0.0, 0.1, 0.2, 0.5]
        worse = [rate.worse for rate in design.rates]
        assert worse == sorted(worse) and worse[0] < 0.06 and worse[3] > 0.99
        assert design.time is not None and design.time.seconds is not None
        assert design.time.trials == 2 * design.tasks * (design.seeds or 0)


def test_figures_are_those_of_the_statistics(planned: Callable[..., Plan]) -> None:
    design = planned("--margin", "0.2", "--power", "0.9", "--sd", "0.1").designs[1]
    assert design.formula_seeds == seeds_for(0.2, 0.1, power=0.9, tasks=2)
    assert design.seeds == seeds_by_simulation(0.2, 0.1, 0.9, 2)
    dropped = verdict_rates(design.seeds or 0, 0.2, 0.1, -0.1, 2)
    assert (design.rates[1].worse, design.rates[1].equivalent) == (dropped["WORSE"], dropped["EQUIVALENT"])
    assert design.sequential is not None
    assert 3 <= design.sequential.mean_seeds <= 10 and 0 <= design.sequential.equivalent <= 1


def test_a_suite_is_planned_together_and_task_by_task_from_measured_deviations(planned: Callable[..., Plan]) -> None:
    plan = planned("--suite", "parity")
    asked, needed, *alone = plan.designs
    assert (asked.why, asked.seeds, asked.tasks) == ("asked", 5, 5)
    assert asked.rates[0].equivalent >= 0.8
    assert needed.why == "needed" and (needed.seeds or 99) <= 5
    assert {each.names[0]: each.seeds for each in alone if each.names}["cartpole"] > 5  # type: ignore[operator]
    assert all(each.runs >= 6 and "measured" in each.source for each in plan.deviations)


def test_a_studys_own_runs_give_deviations_and_times(planned: Callable[..., Plan]) -> None:
    plan = planned("--from", "tiles", "--out", RESULTS)
    (deviation,) = plan.deviations
    assert (deviation.task, deviation.runs, deviation.source) == ("tiles", 10, "study tiles")
    assert deviation.final == pytest.approx(0.0522, abs=1e-4)
    (design,) = plan.designs
    assert design.seeds == seeds_by_simulation(0.15, max(deviation.final, deviation.auc))
    assert design.time is not None and design.time.seconds is not None
    # Trials of 30 and 35 s, two at a time: five seeds of both.
    assert 150 < design.time.seconds < 300


def test_what_nobody_measured_is_named_and_never_guessed(planned: Callable[..., Plan], capsys: Any) -> None:
    plan = planned("--task", "tiles", "tiles-100", "--frameworks", "sb3", "rllib-exact")
    assert [each.runs for each in plan.deviations] == [10, 0]
    assert (plan.deviations[1].final, "assumed" in plan.deviations[1].source) == (ASSUMED, True)
    time = plan.designs[0].time
    assert time is not None and time.seconds is None
    assert time.unmeasured == ["tiles with rllib-exact", "tiles-100 with sb3", "tiles-100 with rllib-exact"]
    assert call(["plan", "--task", "tiles-100"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "nobody has measured tiles-100 with sb3, tiles-100 with rllib" in text and "tiles-100: 0.14 (assumed" in text


def test_times_of_another_machine_are_called_an_estimate(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(
        "parity.system.machine.describe", lambda gpu: {"cores": 64, "cpu": "something else", "gpu": None}
    )
    assert call(["plan", "--task", "tiles"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "(64 cores of something else); trials were measured on 2 cores of" in text and ": here, an estimate" in text


def test_trials_are_dealt_to_the_cores_in_the_order_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {("a", "sb3"): 10.0, ("a", "rllib"): 30.0}
    expected = {1: 2 * (10 + 30) + 4 * 6, 2: 10 + 10 + 30 + 3 * 6, 8: 30 + 6}
    for cores, longest in expected.items():
        monkeypatch.setattr("parity.system.machine.cores", lambda cores=cores: cores)
        found = wall_time.of_study(["a"], ["sb3", "rllib"], 2, seconds)
        assert (found.seconds, found.trials) == (wall_time.STUDY_STARTS_S + longest, 4)


def test_a_deviation_too_large_for_any_number_of_seeds_is_said(planned: Callable[..., Plan], capsys: Any) -> None:
    design = planned("--sd", "9", "--margin", "0.05").designs[0]
    assert (design.seeds, design.rates, design.time) == (None, [], None)
    assert call(["plan", "--sd", "9", "--margin", "0.05"]) == 0
    assert "none known" in capsys.readouterr().out


REFUSED = {
    "--margin 0": "--margin 0: input should be greater than 0.",
    "--power 1": "--power 1: input should be less than 1.",
    "--sd -1": "--sd -1: input should be greater than 0.",
    "--sd 0.1 --from tiles": "--sd and --from both say how much runs vary: leave one out.",
    "--suite quick --task tiles": "--suite names its tasks by itself: leave out --task.",
    "--suite small": "--suite small: no such suite; there are quick, parity, full.",
    "--task nowhere": "--task nowhere: no such task",
    "--task tiles tiles": "--task tiles tiles: a name stands twice.",
    "--frameworks rlib": "--frameworks rlib: no such framework",
    "--seeds 1": "--seeds 1: input should be greater than or equal to 2.",
    "--from nowhere": "There is no study nowhere, neither as a folder nor under ",
    f"--from tiles --task taxi --out {RESULTS}": "--from tiles: it has no task taxi; it has tiles.",
}


@pytest.mark.parametrize("line", REFUSED)
def test_a_bad_option_is_one_sentence(line: str, capsys: Any) -> None:
    assert call(["plan", *line.split()]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith(f"parity: {REFUSED[line]}")
    assert len(captured.err.splitlines()) == 1
