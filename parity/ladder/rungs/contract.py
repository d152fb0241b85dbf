"""Rung 0: modules, masks, configuration, and the learning agent's view of its environment."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from parity.ladder.rung_input import ModuleCheck, RungInput, RungReport
from parity.ladder.rungs.agents import agents
from parity.ladder.rungs.callbacks import callbacks
from parity.ladder.rungs.configuration import configuration
from parity.ladder.rungs.connectors import connectors
from parity.ladder.rungs.legal import empty
from parity.ladder.rungs.old_stack import old_stack
from parity.ladder.rungs.resets import later, resets
from parity.ladder.rungs.view import place, view
from parity.results.capture import AlgorithmRun, Contract

# A factor of two in the spread of a weight matrix is no longer the same initialisation drawn with another seed.
SAME_SCALE = 2.0
COMPUTED_BY_RLLIB = ("advantages", "value_targets")


def contract(inputs: RungInput, capture: Contract, through_algorithm: AlgorithmRun | None = None) -> RungReport:
    """Whether the port is what was asked for, and shows the learning agent what the single-agent environment shows."""
    report = RungReport(0)
    inputs.attempt(report, _modules, report, inputs, capture)
    inputs.attempt(report, configuration, report, inputs, capture)
    inputs.attempt(report, old_stack, report, inputs)
    inputs.attempt(report, connectors, report, inputs, capture)
    inputs.attempt(report, agents, report, inputs, capture)
    inputs.attempt(report, resets, report, capture)
    inputs.attempt(report, later, report, capture)
    inputs.attempt(report, view, report, inputs, capture)
    inputs.attempt(report, callbacks, report, through_algorithm)
    return report


def _modules(report: RungReport, inputs: RungInput, capture: Contract) -> None:
    trained = [ModuleCheck(inputs, module, report) for module in inputs.modules()]
    learning = ModuleCheck(inputs, inputs.learning, report)
    for check in (_class, _is_trained, _plays, _correspondence, _has_mask, _initial_scale):
        inputs.attempt(report, check, learning, capture)
    for unused in inputs.unused_modules():
        message = f"{unused} is to be trained, and policy_mapping_fn gives it none of the rollout's decisions"
        report.report("PAR025", f"module {unused}", message, {"rows": 0}, module=unused)
    for module in trained:
        for check in (_value_function, _distributions, _returned_columns, _decided_masks):
            inputs.attempt(report, check, module, capture)


def _class(module: ModuleCheck, capture: Contract) -> None:
    asked, facts = capture.optional("asked_module"), module.facts
    runs = {"learner": facts.class_name, "env runner": facts.runner_class or facts.class_name}
    if asked is not None and set(runs.values()) != {asked}:
        message = f"{asked} was asked for; the learner trains a {runs['learner']}, the env runner plays a {runs['env runner']}"
        module.report("PAR002", None, message, {"asked": asked, **runs})


def _is_trained(module: ModuleCheck, capture: Contract) -> None:
    name = module.module
    if name not in module.inputs.modules():
        trained = capture.optional("policies_to_train")
        message = f"policies_to_train is {trained}: {name} is not among them"
        fix = f'config.multi_agent(policies_to_train=["{name}"])'
        module.report("PAR006", None, message, {"policies_to_train": trained}, fix=fix)
    elif module.inputs.was_sampled and name not in capture.returns:
        message = f"{name} is to be trained and gets no rows: policy_mapping_fn gives its decisions to another module"
        module.report("PAR006", None, message, {"rows": 0})


def _plays(module: ModuleCheck, capture: Contract) -> None:
    agent, by_agent = module.inputs.context.learning_agent, module.inputs.context.played_by
    played_by = by_agent.get(agent, {})
    elsewhere = {other: rows for other, rows in played_by.items() if other != module.module and rows}
    # In self-play it takes another seat meanwhile.
    has_other_seats = any(module.module in modules for other, modules in by_agent.items() if other != agent)
    if elsewhere and module.module in played_by and not has_other_seats:
        message = (
            f"policy_mapping_fn gives {sum(elsewhere.values())} of {sum(played_by.values())} decisions of agent "
            f"{agent} to {', '.join(elsewhere)}"
        )
        module.report("PAR006", None, message, {"decisions": played_by})


def _correspondence(module: ModuleCheck, capture: Contract) -> None:
    correspondence = module.inputs.context.correspondence
    if correspondence is not None and correspondence.other_network:
        module.report("PAR026", None, correspondence.reason or "", {"parameters": module.facts.parameters})


def _has_mask(module: ModuleCheck, capture: Contract) -> None:
    # The view has one all the same where every action was legal.
    needs_none = capture.has("view") and capture.view.multi.has("mask")
    if not module.facts.mask_in_space and module.mask is None and module.choices != [1] and not needs_none:
        message = f"the observations of agent {module.inputs.context.learning_agent} have no entry action_mask"
        module.report("PAR004", None, message, {"class": module.facts.class_name})


def _value_function(module: ModuleCheck, capture: Contract) -> None:
    facts = module.facts
    if facts.value_function_api:
        return
    evidence = {"class": facts.class_name, "defines_compute_values": facts.compute_values}
    returns = capture.returns.get(module.module)
    if returns is not None and returns.has("advantages"):
        valid = module.rows.optional("valid")
        advantages = returns.advantages if valid is None else returns.advantages[valid]
        evidence["advantage_std"] = float(np.std(advantages))
    message = (
        f"{facts.class_name} is no ValueFunctionAPI, so RLlib computes neither advantages nor value targets for it"
    )
    if facts.compute_values:
        message += "; its method compute_values is not asked there"
    fix = f"class {facts.class_name}(TorchRLModule, ValueFunctionAPI)"
    module.report("PAR003", None, message, evidence, fix=fix)


def _distributions(module: ModuleCheck, capture: Contract) -> None:
    missing = module.facts.no_distribution
    if not missing:
        return
    name = module.facts.class_name
    methods = {phase: f"get_{phase}_action_dist_cls" for phase in missing}
    raised = "; ".join(f"{methods[phase]}() raises {error}" for phase, error in missing.items())
    last = list(methods.values())[-1]
    fix = f"class {name}(TorchRLModule, ValueFunctionAPI), or in {name}: def {last}(self): return TorchCategorical"
    module.report("PAR058", None, f"{name} has no action distribution: {raised}", {"phases": list(missing)}, fix=fix)


def _returned_columns(module: ModuleCheck, capture: Contract) -> None:
    returned = {column for columns in module.facts.forward_columns.values() for column in columns}
    overwritten = sorted(returned.intersection(COMPUTED_BY_RLLIB))
    if overwritten and module.facts.value_function_api:
        columns = " and ".join(overwritten)
        message = f"{module.facts.class_name} returns {columns}, which RLlib computes and overwrites"
        module.report("PAR007", None, message, {"columns": overwritten})


def _decided_masks(module: ModuleCheck, capture: Contract) -> None:
    mask, place_of = _masks(module, capture)
    if not len(mask):
        return
    report, choices = module.rung, module.choices
    nothing = np.flatnonzero(empty(mask, choices))
    if len(nothing):
        message = f"{len(nothing)} of {len(mask)} decisions have no legal action"
        evidence = {"empty": len(nothing), "decisions": len(mask)}
        report.report("PAR005", place_of(int(nothing[0])), message, evidence, module=module.module)
    if len(mask) < 2 or choices == [1] or not (mask == mask[0]).all():
        return
    legal, options = int(mask[0].sum()), mask.shape[1]
    message = f"the same {legal} of {options} options are legal at all {len(mask)} decisions"
    if legal == options:
        message = f"every option is legal at all {len(mask)} decisions: what is compared here is PPO without masks"
    module.report("PAR037", None, message, {"decisions": len(mask), "legal": legal, "options": options})


def _masks(module: ModuleCheck, capture: Contract) -> tuple[np.ndarray, Callable[[int], str]]:
    """Masks that a decision was taken under; those of the environment played alone where the rollout stopped."""
    if module.mask is not None:
        return module.mask, module.place
    shown = capture.view.multi.optional("mask") if capture.has("view") else None
    if shown is None or not module.is_learning or module.inputs.context.decisions is not None:
        return np.zeros((0, 0), dtype=bool), module.place
    seen = capture.view
    kept = np.flatnonzero(~(seen.multi.terminated.astype(bool) | seen.multi.truncated.astype(bool)))
    return shown[kept], lambda row: place(seen, int(kept[row]))


def _initial_scale(module: ModuleCheck, capture: Contract) -> None:
    if not module.has_sb3_network:
        return
    own, sb3 = capture.initial, capture.weights
    spreads = {
        name: {"port": float(own[name].std()), "sb3": float(sb3[name].std())}
        for name in module.inputs.correspondence.pairs.values()
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
            f"{spread['port']:.3g}, {module.other}'s with {spread['sb3']:.3g}"
        )
        module.report("PAR020", f"parameter {name}", message, {"std": other})
