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
from parity.results.capture import Numbers

ITERATIONS, STEPS, ENVS, MINIBATCHES = 3, 8, 2, 4
PARAMETERS = ["trunk.weight", "pi.bias"]


def same(**facts: Any) -> Numbers:
    """Two runs without any difference."""
    generator = np.random.default_rng(0)
    shape = (ITERATIONS, STEPS, ENVS)
    columns = {
        name: generator.normal(size=shape).astype(np.float32)
        for name in ("values", "log_probs", "rewards", "advantages", "targets")
    }
    columns |= {"actions": generator.integers(0, 5, (*shape, 1)), "ends": np.zeros(shape, np.int8)}
    numbers = Numbers()
    for side in ("sb3", "port"):
        numbers.put(f"lockstep/{side}", {name: column.copy() for name, column in columns.items()})
    numbers.put("lockstep", {"observations": np.zeros(shape), "masks": np.zeros(shape), "margin": np.full(shape, 0.1)})
    numbers.put("lockstep/minibatches", {"distance": np.zeros((ITERATIONS, MINIBATCHES, len(PARAMETERS)))})
    numbers.put("lockstep/minibatches", {"count": np.full((ITERATIONS, 2), MINIBATCHES)})
    zero = np.zeros((ITERATIONS, len(PARAMETERS)))
    numbers.put("lockstep/parameters", {"distance": zero.copy(), "size": zero + 1.0, "largest": zero.copy()})
    numbers.put("lockstep/parameters", {"sb3": zero + 0.5, "port": zero + 0.5})
    numbers.facts["lockstep"] = {
        "asked": ITERATIONS, "iterations": ITERATIONS, "reason": None, "agent": "picker", "module": "picker",
        "parameters": PARAMETERS, "others": [],
    } | facts  # fmt: skip
    return numbers


def part(numbers: Numbers) -> Divergence:
    return diverge(numbers, CPU)


def rung(numbers: Numbers, **facts: Any):
    """The result of rung 9 and its findings; the other rungs have no numbers here."""
    numbers.facts |= {"raised": {}, "learning_module": "picker", "learning_agent": "picker"} | facts
    found = run_rungs(numbers)
    return found.rungs["lockstep"], [each for each in found.found if each.rung == 9]


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
    numbers = same()
    column = numbers[f"lockstep/port/{COLUMNS[quantity]}"]
    column[2, 1, 0] += 1  # later ones are not told
    column[1, 6, 1] += 1
    column[1, 7, 0] += 1
    found = part(numbers)
    place = found.parted
    assert (place.quantity, place.iteration, place.step, place.env) == (quantity, 1, 6, 1)
    assert found.iterations == 1 and found.minibatches == MINIBATCHES
    assert found.origin == ("environment" if quantity in ("reward", "end") else "difference")
    if quantity == "end":
        assert (place.sb3, place.port) == ("goes on", "terminated")
    else:
        assert place.port == pytest.approx(place.sb3 + 1, abs=1e-6)
    result, (finding,) = rung(numbers)
    assert result.status == "fail"
    assert finding.code == ("PAR902" if found.origin == "environment" else "PAR901")
    assert f"iteration 1, step 6, sub-environment 1, {quantity}" in finding.where
    assert "agent picker" in finding.where and "module picker" in finding.where
    assert finding.evidence["sb3"] == place.sb3 and finding.evidence["port"] == place.port


@pytest.mark.parametrize(("name", "quantity"), [("observations", "observation"), ("masks", "mask")])
def test_what_the_environment_shows_is_compared_too(name, quantity):
    numbers = same()
    numbers[f"lockstep/{name}"][0, 3, 1] = 1.0
    found = part(numbers)
    assert (found.parted.quantity, found.parted.step, found.origin) == (quantity, 3, "environment")


def test_a_cause_comes_before_its_effects():
    """Another action has another log-prob and another reward: the action is told."""
    numbers = same()
    for name in ("actions", "log_probs", "rewards"):
        numbers[f"lockstep/port/{name}"][1, 2, 0] += 1
    numbers["lockstep/observations"][1, 3, 0] = 1.0
    found = part(numbers)
    assert (found.parted.quantity, found.parted.step) == ("action", 2)


def test_a_minibatch_is_named_with_its_parameter():
    numbers = same()
    numbers["lockstep/minibatches/distance"][1, 2:, 1] = 1e-2
    numbers["lockstep/parameters/distance"][1, 1] = 1e-2
    found = part(numbers)
    place = found.parted
    assert (place.iteration, place.minibatch, place.parameter) == (1, 2, "pi.bias")
    assert (found.iterations, found.minibatches, found.origin) == (1, MINIBATCHES + 2, "difference")


def test_another_number_of_minibatches_is_a_difference():
    numbers = same()
    numbers["lockstep/minibatches/count"][0] = MINIBATCHES, MINIBATCHES - 1
    numbers["lockstep/parameters/distance"][0, 0] = 1e-2
    found = part(numbers)
    assert (found.parted.quantity, found.parted.sb3, found.parted.port) == ("number of minibatches", 4, 3)


def test_not_a_number_is_a_difference():
    numbers = same()
    numbers["lockstep/port/values"][0, 1, 1] = math.nan
    assert part(numbers).parted.step == 1
    numbers = same()
    numbers["lockstep/minibatches/distance"][0, 3, 0] = math.nan
    assert part(numbers).parted.minibatch == 3


def noisy(levels: list[float]) -> Numbers:
    """The last bits of values differ at the start; then one parameter's difference, in units of the tolerance."""
    numbers = same()
    numbers["lockstep/port/values"][0] += np.float32(1e-8)
    distance = numbers["lockstep/minibatches/distance"].reshape(-1, len(PARAMETERS))
    distance[: len(levels), 0] = np.array(levels) * CPU.relative
    for i in range(ITERATIONS):
        numbers["lockstep/parameters/distance"][i] = numbers["lockstep/minibatches/distance"][i, -1]
    return numbers


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
    numbers = same()
    numbers["lockstep/minibatches/distance"][0, :, 1] = np.array([0.5, 0.9, 1.4, 2.0]) * CPU.relative
    assert part(numbers).origin == "difference"


@pytest.mark.parametrize(("margin", "origin"), [(1e-7, "float noise"), (1e-2, "difference")])
def test_an_action_flips_from_noise_only_at_the_edge_of_its_probability(margin, origin):
    numbers = noisy([0.01] * 12)
    numbers["lockstep/port/actions"][1, 4, 1] += 1
    numbers["lockstep/margin"][1, 4, 1] = margin
    found = part(numbers)
    assert (found.parted.quantity, found.origin, found.parted.margin) == ("action", origin, margin)


def test_without_any_noise_no_action_flips_by_itself():
    numbers = same()
    numbers["lockstep/port/actions"][0, 0, 0] += 1
    numbers["lockstep/margin"][0, 0, 0] = 1e-12
    assert part(numbers).origin == "difference"


def test_another_agent_may_change_the_environment():
    numbers = same(others=["helper"])
    numbers["lockstep/port/rewards"][0, 5, 1] += 1
    result, found = rung(numbers)
    assert (result.status, found) == ("not_applicable", [])
    assert "helper" in result.reason and "step 5" in result.reason


def test_another_agent_excuses_nothing_else():
    numbers = same(others=["helper"])
    numbers["lockstep/port/values"][0, 5, 1] += 1
    assert rung(numbers)[0].status == "fail"


def test_a_port_without_counterpart_says_why():
    result, _ = rung(Numbers(facts={"lockstep": {"asked": 3, "iterations": 0, "reason": "by design"}}))
    assert (result.status, result.reason) == ("not_applicable", "by design")


def test_what_did_not_run_is_invalid():
    assert rung(Numbers())[0].status == "invalid"
    stopped = {"lockstep": {"type": "ValueError", "message": "illegal action 3", "traceback": ""}}
    result, (finding,) = rung(same(), raised=stopped)
    assert (result.status, finding.code) == ("invalid", "PAR903")
    assert "illegal action 3" in finding.message


def test_every_error_of_the_lower_rungs_may_be_the_cause():
    for code, rule in RULES.items():
        assert ("PAR901" in consequences(code)) == (rule.rung < 9), code


def test_what_is_declared_declares_what_follows():
    numbers = same()
    numbers["lockstep/minibatches/distance"][0] = 1e-2
    assert rung(numbers, declared={"PAR901": "on purpose"})[0].status == "declared"
    config = RawFinding(code="PAR010", rung=0, where="config", message="", declared="slower at first")
    lockstep = RawFinding(code="PAR901", rung=9, where="module picker", message="", module="picker")
    settle([config, lockstep], {})
    assert lockstep.root is config and not lockstep.is_error


def test_episodes_go_on_across_iterations():
    numbers = same()
    rewards, ends = numbers["lockstep/sb3/rewards"], numbers["lockstep/sb3/ends"]
    rewards[:], ends[:] = 1.0, 0
    ends[1, 3, 0] = 1
    ends[1, 5, 0] = 2
    returns = mean_returns(numbers, "sb3")
    assert np.isnan(returns[[0, 2]]).all()
    assert returns[1] == np.mean([STEPS + 4, 2])
