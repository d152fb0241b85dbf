"""Rung 0, the effective configuration against the task's hyperparameters."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from parity.ladder.rung_input import RungInput, RungReport
from parity.results.capture import Configuration, Contract, Returns, Rows, captured
from parity.results.summary import Severity
from parity.task.hyperparameter_names import IN_ENV_RUNNERS, RLLIB_NAMES

_DECLARE = "Give the task a value that the framework has, or `declared` with the reason."
# Field that the new stack never reads -> what does the same there.
INSTEAD = {
    "model": "the module's own layers, or config.rl_module(model_config=DefaultModelConfig(...)) for RLlib's default module",
    "policies": 'config.multi_agent(algorithm_config_overrides_per_module={"<module id>": {...}}) or config.rl_module(...)',
    "exploration_config": "the module's _forward_exploration and its action distribution explore",
    "observation_filter": "constants inside the network, the same on both sides",
    "observation_fn": "do it in the environment",
    "preprocessor_pref": "do it in the environment, or in the module",
    "clip_rewards": "clip them in the environment",
    "lr_schedule": "config.training(lr=[[0, first], [steps, last]])",
    "entropy_coeff_schedule": "config.training(entropy_coeff=[[0, first], [steps, last]])",
    "optimizer": "Learner.configure_optimizers_for_module: self.register_optimizer(...)",
    "action_mask_key": 'name the entry "action_mask", or read the other one in the module',
    "sgd_minibatch_size": "config.training(minibatch_size=...)",
    "num_sgd_iter": "config.training(num_epochs=...)",
    "num_workers": "config.env_runners(num_env_runners=...)",
    "num_rollout_workers": "config.env_runners(num_env_runners=...)",
    "num_envs_per_worker": "config.env_runners(num_envs_per_env_runner=...)",
    "vf_share_layers": "the module's own layers",
}
FIELDS_OF = {"PAR011": ("vf_clip_param", "clip_range_vf"), "PAR012": ("use_kl_loss", "kl_coeff")}
# What the update's rung measures when it is there; `normalize_advantage=False` it does not.
MEASURED = ("adam_eps", "batch_size", "normalize_advantage")
# Where RLlib's value is no number, SB3's side runs with the task's: what differs from there on follows.
_UPDATE = ("PAR603", "PAR701", "PAR801")
# A schedule is read before an update by SB3 and after one by RLlib: a rollout of it may lie between them.
_SAME_COURSE = 0.05


def configuration(report: RungReport, inputs: RungInput, contract: Contract) -> None:
    """Every hyperparameter that RLlib would use otherwise, and settings of RLlib that SB3 has nothing like."""
    config, declared = inputs.configuration, inputs.context.declared
    names = RLLIB_NAMES if config.names is None else config.names
    _hyperparameters(report, *_with_schedules(_of_the_module(inputs, config), config), inputs, names)
    _optimizer(report, config.optimizer, inputs)
    _normalizes(report, config.normalizes)
    _value_clamp(report, inputs, contract)
    _native(report, inputs, config)
    _fragments(report, config, declared.get("rollout_fragment_length"))
    _complete_episodes(report, inputs, config.native)
    _stock_runner(report, config.native)
    _ignored(report, config.ignored)
    fields = {
        each["field"]: each["reason"]
        for each in config.untranslated
        if not (each["field"] in MEASURED and each["value"])
    }
    if fields:
        what = "; ".join(f"{name}: {reason}" for name, reason in fields.items())
        report.report("PAR013", "config", what, fields, fix=None if config.native else _DECLARE)


def _ignored(report: RungReport, ignored: dict[str, str]) -> None:
    """Fields that were set and that RLlib's new stack never reads."""
    if not ignored:
        return
    fields = ", ".join(f"{name.replace('/', '.')}={value}" for name, value in ignored.items())
    instead = dict.fromkeys(now for name in ignored if (now := INSTEAD.get(name.partition("/")[0])) is not None)
    message = f"set, and without effect on RLlib's new API stack: {fields}"
    report.report("PAR057", "config", message, dict(ignored), fix="; ".join(instead) or None)


def _native(report: RungReport, inputs: RungInput, config: Configuration) -> None:
    """Settings of RLlib alone, one by one."""
    rllib, declared = config.native, inputs.context.declared
    # Where the other side has such a term too, it is compared as a hyperparameter.
    if rllib.get("use_kl_loss") and config.port.get("kl_coeff", 1.0) != 0 and "kl_coeff" not in config.task:
        coefficient = config.port.get("kl_coeff")
        message = f"the loss has a term of {coefficient} times the KL divergence, adapted during training"
        reason = _reason(declared, "PAR012")
        report.report("PAR012", "config.training", message, {"kl_coeff": coefficient}, declared=reason)
    if rllib.get("torch_skip_nan_gradients"):
        report.report("PAR017", "config.training", "torch_skip_nan_gradients is True")
    if rllib.get("count_steps_by") == "agent_steps":
        agents = [name for name, count in (inputs.context.decisions or {}).items() if count.played]
        message = f'count_steps_by is "agent_steps"; agents that acted: {", ".join(agents)}'
        severity: Severity = "error" if len(agents) > 1 else "warning"
        report.report("PAR021", "config.multi_agent", message, {"agents": agents}, severity=severity)
    if rllib.get("explore") is False:
        message = "explore is False: the env runners play the most likely action, and training sees no other"
        fix = "config.env_runners(explore=True)"
        report.report("PAR010", "config, explore", message, {"explore": False}, fix=fix, explains=("PAR303",))
    if rllib.get("shuffles") is False:
        message = "shuffle_batch_per_epoch is False: every epoch goes through the rollout in the order of time"
        fix = "config.training(shuffle_batch_per_epoch=True)"
        where, reason = "config, shuffle_batch_per_epoch", declared.get("shuffle_batch_per_epoch")
        report.report("PAR010", where, message, {"shuffles": False}, fix=fix, declared=reason)
    if rllib.get("torch_compile_learner") and rllib.get("what_to_compile") == "forward_train":
        report.report("PAR024", "config.framework", 'torch_compile_learner is True, what to compile "forward_train"')
    for module, own in (rllib.get("overrides_per_module") or {}).items():
        ignored = {name: value for name, value in own.items() if value != config.port.get(name)}
        if ignored:
            what = ", ".join(f"{name} {value}" for name, value in ignored.items())
            message = f"module {module} asks for {what}; its advantages are computed with the global values"
            report.report("PAR018", f"module {module}", message, ignored, module=module)


def _of_the_module(inputs: RungInput, config: Configuration) -> dict[str, Any]:
    """The port's hyperparameters, with those that the learning module has of its own; advantages have the global ones."""
    facts = inputs.context.modules.get(inputs.learning)
    own = (facts.settings if facts is not None else None) or {}
    differs = {
        name: own[name]
        for name in ("learning_rate", "clip_range", "ent_coef", "vf_coef", "max_grad_norm")
        if name in own and own[name] != config.task[name] and isinstance(config.port.get(name), int | float)
    }
    return config.port | differs


def _with_schedules(port: dict[str, Any], config: Configuration) -> tuple[dict[str, Any], dict[str, Any]]:
    """Hyperparameters of the port and of the task; one that SB3 changes during training, or the port, as its course."""
    task, port = dict(config.task), dict(port)
    for name, course in config.schedules.get("sb3", {}).items():
        theirs = config.schedules.get("port", {}).get(name)
        task[name] = _course(course)
        if theirs is not None and np.allclose(theirs, course, rtol=0, atol=_SAME_COURSE * max(map(abs, course))):
            port[name] = task[name]
        elif theirs is not None:
            port[name] = _course(theirs)
    return port, task


def _course(values: list[float]) -> str:
    return "a schedule " + " → ".join(f"{value:.3g}" for value in values)


def _optimizer(report: RungReport, optimizer: dict[str, str], inputs: RungInput) -> None:
    """Class and settings; learning rate and Adam's epsilon are hyperparameters of their own."""
    if "port" not in optimizer or optimizer["port"] == optimizer["sb3"]:
        return
    message = f"the port's optimiser is {optimizer['port']}, {inputs.other}'s is {optimizer['sb3']}"
    fix = "Learner.configure_optimizers_for_module: self.register_optimizer(...)"
    reason = inputs.context.declared.get("optimizer")
    report.report("PAR010", "config, optimizer", message, dict(optimizer), fix=fix, declared=reason)


def _fragments(report: RungReport, config: Configuration, declared: str | None) -> None:
    """Lambda-returns end where a fragment does."""
    length, steps = config.native.get("rollout_fragment_length"), config.port.get("n_steps")
    if not isinstance(length, int | float) or not isinstance(steps, int | float) or length >= steps:
        return
    if config.native.get("batch_mode") != "truncate_episodes":
        return
    message = (
        f"rollout_fragment_length is {length}: rollouts of {steps} steps of each sub-environment are cut into pieces, and "
        "every piece ends with a value in place of what came after it"
    )
    evidence = {"rollout_fragment_length": length, "n_steps": steps}
    fix = f'config.env_runners(rollout_fragment_length="auto")  # or {steps}'
    report.report("PAR010", "config, rollout_fragment_length", message, evidence, fix=fix, declared=declared)


def _normalizes(report: RungReport, normalizes: dict[str, bool]) -> None:
    """What a connector of the port's does cannot be compared with running statistics: it has to be declared."""
    for code, what in (("PAR030", "observations"), ("PAR032", "rewards")):
        if normalizes.get(what):
            message = f"sb3_model normalises {what} by their running statistics (VecNormalize); the port gets them as they are"
            fix = f'the same in the port, and Task(..., declared={{"{code}": "..."}}); or no VecNormalize'
            report.report(code, "sb3_model, VecNormalize", message, {"normalizes": what}, fix=fix)


def _reason(declared: dict[str, str], code: str) -> str | None:
    return next((declared[field] for field in FIELDS_OF[code] if field in declared), None)


def _hyperparameters(
    report: RungReport, port: dict[str, Any], task: dict[str, Any], inputs: RungInput, names: dict[str, str]
) -> None:
    """``names``: PPOParams' names -> the framework's own, of the fields that it has; a task may declare either name."""
    wanted = dict(task)
    wanted["batch_size"] = min(task["batch_size"], task["n_envs"] * task["n_steps"])
    differ = {
        name: {"task": wanted[name], "port": port.get(name)}
        for name in names
        if name in wanted and not _equal(wanted[name], port.get(name))
    }
    declared = inputs.context.declared
    reasons = {name: declared.get(name) or declared.get(names[name]) for name in differ}
    for name, reason in reasons.items():
        if reason:
            message = _whose(name, differ[name], inputs.other)
            report.report("PAR010", f"config, {name}", message, {name: differ.pop(name)}, declared=reason)
    if not differ:
        return
    message = "; ".join(_whose(name, each, inputs.other) for name, each in differ.items())
    no_numbers = [name for name, each in differ.items() if not isinstance(each["port"], int | float)]
    consequences = _UPDATE if any(name != "max_grad_norm" or differ[name]["port"] for name in no_numbers) else ()
    fields = {name: wanted[name] for name in differ}
    fix = _fix(fields, wanted) if names is RLLIB_NAMES else _in_own_names(fields, names)
    report.report("PAR010", "config", message, differ, fix=fix, explains=consequences)


def _whose(name: str, each: dict[str, Any], other_side: str) -> str:
    return f"the port's {name} is {each['port']}, the task's ({other_side} trains with it) {each['task']}"


def _fix(fields: dict[str, Any], task: dict[str, Any]) -> str:
    runners = {RLLIB_NAMES[name]: value for name, value in fields.items() if name in IN_ENV_RUNNERS}
    training = {RLLIB_NAMES[name]: value for name, value in fields.items() if name not in IN_ENV_RUNNERS}
    if "n_steps" in fields:
        training[RLLIB_NAMES["n_steps"]] = task["n_steps"] * task["n_envs"]
        runners["rollout_fragment_length"] = task["n_steps"]
    if "max_grad_norm" in fields:
        training["grad_clip_by"] = "global_norm"
    calls = (("env_runners", runners), ("training", training))
    return "config" + "".join(
        f".{method}({', '.join(f'{name}={value!r}' for name, value in arguments.items())})"
        for method, arguments in calls
        if arguments
    )


def _in_own_names(fields: dict[str, Any], names: dict[str, str]) -> str:
    return ", ".join(f"{names[name]}={value!r}" for name, value in fields.items())


def _equal(a: Any, b: Any) -> bool:
    numbers = isinstance(a, int | float) and isinstance(b, int | float)
    return math.isclose(a, b, rel_tol=1e-9) if numbers else a == b


def _value_clamp(report: RungReport, inputs: RungInput, contract: Contract) -> None:
    """The bound on the squared error: an error where some row of the rollout feels it, else a risk."""
    bound = float(inputs.configuration.native.get("vf_clip_param") or "inf")
    if math.isinf(bound) or "vf_clip_param" in inputs.configuration.task:
        return
    returns = captured(contract.returns, Returns, inputs.learning)
    values, targets = returns.optional("values"), returns.optional("value_targets")
    share = largest = None
    if values is not None and targets is not None and values.shape == targets.shape:
        squared = (values.astype(np.float64) - targets) ** 2
        valid = captured(inputs.context.rows, Rows, inputs.learning).optional("valid")
        squared = squared if valid is None else squared[valid]
        share, largest = float((squared > bound).mean()), float(squared.max(initial=0.0))
    message = f"vf_clip_param is {bound:g}; no error of this rollout reaches it"
    if share:
        message = (
            f"{share:.0%} of the rollout's value errors are beyond it and have no gradient (vf_clip_param {bound:g})"
        )
    report.report(
        "PAR011",
        "config.training",
        message,
        {"vf_clip_param": bound, "share_of_rows_beyond": share, "largest_squared_error": largest},
        module=inputs.learning,
        severity="error" if share else "warning",
        declared=_reason(inputs.context.declared, "PAR011"),
    )


def _complete_episodes(report: RungReport, inputs: RungInput, rllib: dict[str, Any]) -> None:
    envs = rllib.get("num_envs_per_env_runner", 1)
    # The old API stack goes on with unfinished episodes in its next rollout.
    if rllib.get("batch_mode") != "complete_episodes" or envs <= 1 or "observation_filter" in rllib:
        return
    counts = (inputs.context.decisions or {}).get(inputs.context.learning_agent)
    lost = counts.played - counts.learned_from if counts is not None else 0
    evidence = {"num_envs_per_env_runner": envs, "decisions_thrown_away": lost}
    message = f"{envs} sub-environments; {lost} decisions of this rollout were thrown away with unfinished episodes"
    report.report("PAR016", "config.env_runners", message, evidence, severity="error" if lost else "warning")


def _stock_runner(report: RungReport, rllib: dict[str, Any]) -> None:
    """What RLlib's own env runner does; a class of the port's own may do otherwise."""
    if rllib.get("env_runner") != "MultiAgentEnvRunner":
        return
    runners, envs = int(rllib.get("num_env_runners") or 0), int(rllib.get("num_envs_per_env_runner") or 1)
    if rllib.get("seed") is not None and runners > 1 and envs > 1:
        # Runner w (from 1) seeds its sub-environment i with seed + w + i.
        shared = runners * envs - len({w + i for w in range(runners) for i in range(envs)})
        message = f"{shared} of {runners * envs} sub-environments start from the seed of another one"
        evidence = {"num_env_runners": runners, "num_envs_per_env_runner": envs, "shared_seeds": shared}
        report.report("PAR022", "config.env_runners", message, evidence)
    if rllib.get("episodes_to_numpy"):
        report.report("PAR023", "config.env_runners", "episodes_to_numpy is True")
