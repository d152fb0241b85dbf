"""Each rung notices what it is there for: one number of a good port is changed, and the rung that compares it fails."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from captures import Collected

from parity.ladder.run_rungs import run_rungs
from parity.results.capture import Capture, Context, Distribution, Raised
from parity.selftest.good import CLERK, with_config
from parity.selftest.good import SORTER as LEARNER
from parity.selftest.planted import task_of

M = LEARNER
Change = Callable[[Capture], object]
# Names of fields and keys of dicts, from a `Capture` down to an array.
Path = tuple[str, ...]
VIEW: Path = ("contract", "view", "multi")


def holder(capture: Capture, path: Path) -> Any:
    """The object or dict that has the last of the path."""
    at: Any = capture
    for name in path[:-1]:
        at = at[name] if isinstance(at, dict) else getattr(at, name)
    return at


def read(capture: Capture, path: Path) -> np.ndarray:
    at = holder(capture, path)
    return at[path[-1]] if isinstance(at, dict) else getattr(at, path[-1])


def remove(capture: Capture, path: Path) -> None:
    at = holder(capture, path)
    if isinstance(at, dict):
        del at[path[-1]]
    else:
        setattr(at, path[-1], None)


def at(path: Path, change: Callable[[np.ndarray], object]) -> Change:
    """Changes one array in place."""
    return lambda capture: change(read(capture, path))


def add(path: Path, amount: float, index: object = 0) -> Change:
    return at(path, lambda array: array.__setitem__(index, array[index] + amount))


def put(path: Path, value: object, index: object = 0) -> Change:
    return at(path, lambda array: array.__setitem__(index, value))


def swap(owner: Path, a: str, b: str) -> Change:
    """Exchanges two fields of one object."""

    def apply(capture: Capture) -> None:
        of = holder(capture, (*owner, a))
        first, second = getattr(of, a), getattr(of, b)
        setattr(of, a, second)
        setattr(of, b, first)

    return apply


def flip_mask(capture: Capture) -> None:
    """Another action is legal in the batch than the environment allowed."""
    mask = capture.rollout[M].observations["action_mask"]
    mask[0] = 1 - mask[0]


def illegal_action(capture: Capture) -> None:
    rows = capture.context.rows[M]
    row = int(np.flatnonzero(~rows.mask.all(axis=1))[0])
    rows.action[row] = np.flatnonzero(~rows.mask[row])[0]


def illegal_probability(phase: str) -> Change:
    def apply(capture: Capture) -> None:
        mask = capture.context.rows[M].mask
        row = int(np.flatnonzero(~mask.all(axis=1))[0])
        capture.distribution[M].probability[phase][row, int(np.flatnonzero(~mask[row])[0])] = 1e-3

    return apply


def legal_logit(capture: Capture) -> None:
    """1e-4 on one legal logit, of a row where that changes the distribution."""
    mask = capture.context.rows[M].mask
    row = int(np.flatnonzero(mask.sum(axis=1) > 1)[0])
    capture.forward[M].logits["train"][row, int(np.flatnonzero(mask[row])[0])] += 1e-4


def decided(field: str, phase: str, amount: float, legal: bool = True) -> Change:
    """A number of the policy with scaled weights, of an action that is legal or not."""

    def apply(capture: Capture) -> None:
        mask = capture.forward[M].scaled.mask.astype(bool)
        row = int(np.flatnonzero((mask.sum(axis=1) > 1) & ~mask.all(axis=1))[0])
        column = int(np.flatnonzero(mask[row] == legal)[0])
        read(capture, ("distribution", M, "scaled", field, phase))[row, column] += amount

    return apply


def ignores_its_seed(capture: Capture) -> None:
    capture.contract.view.unrepeatable = "reward, step 1"


def truncation_as_termination(capture: Capture) -> None:
    rows = capture.context.rows[M]
    capture.rollout[M].terminateds[np.flatnonzero(rows.valid)[np.flatnonzero(rows.truncated)[0]]] = True


# Name -> what is changed, the rung that fails, the code. Nothing before that rung may fail.
CHANGES: dict[str, tuple[Change, str, str]] = {
    "a mask of the view": (
        at(("contract", "view", "multi", "mask"), lambda a: np.logical_not(a, out=a)),
        "contract",
        "PAR031",
    ),
    "an observation of the view": (
        add(("contract", "view", "multi", "observations", "label"), 1e-4, (3, 1)),
        "contract",
        "PAR030",
    ),
    "a reward of the view": (add((*VIEW, "reward"), 1e-4, 2), "contract", "PAR032"),
    "ends of the view": (swap(VIEW, "terminated", "truncated"), "contract", "PAR033"),
    "the view's second time": (ignores_its_seed, "contract", "PAR048"),
    "a logit": (legal_logit, "forward", "PAR101"),
    "a value": (add(("forward", M, "values"), 1e-4), "forward", "PAR102"),
    "a value of a random observation": (add(("forward", M, "random", "values"), 1e-4), "forward", "PAR102"),
    "a logit of scaled weights": (decided("logits", "train", 1.0), "forward", "PAR109"),
    "a value of scaled weights": (add(("forward", M, "scaled", "values"), 500.0), "forward", "PAR109"),
    "NaN in the values": (put(("forward", M, "values"), np.nan), "forward", "PAR106"),
    "the second forward pass": (add(("forward", M, "logits_again"), 1e-4, slice(None)), "forward", "PAR104"),
    "a probability in training": (illegal_probability("train"), "distribution", "PAR201"),
    "a probability in inference": (illegal_probability("inference"), "distribution", "PAR201"),
    "a log-probability": (add(("distribution", M, "log_prob", "train"), 1e-4), "distribution", "PAR203"),
    "an entropy": (add(("distribution", M, "entropy", "train"), -1e-4, slice(None)), "distribution", "PAR204"),
    "an entropy above the bound": (put(("distribution", M, "entropy", "inference"), 3.0), "distribution", "PAR202"),
    "an illegal probability once decided": (decided("probability", "inference", 1e-4, False), "distribution", "PAR201"),
    "a probability once decided": (decided("probability", "inference", 1e-2), "distribution", "PAR205"),
    "a log-probability once decided": (
        add(("distribution", M, "scaled", "log_prob", "train"), 0.1),
        "distribution",
        "PAR203",
    ),
    "an entropy once decided": (add(("distribution", M, "scaled", "entropy", "train"), 0.1), "distribution", "PAR204"),
    "a mask of the batch": (flip_mask, "rollout", "PAR301"),
    "an illegal action": (illegal_action, "rollout", "PAR302"),
    "a log-probability at sampling": (add(("rollout", M, "action_logp"), 1e-4), "rollout", "PAR303"),
    "a truncation as termination": (truncation_as_termination, "rollout", "PAR304"),
    "ends of the batch": (swap(("rollout", M), "terminateds", "truncateds"), "rollout", "PAR305"),
    "a reward of the batch": (add(("rollout", M, "rewards"), 1e-3), "rollout", "PAR306"),
    "an action of the batch": (
        at(("rollout", M, "actions"), lambda a: a.__setitem__(0, (a[0] + 1) % 6)),
        "rollout",
        "PAR307",
    ),
    "an observation of the batch": (add(("rollout", M, "observations", "label"), 1e-4, (0, 0)), "rollout", "PAR308"),
    "the loss mask": (put(("rollout", M, "loss_mask"), True, slice(None)), "rollout", "PAR311"),
    "a value target": (add(("returns", M, "value_targets"), 1e-4), "returns", "PAR404"),
    "an advantage": (add(("returns", M, "advantages"), 1e-4), "returns", "PAR405"),
    "advantages of zero": (put(("returns", M, "advantages"), 0.0, slice(None)), "returns", "PAR401"),
    "value targets of zero": (put(("returns", M, "value_targets"), 0.0, slice(None)), "returns", "PAR402"),
    "NaN in the advantages": (put(("returns", M, "advantages"), np.nan), "returns", "PAR406"),
    "the policy loss": (add(("loss", M, "terms", "policy"), 1e-4), "loss", "PAR501"),
    "the value loss": (add(("loss", M, "terms", "value"), 1e-2), "loss", "PAR502"),
    "the entropy": (add(("loss", M, "terms", "entropy"), 1e-4), "loss", "PAR503"),
    "a further term": (add(("loss", M, "terms", "total"), 1e-4, -1), "loss", "PAR504"),
    "NaN in the loss": (put(("loss", M, "terms", "total"), np.nan), "loss", "PAR505"),
    "NaN in a gradient": (put(("gradient", M, "raw", "pi.weight"), np.nan, (0, 0)), "gradient", "PAR601"),
    "a gradient of zero": (put(("gradient", M, "raw", "vf.weight"), 0.0, slice(None)), "gradient", "PAR602"),
    "a gradient": (add(("gradient", M, "clipped", "counter.weight"), 1e-4, (0, 0)), "gradient", "PAR603"),
    "a parameter after a step": (add(("step", M, "after", "counter.weight"), 1e-3, (0, 0)), "step", "PAR701"),
    "a parameter after an update": (add(("update", M, "last", "counter.weight"), 1e-3, (0, 0)), "update", "PAR801"),
    "a moment of Adam": (add(("update", M, "kept_after", "pi.weight/exp_avg"), 1e-6, (0, 0)), "update", "PAR808"),
    "a weight between updates": (add(("update", M, "kept_after", "pi.weight"), 1e-6, (0, 0)), "update", "PAR808"),
    "NaN in a parameter": (put(("update", M, "last", "pi.bias"), np.nan), "update", "PAR802"),
}


def changed(capture: Capture, change: Change) -> Capture:
    made = copy.deepcopy(capture)
    change(made)
    return made


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

    def stuck(capture: Capture) -> None:
        capture.step[M].last["pi.bias"][:] = capture.step[M].before["pi.bias"]

    judged = run_rungs(changed(good, stuck))
    assert "PAR702" in [f.code for f in judged.raw_findings]
    assert judged.rungs["step"].status == "fail"


@pytest.mark.parametrize(("mask", "legal"), [([True] * 6, 6), ([True, False, True, False, False, False], 2)])
def test_a_mask_that_never_changes_is_told_and_fails_nothing(
    collected: Collected, mask: list[bool], legal: int
) -> None:
    def constant(capture: Capture) -> None:
        capture.context.rows[M].mask[:] = mask
        capture.rollout[M].observations["action_mask"][:] = mask

    assert "PAR037" not in [f.code for f in run_rungs(collected("one-agent", "rllib")).raw_findings]
    judged = run_rungs(changed(collected("one-agent", "rllib"), constant))
    (told,) = [f for f in judged.raw_findings if f.code == "PAR037"]
    assert told.severity == "info"
    assert told.evidence["legal"] == legal and told.evidence["options"] == 6
    assert judged.rungs["contract"].status == "pass"


def test_masks_that_contradict_each_other_are_a_warning(collected: Collected) -> None:
    def contradict(capture: Capture) -> None:
        capture.contract.view.contradictions = {"info:action_mask": 7}

    assert not collected("one-agent", "rllib").contract.view.contradictions
    (told,) = [
        f for f in run_rungs(changed(collected("one-agent", "rllib"), contradict)).raw_findings if f.code == "PAR038"
    ]
    assert told.severity == "warning"
    assert told.message == "method:action_masks is used; info:action_mask showed another mask 7 times"


def test_a_frozen_module_that_moves_is_seen() -> None:
    from parity.capture import collect

    port = task_of("two-learning-agents")
    task = with_config(port, lambda config: config.multi_agent(policies_to_train=[LEARNER]))
    capture = collect(task, "rllib", "cpu")
    assert capture is not None
    assert run_rungs(capture)
    name = next(iter(capture.step[CLERK].last))
    judged = run_rungs(changed(capture, add(("step", CLERK, "last", name), 1e-6)))
    assert "PAR703" in [f.code for f in judged.raw_findings]


def test_each_rung_says_where_and_which_tolerance_would_have_passed(collected: Collected) -> None:
    judged = run_rungs(changed(collected("one-agent", "rllib"), add(("rollout", M, "rewards"), 1e-3)))
    rung = judged.rungs["rollout"]
    assert rung.max_abs == pytest.approx(1e-3, rel=1e-2)
    assert rung.tolerance_needed is not None and rung.tolerance_needed > 1
    assert rung.where is not None and rung.where.startswith(f"rewards, agent {M}, sub-environment")


@pytest.mark.parametrize(
    ("path", "rung"),
    [
        (("forward", M, "logits", "train"), "forward"),
        (("distribution", M, "probability", "exploration"), "distribution"),
        (("rollout", M, "action_logp"), "rollout"),
        (("update", M, "sb3", "all", "network.numbers.bias"), "update"),
        (("contract", "view", "episode"), "contract"),
    ],
)
def test_a_number_that_is_missing_is_never_a_pass(collected: Collected, path: Path, rung: str) -> None:
    judged = run_rungs(changed(collected("one-agent", "rllib"), lambda capture: remove(capture, path)))
    assert not judged
    assert judged.rungs[rung].status in ("invalid", "fail")


def test_no_numbers_at_all_fail_every_rung() -> None:
    raised = Raised(type="ValueError", message="no such layer", traceback="…")
    judged = run_rungs(Capture(context=Context(raised={"build": raised})))
    assert not judged
    statuses = {name: r.status for name, r in judged.rungs.items() if name != "lockstep"}
    assert set(statuses.values()) == {"invalid"}
    assert "no such layer" in (judged.rungs["update"].reason or "")


def test_what_is_missing_is_told_by_what_raised_before_it(collected: Collected) -> None:
    def raise_in_forward(capture: Capture) -> None:
        capture.context.raised[f"forward {M}"] = Raised(type="ValueError", message="no such layer")
        capture.distribution[M] = Distribution(module=M)

    judged = run_rungs(changed(collected("one-agent", "rllib"), raise_in_forward))
    assert judged.rungs["distribution"].reason is not None
    assert f"forward {M} raised ValueError: no such layer" in judged.rungs["distribution"].reason
    absent = changed(collected("one-agent", "rllib"), lambda capture: remove(capture, ("distribution", M)))
    assert f"{M} Distribution.probability was not collected" in (run_rungs(absent).rungs["distribution"].reason or "")


def test_the_judging_half_imports_no_framework() -> None:
    import subprocess
    import sys

    code = (
        "import sys, parity.ladder.judge, parity.ladder.log, parity.ladder.findings\n"
        "found = {'torch', 'ray', 'stable_baselines3', 'sb3_contrib'} & set(sys.modules)\n"
        "sys.exit(str(found) if found else 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
