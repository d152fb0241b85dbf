"""Whole sequential studies by the judge's rules: error rates over all looks, and what a summary says of a look."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jsonschema
import numpy as np
import pytest

from parity.errors import CannotStart
from parity.results.study import StudyRecord
from parity.results.summary import SequentialStatus, Summary, Verdict, json_schema
from parity.verdict.judge import judge
from parity.verdict.sequential import ALPHA_PER_ANALYSIS, DEFAULT_LOOKS, SeedCounts, analysis_at
from parity.verdict.simulation import METRIC_CORRELATION, primary_verdicts, rates, sequential_verdicts

MakeStudy = Callable[..., StudyRecord]
STUDIES = 6_000
BEYOND = 0.05 + 3 * math.sqrt(0.05 * 0.95 / STUDIES)
# The margin in deviations of one run, where neither verdict is out of reach: for one task, and for four together.
MARGINS = {1: 2.5, 4: 1.0}

SAME = {"sb3": [0.97, 0.95, 0.98], "rllib": [0.96, 0.98, 0.97]}
NOISY = {"sb3": [0.70, 1.05, 0.95], "rllib": [1.00, 0.75, 1.08]}


def simulated(
    looks: SeedCounts, tasks: int, final: float = 0.0, auc: float = 0.0, margin: float | None = None
) -> tuple[dict[Verdict, float], float]:
    """How often sequential studies end with each verdict, and their mean number of seeds; runs deviate by 1."""
    rng = np.random.default_rng(11)

    def runs(means: tuple[float, float]) -> np.ndarray:
        shared = rng.normal(size=(STUDIES, 1, tasks, looks[-1]))
        own = rng.normal(size=(STUDIES, 2, tasks, looks[-1]))
        noise = math.sqrt(METRIC_CORRELATION) * shared + math.sqrt(1 - METRIC_CORRELATION) * own
        return np.array(means)[:, None, None] + noise

    verdicts, seeds = sequential_verdicts(runs((0, 0)), runs((final, auc)), margin or MARGINS[tasks], looks)
    return rates(verdicts), float(seeds.mean())


@pytest.mark.parametrize("tasks", MARGINS)
@pytest.mark.parametrize("looks", list(ALPHA_PER_ANALYSIS), ids=str)
def test_a_port_at_the_margin_is_called_equivalent_in_at_most_five_percent(looks: SeedCounts, tasks: int) -> None:
    margin = MARGINS[tasks]
    # In both metrics, in one of them alone, and better by as much.
    for final, auc in ((-margin, -margin), (-margin, 0.0), (margin, margin)):
        said, _ = simulated(looks, tasks, final, auc)
        assert said[Verdict.EQUIVALENT] <= BEYOND


@pytest.mark.parametrize("tasks", MARGINS)
@pytest.mark.parametrize("looks", list(ALPHA_PER_ANALYSIS), ids=str)
def test_an_equal_port_is_called_worse_in_at_most_five_percent(looks: SeedCounts, tasks: int) -> None:
    said, seeds = simulated(looks, tasks, margin=0.01)  # nothing is equivalent, so that every look is reached
    assert 0.02 < said[Verdict.WORSE] <= BEYOND
    assert seeds > 9
    said, seeds = simulated(looks, tasks)
    assert said[Verdict.WORSE] <= BEYOND and said[Verdict.EQUIVALENT] > 0.9
    assert seeds < 7.5


def test_looking_at_five_percent_each_time_would_break_the_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parity.verdict.simulation.alpha_per_analysis", lambda looks: 0.05)
    said, _ = simulated(DEFAULT_LOOKS, 1, margin=0.01)
    assert said[Verdict.WORSE] > BEYOND


@pytest.mark.parametrize("tasks", [("tiles",), ("tiles", "taxi")])
def test_the_judge_says_at_a_look_what_the_simulated_studies_are_told(make_study: MakeStudy, tasks: Any) -> None:
    rng, look = np.random.default_rng(1), analysis_at(3)
    assert look is not None
    arms: dict[str, list] = {"sb3": [], "rllib": []}
    said = []
    for drop, deviation in zip(np.linspace(-0.3, 0.3, 12), np.geomspace(0.02, 0.1, 12), strict=True):
        scores = {
            task: {"sb3": list(rng.normal(1, deviation, 3)), "rllib": list(rng.normal(1 + drop, deviation, 3))}
            for task in tasks
        }
        summary = judge(make_study(scores, looks=DEFAULT_LOOKS))
        said.append(whole(summary))
        for framework, arm in arms.items():
            trials = [[t for t in summary.tasks[task].trials if t.framework == framework] for task in tasks]
            arm.append([[[getattr(t, metric) for t in each] for each in trials] for metric in ("final", "auc")])
    verdicts = primary_verdicts(arms["sb3"], arms["rllib"], 0.15, look.confidence)
    assert list(verdicts) == said
    assert list(primary_verdicts(arms["sb3"], arms["rllib"], 0.15)) != said
    assert Verdict.EQUIVALENT in said and Verdict.WORSE in said


def whole(summary: Summary) -> Verdict:
    return next(iter(summary.tasks.values())).verdict if summary.pooled is None else summary.pooled.verdict


def stands(summary: Summary) -> SequentialStatus:
    assert summary.sequential is not None
    return summary.sequential


def test_every_interval_is_that_of_the_look(make_study: MakeStudy) -> None:
    summary = judge(make_study(dict.fromkeys(("tiles", "b"), SAME), looks=DEFAULT_LOOKS))
    assert summary.pooled is not None
    metrics = [summary.pooled.metrics.final, summary.tasks["tiles"].metrics.final, summary.tasks["b"].metrics.auc]
    assert [metric.confidence for metric in metrics] == pytest.approx([0.9636] * 3)
    fixed = judge(make_study(dict.fromkeys(("tiles", "b"), SAME)))
    assert fixed.sequential is None and fixed.pooled is not None
    narrow, wide = fixed.pooled.metrics.final.interval, summary.pooled.metrics.final.interval
    assert narrow is not None and wide is not None
    assert wide[0] < narrow[0] < narrow[1] < wide[1]
    own = [each.pooled.robustness["rllib"]["final"].interval_own_variances for each in (summary, fixed) if each.pooled]
    assert own[0] is not None and own[1] is not None and own[0][0] < own[1][0]


def test_what_would_be_worse_at_five_percent_is_not_at_a_look(make_study: MakeStudy) -> None:
    below = {"sb3": [0.94, 0.97, 1.00], "rllib": [0.73, 0.77, 0.81]}
    fixed, look = judge(make_study(below)), judge(make_study(below, looks=DEFAULT_LOOKS))
    p = fixed.tasks["tiles"].metrics.final.p_worse_holm
    assert p is not None and p < 0.0182 and look.verdict is Verdict.WORSE
    closer = {"sb3": [0.92, 0.97, 1.02], "rllib": [0.73, 0.80, 0.87]}
    fixed, look = judge(make_study(closer)), judge(make_study(closer, looks=DEFAULT_LOOKS))
    p = fixed.tasks["tiles"].metrics.final.p_worse_holm
    assert p is not None and 0.0182 < p < 0.05
    assert (fixed.verdict, look.verdict) == (Verdict.WORSE, Verdict.INCONCLUSIVE)


def test_a_required_not_worse_is_held_to_the_looks_interval(make_study: MakeStudy) -> None:
    close = {"sb3": [0.90, 0.97, 1.04], "rllib": [0.91, 0.97, 1.05]}
    codes = [judge(make_study(close, require=["not-worse"], looks=looks)).exit_code for looks in ((), DEFAULT_LOOKS)]
    assert codes == [0, 3]


def test_a_decision_says_its_look_and_what_it_saved(make_study: MakeStudy) -> None:
    summary = judge(make_study(SAME, looks=DEFAULT_LOOKS))
    look = stands(summary)
    assert (look.looks, look.look, look.seeds, look.decided) == ([3, 5, 8, 10], 1, 3, True)
    # Seven more seeds of two frameworks, at a minute a trial.
    assert (look.seeds_saved, look.trials_saved, look.seconds_saved) == (7, 14, 14 * 60.0)
    assert summary.sentence.endswith(
        "; decided at interim analysis 1 of 4, at 3 seeds of at most 10, which saved 14 trials, about 14 minutes of running "
        "time added up."
    )
    jsonschema.validate(summary.model_dump(mode="json"), json_schema())


def test_an_open_look_saves_nothing_and_names_the_next(make_study: MakeStudy) -> None:
    summary = judge(make_study(NOISY, looks=DEFAULT_LOOKS))
    look = stands(summary)
    assert (look.decided, look.seeds_saved, look.seconds_saved) == (False, 0, None)
    assert summary.sentence.endswith("; interim analysis 1 of 4, at 3 seeds, leaves it open, the next is at 5.")
    tenfold = {framework: (scores * 4)[:10] for framework, scores in NOISY.items()}
    last = judge(make_study({k: [s - 0.1 * (k == "rllib") for s in v] for k, v in tenfold.items()}, looks=(5, 10)))
    assert stands(last).last
    assert last.verdict is Verdict.INCONCLUSIVE
    assert last.sentence.endswith(
        "; interim analysis 2 of 2, at 10 seeds, leaves it open: 10 seeds are all that was planned."
    )


def test_a_missing_trial_makes_a_look_invalid_whatever_the_others_say(make_study: MakeStudy) -> None:
    gone = {("rllib", 2): lambda trial: dataclasses.replace(trial, meta=None)}
    summary = judge(make_study(SAME, looks=DEFAULT_LOOKS, edit=gone))
    assert (summary.verdict, stands(summary).decided, stands(summary).seeds_saved) == (Verdict.INVALID, False, 0)


@pytest.mark.parametrize(
    ("scores", "looks", "sentence"),
    [
        (SAME, (2, 4), "request.looks: no alpha is known for interim analyses at 2, 4 seeds"),
        (SAME, (5, 10), "request.seeds: 3 seeds are between the interim analyses at 5, 10"),
        (
            {"sb3": [1.0] * 11, "rllib": [1.0] * 11},
            (5, 10),
            "request.looks: 11 seeds are beyond the last interim analysis, at 10",
        ),
    ],
)
def test_seeds_that_are_no_look_are_not_judged(make_study: MakeStudy, scores: Any, looks: Any, sentence: str) -> None:
    with pytest.raises(CannotStart, match=sentence):
        judge(make_study(scores, looks=looks))
