"""Rung 0: modules, masks, configuration, and the learning agent's view of its environment."""

from __future__ import annotations

from typing import Any

import numpy as np

from parity.ladder.difference import Rows
from parity.ladder.rung_input import RungInput, RungReport
from parity.ladder.rungs.agents import agents
from parity.ladder.rungs.attempt import attempt
from parity.ladder.rungs.configuration import configuration
from parity.ladder.rungs.legal import empty
from parity.ladder.rungs.resets import resets
from parity.ladder.rungs.view import view

# A factor of two in the spread of a weight matrix is no longer the same initialisation drawn with another seed.
SAME_SCALE = 2.0
COMPUTED_BY_RLLIB = ("advantages", "value_targets")


def contract(evidence: RungInput) -> RungReport:
    """Whether the port is what was asked for, and shows the learning agent what the single-agent environment shows."""
    sheet = RungReport(0)
    attempt(sheet, _learning_module, evidence)
    attempt(sheet, _trained_modules, evidence)
    attempt(sheet, _initial_scale, evidence)
    attempt(sheet, configuration, evidence)
    attempt(sheet, agents, evidence)
    attempt(sheet, resets, evidence)
    attempt(sheet, view, evidence)
    return sheet


def _learning_module(sheet: RungReport, evidence: RungInput) -> None:
    learning, trained = evidence.learning, evidence.modules()
    about, facts = evidence.about(learning), evidence.facts
    where = f"module {learning}"
    asked = facts.get("asked_module")
    runs = {"learner": about["class"], "env runner": about.get("runner_class", about["class"])}
    if asked is not None and set(runs.values()) != {asked}:
        message = f"{asked} was asked for; the learner trains a {runs['learner']}, the env runner plays a {runs['env runner']}"
        sheet.report("PAR002", where, message, {"asked": asked, **runs}, module=learning)
    if learning not in trained:
        message = f"policies_to_train is {facts.get('policies_to_train')}: {learning} is not among them"
        evidence_ = {"policies_to_train": facts.get("policies_to_train")}
        sheet.report("PAR006", where, message, evidence_, fix=_train(learning), module=learning)
    elif (
        "decisions" in facts and "batch" not in facts["raised"] and f"{learning}/batch/actions" not in evidence.numbers
    ):
        message = (
            f"{learning} is to be trained and gets no rows: policy_mapping_fn gives its decisions to another module"
        )
        sheet.report("PAR006", where, message, {"rows": 0}, module=learning)
    played_by = facts.get("played_by", {}).get(facts["learning_agent"], {})
    elsewhere = {other: rows for other, rows in played_by.items() if other != learning and rows}
    if elsewhere and learning in played_by:
        names = ", ".join(elsewhere)
        message = (
            f"policy_mapping_fn gives {sum(elsewhere.values())} of {sum(played_by.values())} decisions of agent "
            f"{facts['learning_agent']} to {names}"
        )
        sheet.report("PAR006", where, message, {"decisions": played_by}, module=learning)
    reason = facts.get("correspondence", {}).get("reason")
    if facts.get("correspondence", {}).get("other_network"):
        sheet.report("PAR026", where, reason, {"parameters": about["parameters"]}, module=learning)
    has_mask = about["mask_in_space"] or f"{learning}/env/mask" in evidence.numbers
    if not has_mask and about["choices"] != [1]:
        message = f"the observations of agent {facts['learning_agent']} have no entry action_mask"
        sheet.report("PAR004", where, message, {"class": about["class"]}, module=learning)


def _train(module: str) -> str:
    return f'config.multi_agent(policies_to_train=["{module}"])'


def _trained_modules(sheet: RungReport, evidence: RungInput) -> None:
    for module in evidence.idle():
        message = f"{module} is to be trained, and policy_mapping_fn gives it none of the rollout's decisions"
        sheet.report("PAR025", f"module {module}", message, {"rows": 0}, module=module)
    for module in evidence.modules():
        about = evidence.about(module)
        if not about.get("value_function_api", True):
            _no_value_function(sheet, evidence, module, about)
        returned = sorted(
            {
                column
                for columns in evidence.facts.get("forward_columns", {}).get(module, {}).values()
                for column in columns
                if column in COMPUTED_BY_RLLIB
            }
        )
        if returned and about.get("value_function_api", True):
            message = f"{about['class']} returns {' and '.join(returned)}, which RLlib computes and overwrites"
            sheet.report("PAR007", f"module {module}", message, {"columns": returned}, module=module)
        mask, rows = _decided_masks(evidence, module)
        nothing = np.flatnonzero(empty(mask, about["choices"])) if len(mask) else np.zeros(0, int)
        if len(nothing):
            message = f"{len(nothing)} of {len(mask)} decisions have no legal action"
            found = {"empty": len(nothing), "decisions": len(mask)}
            sheet.report("PAR005", rows(int(nothing[0])), message, found, module=module)
        _unchanging_mask(sheet, module, mask, about["choices"])


def _unchanging_mask(sheet: RungReport, module: str, mask: np.ndarray, choices: list[int] | None) -> None:
    if len(mask) < 2 or choices == [1] or not (mask == mask[0]).all():
        return
    legal, options = int(mask[0].sum()), mask.shape[1]
    message = f"the same {legal} of {options} options are legal at all {len(mask)} decisions"
    if legal == options:
        message = f"every option is legal at all {len(mask)} decisions: what is compared here is PPO without masks"
    found = {"decisions": len(mask), "legal": legal, "options": options}
    sheet.report("PAR037", f"module {module}", message, found, module=module)


def _decided_masks(evidence: RungInput, module: str) -> tuple[np.ndarray, Rows]:
    """Masks that a decision was taken under; those of the environment played by itself where the rollout stopped."""
    mask = evidence.numbers.get(f"{module}/env/mask")
    if mask is not None:
        return mask, evidence.rows(module)
    shown = evidence.numbers.get("view/multi/mask")
    if shown is None or module != evidence.learning or "decisions" in evidence.facts:
        return np.zeros((0, 0), dtype=bool), evidence.rows(module)
    over = evidence.need("view/multi/terminated").astype(bool) | evidence.need("view/multi/truncated").astype(bool)
    kept = np.flatnonzero(~over)
    episodes, steps = evidence.need("view/episode")[kept], evidence.need("view/step")[kept]
    return shown[kept], lambda row: f"episode {int(episodes[row])}, step {int(steps[row])}"


def _no_value_function(sheet: RungReport, evidence: RungInput, module: str, about: dict[str, Any]) -> None:
    found: dict[str, Any] = {"class": about["class"], "defines_compute_values": about["compute_values"]}
    advantages = evidence.numbers.get(f"{module}/batch/advantages")
    if advantages is not None:
        valid = evidence.numbers.get(f"{module}/rows/valid")
        found["advantage_std"] = float(np.std(advantages if valid is None else advantages[valid]))
    message = f"{about['class']} is no ValueFunctionAPI, so RLlib computes neither advantages nor value targets for it"
    if about["compute_values"]:
        message += "; its method compute_values is not asked there"
    fix = f"class {about['class']}(TorchRLModule, ValueFunctionAPI)"
    sheet.report("PAR003", f"module {module}", message, found, fix=fix, module=module)


def _initial_scale(sheet: RungReport, evidence: RungInput) -> None:
    module = evidence.learning
    if not evidence.is_same_network(module):
        return
    own, sb3 = evidence.need_below(f"{module}/initial"), evidence.need_below(f"{module}/weights")
    spreads = {
        name: {"port": float(own[name].std()), "sb3": float(sb3[name].std())}
        for name in evidence.facts["correspondence"]["pairs"].values()
        if own[name].ndim >= 2
    }
    other = {
        name: spread
        for name, spread in spreads.items()
        if spread["sb3"] > 0 and not 1 / SAME_SCALE < spread["port"] / spread["sb3"] < SAME_SCALE
    }
    if other:
        name, spread = max(other.items(), key=lambda item: abs(np.log(max(item[1]["port"], 1e-12) / item[1]["sb3"])))
        message = (
            f"{len(other)} of {len(spreads)} weight tensors start with another spread: {name} with a standard deviation of "
            f"{spread['port']:.3g}, SB3's with {spread['sb3']:.3g}"
        )
        sheet.report("PAR020", f"module {module}, parameter {name}", message, {"std": other}, module=module)
