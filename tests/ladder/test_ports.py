"""Whole ports: nothing is held against a good one, and of a broken one the cause is named first."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import pytest
from captures import Collected

from parity.ladder.run_rungs import LadderResult, run_rungs
from parity.ladder.rungs.returns import generalised_advantages
from parity.results.capture import Capture
from parity.selftest.good import CLERK
from parity.selftest.good import SORTER as LEARNER
from parity.selftest.register import BUGS, load

load()
NO_MEASURE = ("not_applicable",)
# Of the register, which `parity selftest` climbs as a whole.
GOOD = (
    "reference-port",
    "one-agent",
    "extra-columns",
    "minus-infinity",
    "separate-encoders",
    "pass-through-connectors",
    "two-learning-agents",
    "turn-based",
    "other-bounds",
    "other-agent-leaves",
    "shared-module",
    "finished-configuration",
    "multi-discrete",
    "no-time-limit",
    "large-returns",
    "global-generators",
    "other-hyperparameters",
)
# Name -> the code of the root that must be named first.
BROKEN = {
    "zeros-as-advantages": "PAR003",
    "no-value-function-api": "PAR003",
    "mask-omitted-in-training": "PAR201",
    "mask-omitted-in-inference": "PAR201",
    "mask-multiplied": "PAR201",
    "mask-to-be-added": "PAR039",
    "values-detached": "PAR602",
    "encoder-detached": "PAR602",
    "values-with-a-last-axis": "PAR105",
    "input-left-out": "PAR101",
    "dropout-in-features": "PAR104",
    "batch-popped": "PAR103",
    "gradient-nan": "PAR601",
    "layer-frozen": "PAR605",
    "values-raise": "PAR312",
    "normalised-for-sampling-only": "PAR303",
    "truncation-per-agent": "PAR304",
    "ends-swapped": "PAR033",
    "mask-of-the-state-before": "PAR031",
    "mask-inverted-in-environment": "PAR031",
    "reward-scaled": "PAR032",
    "empty-mask": "PAR005",
    "sub-environments-alike": "PAR015",
    "learning-rate-default--and--lambda-default": "PAR010",
    "value-clamp-default": "PAR011",
    "kl-default": "PAR012",
    "complete-episodes-with-a-seed": "PAR014",
    "complete-episodes-with-several-environments": "PAR016",
    "gamma-of-the-module": "PAR018",
    "policies-to-train-wrong": "PAR006",
}
# Planted where rllib-exact has a learner or an env runner of its own.
BESIDE_EXACT = (
    "zeros-as-advantages",
    "mask-omitted-in-training",
    "values-detached",
    "normalised-for-sampling-only",
    "gamma-of-the-module",
    "gradient-nan",
)


def broken(judged: LadderResult) -> dict[str, str]:
    return {name: f"{r.status}: {r.reason}" for name, r in judged.rungs.items() if r.status in ("fail", "invalid")}


def with_native(capture: Capture, **changes: Any) -> Capture:
    """The same with other settings of RLlib alone."""
    config = capture.context.configuration
    assert config is not None
    config = dataclasses.replace(config, native=config.native | changes)
    return dataclasses.replace(capture, context=dataclasses.replace(capture.context, configuration=config))


@pytest.mark.parametrize("framework", ["rllib", "rllib-exact"])
@pytest.mark.parametrize("name", GOOD)
def test_a_good_port_is_accused_of_nothing(collected: Collected, name: str, framework: str) -> None:
    judged = run_rungs(collected(name, framework))
    assert judged, broken(judged)
    assert not [f.code for f in judged.raw_findings if f.severity == "error"]


@pytest.mark.parametrize("name", GOOD)
def test_every_difference_of_stock_rllib_is_explained_with_its_share(collected: Collected, name: str) -> None:
    update = run_rungs(collected(name, "rllib")).rungs["update"]
    assert update.status == "explained"
    shares = (update.model_extra or {})["shares"]
    assert set(shares) == {"advantages", "adam_eps", "minibatches"}
    assert all(0 < share < 10 for share in shares.values())


@pytest.mark.parametrize("name", GOOD)
def test_rllib_exact_needs_no_explanation(collected: Collected, name: str) -> None:
    judged = run_rungs(collected(name, "rllib-exact"))
    statuses = {rung: result.status for rung, result in judged.rungs.items() if rung != "lockstep"}
    applicable = {status for status in statuses.values() if status not in NO_MEASURE}
    assert applicable == {"pass"}, statuses


@pytest.mark.parametrize("name", BROKEN)
def test_the_cause_of_a_broken_port_is_named_first(collected: Collected, name: str) -> None:
    code = BROKEN[name]
    findings = run_rungs(collected(name, "rllib")).findings("sorting", "rllib")
    assert findings[0].code == code
    assert findings[0].severity == "error"
    assert findings[0].fix
    assert findings[0].where


@pytest.mark.parametrize("name", BESIDE_EXACT)
def test_the_exact_learner_hides_no_broken_port(collected: Collected, name: str) -> None:
    findings = run_rungs(collected(name, "rllib-exact")).findings("sorting", "rllib-exact")
    assert BUGS[name].caught_by & {finding.code for finding in findings if finding.severity == "error"}


def test_the_reported_mistake_is_one_finding_with_its_consequences(collected: Collected) -> None:
    judged = run_rungs(collected("zeros-as-advantages", "rllib"))
    errors = [f for f in judged.findings("sorting", "rllib") if f.severity == "error"]
    assert [f.code for f in errors] == ["PAR003"]
    (finding,) = errors
    assert {"PAR401", "PAR603"} <= set(finding.consequences)
    assert finding.evidence["advantage_std"] == 0.0
    assert finding.where == f"module {LEARNER}"
    assert finding.fix == "class SorterWithoutApi(TorchRLModule, ValueFunctionAPI)"
    assert "follows from PAR003" in (judged.rungs["gradient"].reason or "")


def test_an_environment_without_a_seed_is_a_warning_and_no_port_is_accused_of_it(collected: Collected) -> None:
    judged = run_rungs(collected("global-generators", "rllib-exact"))
    assert judged
    assert {f.code: f.severity for f in judged.raw_findings} == {"PAR035": "warning"}
    assert judged.rungs["lockstep"].status == "not_applicable"
    assert "PAR035" in (judged.rungs["lockstep"].reason or "")


def test_a_seeded_environment_that_parts_in_lockstep_is_still_an_error(collected: Collected) -> None:
    capture = copy.deepcopy(collected("multi-discrete", "rllib-exact"))
    assert capture.lockstep is not None
    capture.lockstep.port.rewards[0, 3, 0] += 1.0
    judged = run_rungs(capture)
    assert "PAR902" in [f.code for f in judged.raw_findings if f.severity == "error"]


def test_a_port_with_another_layout_still_gets_the_other_rungs(collected: Collected) -> None:
    judged = run_rungs(collected("separate-encoders", "rllib"))
    assert judged.rungs["forward"].status == "not_applicable"
    assert "parameters" in (judged.rungs["forward"].reason or "")
    for rung in ("distribution", "rollout", "returns", "loss", "gradient", "step", "update"):
        assert judged.rungs[rung].tolerance_needed is not None, rung


def test_parameters_are_paired_by_shape_where_names_differ(collected: Collected) -> None:
    correspondence = collected("one-agent", "rllib").context.correspondence
    assert correspondence is not None
    pairs = correspondence.pairs
    assert pairs["network.numbers.weight"] == "counter.weight"
    assert pairs["network.policy.bias"] == "pi.bias"


def test_both_modules_are_compared_where_two_agents_learn(collected: Collected) -> None:
    capture = collected("two-learning-agents", "rllib")
    for module in (LEARNER, CLERK):
        assert capture.update[module].sb3["all"]
    assert {f.module for f in run_rungs(capture).raw_findings if f.code == "PAR810"} == {LEARNER, CLERK}


def test_the_rollout_has_ends_cuts_and_masks_of_every_kind(collected: Collected) -> None:
    rows = collected("one-agent", "rllib").context.rows[LEARNER]
    last = np.append(np.diff(rows.chunk) != 0, True)
    assert rows.terminated.any() and rows.truncated.any()
    assert (last & ~rows.terminated & ~rows.truncated).any()
    assert len(set(rows.env.tolist())) > 1
    legal = rows.mask.sum(axis=1)
    assert legal.min() == 1 and legal.max() == rows.mask.shape[1]


def test_a_declared_difference_is_reported_and_does_not_fail(collected: Collected) -> None:
    judged = run_rungs(collected("reward-scaled", "rllib"), declared={"PAR032": "rewards in other units"})
    assert judged
    assert judged.rungs["contract"].status == "declared"
    (finding,) = [f for f in judged.findings("sorting", "rllib") if f.code == "PAR032"]
    assert finding.severity == "info"
    assert (finding.model_extra or {})["declared"] == "rewards in other units"


@pytest.mark.parametrize("names", [("lr", "lambda_"), ("learning_rate", "gae_lambda"), ("PAR010",)])
def test_a_hyperparameter_may_be_declared_under_either_name(collected: Collected, names: tuple[str, ...]) -> None:
    capture = collected("learning-rate-default--and--lambda-default", "rllib")
    assert not run_rungs(capture, declared=dict.fromkeys(names[:-1], "on purpose"))
    assert run_rungs(capture, declared=dict.fromkeys(names, "on purpose"))


def test_what_follows_from_a_declared_difference_is_declared(collected: Collected) -> None:
    judged = run_rungs(collected("kl-default", "rllib"), declared={"use_kl_loss": "wanted"})
    assert judged
    assert judged.rungs["update"].status == "declared"


def test_hyperparameters_differ_with_the_code_that_makes_them_equal(collected: Collected) -> None:
    (finding,) = [
        f
        for f in run_rungs(collected("learning-rate-default--and--lambda-default", "rllib")).raw_findings
        if f.code == "PAR010"
    ]
    assert finding.evidence == {
        "learning_rate": {"task": 2e-3, "port": 5e-5},
        "gae_lambda": {"task": 0.9, "port": 1.0},
    }
    assert finding.fix == "config.training(lr=0.002, lambda_=0.9)"


def test_a_clamp_that_nothing_reaches_is_a_warning(collected: Collected) -> None:
    judged = run_rungs(with_native(collected("value-clamp-default", "rllib"), vf_clip_param="1e9"))
    assert [f.severity for f in judged.raw_findings if f.code == "PAR011"] == ["warning"]


def test_log_probabilities_say_whether_the_forward_pass_or_the_observation_is_another(collected: Collected) -> None:
    found = {
        name: next(f for f in run_rungs(collected(name, "rllib")).raw_findings if f.code == "PAR303")
        for name in ("mask-omitted-in-training", "normalised-for-sampling-only")
    }
    assert found["mask-omitted-in-training"].evidence["exploration_agrees_with_sampling"]
    assert not found["normalised-for-sampling-only"].evidence["exploration_agrees_with_sampling"]


def test_mask_findings_name_the_method(collected: Collected) -> None:
    for name, method in (
        ("mask-omitted-in-training", "_forward_train"),
        ("mask-omitted-in-inference", "_forward_inference"),
    ):
        finding = next(f for f in run_rungs(collected(name, "rllib")).raw_findings if f.code == "PAR201")
        assert finding.message.endswith(f"in {method}")


def test_values_without_gradient_are_told_from_an_encoder_without(collected: Collected) -> None:
    cut = {
        name: set(
            next(f for f in run_rungs(collected(name, "rllib")).raw_findings if f.code == "PAR602").evidence[
                "parameters"
            ]
        )
        for name in ("values-detached", "encoder-detached")
    }
    assert cut["values-detached"] == {"vf.weight", "vf.bias"}
    assert cut["encoder-detached"] == {"eyes.weight", "eyes.bias", "counter.weight", "counter.bias"}


def test_the_environments_are_compared_from_equal_seeds(collected: Collected) -> None:
    view = collected("one-agent", "rllib").contract.view
    assert view.distinct_starts > 1
    for name in ("mask", "reward", "terminated", "truncated"):
        assert np.array_equal(getattr(view.single, name), getattr(view.multi, name)), name
    for name, array in view.single.observations.items():
        assert np.array_equal(array, view.multi.observations[name]), name


def test_the_reference_is_gae_with_bootstrap_after_truncation_and_none_after_termination() -> None:
    """By hand: gamma 0.5, lambda 0.5; three rows, two chunks, the second one truncated."""
    rewards, values = np.array([1.0, 2.0, 4.0]), np.array([0.5, 1.0, 2.0])
    advantages = generalised_advantages(
        rewards, values, np.array([10.0, 8.0]), np.array([False, True, False]), np.array([0, 0, 1]), 0.5, 0.5
    )
    assert advantages == pytest.approx([1 + 0.5 * 1.0 - 0.5 + 0.25 * 1.0, 1.0, 4 + 0.5 * 8 - 2])


def test_a_weight_scale_of_its_own_is_a_warning(collected: Collected) -> None:
    judged = run_rungs(collected("policy-starts-smaller", "rllib"))
    assert judged
    (finding,) = [f for f in judged.raw_findings if f.code == "PAR020"]
    assert finding.severity == "warning"
    assert "pi.weight" in finding.where


def test_seeds_that_env_runners_share_are_counted(collected: Collected) -> None:
    """Two runners with three sub-environments each: seeds 1, 2, 3 and 2, 3, 4."""
    changes = {"num_env_runners": 2, "num_envs_per_env_runner": 3, "seed": 0}
    judged = run_rungs(with_native(collected("one-agent", "rllib"), **changes))
    (finding,) = [f for f in judged.raw_findings if f.code == "PAR022"]
    assert finding.evidence["shared_seeds"] == 2
    assert judged
