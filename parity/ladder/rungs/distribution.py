"""Rung 2: masked probabilities, log-probabilities and entropies, in each phase of the module."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from parity.ladder.difference import elementwise
from parity.ladder.rung_input import PHASES, ModuleCheck, RungInput, RungReport, check_modules, scaled
from parity.ladder.rungs.legal import (
    columns_of,
    empty,
    illegal_probability,
    is_legal,
    largest_entropy,
    legal_log_probabilities,
)
from parity.ladder.tolerances import SCALED_WEIGHTS
from parity.results.capture import ChosenActions, Distribution, ScaledWeights

# exp of any usual mask constant (-1e8, -1e10, float32's minimum, -inf) is 0 in float32; this allows nothing to be played.
IMPOSSIBLE = 1e-12
# Once legal logits differ by 30, an illegal one is 10 to 30 above a legal one in some row: penalties of less than about 35
# leave more, -1e8 and its like leave 0.
HARDLY = 1e-9
# float32 entropies of up to some hundred actions; a mask that is not honoured is off by tenths.
ENTROPY_SLACK = 1e-5
# Standard deviations: chance reaches that once in 10^9 comparisons.
FAR_OFF = 6.0
DRAWN = "train, drawn observations"


def distribution(inputs: RungInput, capture: dict[str, Distribution]) -> RungReport:
    """P(illegal) = 0 and H ≤ log(legal) in every phase; one distribution in all; SB3's log-probs and entropies."""
    of_numbers = (_mask_honoured, _entropy_bound, _phases_agree, _against_sb3)
    checks = (*of_numbers, _chosen_in_rollout, _greedy_in_rollout, _scaled_weights)
    return check_modules(2, inputs, capture, Distribution, *checks)


def _phases_of(module: ModuleCheck) -> list[str]:
    """Without inference where the module picks its actions there itself and gives no distribution."""
    columns = module.facts.forward_columns.get("inference")
    picks = columns is not None and "action_dist_inputs" not in columns
    return [phase for phase in PHASES if not (picks and phase == "inference")]


def _method(module: ModuleCheck, phase: str) -> str:
    """What computes the phase in this framework."""
    return module.facts.phases.get(phase) or module.inputs.context.phases.get(phase, phase)


# It samples and computes the log-probability itself where a module gives neither (get_actions.py:67-97, ray 2.60.0).
_LEAVE_OUT = "Leave actions and action_logp out of what {} returns: from action_dist_inputs alone RLlib computes both."


def _one_method(module: ModuleCheck) -> str | None:
    """What to do where the phases differ; None for the rule's own remedy, where methods differ."""
    methods = set(module.facts.phases.values())
    if len(methods) != 1:
        return None
    return (
        f"{methods.pop()} computes all phases: look for what in it depends on the call (self.training, a counter, noise), "
        "or for the distribution class of one phase"
    )


def _picks(module: ModuleCheck, phase: str) -> bool:
    """Whether the module picks its actions itself."""
    return "actions" in module.facts.forward_columns.get(phase, ())


def _greedy_in_rollout(module: ModuleCheck, distribution: Distribution) -> None:
    if module.mask is not None:
        _greedy(module, distribution, module.mask, module.place)


def _greedy(
    module: ModuleCheck, numbers: Distribution | ScaledWeights, mask: np.ndarray, place: Callable[[int], str]
) -> None:
    """Whether what is played without exploration, as in an evaluation, is legal, and the most likely action.

    A module that picks its actions itself may do so by other rules than the second.
    """
    picked = numbers.optional("greedy")
    if picked is None:
        return
    itself = _picks(module, "inference")
    name = _method(module, "inference") if itself else "to_deterministic() of get_inference_action_dist_cls()"
    fix = "Leave it to RLlib's class over the masked logits, or take the argmax of those."
    wrong = np.flatnonzero(~is_legal(picked, mask, module.choices) & ~empty(mask, module.choices))
    if len(wrong):
        message = f"without exploration {name} picks an illegal action in {len(wrong)} of {len(mask)} observations"
        evidence = {"illegal": len(wrong), "observations": len(mask)}
        module.report("PAR201", f"inference, {place(int(wrong[0]))}", message, evidence, fix=fix)
        return
    probability = (numbers.optional("probability") or {}).get("inference")
    if itself or probability is None or probability.shape != mask.shape or not np.isfinite(probability).all():
        return
    for i, columns in enumerate(columns_of(module.choices, mask.shape[-1])):
        part = probability[:, columns]
        of_picked = np.take_along_axis(part, picked[:, [i]], axis=1)[:, 0]
        difference = elementwise(of_picked, part.max(axis=1), SCALED_WEIGHTS, "", place)
        message = (
            f"without exploration {name} picks an action that is less likely than another by {difference.max_abs:.3g}"
        )
        if not module.require(difference, "PAR205", message, f"inference{difference.where}", fix=fix):
            return


def _usable(module: ModuleCheck, rows: int) -> np.ndarray:
    """bool ``[rows]``: where some action is legal."""
    return np.ones(rows, bool) if module.mask is None else ~empty(module.mask, module.choices)


def _chosen_in_rollout(module: ModuleCheck, distribution: Distribution) -> None:
    _chosen(module, distribution.optional("chosen"))


def _chosen(module: ModuleCheck, chosen: ChosenActions | None) -> None:
    """Whether actions are drawn from the distribution; of a module that picks them itself, with their log-probabilities."""
    if chosen is None or not np.isfinite(chosen.probability).all():
        return
    name = _method(module, "exploration")
    message, fix = f"{name} picks actions itself, and not from its distribution", _LEAVE_OUT.format(name)
    if not _picks(module, "exploration"):
        message = "the sample() of get_exploration_action_dist_cls() does not draw by the class's own probabilities"
        fix = "Leave sample() to RLlib's class, or let logp() and entropy() be those of what it draws from."
    for i, columns in enumerate(columns_of(module.choices, chosen.probability.shape[-1])):
        probability, picked = chosen.probability[:, columns].astype(np.float64), chosen.actions[:, i]
        # By rank: options of one name differ from row to row, the most likely one is the most likely one.
        order = np.argsort(-probability, axis=1, kind="stable")
        ranked = np.take_along_axis(probability, order, axis=1)
        counts = (order == picked[:, None]).sum(axis=0)
        expected, spread = ranked.sum(axis=0), np.sqrt((ranked * (1 - ranked)).sum(axis=0))
        off = np.abs(counts - expected) / np.maximum(spread, 1.0)
        if off.max() > FAR_OFF:
            rank = int(off.argmax())
            message += (
                f": of {len(picked)} draws the {'most likely action' if rank == 0 else f'action of rank {rank + 1}'} "
                f"came {int(counts[rank])} times, expected {expected[rank]:.0f}"
            )
            counted = {"rank": rank, "picked": int(counts[rank]), "expected": float(expected[rank])}
            evidence = {"draws": len(picked), **counted}
            module.report("PAR205", "exploration", message, evidence, fix=fix)
            return
    if chosen.has("log_prob"):
        difference = elementwise(chosen.log_prob, chosen.expected_log_prob, module.tolerance, "log-probability")
        message = f"{name} returns log-probabilities that are off its distribution's by up to {difference.max_abs:.3g}"
        module.require(difference, "PAR205", message, "exploration", fix=_LEAVE_OUT.format(name))


def _scaled_weights(module: ModuleCheck, distribution: Distribution) -> None:
    """The same of a decided policy: an initial one is near uniform, and forgives small penalties and added constants."""
    if not module.was_asked_for_scaled_weights(distribution):
        return
    numbers, choices = distribution.scaled, module.choices
    mask, actions = numbers.mask.astype(bool), numbers.actions
    logits = numbers.entry("logits", "train")
    if logits.shape != mask.shape:
        return
    where, once = "decided policy", "once logits are far apart, as after training,"
    probabilities = {phase: numbers.entry("probability", phase) for phase in _phases_of(module)}
    worst = {
        phase: float(illegal_probability(each, mask, choices).max(initial=0.0)) for phase, each in probabilities.items()
    }
    if max(worst.values()) > HARDLY and not any(finding.code == "PAR201" for finding in module.rung.findings):
        message = (
            f"{once} an illegal action has a probability of up to {max(worst.values()):.3g}: the penalty is too small"
        )
        module.report("PAR201", where, message, {"largest_probability": worst})
        return
    for phase, probability in probabilities.items():
        difference = elementwise(probability, probabilities["exploration"], SCALED_WEIGHTS, "drawn observation")
        message = f"{once} probabilities in {phase} and exploration differ by up to {difference.max_abs:.3g}"
        if not module.require(difference, "PAR205", message, where, fix=_one_method(module)):
            return
    _chosen(module, numbers.optional("chosen"))
    _greedy(module, numbers, mask, lambda row: f"{where}, drawn observation {row}")
    log_probabilities = legal_log_probabilities(logits, mask, choices)
    of_actions = np.zeros(len(mask))
    for i, columns in enumerate(columns_of(choices, mask.shape[-1])):
        of_actions += np.take_along_axis(log_probabilities[:, columns], actions[:, [i]], axis=1)[:, 0]
    entropy = -np.where(mask, np.exp(log_probabilities) * log_probabilities, 0.0).sum(axis=1)
    for code, field, words, expected in (
        ("PAR203", "log_prob", "log-probabilities", of_actions),
        ("PAR204", "entropy", "entropies", entropy),
    ):
        difference = elementwise(numbers.entry(field, "train"), expected, scaled(SCALED_WEIGHTS, expected), words)
        message = f"{once} {words} are off those of the module's own logits by up to {difference.max_abs:.3g}"
        module.require(difference, code, message, where)


def _mask_honoured(module: ModuleCheck, distribution: Distribution) -> None:
    worst: dict[str, float] = {}
    forbidden = 0  # legal actions of random observations without a probability
    if module.facts.mask_in_space:
        random_mask, probability = distribution.random.mask.astype(bool), distribution.random.probability
        if probability.shape != random_mask.shape:
            module.rung.misses(f"probabilities have shape {list(probability.shape)}, masks {list(random_mask.shape)}")
            return
        illegal = illegal_probability(probability, random_mask, module.choices)
        worst[DRAWN] = float(illegal.max(initial=0.0))
        forbidden = int((probability[random_mask] <= IMPOSSIBLE).sum())
    if module.mask is not None and "train" in (distribution.optional("probability") or {}):
        for phase in _phases_of(module):
            illegal = illegal_probability(distribution.entry("probability", phase), module.mask, module.choices)
            worst[phase] = float(illegal.max(initial=0.0))
    wrong = {phase: p for phase, p in worst.items() if p > IMPOSSIBLE}
    if wrong:
        phases = [phase for phase in PHASES if any(name.startswith(phase) for name in wrong)]
        methods = ", ".join(dict.fromkeys(_method(module, phase) for phase in phases))
        message = f"an illegal action has a probability of {max(wrong.values()):.3g} in {methods}"
        if forbidden:
            message += f", and {forbidden} legal ones have none: the mask is read in another order, or inverted"
        evidence = {"largest_probability": worst, "legal_actions_forbidden": forbidden}
        explains: tuple[str, ...] = ("PAR101", "PAR109") if forbidden else ()
        if set(wrong) - {DRAWN}:
            # Where the rollout has none, they come from rows on which everything is masked.
            explains += ("PAR111",)
        module.report("PAR201", ", ".join(phases), message, evidence, explains=explains)


def _entropy_bound(module: ModuleCheck, distribution: Distribution) -> None:
    if module.mask is None:
        return
    bound = largest_entropy(module.mask, module.choices)
    for phase in _phases_of(module):
        excess = distribution.entry("entropy", phase).astype(np.float64) - bound
        row = int(np.argmax(np.where(np.isfinite(excess), excess, -np.inf)))
        if excess[row] > ENTROPY_SLACK:
            entropy, log_legal = float(excess[row] + bound[row]), float(bound[row])
            message = f"entropy {entropy:.4g} where log(legal actions) is {log_legal:.4g}, in {phase}"
            evidence = {"entropy": entropy, "log_legal": log_legal}
            module.report("PAR202", f"{phase}, {module.place(row)}", message, evidence)
            return


def _phases_agree(module: ModuleCheck, distribution: Distribution) -> None:
    reference = distribution.entry("probability", "exploration")
    kept = _usable(module, len(reference))[:, None]
    for phase in _phases_of(module)[1:]:
        probability = distribution.entry("probability", phase)
        if probability.shape != reference.shape:
            continue
        ours, theirs = np.where(kept, probability, 0.0), np.where(kept, reference, 0.0)
        difference = elementwise(ours, theirs, module.tolerance, "probability", module.place)
        message = f"probabilities in {phase} and exploration differ by up to {difference.max_abs:.3g}"
        if not module.require(difference, "PAR205", message, f"{phase}, {difference.where}", fix=_one_method(module)):
            return


def _against_sb3(module: ModuleCheck, distribution: Distribution) -> None:
    # A log-probability near 0 is a difference of logits: it is as accurate as they are large.
    probability = distribution.entry("probability", "train")
    played = probability[np.isfinite(probability) & (probability > IMPOSSIBLE)]
    allowed = scaled(module.tolerance, np.log(played.astype(np.float64)))
    for code, field, words in (("PAR203", "log_prob", "log-probabilities"), ("PAR204", "entropy", "entropies")):
        ours, theirs = distribution.entry(field, "train"), getattr(distribution, f"sb3_{field}")
        usable = _usable(module, len(theirs))
        ours, theirs = np.where(usable, ours, 0.0), np.where(usable, theirs, 0.0)
        difference = elementwise(ours, theirs, allowed, words, module.place)
        message = f"{words} differ by up to {difference.max_abs:.3g} ({difference.where})"
        module.require(difference, code, message, difference.where)
