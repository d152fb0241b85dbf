"""Rung 2: masked probabilities, log-probabilities and entropies, in each phase of the module."""

from __future__ import annotations

import numpy as np

from parity.ladder.difference import elementwise
from parity.ladder.rung_input import PHASES, Missing, RungInput, RungReport, compare_column, figures, scaled
from parity.ladder.rungs.attempt import attempt
from parity.ladder.rungs.legal import (
    empty,
    groups,
    illegal_probability,
    largest_entropy,
    legal_log_probabilities,
)
from parity.ladder.tolerances import GROWN

# exp of any usual mask constant (-1e8, -1e10, float32's minimum, -inf) is 0 in float32; this allows nothing to be played.
IMPOSSIBLE = 1e-12
# Once legal logits differ by 30, penalties of less than about 45 leave more.
HARDLY = 1e-6
# float32 entropies of up to some hundred actions; a mask that is not honoured is off by tenths.
ENTROPY_SLACK = 1e-5
# Standard deviations: chance reaches that once in 10^9 comparisons.
FAR_OFF = 6.0
# Where an RLModule has the phases, for the message; another framework's facts name its own under "phases".
METHODS = {"exploration": "_forward_exploration", "inference": "_forward_inference", "train": "_forward_train"}


def distribution(evidence: RungInput) -> RungReport:
    """P(illegal) = 0 and H ≤ log(legal) in every phase; one distribution in all; SB3's log-probs and entropies."""
    sheet = RungReport(2)
    attempt(sheet, _modules, evidence)
    return sheet


def _modules(sheet: RungReport, evidence: RungInput) -> None:
    for module in evidence.modules():
        attempt(sheet, _mask_honoured, evidence, module)
        attempt(sheet, _entropy_bound, evidence, module)
        attempt(sheet, _phases, evidence, module)
        attempt(sheet, _against_sb3, evidence, module)
        _chosen(sheet, evidence, module, f"{module}/chosen")
        attempt(sheet, _grown, evidence, module)


def _phases_of(evidence: RungInput, module: str) -> list[str]:
    """Without inference where the module picks its actions there itself and gives no distribution."""
    columns = evidence.facts.get("forward_columns", {}).get(module, {}).get("inference")
    picks = columns is not None and "action_dist_inputs" not in columns
    return [phase for phase in PHASES if not (picks and phase == "inference")]


def _chosen(sheet: RungReport, evidence: RungInput, module: str, folder: str) -> None:
    """A module that picks its actions itself: drawn from its own distribution, and with the log-probability of that?"""
    chosen = evidence.numbers.below(folder)
    if not chosen or not np.isfinite(chosen["probability"]).all():
        return
    where = f"module {module}, exploration"
    name = evidence.facts.get("phases", METHODS)["exploration"]
    for i, columns in enumerate(groups(evidence.about(module)["choices"], chosen["probability"].shape[-1])):
        probability = chosen["probability"][:, columns].astype(np.float64)
        picked = chosen["actions"][:, i]
        # By rank: options of one name differ from row to row, the most likely one is the most likely one.
        order = np.argsort(-probability, axis=1, kind="stable")
        ranked = np.take_along_axis(probability, order, axis=1)
        seen = (order == picked[:, None]).sum(axis=0)
        wanted, spread = ranked.sum(axis=0), np.sqrt((ranked * (1 - ranked)).sum(axis=0))
        off = np.abs(seen - wanted) / np.maximum(spread, 1.0)
        if off.max() > FAR_OFF:
            rank = int(off.argmax())
            found = {"draws": len(picked), "rank": rank, "picked": int(seen[rank]), "expected": float(wanted[rank])}
            message = (
                f"{name} picks actions itself, and not from its distribution: of {len(picked)} draws the "
                f"{'most likely action' if rank == 0 else f'action of rank {rank + 1}'} came {int(seen[rank])} times, "
                f"expected {wanted[rank]:.0f}"
            )
            sheet.report("PAR205", where, message, found, module=module)
            return
    if "logp" in chosen:
        difference = elementwise(chosen["logp"], chosen["wanted"], evidence.tolerance, "log-probability")
        if not sheet.compare(difference):
            message = (
                f"{name} returns log-probabilities that are off its distribution's by up to {difference.max_abs:.3g}"
            )
            sheet.report("PAR205", where, message, figures(difference), module=module)


def _grown(sheet: RungReport, evidence: RungInput, module: str) -> None:
    """The same of a decided policy: an initial one is near uniform, and forgives small penalties and added constants."""
    if not evidence.has_grown(module):
        return
    folder, choices = f"{module}/grown", evidence.about(module)["choices"]
    mask, actions = evidence.need(f"{module}/space/mask").astype(bool), evidence.need(f"{folder}/actions")
    logits, where = evidence.need(f"{folder}/phase/train/logits"), f"module {module}, decided policy"
    if logits.shape != mask.shape:
        return
    probabilities = {
        phase: evidence.need(f"{folder}/phase/{phase}/probability") for phase in _phases_of(evidence, module)
    }
    worst = {
        phase: float(illegal_probability(each, mask, choices).max(initial=0.0)) for phase, each in probabilities.items()
    }
    if max(worst.values()) > HARDLY and not any(found.code == "PAR201" for found in sheet.found):
        message = (
            f"once logits are far apart, as after training, an illegal action has a probability of up to "
            f"{max(worst.values()):.3g}: the penalty is too small"
        )
        sheet.report("PAR201", where, message, {"largest_probability": worst}, module=module)
        return
    for phase, probability in probabilities.items():
        difference = elementwise(probability, probabilities["exploration"], GROWN, "drawn observation")
        if not sheet.compare(difference):
            message = (
                f"once logits are far apart, as after training, probabilities in {phase} and exploration differ by up to "
                f"{difference.max_abs:.3g}"
            )
            sheet.report("PAR205", where, message, figures(difference), module=module)
            return
    _chosen(sheet, evidence, module, f"{folder}/chosen")
    wanted = legal_log_probabilities(logits, mask, choices)
    columns = groups(choices, mask.shape[-1])
    of_actions = np.zeros(len(mask))
    for i, c in enumerate(columns):
        of_actions += np.take_along_axis(wanted[:, c], actions[:, [i]], axis=1)[:, 0]
    entropy = -np.where(mask, np.exp(wanted) * wanted, 0.0).sum(axis=1)
    for code, name, expected in (("PAR203", "logp", of_actions), ("PAR204", "entropy", entropy)):
        difference = elementwise(evidence.need(f"{folder}/phase/train/{name}"), expected, scaled(GROWN, expected), name)
        if not sheet.compare(difference):
            words = {"logp": "log-probabilities", "entropy": "entropies"}[name]
            message = (
                f"once logits are far apart, as after training, {words} are off those of the module's own logits by up to "
                f"{difference.max_abs:.3g}"
            )
            sheet.report(code, where, message, figures(difference), module=module)


def _mask_honoured(sheet: RungReport, evidence: RungInput, module: str) -> None:
    choices = evidence.about(module)["choices"]
    worst: dict[str, float] = {}
    if evidence.about(module)["mask_in_space"]:
        drawn = evidence.need(f"{module}/space/mask").astype(bool)
        probability = evidence.need(f"{module}/space/probability")
        if probability.shape != drawn.shape:
            raise Missing(f"probabilities have shape {list(probability.shape)}, masks {list(drawn.shape)}")
        illegal = illegal_probability(probability, drawn, choices)
        worst["train, drawn observations"] = float(illegal.max(initial=0.0))
    mask = evidence.numbers.get(f"{module}/env/mask")
    if mask is not None and f"{module}/phase/train/probability" in evidence.numbers:
        for phase in _phases_of(evidence, module):
            illegal = illegal_probability(evidence.need(f"{module}/phase/{phase}/probability"), mask, choices)
            worst[phase] = float(illegal.max(initial=0.0))
    wrong = {phase: p for phase, p in worst.items() if p > IMPOSSIBLE}
    if wrong:
        forbidden = _forbidden_legal(evidence, module)
        methods = evidence.facts.get("phases", METHODS)
        phases = [phase for phase in PHASES if any(name.startswith(phase) for name in wrong)]
        message = f"an illegal action has a probability of {max(wrong.values()):.3g} in {', '.join(methods[p] for p in phases)}"
        where = f"module {module}, {', '.join(phases)}"
        if forbidden:
            message += (
                f", and {forbidden} legal ones have none: the mask is read in another order, or the other way round"
            )
        found = {"largest_probability": worst, "legal_actions_forbidden": forbidden}
        sheet.report("PAR201", where, message, found, module=module, explains=("PAR101", "PAR109") if forbidden else ())


def _forbidden_legal(evidence: RungInput, module: str) -> int:
    """How many legal actions of drawn observations get no probability."""
    if not evidence.about(module)["mask_in_space"]:
        return 0
    mask, probability = (evidence.numbers.get(f"{module}/space/{name}") for name in ("mask", "probability"))
    if mask is None or probability is None or mask.shape != probability.shape:
        return 0
    return int((probability[mask.astype(bool)] <= IMPOSSIBLE).sum())


def _entropy_bound(sheet: RungReport, evidence: RungInput, module: str) -> None:
    mask = evidence.numbers.get(f"{module}/env/mask")
    if mask is None:
        return
    bound = largest_entropy(mask, evidence.about(module)["choices"])
    for phase in _phases_of(evidence, module):
        excess = evidence.need(f"{module}/phase/{phase}/entropy").astype(np.float64) - bound
        row = int(np.argmax(np.where(np.isfinite(excess), excess, -np.inf)))
        if excess[row] > ENTROPY_SLACK:
            found = {"entropy": float(excess[row] + bound[row]), "log_legal": float(bound[row])}
            message = f"entropy {found['entropy']:.4g} where log(legal actions) is {found['log_legal']:.4g}, in {phase}"
            where = f"module {module}, {phase}, {evidence.rows(module)(row)}"
            sheet.report("PAR202", where, message, found, module=module)
            return


def _phases(sheet: RungReport, evidence: RungInput, module: str) -> None:
    mask = evidence.numbers.get(f"{module}/env/mask")
    reference = evidence.need(f"{module}/phase/exploration/probability")
    usable = np.ones(len(reference), bool) if mask is None else ~empty(mask, evidence.about(module)["choices"])
    for phase in _phases_of(evidence, module)[1:]:
        probability = evidence.need(f"{module}/phase/{phase}/probability")
        if probability.shape != reference.shape:
            continue
        kept = usable[:, None]
        difference = elementwise(
            np.where(kept, probability, 0.0),
            np.where(kept, reference, 0.0),
            evidence.tolerance,
            "probability",
            evidence.rows(module),
        )
        if not sheet.compare(difference):
            message = f"probabilities in {phase} and exploration differ by up to {difference.max_abs:.3g}"
            where = f"module {module}, {phase}, {difference.where}"
            sheet.report("PAR205", where, message, figures(difference), module=module)
            return


def _against_sb3(sheet: RungReport, evidence: RungInput, module: str) -> None:
    mask = evidence.numbers.get(f"{module}/env/mask")
    for code, name, words in (("PAR203", "logp", "log-probabilities"), ("PAR204", "entropy", "entropies")):
        ours, theirs = evidence.need(f"{module}/phase/train/{name}"), evidence.need(f"{module}/sb3/{name}")
        usable = np.ones(len(theirs), bool) if mask is None else ~empty(mask, evidence.about(module)["choices"])
        difference = compare_column(evidence, module, np.where(usable, ours, 0.0), np.where(usable, theirs, 0.0), words)
        if not sheet.compare(difference):
            message = f"{words} differ by up to {difference.max_abs:.3g} ({difference.where})"
            sheet.report(code, f"module {module}, {difference.where}", message, figures(difference), module=module)
