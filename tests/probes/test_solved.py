"""Every probe is solved by correct implementations, and each planted bug that a probe is meant for makes it fail."""

from __future__ import annotations

import pytest

pytest.importorskip("ray.rllib")

import planting

from parity import probes
from parity.probes.ask import failures

pytestmark = pytest.mark.usefixtures("ray_started")


@pytest.mark.parametrize("framework", ["sb3", "rllib"])
@pytest.mark.parametrize("name", probes.names())
def test_a_correct_implementation_solves_it(name: str, framework: str) -> None:
    assert failures(probes.get(name), framework) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("framework", ["sb3", "rllib", "rllib-exact"])
@pytest.mark.parametrize("name", probes.names())
def test_a_correct_implementation_solves_it_from_every_seed(name: str, framework: str, seed: int) -> None:
    assert failures(probes.get(name), framework, seed=seed) == []


# The bug, the probe that is meant for it, a word of the cause that it is told, probes that it leaves alone.
BUGS = [
    ("zeros-as-advantages", "probe-one-action", "not trained", ()),
    ("zeros-as-advantages", "probe-observation", "not taught", ()),
    ("values-detached", "probe-one-action", "not trained", ("probe-forced",)),
    ("advantage-sign", "probe-observation", "the opposite", ("probe-one-action",)),
    ("observation-a-step-late", "probe-observation", "not taught", ("probe-one-action", "probe-mask")),
    ("gamma-default", "probe-previous-step", "gamma is another one", ("probe-mask", "probe-lambda")),
    ("reward-a-step-late", "probe-previous-step", "a step late", ()),
    ("lambda-default", "probe-lambda", "lambda is another one", ("probe-previous-step", "probe-time-limit")),
    ("truncation-per-agent", "probe-time-limit", "truncation is treated", ("probe-previous-step", "probe-observation")),
    ("truncation-as-termination", "probe-time-limit", "truncation is treated", ("probe-previous-step",)),
    ("termination-as-truncation", "probe-time-limit", "termination is treated", ()),
    ("ends-swapped", "probe-time-limit", "termination is treated", ()),
    ("termination-as-truncation", "probe-one-action", "termination is treated", ()),
    ("mask-omitted-in-training", "probe-forced", "left out in training", ("probe-observation", "probe-time-limit")),
    ("mask-omitted-in-exploration", "probe-mask", "does not see the mask", ("probe-observation", "probe-lambda")),
    ("mask-of-the-state-before", "probe-mask-by-action", "of another state", ("probe-observation", "probe-one-action")),
]  # fmt: skip
# Seconds each, and of different kinds; the others are slow.
FAST = {("mask-omitted-in-training", "probe-forced"),
        ("truncation-per-agent", "probe-time-limit")}  # fmt: skip


@pytest.mark.parametrize(
    ("bug", "name", "cause"),
    [
        pytest.param(bug, name, cause, marks=[] if (bug, name) in FAST else [pytest.mark.slow], id=f"{bug}-{name}")
        for bug, name, cause, _ in BUGS
    ],
)
def test_a_bug_fails_the_probe_that_is_meant_for_it(bug: str, name: str, cause: str) -> None:
    probe = probes.get(name)
    found = failures(probe, "rllib", planting.planted(bug, probe))
    assert any(cause in (failure.cause or "") for failure in found), [str(failure) for failure in found]


@pytest.mark.slow
@pytest.mark.parametrize(("bug", "name"), sorted({(bug, name) for bug, _, _, unrelated in BUGS for name in unrelated}))
def test_a_bug_leaves_unrelated_probes_alone(bug: str, name: str) -> None:
    probe = probes.get(name)
    assert failures(probe, "rllib", planting.planted(bug, probe)) == []


PAIR_BUGS = [
    (planting.AllLegal, "probe-mask", "the mask is left out or another's"),
    (planting.RewardsSwapped, "probe-other-agent", "partner's reward"),
    (planting.ObservationOfTheStepBefore, "probe-other-agent", "does not see the partner's action"),
    (planting.RewardsSwapped, "probe-competitive", "partner's reward"),
    (planting.RewardForBoth, "probe-competitive", "taught with the learner's reward"),
    (planting.RewardForTheLearnerOnly, "probe-competitive", "partner does not learn"),
    (planting.RewardForTheLearnerOnly, "probe-cooperative", "partner does not learn"),
    (planting.MaskOfThePartner, "probe-cooperative", "is not its own"),
    (planting.ObservationOfThePartner, "probe-cooperative", "is not its own"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("env", "name", "cause"), PAIR_BUGS, ids=lambda each: getattr(each, "__name__", None))
def test_a_wrong_environment_fails_the_probe_that_is_meant_for_it(env: type, name: str, cause: str) -> None:
    probe = probes.get(name)
    found = failures(probe, "rllib", planting.with_env(env, probe))
    assert any(cause in (failure.cause or "") for failure in found), [str(failure) for failure in found]
