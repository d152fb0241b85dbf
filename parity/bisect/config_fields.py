"""In which fields two ``PPOConfig`` differ, and which of the fields belong together."""

from __future__ import annotations

from typing import Any

from ray.rllib.algorithms.ppo import PPOConfig

# Parts of a port that stand in several fields of its configuration, which mean nothing apart: key of the part -> its fields.
CONNECTORS: dict[str, tuple[str, ...]] = {
    "env_to_module_connector": ("_env_to_module_connector", "add_default_connectors_to_env_to_module_pipeline"),
    "module_to_env_connector": ("_module_to_env_connector", "add_default_connectors_to_module_to_env_pipeline"),
    "learner_connector": ("_learner_connector", "add_default_connectors_to_learner_pipeline"),
}
CLASSES: dict[str, tuple[str, ...]] = {
    "learner_class": ("_learner_class", "learner_config_dict", "_learner_config_dict"),
    "env_runner_class": ("env_runner_cls", "_env_runner_cls"),
    "callbacks_class": tuple(field for field in vars(PPOConfig()) if field.startswith("callbacks_")),
}
FIELDS_OF = CONNECTORS | CLASSES
# Fields that `parity.bisect.hybrid` exchanges as parts of another kind, or that are of no account.
_NO_SETTINGS = frozenset(
    {"env", "env_config", "observation_space", "action_space", "_rl_module_spec", "policies", "policy_mapping_fn"}
    | {"policies_to_train", "algo_class", "_is_frozen", "_is_atari"}
    | {field for fields in FIELDS_OF.values() for field in fields}
)
# What makes PPO; all other settings are a second group.
HYPERPARAMETERS = (
    "lr", "gamma", "lambda_", "use_gae", "use_critic", "clip_param", "vf_clip_param", "vf_loss_coeff", "entropy_coeff",
    "use_kl_loss", "kl_coeff", "kl_target", "grad_clip", "grad_clip_by", "num_epochs", "minibatch_size",
    "shuffle_batch_per_epoch", "_train_batch_size_per_learner", "train_batch_size", "num_env_runners",
    "num_envs_per_env_runner", "rollout_fragment_length", "batch_mode", "count_steps_by", "explore", "seed",
    "lr_schedule", "entropy_coeff_schedule", "clip_rewards",
)  # fmt: skip


def differing_fields(config: PPOConfig, reference: PPOConfig) -> frozenset[str]:
    """Names of all fields whose values differ."""
    ours, theirs = vars(reference), vars(config)
    return frozenset(name for name in {*ours, *theirs} if not same(ours.get(name), theirs.get(name)))


def settings_among(fields: frozenset[str]) -> list[str]:
    """Those fields that are parts by themselves, each with a value that can be told in words."""
    return sorted(fields - _NO_SETTINGS)


def public(name: str) -> str:
    """A field by the name that ``PPOConfig``'s methods have for it."""
    return name.removeprefix("_")


def same(a: Any, b: Any) -> bool:
    """Whether two values of a field are equal; objects without an equality of their own are compared by their attributes."""
    if a is b:
        return True
    try:
        if bool(a == b):
            return True
        return type(a) is type(b) and hasattr(a, "__dict__") and not callable(a) and bool(vars(a) == vars(b))
    except Exception:
        # Arrays and some spaces refuse to be compared. They then count as different, and the field is shown as a part.
        return False
