"""What an iteration's figures say of a training: a list of looks, each of which sees some defects or nothing.

A look gets a module's figures and those of the iterations before. What it sees is held until it was seen in as many iterations
running as its code has patience for: what a correct training shows for a moment is no finding.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from parity.audit.figures import IterationFigures, ModuleFigures, Spread
from parity.results.summary import Severity

# A gap that float noise explains: of log-probs see `ModuleFigures.logp_tolerance`, these are shares.
GAE_TOLERANCE, LINE_TOLERANCE = 1e-3, 0.02
# RLlib's and SB3's own PPO stay well below; beyond it the policy of the update is no longer the one that sampled.
MOST_KL, MOST_CLIPPED = 1.0, 0.9
# A policy that has all but decided has next to no gradient, and that is what it was trained for.
DECIDED = 1e-3
# Iterations running in which a defect is seen before it is told; of every other one.
PATIENCE = {
    "PAR011": 3, "PAR014": 2, "PAR015": 2, "PAR037": 2, "PAR602": 2, "PAR933": 2, "PAR934": 4, "PAR935": 3, "PAR936": 5,
    "PAR937": 3, "PAR939": 3,
}  # fmt: skip


@dataclasses.dataclass
class Seen:
    """A defect in one iteration.

    Attributes:
        code: its rule.
        message: one sentence with figures.
        evidence: JSON values.
        severity, fix: None for the rule's.
        patience: iterations running after which it is told; None for the code's in `PATIENCE`, else the first.
        module: None where it belongs to none.
    """

    code: str
    message: str
    evidence: dict[str, Any]
    severity: Severity | None = None
    fix: str | None = None
    patience: int | None = None
    module: str | None = None

    @property
    def is_told_after(self) -> int:
        return self.patience or PATIENCE.get(self.code, 1)


Past = Sequence[ModuleFigures]
Look = Callable[[ModuleFigures, Past], Iterator[Seen]]


def seen_in(now: IterationFigures, past: Sequence[IterationFigures]) -> list[Seen]:
    """Everything that an iteration shows, the first of each kind and module; ``past``: earlier ones, the oldest first."""
    shown: list[Seen] = []
    for i, learner in enumerate(now.learners):
        for module, figures in learner.modules.items():
            earlier = [
                each.learners[i].modules[module]
                for each in past
                if i < len(each.learners) and module in each.learners[i].modules
            ]
            shown += (dataclasses.replace(seen, module=module) for look in LOOKS for seen in look(figures, earlier))
    shown += _learners(now)
    shown += _runners(now, past)
    first: dict[tuple[str, str | None], Seen] = {}
    for each in shown:
        first.setdefault((each.code, each.module), each)
    return list(first.values())


def _returns(now: ModuleFigures, past: Past) -> Iterator[Seen]:
    """Advantages and value targets: there, finite, and of something."""
    lacks = bool(now.missing) or any(each is not None and each.is_constant for each in (now.advantages, now.targets))
    if not now.value_api and lacks:
        message = f"{now.kind} is no ValueFunctionAPI, so RLlib computes no advantages for it: {_shown(now)}"
        evidence = {"class": now.kind, "advantage_std": now.advantages.std if now.advantages else None}
        yield Seen("PAR003", message, evidence, fix=f"class {now.kind}(TorchRLModule, ValueFunctionAPI)")
    if now.missing:
        yield Seen("PAR403", f"the batch has no {' and no '.join(now.missing)}", {"missing": now.missing})
    spreads = {
        "rewards": now.rewards, "values": now.values, "advantages": now.advantages, "value targets": now.targets
    }  # fmt: skip
    for what, spread in spreads.items():
        if spread is not None and spread.finite < spread.rows:
            bad = spread.rows - spread.finite
            yield Seen("PAR406", f"{bad} of {spread.rows} {what} are not finite", {"what": what, "rows": bad})
            return
    # Without any reward there is nothing to learn from yet, and nothing wrong with what is made of it.
    unpaid = now.rewards is not None and now.rewards.is_zero
    if unpaid:
        yield Seen("PAR939", f"all {now.rows} rewards are 0", {"rows": now.rows})
    # What GAE itself makes of rewards and values is constant where there is nothing to tell apart, as in a task that is solved.
    by_gae = now.gae_gap is not None and now.gae_gap <= GAE_TOLERANCE
    for code, what, spread, is_right in (
        ("PAR401", "advantages", now.advantages, by_gae and now.raw is not None and now.raw.is_constant),
        ("PAR402", "value targets", now.targets, by_gae),
    ):
        if spread is not None and spread.is_constant:
            message = f"all {spread.rows} {what} are {spread.mean:.4g}"
            evidence = {"mean": spread.mean, "std": spread.std, "rows": spread.rows}
            no_fault = now.value_api and (is_right or (unpaid and now.gae_gap is None))
            yield Seen(code, message, evidence, "info" if no_fault else None)


def _shown(now: ModuleFigures) -> str:
    if now.missing:
        return f"the batch has no {' and no '.join(now.missing)}"
    assert now.advantages is not None and now.targets is not None
    return (
        f"advantages are {now.advantages.mean:.4g} with a deviation of {now.advantages.std:.2g}, "
        f"value targets {now.targets.mean:.4g} with {now.targets.std:.2g}"
    )


def _gae(now: ModuleFigures, past: Past) -> Iterator[Seen]:
    if now.gae_gap is not None and now.gae_gap > GAE_TOLERANCE:
        message = f"value targets are up to {now.gae_gap:.2g} of their size away from GAE of the batch's own rows"
        yield Seen("PAR404", message, {"largest_gap": now.gae_gap})
    elif now.advantage_gap is not None and now.advantage_gap > LINE_TOLERANCE:
        what = "fall where they should rise" if now.advantage_gap > 1 else f"differ by {now.advantage_gap:.2g}"
        message = f"advantages are not value targets less values, whatever mean and scale: they {what}"
        yield Seen("PAR405", message, {"share": now.advantage_gap})


def _values(now: ModuleFigures, past: Past) -> Iterator[Seen]:
    if now.clamped is not None and now.clamped > 0.5:
        cut = "have a squared value error above vf_clip_param: the value learns nothing from them"
        yield Seen("PAR011", f"{now.clamped:.0%} of the rows {cut}", {"share": now.clamped}, "warning")
    # Where next to nothing is left to explain, or next to nothing was paid, a small error is many times that.
    large = now.value_error is not None and now.value_error > max(0.3, 0.5 / _size(now.targets) * _size(now.rewards))
    unpaid = now.rewards is None or now.rewards.is_zero
    if now.explained is not None and now.explained < -0.5 and large and not unpaid and len(past) >= 3:
        message = f"values miss their targets by more than a constant would: explained variance {now.explained:.2g}"
        yield Seen("PAR934", message, {"explained_variance": now.explained})
    best = max((each.explained for each in past if each.explained is not None), default=-math.inf)
    if now.explained is not None and best > 0.5 and now.explained < 0.1:
        message = f"values explain {now.explained:.2g} of the targets' variance, where they have explained {best:.2g}"
        yield Seen("PAR935", message, {"explained_variance": now.explained, "best": best})


def _size(spread: Spread | None) -> float:
    """The largest of the numbers, without sign."""
    return max(1e-12, spread.largest) if spread is not None else 1e-12


def _masks(now: ModuleFigures, past: Past) -> Iterator[Seen]:
    if now.empty_masks:
        message = f"{now.empty_masks} of {now.masks} masks allow no action"
        yield Seen("PAR005", message, {"empty": now.empty_masks, "rows": now.masks})
    if now.illegal_played:
        message = f"{now.illegal_played} of {now.masks} actions are forbidden by the mask beside them"
        yield Seen("PAR302", message, {"illegal": now.illegal_played, "rows": now.masks})
    for phase, share in (("sampling", now.illegal_sampling), ("training", now.illegal_training)):
        if share is not None and share > 1e-6:
            message = f"in {phase} illegal actions have up to {share:.2g} of the probability"
            yield Seen("PAR201", message, {"phase": phase, "probability": share})
    if now.entropy_above is not None and now.entropy_above > 1e-3:
        message = f"entropy in training is up to {now.entropy_above:.2g} above log(number of legal actions)"
        yield Seen("PAR202", message, {"excess": now.entropy_above})
    if now.masks > 1 and now.distinct_masks == 1:
        changed = [each.distinct_masks for each in past if each.distinct_masks > 1]
        everything = not now.some_illegal
        message = f"all {now.masks} masks that were looked at are the same" + (", and allow everything" * everything)
        if changed:
            message += f"; {len(changed)} earlier iterations had up to {max(changed)} different ones"
        yield Seen("PAR037", message, {"allows_everything": everything}, "warning" if changed else None)


def _sampling(now: ModuleFigures, past: Past) -> Iterator[Seen]:
    if now.logp_gap is not None and not now.logp_gap <= now.logp_tolerance:
        message = (
            f"before anything is learned, log-probs of the first minibatch are up to {now.logp_gap:.3g} from those at sampling "
            f"(ratio up to {math.exp(min(now.logp_gap, 50)):.3g})"
        )
        yield Seen("PAR303", message, {"largest_gap": now.logp_gap})


def _range(now: ModuleFigures, past: Past) -> Iterator[Seen]:
    kl, clipped = now.kl, now.clip_fraction
    if kl is not None and clipped is not None and (not kl <= MOST_KL or clipped > MOST_CLIPPED):
        message = (
            f"late in the update the KL divergence from sampling is {kl:.3g}, and {clipped:.0%} of the rows are clipped"
        )
        yield Seen("PAR933", message, {"kl": kl, "clip_fraction": clipped})
    if now.entropy is not None and now.entropy < DECIDED:
        message = f"entropy is {now.entropy:.2g} of what the legal actions allow: the policy hardly explores any more"
        yield Seen("PAR937", message, {"entropy_share": now.entropy})


def _gradients(now: ModuleFigures, past: Past) -> Iterator[Seen]:
    bad = [n for n, norms in now.gradients.items() if any(v is not None and not math.isfinite(v) for v in norms)]
    if bad:
        message = f"the gradient of {_list(bad)} is not finite"
        yield Seen("PAR601", message, {"parameters": bad[:10], "of": len(now.gradients)})
    silent = [n for n, norms in now.gradients.items() if norms and not any(norms)]
    if silent and not bad:
        yield _without_gradient(silent, now, past)
    if now.orphans:
        message = f"gradients arrive at {_list(now.orphans)}, which no optimiser steps"
        yield Seen("PAR606", message, {"tensors": now.orphans[:10]})
    if now.grad_clip and now.gradient_norms and min(now.gradient_norms) > now.grad_clip:
        norm = sorted(now.gradient_norms)[len(now.gradient_norms) // 2]
        message = (
            f"every gradient that was looked at is clipped to {now.grad_clip:g}; in the middle its norm is {norm:.3g}"
        )
        yield Seen("PAR936", message, {"norm": norm, "grad_clip": now.grad_clip})


def _without_gradient(silent: list[str], now: ModuleFigures, past: Past) -> Seen:
    arrived = any(any(each.gradients.get(n, ())) for n in silent for each in past)
    share = sum(now.sizes.get(n, 0) for n in silent) / max(1, sum(now.sizes.get(n, 0) for n in now.gradients))
    decided = now.entropy is None or now.entropy < DECIDED
    constant = now.advantages is not None and now.advantages.is_constant
    missing = all(v is None for n in silent for v in now.gradients[n])
    message = (
        f"{_list(silent)} {'get no gradient' if missing else 'get a gradient of zero'} in all "
        f"{len(now.gradients[silent[0]])} minibatches that were looked at"
        + (f", where {len(past)} earlier iterations had some" if arrived else "")
    )
    evidence = {"parameters": silent[:10], "of": len(now.gradients), "share": share, "arrived_before": arrived}
    grave = (arrived or share > 0.5) and not decided
    severity: Severity | None = None if grave else "info" if decided or constant else "warning"
    return Seen("PAR602", message, evidence, severity, patience=1 if missing and arrived else None)


def _parameters(now: ModuleFigures, past: Past) -> Iterator[Seen]:
    if now.not_finite:
        message = f"{_list(now.not_finite)} hold NaN or infinity after the update"
        yield Seen("PAR802", message, {"parameters": now.not_finite[:10]})
    configured_still = now.lr is not None and now.lr[0] == 0
    # What gets no gradient is told as that.
    unmoved = [n for n, change in now.moved.items() if change == 0 and any(now.gradients.get(n, ()))]
    if unmoved:
        message = f"{_list(unmoved)} have a gradient and the update leaves them as they are"
        message += ": the learning rate is configured to be 0 now" if configured_still else ""
        evidence = {"parameters": unmoved[:10], "of": len(now.moved)}
        yield Seen("PAR702", message, evidence, "info" if configured_still else None)
    frozen = [name for name in now.frozen if any(name in each.moved for each in past)]
    if frozen:
        yield Seen("PAR605", f"{_list(frozen)} were trained before and are frozen now", {"parameters": frozen[:10]})
    before = past[-1].optimizer_steps if past else None
    if now.changed_between:
        message = f"{_list(now.changed_between)} are not as the last update left them"
        yield Seen("PAR808", message, {"parameters": now.changed_between[:10]})
    elif before and now.optimizer_steps is not None and now.optimizer_steps < before:
        message = (
            f"the optimiser has counted {now.optimizer_steps} steps before this update, and {before} before the last one: "
            "its state was lost"
        )
        yield Seen("PAR808", message, {"steps": now.optimizer_steps, "before": before})


def _settings(now: ModuleFigures, past: Past) -> Iterator[Seen]:
    for code, what, pair, earlier in (
        ("PAR931", "learning rate", now.lr, [e.lr for e in past if e.lr]),
        ("PAR932", "entropy coefficient", now.entropy_coeff, [e.entropy_coeff for e in past if e.entropy_coeff]),
    ):
        if pair is None or math.isclose(*pair, rel_tol=1e-5, abs_tol=1e-12):
            continue
        # Another one from the first update on is a choice that code makes; one that comes later is not.
        since_start = all(e == pair for e in earlier)
        message = f"the {what} is {pair[1]:.4g}, where the configuration says {pair[0]:.4g}"
        yield Seen(code, message, {"configured": pair[0], "effective": pair[1]}, "info" if since_start else None)


LOOKS: list[Look] = [_returns, _gae, _values, _masks, _sampling, _range, _gradients, _parameters, _settings]


def _learners(now: IterationFigures) -> Iterator[Seen]:
    for i, learner in enumerate(now.learners):
        if learner.aside is not None:
            yield Seen("PAR930", f"watching has left learner {i}: {learner.aside}", {"learner": i})
        for module, figures in learner.modules.items():
            first = now.learners[0].modules.get(module)
            other = [n for n, crc in figures.weights.items() if first is not None and first.weights.get(n, crc) != crc]
            if other:
                message = f"learner {i} and learner 0 hold different weights: {_list(other)}"
                yield Seen("PAR804", message, {"learner": i, "parameters": other[:10]}, module=module)


def _runners(now: IterationFigures, past: Sequence[IterationFigures]) -> Iterator[Seen]:
    for runner in now.runners:
        who = f"env runner {runner.number}"
        if runner.aside is not None:
            yield Seen("PAR930", f"watching has left {who}: {runner.aside}", {"env_runner": runner.number})
        for module, weights in runner.weights.items():
            learned = next((each.modules[module].weights for each in now.learners if module in each.modules), {})
            other = [name for name, crc in weights.items() if learned.get(name, crc) != crc]
            if other:
                message = f"{who} holds other weights than the learner: {_list(other)}"
                yield Seen("PAR805", message, {"env_runner": runner.number, "parameters": other[:10]}, module=module)
        if runner.seeds_again:
            message = (
                f"{who} reset {runner.seeds_again} sub-environments with a seed that they had been reset with before"
            )
            yield Seen("PAR014", message, {"resets": runner.seeds_again})
        if runner.mask_gaps:
            message = f"{runner.mask_gaps[0]} of {who} was shown another mask than its action_masks() gives"
            yield Seen("PAR301", message, {"sub_environments": runner.mask_gaps[:10]})
        yield from _starts(who, runner.starts, [r.starts for e in past for r in e.runners if r.number == runner.number])
    if any(learner.aside is not None for learner in now.learners) or any(
        each.aside is not None for each in now.runners
    ):
        return
    terminated = sum(learner.terminated for learner in now.learners)
    said = sum(runner.terminated for runner in now.runners)
    cut = sum(runner.truncated for runner in now.runners)
    if now.runners and terminated - said > max(1, 0.02 * terminated) and cut:
        message = (
            f"{terminated} episodes are learned as terminated, where environments terminated {said} and truncated {cut}"
        )
        yield Seen("PAR304", message, {"learned": terminated, "terminated": said, "truncated": cut})
    elif now.runners and said - terminated > max(1, 0.02 * said) and not now.whole_episodes:
        message = f"the environments terminated {said} episodes, and {terminated} are learned from as terminated"
        yield Seen("PAR305", message, {"learned": terminated, "terminated": said})


def _starts(who: str, starts: list[list[int]], past: Sequence[list[list[int]]]) -> Iterator[Seen]:
    """Episodes that begin as others did; one start state only is an environment's own affair, unless it comes to that."""
    counted = [len(each) for each in starts]
    distinct = len({start for each in starts for start in each})
    if sum(counted) >= 8 and distinct >= 3 and past and past[-1] == starts:
        message = f"{who} began the same {sum(counted)} episodes as in the iteration before"
        yield Seen("PAR938", message, {"episodes": sum(counted), "distinct": distinct})
    if sum(counted) >= 5 and distinct == 1:
        earlier = {start for each in past for of_env in each for start in of_env}
        if len(earlier) >= 5:
            message = (
                f"all {sum(counted)} episodes of {who} begin in the same state, where there were {len(earlier)} before"
            )
            yield Seen("PAR938", message, {"episodes": sum(counted), "distinct": 1}, patience=2)
    for i, of_env in enumerate(starts):
        twin = next((j for j in range(i) if starts[j] == of_env), None)
        if twin is not None and len(of_env) >= 3 and len(set(of_env)) >= 2:
            message = f"sub-environments {twin} and {i} of {who} began the same {len(of_env)} episodes"
            yield Seen("PAR015", message, {"episodes": len(of_env)})
            return


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
