"""What the judge says of a study with several tasks, and the figures beside its verdicts."""

from __future__ import annotations

import json
from collections.abc import Callable

import jsonschema
import numpy as np
import pytest

from parity.results.study import StudyRecord
from parity.results.summary import PooledSummary, Summary, Verdict, json_schema
from parity.verdict.judge import judge
from parity.verdict.pooled_statistics import pooled_difference

MakeStudy = Callable[..., StudyRecord]

# Runs of a deviation of about 0.12: one task of five seeds does not decide, four do.
SB3 = [0.80, 1.05, 0.95, 1.10, 0.90]
PORT = [1.00, 0.85, 1.08, 0.78, 0.97]
TASKS = ("tiles", "b", "c", "d")
OPEN = {"sb3": SB3, "rllib": PORT}
# A drop that one task of five seeds cannot tell from none, and four can.
LOWER = {"sb3": SB3, "rllib": [score - 0.12 for score in PORT]}
DEAD = {"sb3": SB3, "rllib": [0.0] * 5}


def pooled(summary: Summary) -> PooledSummary:
    assert summary.pooled is not None
    return summary.pooled


def test_four_tasks_decide_together_what_none_decides_alone(make_study: MakeStudy) -> None:
    summary = judge(make_study(dict.fromkeys(TASKS, OPEN), require=["equivalent", "not-worse"]))
    assert {task.verdict for task in summary.tasks.values()} == {Verdict.INCONCLUSIVE}
    assert (summary.verdict, pooled(summary).verdict, summary.exit_code) == ("EQUIVALENT", "EQUIVALENT", 0)
    assert summary.sentence.startswith("over 4 tasks together rllib is EQUIVALENT to sb3 within 0.15")
    assert "cannot decide" not in summary.sentence


def test_figures_are_those_of_the_pooled_interval(make_study: MakeStudy) -> None:
    final = pooled(judge(make_study(dict.fromkeys(TASKS, OPEN)))).metrics.final
    expected = pooled_difference(np.tile(SB3, (4, 1)), np.tile(PORT, (4, 1)), 0.15)
    assert final.difference == pytest.approx(float(expected.estimate))
    assert final.interval == pytest.approx((float(expected.low), float(expected.high)))
    assert final.runs == {"sb3": 20, "rllib": 20}
    assert final.scores == pytest.approx({"sb3": np.mean(SB3), "rllib": np.mean(PORT)})
    assert (final.confidence, final.margin) == (0.9, 0.15)


def test_the_smallest_margin_of_the_tasks_is_that_of_all_together(make_study: MakeStudy) -> None:
    study = make_study(dict.fromkeys(TASKS, OPEN))
    study.file.tasks["c"] = study.file.tasks["c"].model_copy(update={"margin": 0.07})
    summary = judge(study)
    assert pooled(summary).metrics.final.margin == 0.07
    assert pooled(summary).verdict is Verdict.INCONCLUSIVE


def test_a_drop_that_no_task_shows_alone_is_seen_together(make_study: MakeStudy) -> None:
    summary = judge(make_study(dict.fromkeys(TASKS, LOWER), margin=0.1))
    assert {task.verdict for task in summary.tasks.values()} == {Verdict.INCONCLUSIVE}
    assert (summary.verdict, summary.exit_code) == (Verdict.WORSE, 1)
    final = pooled(summary).metrics.final
    assert final.p_worse is not None and final.p_worse_holm is not None
    assert final.p_worse < final.p_worse_holm <= 2 * final.p_worse + 1e-12


def test_a_task_that_is_worse_is_not_outweighed_by_the_others(make_study: MakeStudy) -> None:
    same = {"sb3": [0.95, 0.97, 0.98, 0.96, 0.99], "rllib": [0.96, 0.97, 0.97, 0.95, 0.99]}
    small = {"sb3": same["sb3"], "rllib": [score - 0.2 for score in same["rllib"]]}
    summary = judge(make_study(dict.fromkeys(TASKS, same) | {"d": small}))
    assert pooled(summary).verdict is Verdict.EQUIVALENT
    assert (summary.tasks["d"].verdict, summary.verdict) == (Verdict.WORSE, Verdict.WORSE)
    differ = pooled(summary).robustness["rllib"]["final"].p_tasks_differ
    assert differ is not None and differ < 0.001


def test_one_task_that_cannot_be_judged_makes_the_whole_invalid_and_is_named(
    make_study: MakeStudy, with_meta: Callable[..., object]
) -> None:
    study = make_study({"tiles": OPEN, "b": OPEN})
    study.trials[-1] = with_meta(status="crashed")(study.trials[-1])  # type: ignore[operator]
    summary = judge(study)
    assert (summary.verdict, pooled(summary).verdict) == (Verdict.INVALID, Verdict.INVALID)
    assert pooled(summary).reasons == ["rllib cannot be judged on b"]
    assert pooled(summary).metrics.final.interval is None


def test_pooling_that_does_not_decide_says_how_many_seeds_would(make_study: MakeStudy) -> None:
    noisy = {"sb3": [0.4, 1.6, 1.0], "rllib": [1.5, 0.5, 0.9]}
    summary = judge(make_study({"tiles": noisy, "b": noisy}, require=["equivalent"]))
    needed = max(m.seeds_needed or 0 for m in pooled(summary).metrics.primary.values())
    assert needed > 3
    assert f"over 2 tasks together 3 seeds cannot decide equivalence ({needed - 3} more needed)" in summary.sentence
    assert (summary.verdict, summary.exit_code) == (Verdict.INCONCLUSIVE, 3)


def test_every_port_is_pooled_and_the_gravest_decides(make_study: MakeStudy) -> None:
    summary = judge(make_study(dict.fromkeys(TASKS, OPEN | {"rllib-exact": DEAD["rllib"]})))
    assert pooled(summary).verdicts == {"rllib": Verdict.EQUIVALENT, "rllib-exact": Verdict.WORSE}
    assert set(pooled(summary).metrics.final.scores) == {"sb3", "rllib"}
    assert summary.verdict is Verdict.WORSE


@pytest.mark.parametrize(
    "scores", [OPEN, {"tiles": {"sb3": SB3}, "b": {"sb3": SB3}}, {"b": {"rllib": PORT}, "c": {"rllib": PORT}}]
)
def test_nothing_is_pooled_of_one_task_or_without_a_comparison(make_study: MakeStudy, scores: dict) -> None:
    assert judge(make_study(scores)).pooled is None


def test_summary_with_pooled_and_robustness_satisfies_the_schema_and_comes_back(make_study: MakeStudy) -> None:
    text = judge(make_study({"tiles": OPEN, "b": DEAD})).to_json()
    jsonschema.Draft202012Validator(json_schema()).validate(json.loads(text))
    assert Summary.model_validate_json(text).to_json() == text


class TestRobustness:
    def test_lines_point_where_the_scores_do_and_gate_nothing(self, make_study: MakeStudy) -> None:
        dead = judge(make_study(DEAD)).tasks["tiles"].robustness["rllib"]["final"]
        assert dead.p_permutation == pytest.approx(2 / 252)
        assert dead.permutation_exact
        assert dead.probability_of_improvement == 0.0
        assert dead.successes == {"sb3": (5, 5), "rllib": (0, 5)}
        assert dead.iqm_interval is not None and dead.iqm_interval[1] < -0.7
        assert dead.interval_own_variances is None

    def test_pooled_lines_are_stratified_and_count_all_runs(self, make_study: MakeStudy) -> None:
        lines = pooled(judge(make_study(dict.fromkeys(TASKS, OPEN)))).robustness["rllib"]["final"]
        assert lines.permutation_exact
        assert lines.successes["sb3"] == (20, 20)
        own, final = lines.interval_own_variances, pooled(judge(make_study(dict.fromkeys(TASKS, OPEN)))).metrics.final
        assert own is not None and final.interval is not None
        assert own == pytest.approx(final.interval, abs=0.01)

    def test_runs_of_different_number_or_none_at_all_leave_lines_empty(
        self, make_study: MakeStudy, with_meta: Callable[..., object]
    ) -> None:
        crash = with_meta(status="crashed")
        edit = {("rllib", seed): crash for seed in range(5)}
        lines = judge(make_study(OPEN, edit=edit)).tasks["tiles"].robustness["rllib"]["final"]
        assert (lines.p_permutation, lines.iqm_difference, lines.successes["rllib"]) == (None, None, (0, 0))
        one = judge(make_study({"sb3": [0.9], "rllib": [0.8]})).tasks["tiles"].robustness["rllib"]["final"]
        assert (one.iqm_difference, one.iqm_interval) == (pytest.approx(-0.1), None)


def test_tasks_that_are_open_by_themselves_are_named_with_the_seeds_that_they_lack(make_study: MakeStudy) -> None:
    same = {"sb3": [0.95, 0.97, 0.98, 0.96, 0.99], "rllib": [0.96, 0.97, 0.97, 0.95, 0.99]}
    summary = judge(make_study(dict.fromkeys(TASKS, same) | {"b": OPEN}))
    assert summary.verdict is Verdict.EQUIVALENT
    needed = summary.tasks["b"].metrics.final.seeds_needed
    assert needed is not None and needed > 5
    assert summary.sentence == (
        "over 4 tasks together rllib is EQUIVALENT to sb3 within 0.15 of the normalised score; rllib learns every one; task by "
        f"task rllib is EQUIVALENT on tiles, c, d, undecided on b ({needed - 5} more seeds needed)."
    )


def test_a_task_that_is_not_learned_stands_apart_from_those_that_are(make_study: MakeStudy) -> None:
    same = {"sb3": [0.95, 0.97, 0.98, 0.96, 0.99], "rllib": [0.96, 0.97, 0.97, 0.95, 0.99]}
    sentence = judge(make_study(dict.fromkeys(TASKS, same) | {"b": DEAD})).sentence
    assert "; rllib learns tiles, c, d; task by task rllib is EQUIVALENT on tiles, c, d;" in sentence
    assert "; rllib does not learn b (0 of 5 seeds learned, " in sentence and "it is WORSE than sb3" in sentence
