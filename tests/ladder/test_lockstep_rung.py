"""Rung 9's judge, on numbers written down here: it names the first place, and what the divergence starts from."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from parity.ladder.divergence import GROWS_BY, Divergence, diverge, mean_returns
from parity.ladder.findings import RULES, consequences
from parity.ladder.findings.raw_finding import RawFinding, settle
from parity.ladder.run_rungs import run_rungs
from parity.ladder.tolerances import CPU
from parity.results.capture import Capture, Context, Lockstep, LockstepSide, Raised, View

ITERATIONS, STEPS, ENVS, MINIBATCHES = 3, 8, 2, 4
PARAMETERS = ["trunk.weight", "pi.bias"]


def same(**fields: Any) -> Lockstep:
    """Two runs without any difference."""
    generator = np.random.default_rng(0)
    shape = (ITERATIONS, STEPS, ENVS)
    columns = {
        name: generator.normal(size=shape).astype(np.float32)
        for name in ("values", "log_probs", "rewards", "advantages", "targets")
    }
    columns |= {"actions": generator.integers(0, 5, (*shape, 1)), "ends": np.zeros(shape, np.int8)}
    zero = np.zeros((ITERATIONS, len(PARAMETERS)))
    lockstep = Lockstep(
        module="picker",
        asked=ITERATIONS,
        iterations=ITERATIONS,
        agent="picker",
        parameters=PARAMETERS,
        sb3=LockstepSide(**{name: column.copy() for name, column in columns.items()}),
        port=LockstepSide(**{name: column.copy() for name, column in columns.items()}),
        observations=np.zeros(shape),
        masks=np.zeros(shape),
        margin=np.full(shape, 0.1),
        minibatch_distance=np.zeros((ITERATIONS, MINIBATCHES, len(PARAMETERS))),
        minibatch_count=np.full((ITERATIONS, 2), MINIBATCHES),
        distance=zero.copy(),
        size=zero + 1.0,
        largest=zero.copy(),
        sb3_element=zero + 0.5,
        port_element=zero + 0.5,
    )
    for name, value in fields.items():
        setattr(lockstep, name, value)
    return lockstep


def part(lockstep: Lockstep) -> Divergence:
    return diverge(lockstep, CPU)


def rung(lockstep: Lockstep | None, view: View | None = None, **context: Any):
    """The result of rung 9 and its findings; the other rungs have no numbers here."""
    capture = Capture(context=Context(learning_module="picker", learning_agent="picker", **context), lockstep=lockstep)
    capture.contract.view = view
    result = run_rungs(capture)
    return result.rungs["lockstep"], [each for each in result.raw_findings if each.rung == 9]


def test_two_equal_runs_hold_to_the_last_bit():
    result, found = rung(same())
    assert (result.status, result.max_abs, result.tolerance_needed) == ("pass", 0.0, 0.0)
    assert result.where == "3 iterations (12 minibatches), to the last bit"
    assert found == []


COLUMNS = {
    "value": "values", "log-prob": "log_probs", "reward": "rewards", "end": "ends", "action": "actions",
    "advantage": "advantages", "value target": "targets",
}  # fmt: skip


@pytest.mark.parametrize("quantity", COLUMNS)
def test_the_first_difference_is_named_with_both_values(quantity):
    lockstep = same()
    column = getattr(lockstep.port, COLUMNS[quantity])
    column[2, 1, 0] += 1  # later ones are not told
    column[1, 6, 1] += 1
    column[1, 7, 0] += 1
    found = part(lockstep)
    place = found.parted
    assert (place.quantity, place.iteration, place.step, place.env) == (quantity, 1, 6, 1)
    assert found.iterations == 1 and found.minibatches == MINIBATCHES
    assert found.origin == ("environment" if quantity in ("reward", "end") else "difference")
    if quantity == "end":
        assert (place.sb3, place.port) == ("goes on", "terminated")
    else:
        assert place.port == pytest.approx(place.sb3 + 1, abs=1e-6)
    result, (finding,) = rung(lockstep)
    assert result.status == "fail"
    assert finding.code == ("PAR902" if found.origin == "environment" else "PAR901")
    assert f"iteration 1, step 6, sub-environment 1, {quantity}" in finding.where
    assert "agent picker" in finding.where and "module picker" in finding.where
    assert finding.evidence["sb3"] == place.sb3 and finding.evidence["port"] == place.port


@pytest.mark.parametrize(("name", "quantity"), [("observations", "observation"), ("masks", "mask")])
def test_what_the_environment_shows_is_compared_too(name, quantity):
    lockstep = same()
    getattr(lockstep, name)[0, 3, 1] = 1.0
    found = part(lockstep)
    assert (found.parted.quantity, found.parted.step, found.origin) == (quantity, 3, "environment")


def test_a_cause_comes_before_its_effects():
    """Another action has another log-prob and another reward: the action is told."""
    lockstep = same()
    for name in ("actions", "log_probs", "rewards"):
        getattr(lockstep.port, name)[1, 2, 0] += 1
    lockstep.observations[1, 3, 0] = 1.0
    found = part(lockstep)
    assert (found.parted.quantity, found.parted.step) == ("action", 2)


def test_a_minibatch_is_named_with_its_parameter():
    lockstep = same()
    lockstep.minibatch_distance[1, 2:, 1] = 1e-2
    lockstep.distance[1, 1] = 1e-2
    found = part(lockstep)
    place = found.parted
    assert (place.iteration, place.minibatch, place.parameter) == (1, 2, "pi.bias")
    assert (found.iterations, found.minibatches, found.origin) == (1, MINIBATCHES + 2, "difference")


def test_another_number_of_minibatches_is_a_difference():
    lockstep = same()
    lockstep.minibatch_count[0] = MINIBATCHES, MINIBATCHES - 1
    lockstep.distance[0, 0] = 1e-2
    found = part(lockstep)
    assert (found.parted.quantity, found.parted.sb3, found.parted.port) == ("number of minibatches", 4, 3)


def test_not_a_number_is_a_difference():
    lockstep = same()
    lockstep.port.values[0, 1, 1] = math.nan
    assert part(lockstep).parted.step == 1
    lockstep = same()
    lockstep.minibatch_distance[0, 3, 0] = math.nan
    assert part(lockstep).parted.minibatch == 3


def noisy(levels: list[float]) -> Lockstep:
    """The last bits of values differ at the start; then one parameter's difference, in units of the tolerance."""
    lockstep = same()
    lockstep.port.values[0] += np.float32(1e-8)
    distance = lockstep.minibatch_distance.reshape(-1, len(PARAMETERS))
    distance[: len(levels), 0] = np.array(levels) * CPU.relative
    for i in range(ITERATIONS):
        lockstep.distance[i] = lockstep.minibatch_distance[i, -1]
    return lockstep


GROWING = [0.01, 0.02, 0.02, 0.05, 0.04, 0.06, 2.0, 40.0, 400.0]


def test_growing_noise_is_told_from_a_difference():
    found = part(noisy(GROWING))
    assert found.origin == "float noise"
    assert (found.parted.iteration, found.parted.minibatch) == (1, 2)
    assert found.first_bit.iteration == 0 and found.first_bit.quantity == "value"
    result, (finding,) = rung(noisy(GROWING))
    assert (result.status, finding.code, finding.severity) == ("explained", "PAR904", "info")
    assert "after 1 iteration (6 minibatches)" in result.reason
    assert result.tolerance_needed < 1


def test_a_jump_out_of_noise_is_a_difference():
    found = part(noisy([0.01, 0.02, 0.02, 0.05, 0.04, 0.06, 2 * GROWS_BY * 0.06, 50.0]))
    assert (found.origin, found.parted.minibatch) == ("difference", 2)


def test_noise_that_stays_below_the_tolerance_holds():
    result, found = rung(noisy([0.01, 0.02, 0.2, 0.6]))
    assert (result.status, found) == ("pass", [])
    assert result.tolerance_needed == pytest.approx(0.6)
    assert "minibatch 3" in result.where


def test_what_enters_too_large_for_noise_is_a_difference():
    lockstep = same()
    lockstep.minibatch_distance[0, :, 1] = np.array([0.5, 0.9, 1.4, 2.0]) * CPU.relative
    assert part(lockstep).origin == "difference"


@pytest.mark.parametrize(("margin", "origin"), [(1e-7, "float noise"), (1e-2, "difference")])
def test_an_action_flips_from_noise_only_at_the_edge_of_its_probability(margin, origin):
    lockstep = noisy([0.01] * 12)
    lockstep.port.actions[1, 4, 1] += 1
    lockstep.margin[1, 4, 1] = margin
    found = part(lockstep)
    assert (found.parted.quantity, found.origin, found.parted.margin) == ("action", origin, margin)


def test_without_any_noise_no_action_flips_by_itself():
    lockstep = same()
    lockstep.port.actions[0, 0, 0] += 1
    lockstep.margin[0, 0, 0] = 1e-12
    assert part(lockstep).origin == "difference"


def test_another_agent_may_change_the_environment():
    lockstep = same(others=["helper"])
    lockstep.port.rewards[0, 5, 1] += 1
    result, found = rung(lockstep)
    assert (result.status, found) == ("not_applicable", [])
    assert "helper" in result.reason and "step 5" in result.reason


def test_another_agent_excuses_nothing_else():
    lockstep = same(others=["helper"])
    lockstep.port.values[0, 5, 1] += 1
    assert rung(lockstep)[0].status == "fail"


def test_a_port_without_counterpart_says_why():
    result, _ = rung(Lockstep(asked=3, reason="by design"))
    assert (result.status, result.reason) == ("not_applicable", "by design")


def test_what_did_not_run_is_invalid():
    assert rung(None)[0].status == "invalid"
    stopped = {"lockstep": Raised(type="ValueError", message="illegal action 3")}
    result, (finding,) = rung(same(), raised=stopped)
    assert (result.status, finding.code) == ("invalid", "PAR903")
    assert "illegal action 3" in finding.message


def test_every_error_of_the_lower_rungs_may_be_the_cause():
    for code, rule in RULES.items():
        assert ("PAR901" in consequences(code)) == (rule.rung < 9), code


def test_what_is_declared_declares_what_follows():
    lockstep = same()
    lockstep.minibatch_distance[0] = 1e-2
    assert rung(lockstep, declared={"PAR901": "on purpose"})[0].status == "declared"
    config = RawFinding(code="PAR010", rung=0, where="config", message="", declared="slower at first")
    lockstep = RawFinding(code="PAR901", rung=9, where="module picker", message="", module="picker")
    settle([config, lockstep], {})
    assert lockstep.root is config and not lockstep.is_error


def test_episodes_go_on_across_iterations():
    lockstep = same()
    rewards, ends = lockstep.sb3.rewards, lockstep.sb3.ends
    rewards[:], ends[:] = 1.0, 0
    ends[1, 3, 0] = 1
    ends[1, 5, 0] = 2
    returns = mean_returns(lockstep.sb3)
    assert np.isnan(returns[[0, 2]]).all()
    assert returns[1] == np.mean([STEPS + 4, 2])
