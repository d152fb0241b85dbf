"""What a configuration of the old API stack sets that SB3 has nothing like."""

from __future__ import annotations

from typing import Any

from parity.frameworks import hyperparameters
from parity.frameworks.rllib.config import Port
from parity.results.capture import Configuration
from parity.task import Task

SETTINGS = (
    "seed", "use_kl_loss", "count_steps_by", "num_envs_per_env_runner", "num_env_runners", "rollout_fragment_length",
    "observation_filter", "clip_rewards", "exploration_config", "batch_mode",
)  # fmt: skip


def settings_of(configuration: Configuration, port: Port, task: Task) -> None:
    """Puts them in the place of what was read as the new stack's."""
    config = of_policy(port)
    configuration.port = hyperparameters.of_rllib(config)
    native: dict[str, Any] = {name: getattr(config, name) for name in SETTINGS}
    native["exploration_config"] = _exploration(native["exploration_config"])
    configuration.native = {**native, "vf_clip_param": str(config.vf_clip_param), "explore": bool(config.explore)}
    configuration.ignored = {}


def of_policy(port: Port) -> Any:
    """The configuration of the learning agent's policy: what is set for one policy holds there, gamma and lambda too."""
    policies, _ = port.config.copy(copy_frozen=False).get_multi_agent_setup(
        spaces={policy: port.agents[port.learning_agent] for policy in (port.config.policies or {})},
        default_policy_class=None,
    )
    return policies[port.learning_module].config


def lost(port: Port) -> dict[str, Any]:
    """What is set to do something on the old stack, and has no counterpart on the new one."""
    config = of_policy(port)
    native = {
        "observation_filter": (config.observation_filter, "NoFilter"),
        "clip_rewards": (config.clip_rewards or None, None),
        "exploration_config": (_exploration(config.exploration_config), "StochasticSampling"),
    }
    return {name: value for name, (value, nothing) in native.items() if value != nothing}


def _exploration(config: Any) -> str:
    kind = config.get("type", "StochasticSampling") if isinstance(config, dict) else config
    return str(getattr(kind, "__name__", kind))
