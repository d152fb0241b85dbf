"""The one place where PPO's hyperparameters are translated between ``PPOParams`` (SB3's names and meanings) and frameworks.

Sources: stable-baselines3 / sb3-contrib 2.9.2 (``MaskablePPO.__init__`` and ``train``), ray 2.60.0
(``PPOConfig.training``, ``PPOTorchLearner.compute_loss_for_module``, ``GeneralAdvantageEstimation``).
Nothing here imports a framework: models and configurations are read by their attributes.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import ConfigDict, create_model

from parity.frameworks.base import Untranslated
from parity.task import PPOParams
from parity.task.hyperparameter_names import IN_ENV_RUNNERS, NOT_IN_RLLIB, RLLIB_NAMES

# sb3-contrib sets Adam's epsilon in MaskableActorCriticPolicy.__init__; RLlib 2.60 leaves PyTorch's default.
TORCH_ADAM_EPS = 1e-8

# PPOParams has no gradient without a bound.
NO_BOUND = 1e30

# Defaults of MaskablePPO and PPO that differ from PPOParams'.
SB3_DEFAULTS = {"n_envs": 1, "n_steps": 2048}

_LEARNER = "ExactPPOLearner has it as an option"
# How to remove a difference that `to_rllib` lists; both classes are in parity.frameworks.rllib.exact.
REMEDIES = {
    "n_steps": "ExactEnvRunner gives rollouts of exactly n_steps * n_envs steps",
    "batch_size": "ExactPPOLearner shuffles every epoch, leaves bootstrap rows out and ends an epoch with what is left",
    "normalize_advantage": _LEARNER,
    "adam_eps": f"{_LEARNER}; or override Learner.configure_optimizers_for_module",
    "clip_range_vf": f"{_LEARNER}; leave vf_clip_param infinite, it bounds the squared error instead",
    "target_kl": f"{_LEARNER}; kl_target belongs to a term of the loss and stops nothing",
}

# PPOParams takes "64" for 64, as people write task files; arguments of SB3 are taken as they are, or not at all.
_HINTS = typing.get_type_hints(PPOParams, include_extras=True)
_Strict: Any = create_model(
    "Arguments",
    __config__=ConfigDict(strict=True, extra="forbid"),
    **{field.name: (_HINTS[field.name], field.default) for field in dataclasses.fields(PPOParams)},  # type: ignore[call-overload]
)


def of_sb3_arguments(arguments: Mapping[str, Any]) -> PPOParams:
    """What ``MaskablePPO(**arguments)`` would train with, on ``n_envs`` environments; a schedule by its first value.

    Raises:
        pydantic.ValidationError: an argument is unknown, of another type or out of range. Nothing is converted.
    """
    return PPOParams(**_Strict(**SB3_DEFAULTS | dict(arguments)).model_dump())


def as_params(read: Mapping[str, Any]) -> PPOParams:
    """What `of_rllib` read of a ``PPOConfig``, as far as ``PPOParams`` has it; a schedule by its first value.

    Raises:
        pydantic.ValidationError: a value is no number or out of range.
    """
    first = {name: value[0][1] if isinstance(value, list | tuple) else value for name, value in read.items()}
    named = {name: first[name] for name in (*RLLIB_NAMES, "adam_eps")}
    return PPOParams(
        **named | {"n_steps": math.ceil(first["n_steps"]), "max_grad_norm": first["max_grad_norm"] or NO_BOUND}
    )


def linear_decay(start: float, total_steps: int, rollout_steps: int) -> list[list[float]]:
    """A rate that SB3 takes linearly from ``start`` to 0, as RLlib's list of ``[environment steps, value]``.

    SB3 sets the rate before an update, by the steps that were sampled for it; RLlib after one, for the next
    (``Learner.after_gradient_based_update``, ray 2.60.0). So the list runs one rollout ahead.
    """
    first = max(0.0, start * (1 - rollout_steps / total_steps))
    return [[0, first], [max(1, total_steps - rollout_steps), 0.0]]


def to_sb3(ppo: PPOParams) -> dict[str, Any]:
    """Keyword arguments of ``MaskablePPO``; ``n_envs`` belongs to the VecEnv and ``adam_eps`` to the policy."""
    arguments = dataclasses.asdict(ppo)
    del arguments["n_envs"], arguments["adam_eps"]
    return arguments


def of_sb3(model: Any) -> dict[str, Any]:
    """What a ``MaskablePPO`` will use, by ``PPOParams``' names; schedules by their first value."""
    read: dict[str, Any] = {field.name: getattr(model, field.name, None) for field in dataclasses.fields(PPOParams)}
    read["adam_eps"] = model.policy.optimizer.defaults.get("eps")
    read["learning_rate"] = model.lr_schedule(1.0)
    for name in ("clip_range", "clip_range_vf"):
        if callable(read[name]):
            read[name] = read[name](1.0)
    return read


def of_brought(model: Any, ppo: PPOParams) -> PPOParams:
    """What a task's own ``sb3_model`` trains with, on ``ppo.n_envs`` environments.

    Adam's epsilon is ``ppo``'s where the model's optimiser has none.

    Raises:
        pydantic.ValidationError: a value is out of range.
    """
    values = of_sb3(model) | {"n_envs": ppo.n_envs}
    values["adam_eps"] = values["adam_eps"] or ppo.adam_eps
    return PPOParams(**{name: value.item() if hasattr(value, "item") else value for name, value in values.items()})


# Fields that SB3 takes as a function of the remaining progress, and PPOConfig as a list of [environment steps, value].
SCHEDULED = {"learning_rate": "lr_schedule", "clip_range": "clip_range", "clip_range_vf": "clip_range_vf"}
# Where schedules are read: at the start, in the middle and at the end of a trial.
PROGRESS = (0.0, 0.5, 1.0)


def schedules_of_sb3(model: Any) -> dict[str, list[float]]:
    """The hyperparameters that a ``MaskablePPO`` changes during training, each at `PROGRESS`."""
    schedules = {name: getattr(model, attribute, None) for name, attribute in SCHEDULED.items()}
    values = {
        name: [float(schedule(1 - done)) for done in PROGRESS]
        for name, schedule in schedules.items()
        if callable(schedule)
    }
    return {name: course for name, course in values.items() if len(set(course)) > 1}


def schedules_of_rllib(config: Any, steps: int) -> dict[str, list[float]]:
    """The same of a ``PPOConfig`` of either API stack; ``steps``: environment steps of a trial.

    Linear between the points, constant outside of them, as ray's ``PiecewiseSchedule``.
    """
    read = of_rllib(config)
    return {
        name: np.interp(np.multiply(PROGRESS, steps), *np.transpose(read[name])).tolist()
        for name in ("learning_rate", "ent_coef")
        if isinstance(read[name], list | tuple)
    }


def _constant(value: Any) -> Any:
    """A schedule that never changes is its value."""
    if isinstance(value, list | tuple) and value and len({float(point[1]) for point in value}) == 1:
        return float(value[0][1])
    return value


def to_rllib(ppo: PPOParams) -> tuple[dict[str, Any], dict[str, Any], list[Untranslated]]:
    """Keyword arguments of ``PPOConfig.training`` and ``PPOConfig.env_runners``, and what RLlib's PPO does otherwise."""
    values = dataclasses.asdict(ppo) | {
        "n_steps": ppo.rollout_steps,
        # SB3 takes a whole rollout where a minibatch would be longer; RLlib refuses it.
        "batch_size": min(ppo.batch_size, ppo.rollout_steps),
    }
    training = {theirs: values[ours] for ours, theirs in RLLIB_NAMES.items() if ours not in IN_ENV_RUNNERS} | {
        # RLlib clamps the squared error, which stops the critic's gradient; SB3 has no such thing.
        "vf_clip_param": math.inf,
        "use_kl_loss": False,
        "grad_clip_by": "global_norm",
    }
    env_runners = {
        "num_env_runners": 0,
        **{RLLIB_NAMES[ours]: values[ours] for ours in IN_ENV_RUNNERS},
        # `n_steps`, also where a port shares the rollout out among env runners of its own.
        "rollout_fragment_length": "auto",
        "batch_mode": "truncate_episodes",
        # Otherwise every finished episode is converted again at every step (multi_agent_env_runner.py:558, ray 2.60.0).
        "episodes_to_numpy": False,
    }
    return training, env_runners, _rllib_differences(ppo)


def to_rllib_old_stack(ppo: PPOParams) -> tuple[dict[str, Any], dict[str, Any], list[Untranslated]]:
    """As `to_rllib`, for the old API stack: it names the rollout otherwise, and has episodes of arrays alone."""
    training, env_runners, _ = to_rllib(ppo)
    del env_runners["episodes_to_numpy"]
    training["train_batch_size"] = training.pop(RLLIB_NAMES["n_steps"])
    reasons = {
        "normalize_advantage": (
            "normalised once over a policy's train batch (population std), not per minibatch"
            if ppo.normalize_advantage
            else "cannot be switched off: PPO.training_step always normalises over a policy's train batch"
        ),
    }
    if ppo.adam_eps != TORCH_ADAM_EPS:
        reasons["adam_eps"] = f"PPOTorchPolicy builds Adam with eps={TORCH_ADAM_EPS:g}"
    return training, env_runners, _untranslated(ppo, reasons)


def to_rllib_exact(ppo: PPOParams) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """As `to_rllib`, and in place of its differences the ``learner_config_dict`` of ``ExactPPOLearner``: there are none."""
    training, env_runners, _ = to_rllib(ppo)
    return training, env_runners, {name: getattr(ppo, name) for name in NOT_IN_RLLIB}


def _rllib_differences(ppo: PPOParams) -> list[Untranslated]:
    reasons: dict[str, str] = {}
    if ppo.n_envs > 1:
        reasons["n_steps"] = "a rollout may be up to n_envs - 1 environment steps longer than asked"
    if ppo.adam_eps != TORCH_ADAM_EPS:
        reasons["adam_eps"] = f"PPOTorchLearner builds Adam with eps={TORCH_ADAM_EPS:g}"
    reasons["normalize_advantage"] = (
        "normalised once over the train batch (population std, bootstrap rows included), not per minibatch"
        if ppo.normalize_advantage
        else "cannot be switched off: GeneralAdvantageEstimation always normalises over the train batch"
    )
    reasons["batch_size"] = (
        "first epoch unshuffled, bootstrap rows take places, the last minibatch wraps into the next epoch"
    )
    return _untranslated(ppo, reasons)


def _untranslated(ppo: PPOParams, reasons: dict[str, str]) -> list[Untranslated]:
    """With what neither API stack has."""
    if ppo.clip_range_vf is not None:
        reasons["clip_range_vf"] = "RLlib has no clipping of the value's change"
    if ppo.target_kl is not None:
        reasons["target_kl"] = "RLlib has no early stop by KL"
    return [Untranslated(field, getattr(ppo, field), reason) for field, reason in reasons.items()]


def of_rllib(config: Any) -> dict[str, Any]:
    """What a ``PPOConfig`` will use, by ``PPOParams``' names; where the meaning differs, the value says so in words."""
    n_envs = config.num_envs_per_env_runner * max(1, config.num_env_runners)
    n_steps = config.total_train_batch_size / n_envs
    clamp = config.vf_clip_param
    # On the old API stack schedules have fields of their own, and a bound on the gradient is always one on its norm.
    old = not config.enable_rl_module_and_learner
    schedules = {"lr": config.lr_schedule, "entropy_coeff": config.entropy_coeff_schedule} if old else {}
    by_norm = old or config.grad_clip_by == "global_norm"
    read = {ours: getattr(config, theirs) for ours, theirs in RLLIB_NAMES.items()} | {
        "n_envs": n_envs,
        "n_steps": int(n_steps) if float(n_steps).is_integer() else n_steps,
        "batch_size": config.minibatch_size or config.train_batch_size_per_learner,
        "learning_rate": _constant(schedules.get("lr") or config.lr),
        "ent_coef": _constant(schedules.get("entropy_coeff") or config.entropy_coeff),
        "max_grad_norm": config.grad_clip if by_norm else f"{config.grad_clip_by}",
        "clip_range_vf": None if clamp is None or math.isinf(clamp) else f"squared error clamped to {clamp:g}",
        "adam_eps": TORCH_ADAM_EPS,
        "normalize_advantage": "per train batch",
        "target_kl": None,
    }
    read = {field.name: read[field.name] for field in dataclasses.fields(PPOParams)}
    # A learner class that knows these (ExactPPOLearner) says what it makes of the configuration.
    exact = getattr(config.learner_class, "hyperparameters", None)
    if exact is not None:
        read |= exact(config)
    return read | ({"kl_coeff": config.kl_coeff} if config.use_kl_loss else {})
