"""Fields of a PPOConfig that RLlib's new API stack accepts and never reads."""

from __future__ import annotations

import difflib
from typing import Any

from ray._common.deprecation import DEPRECATED_VALUE
from ray.rllib.algorithms.ppo import PPOConfig

# Read by the old stack alone: grepped in ray 2.60.0; `tests/frameworks/test_ignored_fields.py` looks again.
OLD_STACK = (
    "action_mask_key", "clip_rewards", "compress_observations", "eager_max_retraces",
    "entropy_coeff_schedule", "exploration_config", "fake_sampler", "keep_per_episode_custom_metrics", "lr_schedule",
    "observation_filter", "observation_fn", "optimizer", "policy_map_capacity", "policy_states_are_swappable",
    "preprocessor_pref", "remote_env_batch_wait_ms", "render_env", "sample_collector", "sampler_perf_stats_ema_coef",
    "torch_compile_worker", "torch_compile_worker_dynamo_backend", "torch_compile_worker_dynamo_mode",
    "_disable_action_flattening", "_disable_initialize_loss_from_dummy_batch", "_disable_preprocessor_api",
)  # fmt: skip


# What the old stack's names are now.
RENAMED = {
    "num_sgd_iter": "num_epochs",
    "sgd_minibatch_size": "minibatch_size",
    "num_workers": "num_env_runners",
    "num_rollout_workers": "num_env_runners",
    "num_envs_per_worker": "num_envs_per_env_runner",
    "num_cpus_per_worker": "num_cpus_per_env_runner",
    "num_gpus_per_worker": "num_gpus_per_env_runner",
    "no_done_at_end": None,
    "horizon": None,
}  # fmt: skip
# Removed names into which ``validate()`` itself writes.
WRITTEN_BY_RLLIB = ("simple_optimizer",)
# A misspelt name is at least as near as that to the right one.
NEAR = 0.8


def ignored_fields(config: PPOConfig) -> dict[str, str]:
    """Field, or ``model/KEY``, that was set and has no effect -> what it was set to, in words."""
    default, own = vars(PPOConfig()), vars(config)
    ignored = {name: own[name] for name in OLD_STACK if name in own and _differs(own[name], default.get(name))}
    # A removed name is still there, with a value that says so; a misspelt one is an attribute like any other. Further
    # attributes may be for a learner or a callback of the port's own.
    removed = [name for name, value in default.items() if _is_removed(value) and name not in WRITTEN_BY_RLLIB]
    ignored |= {name: own[name] for name in removed if _differs(own[name], default[name])}
    ignored |= {
        name: value
        for name, value in own.items()
        if name not in default and (name in RENAMED or difflib.get_close_matches(name, default, 1, NEAR))
    }
    model, default_model = own.get("model") or {}, default["model"]
    ignored |= {
        f"model/{key}": value
        for key, value in model.items()
        # ``validate()`` itself writes the private ones.
        if not key.startswith("_") and (key not in default_model or _differs(value, default_model[key]))
    }
    for module_id, spec in (config.policies or {}).items() if isinstance(config.policies, dict) else ():
        for name in ("config", "policy_class"):
            value = getattr(spec, name, None)
            if value:
                ignored[f"policies/{module_id}/{name}"] = value
    return {name: str(value)[:60] for name, value in ignored.items()}


def _is_removed(value: Any) -> bool:
    return type(value) is type(DEPRECATED_VALUE) and value == DEPRECATED_VALUE


def _differs(value: Any, default: Any) -> bool:
    try:
        return bool(value != default)
    except ValueError:
        return True  # an array
