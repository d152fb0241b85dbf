"""Each rung notices what it is there for: one number of a good port is changed, and the rung that compares it fails."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from captures import Collected

from parity.ladder.run_rungs import run_rungs
from parity.results.capture import Numbers
from parity.selftest.good import CLERK, with_config
from parity.selftest.good import SORTER as LEARNER
from parity.selftest.planted import task_of

M = LEARNER
Change = Callable[[Numbers], None]


def at(name: str, change: Callable[[np.ndarray], object]) -> Change:
    """Changes a copy of one array in place."""

    def apply(numbers: Numbers) -> None:
        array = numbers.arrays[name].copy()
        change(array)
        numbers.arrays[name] = array

    return apply


def add(name: str, amount: float, index: object = 0) -> Change:
    return at(name, lambda array: array.__setitem__(index, array[index] + amount))


def put(name: str, value: object, index: object = 0) -> Change:
    return at(name, lambda array: array.__setitem__(index, value))


def swap(a: str, b: str) -> Change:
    def apply(numbers: Numbers) -> None:
        numbers.arrays[a], numbers.arrays[b] = numbers.arrays[b], numbers.arrays[a]

    return apply


def flip_mask(numbers: Numbers) -> None:
    """Another action is legal in the batch than the environment allowed."""
    mask = numbers.arrays[f"{M}/batch/obs/action_mask"].copy()
    mask[0] = 1 - mask[0]
    numbers.arrays[f"{M}/batch/obs/action_mask"] = mask


def illegal_action(numbers: Numbers) -> None:
    mask, action = numbers[f"{M}/env/mask"], numbers[f"{M}/env/action"].copy()
    row = int(np.flatnonzero(~mask.all(axis=1))[0])
    action[row] = np.flatnonzero(~mask[row])[0]
    numbers.arrays[f"{M}/env/action"] = action


def illegal_probability(phase: str) -> Change:
    def apply(numbers: Numbers) -> None:
        mask = numbers[f"{M}/env/mask"]
        row = int(np.flatnonzero(~mask.all(axis=1))[0])
        put(f"{M}/phase/{phase}/probability", 1e-3, (row, int(np.flatnonzero(~mask[row])[0])))(numbers)

    return apply


def legal_logit(numbers: Numbers) -> None:
    """1e-4 on one legal logit, of a row where that changes the distribution."""
    mask = numbers[f"{M}/env/mask"]
    row = int(np.flatnonzero(mask.sum(axis=1) > 1)[0])
    add(f"{M}/phase/train/logits", 1e-4, (row, int(np.flatnonzero(mask[row])[0])))(numbers)


def decided(name: str, amount: float, legal: bool = True) -> Change:
    """A number of the policy with grown weights, of an action that is legal or not."""

    def apply(numbers: Numbers) -> None:
        mask = numbers[f"{M}/space/mask"].astype(bool)
        row = int(np.flatnonzero((mask.sum(axis=1) > 1) & ~mask.all(axis=1))[0])
        add(f"{M}/grown/phase/{name}", amount, (row, int(np.flatnonzero(mask[row] == legal)[0])))(numbers)

    return apply


def ignores_its_seed(numbers: Numbers) -> None:
    numbers.facts["view"] = numbers.facts["view"] | {"unrepeatable": "reward, step 1"}


def truncation_as_termination(numbers: Numbers) -> None:
    valid = np.flatnonzero(numbers[f"{M}/rows/valid"])
    row = valid[np.flatnonzero(numbers[f"{M}/env/truncated"])[0]]
    put(f"{M}/batch/terminateds", True, row)(numbers)


def first_minibatch_only(name: str, amount: float) -> Change:
    return add(name, amount, 0)


# Name -> what is changed, the rung that fails, the code. Nothing before that rung may fail.
CHANGES: dict[str, tuple[Change, str, str]] = {
    "a mask of the view": (at("view/multi/mask", lambda a: np.logical_not(a, out=a)), "contract", "PAR031"),
    "an observation of the view": (add("view/multi/obs/label", 1e-4, (3, 1)), "contract", "PAR030"),
    "a reward of the view": (add("view/multi/reward", 1e-4, 2), "contract", "PAR032"),
    "ends of the view": (swap("view/multi/terminated", "view/multi/truncated"), "contract", "PAR033"),
    "the view's second time": (ignores_its_seed, "contract", "PAR048"),
    "a logit": (legal_logit, "forward", "PAR101"),
    "a value": (add(f"{M}/phase/train/values", 1e-4), "forward", "PAR102"),
    "a value of a drawn observation": (add(f"{M}/space/values", 1e-4), "forward", "PAR102"),
    "a logit of grown weights": (decided("train/logits", 1.0), "forward", "PAR109"),
    "a value of grown weights": (add(f"{M}/grown/values", 500.0), "forward", "PAR109"),
    "NaN in the values": (put(f"{M}/phase/train/values", np.nan), "forward", "PAR106"),
    "the second forward pass": (add(f"{M}/twice/second", 1e-4, slice(None)), "forward", "PAR104"),
    "a probability in training": (illegal_probability("train"), "distribution", "PAR201"),
    "a probability in inference": (illegal_probability("inference"), "distribution", "PAR201"),
    "a log-probability": (add(f"{M}/phase/train/logp", 1e-4), "distribution", "PAR203"),
    "an entropy": (add(f"{M}/phase/train/entropy", -1e-4, slice(None)), "distribution", "PAR204"),
    "an entropy above the bound": (put(f"{M}/phase/inference/entropy", 3.0), "distribution", "PAR202"),
    "an illegal probability once decided": (decided("inference/probability", 1e-4, False), "distribution", "PAR201"),
    "a probability once decided": (decided("inference/probability", 1e-2), "distribution", "PAR205"),
    "a log-probability once decided": (add(f"{M}/grown/phase/train/logp", 0.1), "distribution", "PAR203"),
    "an entropy once decided": (add(f"{M}/grown/phase/train/entropy", 0.1), "distribution", "PAR204"),
    "a mask of the batch": (flip_mask, "rollout", "PAR301"),
    "an illegal action": (illegal_action, "rollout", "PAR302"),
    "a log-probability at sampling": (add(f"{M}/batch/action_logp", 1e-4), "rollout", "PAR303"),
    "a truncation as termination": (truncation_as_termination, "rollout", "PAR304"),
    "ends of the batch": (swap(f"{M}/batch/terminateds", f"{M}/batch/truncateds"), "rollout", "PAR305"),
    "a reward of the batch": (add(f"{M}/batch/rewards", 1e-3), "rollout", "PAR306"),
    "an action of the batch": (
        at(f"{M}/batch/actions", lambda a: a.__setitem__(0, (a[0] + 1) % 6)),
        "rollout",
        "PAR307",
    ),
    "an observation of the batch": (add(f"{M}/batch/obs/label", 1e-4, (0, 0)), "rollout", "PAR308"),
    "the loss mask": (put(f"{M}/batch/loss_mask", True, slice(None)), "rollout", "PAR311"),
    "a value target": (add(f"{M}/batch/value_targets", 1e-4), "returns", "PAR404"),
    "an advantage": (add(f"{M}/batch/advantages", 1e-4), "returns", "PAR405"),
    "advantages of zero": (put(f"{M}/batch/advantages", 0.0, slice(None)), "returns", "PAR401"),
    "value targets of zero": (put(f"{M}/batch/value_targets", 0.0, slice(None)), "returns", "PAR402"),
    "NaN in the advantages": (put(f"{M}/batch/advantages", np.nan), "returns", "PAR406"),
    "the policy loss": (add(f"{M}/update/loss/policy", 1e-4), "loss", "PAR501"),
    "the value loss": (add(f"{M}/update/loss/value", 1e-2), "loss", "PAR502"),
    "the entropy": (add(f"{M}/update/loss/entropy", 1e-4), "loss", "PAR503"),
    "a further term": (add(f"{M}/update/loss/total", 1e-4, -1), "loss", "PAR504"),
    "NaN in the loss": (put(f"{M}/update/loss/total", np.nan), "loss", "PAR505"),
    "NaN in a gradient": (put(f"{M}/update/raw_gradient/pi.weight", np.nan, (0, 0)), "gradient", "PAR601"),
    "a gradient of zero": (put(f"{M}/update/raw_gradient/vf.weight", 0.0, slice(None)), "gradient", "PAR602"),
    "a gradient": (add(f"{M}/update/gradient/counter.weight", 1e-4, (0, 0)), "gradient", "PAR603"),
    "a parameter after a step": (add(f"{M}/update/first/counter.weight", 1e-3, (0, 0)), "step", "PAR701"),
    "a parameter after an update": (add(f"{M}/update/last/counter.weight", 1e-3, (0, 0)), "update", "PAR801"),
    "a moment of Adam": (add(f"{M}/between/after/pi.weight/exp_avg", 1e-6, (0, 0)), "update", "PAR808"),
    "a weight between updates": (add(f"{M}/between/after/pi.weight", 1e-6, (0, 0)), "update", "PAR808"),
    "NaN in a parameter": (put(f"{M}/update/last/pi.bias", np.nan), "update", "PAR802"),
}


def changed(numbers: Numbers, change: Change) -> Numbers:
    copy = Numbers(dict(numbers.arrays), dict(numbers.facts))
    change(copy)
    return copy


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_number_fails_its_rung_and_no_earlier_one(collected: Collected, name: str) -> None:
    change, rung, code = CHANGES[name]
    judged = run_rungs(changed(collected("one-agent", "rllib"), change))
    assert judged.rungs[rung].status == "fail"
    assert code in (judged.rungs[rung].model_extra or {})["findings"]
    number = judged.rungs[rung].rung
    earlier = {r: result.status for r, result in judged.rungs.items() if result.rung < number}
    assert not {"fail", "invalid"} & set(earlier.values()), earlier


def test_the_step_rung_sees_what_stands_still_and_what_should(collected: Collected) -> None:
    good = collected("one-agent", "rllib")

    def stuck(numbers: Numbers) -> None:
        numbers.arrays[f"{M}/update/last/pi.bias"] = numbers[f"{M}/weights/pi.bias"]

    judged = run_rungs(changed(good, stuck))
    assert "PAR702" in [f.code for f in judged.found]
    assert judged.rungs["step"].status == "fail"


@pytest.mark.parametrize(("mask", "legal"), [([True] * 6, 6), ([True, False, True, False, False, False], 2)])
def test_a_mask_that_never_changes_is_told_and_fails_nothing(
    collected: Collected, mask: list[bool], legal: int
) -> None:
    def constant(numbers: Numbers) -> None:
        for name in (f"{M}/env/mask", f"{M}/batch/obs/action_mask"):
            shape = numbers[name].shape
            numbers.arrays[name] = np.broadcast_to(np.array(mask, numbers[name].dtype), shape).copy()

    assert "PAR037" not in [f.code for f in run_rungs(collected("one-agent", "rllib")).found]
    judged = run_rungs(changed(collected("one-agent", "rllib"), constant))
    (told,) = [f for f in judged.found if f.code == "PAR037"]
    assert told.severity == "info"
    assert told.evidence["legal"] == legal and told.evidence["options"] == 6
    assert judged.rungs["contract"].status == "pass"


def test_masks_that_contradict_each_other_are_a_warning(collected: Collected) -> None:
    def contradict(numbers: Numbers) -> None:
        numbers.facts["view"] = numbers.facts["view"] | {"contradictions": {"info:action_mask": 7}}

    assert not collected("one-agent", "rllib").facts["view"]["contradictions"]
    (told,) = [f for f in run_rungs(changed(collected("one-agent", "rllib"), contradict)).found if f.code == "PAR038"]
    assert told.severity == "warning"
    assert told.message == "method:action_masks is used; info:action_mask showed another mask 7 times"


def test_a_frozen_module_that_moves_is_seen() -> None:
    from parity.capture import collect

    port = task_of("two-learning-agents")
    task = with_config(port, lambda config: config.multi_agent(policies_to_train=[LEARNER]))
    numbers = collect(task, "rllib", "cpu")
    assert numbers is not None
    assert run_rungs(numbers)
    name = next(iter(numbers.below(f"{CLERK}/update/last")))
    judged = run_rungs(changed(numbers, add(f"{CLERK}/update/last/{name}", 1e-6)))
    assert "PAR703" in [f.code for f in judged.found]


def test_each_rung_says_where_and_which_tolerance_would_have_passed(collected: Collected) -> None:
    judged = run_rungs(changed(collected("one-agent", "rllib"), add(f"{M}/batch/rewards", 1e-3)))
    rung = judged.rungs["rollout"]
    assert rung.max_abs == pytest.approx(1e-3, rel=1e-2)
    assert rung.tolerance_needed is not None and rung.tolerance_needed > 1
    assert rung.where is not None and rung.where.startswith(f"rewards, agent {M}, sub-environment")


@pytest.mark.parametrize(
    ("array", "rung"),
    [
        (f"{M}/phase/train/logits", "forward"),
        (f"{M}/phase/exploration/probability", "distribution"),
        (f"{M}/batch/action_logp", "rollout"),
        (f"{M}/sb3/full_all/last/network.numbers.bias", "update"),
        ("view/episode", "contract"),
    ],
)
def test_a_number_that_is_missing_is_never_a_pass(collected: Collected, array: str, rung: str) -> None:
    numbers = changed(collected("one-agent", "rllib"), lambda _: None)
    gone = [name for name in numbers.arrays if name == array or name.startswith(array + "/")]
    assert gone
    for name in gone:
        del numbers.arrays[name]
    judged = run_rungs(numbers)
    assert not judged
    assert judged.rungs[rung].status in ("invalid", "fail")


def test_no_numbers_at_all_fail_every_rung() -> None:
    raised = {"build": {"type": "ValueError", "message": "no such layer", "traceback": "…"}}
    judged = run_rungs(Numbers(facts={"raised": raised, "learning_module": "", "learning_agent": ""}))
    assert not judged
    statuses = {name: r.status for name, r in judged.rungs.items() if name != "lockstep"}
    assert set(statuses.values()) == {"invalid"}
    assert "no such layer" in (judged.rungs["update"].reason or "")


def test_the_judging_half_imports_no_framework() -> None:
    import subprocess
    import sys

    code = (
        "import sys, parity.ladder.judge, parity.ladder.log, parity.ladder.findings\n"
        "found = {'torch', 'ray', 'stable_baselines3', 'sb3_contrib'} & set(sys.modules)\n"
        "sys.exit(str(found) if found else 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
