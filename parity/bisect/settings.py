"""Which fields of two ``PPOConfig`` differ, and which of them belong together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ray.rllib.algorithms.ppo import PPOConfig

# Parts of a port that stand in several fields of its configuration: they mean nothing apart.
CONNECTORS: dict[str, tuple[str, ...]] = {
    "env_to_module": ("_env_to_module_connector", "add_default_connectors_to_env_to_module_pipeline"),
    "module_to_env": ("_module_to_env_connector", "add_default_connectors_to_module_to_env_pipeline"),
    "learner": ("_learner_connector", "add_default_connectors_to_learner_pipeline"),
}
CLASSES: dict[str, tuple[str, ...]] = {
    "learner": ("_learner_class", "learner_config_dict", "_learner_config_dict"),
    "env_runner": ("env_runner_cls", "_env_runner_cls"),
    "callbacks": ("callbacks_class", *(f"callbacks_on_{event}" for event in (
        "algorithm_init", "checkpoint_loaded", "env_runners_recreated", "environment_created", "episode_created",
        "episode_end", "episode_start", "episode_step", "evaluate_end", "evaluate_offline_end",
        "evaluate_offline_start", "evaluate_start", "offline_eval_runners_recreated", "sample_end", "train_result",
    ))),
}  # fmt: skip
# Exchanged as parts of their own: see `parity.bisect.mixture`.
ELSEWHERE = frozenset(
    {"env", "env_config", "observation_space", "action_space", "_rl_module_spec", "policies", "policy_mapping_fn"}
    | {"policies_to_train", "algo_class", "_is_frozen", "_is_atari"}
)
# What makes PPO; everything else in a configuration is told as one group, unless it breaks.
HYPERPARAMETERS = (
    "lr", "gamma", "lambda_", "use_gae", "use_critic", "clip_param", "vf_clip_param", "vf_loss_coeff", "entropy_coeff",
    "use_kl_loss", "kl_coeff", "kl_target", "grad_clip", "grad_clip_by", "num_epochs", "minibatch_size",
    "shuffle_batch_per_epoch", "_train_batch_size_per_learner", "train_batch_size", "num_env_runners",
    "num_envs_per_env_runner", "rollout_fragment_length", "batch_mode", "count_steps_by", "explore", "seed",
    "lr_schedule", "entropy_coeff_schedule", "clip_rewards",
)  # fmt: skip


def differing(config: PPOConfig, reference: PPOConfig) -> list[str]:
    """Names of the fields in which two configurations differ, but for those that are parts of another kind."""
    grouped = {name for names in (*CONNECTORS.values(), *CLASSES.values()) for name in names}
    return [name for name in _names(config, reference) if name not in grouped | ELSEWHERE]


def groups_differing(groups: dict[str, tuple[str, ...]], config: PPOConfig, reference: PPOConfig) -> list[str]:
    """Those of ``CONNECTORS`` or ``CLASSES`` of which some field differs."""
    names = set(_names(config, reference))
    return [group for group, fields in groups.items() if names & set(fields)]


def public(name: str) -> str:
    """A field by the name that ``PPOConfig``'s methods have for it."""
    return name.removeprefix("_")


def _names(config: PPOConfig, reference: PPOConfig) -> Iterator[str]:
    ours, theirs = vars(reference), vars(config)
    for name in sorted({*ours, *theirs}):
        if not same(ours.get(name), theirs.get(name)):
            yield name


def same(a: Any, b: Any) -> bool:
    """Whether two values of a field say the same; objects without an equality of their own are compared by their fields."""
    if a is b:
        return True
    try:
        if bool(a == b):
            return True
        return type(a) is type(b) and hasattr(a, "__dict__") and not callable(a) and bool(vars(a) == vars(b))
    except Exception:
        # An array or a space of the user's may refuse to be compared: then it counts as another one.
        return False
