"""What the judge says about whole studies: each verdict, each cause of INVALID, each row of the exit-code table."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest

from parity.results.study import StudyRecord, TrialRecord
from parity.results.summary import Finding, Learns, RungResult, Summary, TaskSummary, Verdict
from parity.verdict.judge import judge
from parity.verdict.power import seeds_needed

MakeStudy = Callable[..., StudyRecord]
Edit = Callable[[TrialRecord], TrialRecord]

GOOD = [0.95, 0.97, 0.98]
SAME = {"sb3": GOOD, "rllib": [0.94, 0.96, 0.98]}
NOISY = {"sb3": [0.8, 1.1, 0.95], "rllib": [0.75, 1.05, 0.9]}
WORSE = {"sb3": GOOD, "rllib": [0.60, 0.65, 0.62]}
DEAD = {"sb3": GOOD, "rllib": [0.0, 0.02, -0.01]}
BETTER = {"sb3": [0.55, 0.57, 0.58], "rllib": GOOD}
HALF_DEAD = {"sb3": GOOD, "rllib": [0.95, 0.97, 0.0]}

FAILED = {"tiles": {"rllib": {"forward": RungResult(rung=1, status="fail", reason="values differ by 0.3")}}}
NOT_RUN = {"tiles": {"rllib": {"loss": RungResult(rung=5, status="invalid")}}}
PASSED = {
    "tiles": {
        "rllib": {
            status: RungResult(rung=rung, status=status)
            for rung, status in enumerate(("pass", "explained", "declared", "not_applicable"))
        }
    }
}
ERROR = Finding(code="PAR003", severity="error", title="module does not implement ValueFunctionAPI")
WARNING = Finding(code="PAR004", severity="warning", title="a risk without effect here")


def spoil_curve(**columns: Callable[[np.ndarray], object]) -> Edit:
    def edit(trial: TrialRecord) -> TrialRecord:
        assert trial.curve is not None
        curve = trial.curve.copy()
        for column, change in columns.items():
            curve[column] = change(curve[column].to_numpy(copy=True))
        return dataclasses.replace(trial, curve=curve)

    return edit


def with_nan(values: np.ndarray) -> np.ndarray:
    values[3] = math.nan
    return values


def with_nan_episode(values: np.ndarray) -> list[np.ndarray]:
    return [*values[:-1], np.where(np.arange(len(values[-1])) == 7, math.nan, values[-1])]


def cut(rows: slice) -> Edit:
    def edit(trial: TrialRecord) -> TrialRecord:
        assert trial.curve is not None
        return dataclasses.replace(trial, curve=trial.curve.iloc[rows].reset_index(drop=True))

    return edit


def masks(phase: str, **counts: int) -> Edit:
    def edit(trial: TrialRecord) -> TrialRecord:
        assert trial.masks is not None
        return dataclasses.replace(trial, masks=trial.masks | {phase: trial.masks[phase] | counts})

    return edit


def task(summary: Summary, name: str = "tiles") -> TaskSummary:
    return summary.tasks[name]


class TestVerdicts:
    @pytest.mark.parametrize(
        ("scores", "verdict", "learns"),
        [
            (SAME, "EQUIVALENT", "LEARNS"),
            (NOISY, "INCONCLUSIVE", "LEARNS"),
            (WORSE, "WORSE", "LEARNS"),
            (DEAD, "WORSE", "DOES_NOT_LEARN"),
            (BETTER, "BETTER", "LEARNS"),
            (HALF_DEAD, "INCONCLUSIVE", "UNDECIDED"),
        ],
    )
    def test_of_a_port_beside_sb3(self, make_study: MakeStudy, scores: dict, verdict: str, learns: str) -> None:
        summary = judge(make_study(scores))
        assert (summary.verdict, task(summary).verdict) == (verdict, verdict)
        assert task(summary).learns == {"sb3": Learns.LEARNS, "rllib": Learns(learns)}

    def test_metrics_are_in_normalised_score(self, make_study: MakeStudy) -> None:
        final = task(judge(make_study(SAME))).metrics.final
        assert final.scores == pytest.approx({"sb3": np.mean(GOOD), "rllib": 0.96})
        assert final.difference == pytest.approx(0.96 - np.mean(GOOD))
        assert (final.confidence, final.margin) == (0.9, 0.15)
        assert final.interval is not None
        assert final.interval[0] < final.difference < final.interval[1]

    def test_equivalence_needs_both_primary_metrics(self, make_study: MakeStudy) -> None:
        """The port ends where SB3 ends and gets there much later: its area decides."""
        late = spoil_curve(return_mean=lambda means: np.where(np.arange(len(means)) < 7, means[0], means))
        summary = judge(make_study(SAME, edit={("rllib", seed): late for seed in range(3)}))
        metrics = task(summary).metrics
        assert (metrics.final.verdict, metrics.auc.verdict) == ("EQUIVALENT", "WORSE")
        assert summary.verdict is Verdict.WORSE

    def test_better_beside_an_open_metric_is_inconclusive(self, make_study: MakeStudy) -> None:
        def noise(trial: TrialRecord) -> TrialRecord:
            shift = (-1.0, 0.0, 1.0)[trial.seed]
            change = lambda means: np.where(np.arange(len(means)) < 7, means + shift, means)  # noqa: E731
            return spoil_curve(return_mean=change)(trial)

        summary = judge(make_study(BETTER, edit={("rllib", seed): noise for seed in range(3)}))
        metrics = task(summary).metrics
        assert (metrics.final.verdict, metrics.auc.verdict) == ("BETTER", "INCONCLUSIVE")
        assert summary.verdict is Verdict.INCONCLUSIVE

    def test_two_collapses_beyond_sb3_are_worse_where_the_means_cannot_say(self, make_study: MakeStudy) -> None:
        collapsed = {"sb3": GOOD * 2, "rllib": [0.95, 0.97, 0.98, 0.96, 0.0, 0.1]}
        summary = judge(make_study(collapsed))
        assert task(summary).metrics.final.verdict is Verdict.INCONCLUSIVE
        assert task(summary).collapsed == {"sb3": [], "rllib": [4, 5]}
        assert summary.verdict is Verdict.WORSE
        assert "2 more seeds of rllib collapsed" in summary.sentence

    def test_worse_is_corrected_for_the_number_of_tasks(self, make_study: MakeStudy) -> None:
        """p = 0.03 in both metrics of one task is WORSE by itself, and is what four tasks bring by chance."""
        suspicious = {"sb3": [0.95, 1.00, 1.05], "rllib": [0.74, 0.83, 0.90]}
        alone = judge(make_study(suspicious, margin=0.1))
        assert 0.01 < (task(alone).metrics.final.p_worse or 0) < 0.025
        assert alone.verdict is Verdict.WORSE
        four = judge(make_study({"tiles": suspicious, "b": NOISY, "c": NOISY, "d": NOISY}, margin=0.1))
        final = task(four).metrics.final
        assert final.verdict is Verdict.INCONCLUSIVE
        assert final.p_worse_holm == pytest.approx(8 * (final.p_worse or 0))
        assert four.verdict is Verdict.INCONCLUSIVE

    def test_the_worst_task_and_the_worst_port_decide(self, make_study: MakeStudy) -> None:
        summary = judge(make_study({"tiles": SAME, "tiles-100": WORSE}))
        assert (task(summary).verdict, task(summary, "tiles-100").verdict) == ("EQUIVALENT", "WORSE")
        assert summary.verdict is Verdict.WORSE
        ports = judge(make_study(SAME | {"rllib-exact": WORSE["rllib"]}))
        assert task(ports).verdicts == {"rllib": Verdict.EQUIVALENT, "rllib-exact": Verdict.WORSE}
        assert ports.verdict is Verdict.WORSE

    def test_metrics_hold_the_first_port_and_comparisons_all(self, make_study: MakeStudy) -> None:
        judged = task(judge(make_study(SAME | {"rllib-exact": WORSE["rllib"]})))
        assert set(judged.metrics.final.scores) == {"sb3", "rllib"}
        assert judged.metrics == judged.comparisons["rllib"]
        assert set(judged.comparisons["rllib-exact"].final.scores) == {"sb3", "rllib-exact"}

    def test_seeds_needed_are_more_than_there_are(self, make_study: MakeStudy) -> None:
        summary = judge(make_study(NOISY))
        needed = task(summary).metrics.final.seeds_needed
        assert needed is not None
        assert needed > 3
        assert f"({needed - 3} more needed)" in summary.sentence
        assert task(judge(make_study(SAME))).metrics.final.seeds_needed is None

    def test_seeds_needed_follow_the_observed_difference_where_none_was_planned_for(
        self, make_study: MakeStudy
    ) -> None:
        """Three seeds would show equivalence of equal frameworks; these differ by about half of the margin."""
        apart = {"sb3": [0.95, 1.0, 1.05], "rllib": [0.87, 0.92, 0.97]}
        final = task(judge(make_study(apart))).metrics.final
        assert final.verdict is Verdict.INCONCLUSIVE
        assert seeds_needed(*apart.values(), 0.15) == 3
        assert final.seeds_needed == seeds_needed(*apart.values(), 0.15, difference=-0.08)

    def test_steps_to_threshold_are_shown_and_do_not_decide(self, make_study: MakeStudy) -> None:
        steps = task(judge(make_study(WORSE))).metrics.steps_to_threshold
        assert steps.threshold == pytest.approx(0.8 * np.mean(GOOD))
        assert steps.reached == {"sb3": 3, "rllib": 0}
        assert steps.medians["rllib"] == math.inf
        assert steps.runs["rllib"][0].steps == 65_536

    def test_same_files_give_the_same_summary(self, make_study: MakeStudy) -> None:
        assert judge(make_study(NOISY)).to_json() == judge(make_study(NOISY)).to_json()


class TestLearning:
    @pytest.mark.parametrize(("scores", "learns"), [([0.23] * 3, "DOES_NOT_LEARN"), ([0.4] * 3, "UNDECIDED")])
    def test_seeds_that_learned_far_less_than_sb3(self, make_study: MakeStudy, scores: list, learns: str) -> None:
        judged = task(judge(make_study({"sb3": GOOD, "rllib": scores})))
        assert all(trial.learned for trial in judged.trials)
        assert judged.learns["rllib"] is Learns(learns)

    def test_stored_uniform_legal_returns_are_compared_with_their_uncertainty(self, make_study: MakeStudy) -> None:
        study = make_study({"sb3": [0.3] * 3})
        assert task(judge(study)).learns["sb3"] is Learns.LEARNS
        reference = study.file.tasks["tiles"].reference
        reference.uniform_legal_returns = [-0.6, 1.2] * 3
        assert task(judge(study)).learns["sb3"] is Learns.DOES_NOT_LEARN

    def test_fewer_than_three_seeds_are_undecided(self, make_study: MakeStudy) -> None:
        summary = judge(make_study({"sb3": [0.9, 0.95], "rllib": [0.9, 0.95]}))
        assert set(task(summary).learns.values()) == {Learns.UNDECIDED}
        assert summary.exit_code == 3
        assert "3 seeds are needed" in summary.sentence

    def test_without_a_best_return_the_score_is_relative_to_sb3(self, make_study: MakeStudy) -> None:
        summary = judge(make_study(SAME, best=None))
        reference, final = task(summary).reference, task(summary).metrics.final
        assert (reference.relative, reference.best) == (True, None)
        assert final.scores["sb3"] == pytest.approx(1.0)
        assert final.scores["rllib"] == pytest.approx(0.96 / np.mean(GOOD))
        assert task(judge(make_study(SAME))).reference.relative is False

    def test_without_sb3_and_without_a_best_return_nothing_measures_the_score(self, make_study: MakeStudy) -> None:
        summary = judge(make_study({"rllib": GOOD}, best=None))
        assert (task(summary).learns["rllib"], summary.exit_code) == (Learns.UNDECIDED, 3)
        assert "no best return is known" in summary.sentence

    @pytest.mark.parametrize("framework", ["sb3", "rllib"])
    def test_one_framework_alone_has_nothing_to_compare_with(self, make_study: MakeStudy, framework: str) -> None:
        summary = judge(make_study({framework: GOOD}))
        final = task(summary).metrics.final
        assert (final.verdict, final.reason) == (Verdict.INCONCLUSIVE, "nothing to compare with")
        assert final.scores == pytest.approx({framework: np.mean(GOOD)})
        assert (summary.verdict, summary.exit_code) == (Verdict.INCONCLUSIVE, 0)
        assert summary.sentence == f"{framework} learns tiles; nothing to compare it with."


CAUSES: dict[str, tuple[Edit, str]] = {
    "missing": (lambda t: TrialRecord(t.task, t.framework, t.seed, t.folder), "is missing"),
    "no_curve": (lambda t: dataclasses.replace(t, curve=None), "has no curve"),
    "nan": (spoil_curve(return_mean=with_nan), "no finite number at step 24576"),
    "nan_sampled": (spoil_curve(sampled_return_mean=with_nan), "sampled_return_mean"),
    "nan_episode": (spoil_curve(returns=with_nan_episode), "at step 65536"),
    "short": (cut(slice(0, 5)), "ends at step 32768 of 65536"),
    "late_start": (cut(slice(1, None)), "do not rise from 0"),
    "no_masks": (lambda t: dataclasses.replace(t, masks=None), "has no mask counts"),
    "nothing_checked": (
        lambda t: masks("evaluation", decisions=0)(masks("sampling", decisions=0)(t)),
        "has no decision that was checked",
    ),
    "violation_sampling": (masks("sampling", violations=2), "2 illegal actions in 1000 decisions at sampling"),
    "violation_evaluation": (masks("evaluation", violations=1), "1 illegal action in 1000 decisions at evaluation"),
    "empty_mask": (masks("sampling", empty=3), "3 empty masks in 1000 decisions at sampling"),
}


class TestInvalid:
    @pytest.mark.parametrize("framework", ["sb3", "rllib"])
    @pytest.mark.parametrize("cause", CAUSES)
    def test_cause_is_named_with_its_trial(self, make_study: MakeStudy, framework: str, cause: str) -> None:
        edit, words = CAUSES[cause]
        summary = judge(make_study(SAME, edit={(framework, 1): edit}))
        assert (summary.verdict, summary.exit_code) == (Verdict.INVALID, 1)
        assert summary.sentence.startswith(f"tiles is INVALID: {framework} seed 1 ")
        assert words in summary.sentence
        assert {metric.verdict for metric in task(summary).metrics.primary.values()} == {Verdict.INVALID}
        [reason] = [t.reason for t in task(summary).trials if t.reason]
        assert words in reason

    @pytest.mark.parametrize(
        ("cause", "code", "holds"),
        [
            ("empty_mask", "PAR005", True),
            ("violation_sampling", "PAR302", True),
            ("violation_sampling", "PAR005", False),
            ("empty_mask", "PAR302", False),
        ],
    )
    def test_what_the_ladder_takes_as_declared_makes_no_trial_unfit(
        self, make_study: MakeStudy, cause: str, code: str, holds: bool
    ) -> None:
        study = make_study(SAME, edit={("rllib", 1): CAUSES[cause][0]})
        for each in study.file.tasks.values():
            each.declared[code] = "dead ends are part of this game"
        summary = judge(study)
        assert (summary.verdict is Verdict.INVALID, summary.exit_code) == (not holds, 0 if holds else 1)

    @pytest.mark.parametrize(
        ("status", "words"), [("crashed", "crashed: CUDA out of memory"), ("interrupted", "was interrupted")]
    )
    def test_a_trial_that_did_not_end(
        self, make_study: MakeStudy, with_meta: Callable, status: str, words: str
    ) -> None:
        edit = with_meta(status=status, reason="CUDA out of memory." if status == "crashed" else None)
        summary = judge(make_study(SAME, edit={("rllib", 2): edit}))
        assert (summary.verdict, summary.exit_code) == (Verdict.INVALID, 1)
        assert summary.sentence == f"tiles is INVALID: rllib seed 2 {words}."
        [stopped] = [t for t in task(summary).trials if t.reason]
        assert (stopped.status, stopped.final) == (status, None)

    def test_a_bad_trial_of_a_framework_alone(self, make_study: MakeStudy) -> None:
        edit, _ = CAUSES["short"]
        summary = judge(make_study({"sb3": GOOD}, edit={("sb3", 0): edit}))
        assert (summary.verdict, summary.exit_code) == (Verdict.INVALID, 1)
        assert task(summary).metrics.final.verdict is Verdict.INVALID

    def test_a_bad_trial_of_one_port_leaves_the_other_judged(self, make_study: MakeStudy) -> None:
        edit, _ = CAUSES["missing"]
        summary = judge(make_study(SAME | {"rllib-exact": GOOD}, edit={("rllib-exact", 0): edit}))
        assert task(summary).verdicts == {"rllib": Verdict.EQUIVALENT, "rllib-exact": Verdict.INVALID}
        assert summary.verdict is Verdict.INVALID

    def test_sb3_that_does_not_learn(self, make_study: MakeStudy) -> None:
        summary = judge(make_study({"sb3": [0.0, 0.01, 0.0], "rllib": GOOD}))
        assert (summary.verdict, summary.exit_code) == (Verdict.INVALID, 1)
        assert summary.sentence == "tiles is INVALID: sb3 does not learn it: the task or its budget is wrong."

    def test_a_best_return_that_is_not_above_uniform_legal(self, make_study: MakeStudy) -> None:
        summary = judge(make_study(SAME, best=0.2))
        assert summary.verdict is Verdict.INVALID
        assert "best is not above uniform_legal" in summary.sentence

    @pytest.mark.parametrize(("ladder", "words"), [(FAILED, "values differ"), (NOT_RUN, "should have run and did not")])
    def test_a_broken_rung_whose_price_the_metrics_still_show(
        self, make_study: MakeStudy, ladder: dict, words: str
    ) -> None:
        summary = judge(make_study(SAME), ladder=ladder)
        assert (summary.verdict, summary.exit_code) == (Verdict.INVALID, 1)
        assert words in summary.sentence
        assert task(summary).metrics.final.verdict is Verdict.EQUIVALENT
        assert task(summary).verdicts == {"rllib": Verdict.INVALID}

    def test_a_port_that_does_not_learn_is_named_too(self, make_study: MakeStudy) -> None:
        edit, _ = CAUSES["violation_sampling"]
        summary = judge(make_study(DEAD, edit={("rllib", 0): edit}))
        assert summary.verdict is Verdict.INVALID
        assert "rllib does not learn tiles (0 of 3 seeds learned" in summary.sentence


class TestExitCode:
    """The column ``run`` of the contract's table."""

    @pytest.mark.parametrize(
        ("scores", "require", "ladder", "findings", "code"),
        [
            (SAME, [], None, [], 0),
            (SAME, ["equivalent"], PASSED, [WARNING], 0),
            (NOISY, [], None, [], 0),
            (NOISY, ["learns"], None, [], 0),
            (BETTER, ["equivalent"], None, [], 0),
            (SAME, [], None, [ERROR], 1),
            (SAME, [], FAILED, [], 1),
            (SAME, [], NOT_RUN, [], 1),
            (WORSE, [], None, [], 1),
            ({"sb3": [0.0] * 3, "rllib": GOOD}, [], None, [], 1),
            (DEAD, [], None, [], 1),
            ({"rllib": [0.0] * 3}, [], None, [], 1),
            ({"sb3": [0.9], "rllib": [0.0]}, [], None, [], 1),
            (HALF_DEAD, [], None, [], 3),
            (HALF_DEAD, ["equivalent"], None, [], 3),
            (NOISY, ["equivalent"], None, [], 3),
            (NOISY, ["not-worse"], None, [], 3),
            (SAME, ["not-worse"], None, [], 0),
            ({"sb3": GOOD}, ["equivalent"], None, [], 3),
            ({"sb3": GOOD}, ["not-worse"], None, [], 3),
        ],
    )
    def test_row(
        self, make_study: MakeStudy, scores: dict, require: list[str], ladder: dict, findings: list, code: int
    ) -> None:
        summary = judge(make_study(scores, require=require), ladder=ladder, findings=findings)
        assert summary.exit_code == code

    def test_a_finding_is_counted_in_the_sentence(self, make_study: MakeStudy) -> None:
        assert judge(make_study(SAME), findings=[ERROR, WARNING]).sentence.endswith("; 1 error finding (PAR003).")

    def test_a_rung_of_a_port_that_was_not_trained_counts(self, make_study: MakeStudy) -> None:
        ladder = {"tiles": {"rllib-exact": FAILED["tiles"]["rllib"]}}
        assert judge(make_study(SAME), ladder=ladder).exit_code == 1


class TestObserved:
    def test_masks_are_summed_over_trials_and_phases(self, make_study: MakeStudy) -> None:
        counts = task(judge(make_study(SAME, edit={("rllib", 0): masks("sampling", violations=2)}))).masks
        assert (counts["sb3"].decisions, counts["sb3"].violations) == (6000, 0)
        assert (counts["rllib"].violations, counts["rllib"].sampling.violations) == (2, 2)

    def test_throughput_leaves_evaluation_out_and_says_what_it_cannot_tell(self, make_study: MakeStudy) -> None:
        observed = task(judge(make_study(SAME))).observed_throughput
        assert observed["sb3"].env_steps_per_s == pytest.approx(2000)
        assert observed["sb3"].phases_s is not None
        assert observed["sb3"].phases_s.model_dump() == {"sample": 0.5, "returns": 0.1, "update": 0.6, "evaluate": 0.2}
        assert observed["rllib"].phases_s is not None
        assert math.isnan(observed["rllib"].phases_s.returns)
        assert (observed["sb3"].device, observed["sb3"].threads, observed["sb3"].peak_memory_mb) == ("cpu", 1, 502)

    def test_a_framework_without_a_trial_has_no_throughput(self, make_study: MakeStudy) -> None:
        edit, _ = CAUSES["missing"]
        summary = judge(make_study(SAME, edit={("rllib", seed): edit for seed in range(3)}))
        assert task(summary).observed_throughput["rllib"].env_steps_per_s is None
        assert task(summary).learns["rllib"] is Learns.UNDECIDED
        assert summary.exit_code == 1
