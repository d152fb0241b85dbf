"""The arguments of one MaskablePPO or PPO as they were read, and the notes on those without a counterpart."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

# In the order of the constructors (stable-baselines3 and sb3-contrib 2.9.2).
_FIRST = """policy env learning_rate n_steps batch_size n_epochs gamma gae_lambda clip_range clip_range_vf
    normalize_advantage ent_coef vf_coef max_grad_norm"""
_LAST = """rollout_buffer_class rollout_buffer_kwargs target_kl stats_window_size tensorboard_log policy_kwargs verbose
    seed device _init_setup_model"""
PARAMETERS: dict[str, tuple[str, ...]] = {
    "MaskablePPO": tuple(f"{_FIRST} {_LAST}".split()),
    "PPO": tuple(f"{_FIRST} use_sde sde_sample_freq {_LAST}".split()),
}
# Beside the constructor's, in a file of hyperparameters: RL-Zoo's own keys, and what PPOParams has.
_ZOO = """n_envs n_timesteps normalize frame_stack env_wrapper vec_env_wrapper env_kwargs monitor_kwargs callback
    adam_eps"""
ZOO_KEYS: tuple[str, ...] = tuple(_ZOO.split())

Algorithm = Literal["MaskablePPO", "PPO"]
# No list of arguments has more; parts that stand in several places count in each.
MOST_VALUES, MOST_DEPTH = 100_000, 50


@dataclasses.dataclass(frozen=True)
class Expression:
    """Source text whose value is known only when it runs."""

    text: str

    def __repr__(self) -> str:
        return self.text


def has_expression(value: Any) -> bool:
    """Whether a part of ``value`` is known only when it runs."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return isinstance(value, Expression) or any(map(has_expression, parts))


def is_bounded(value: Any) -> bool:
    """Whether ``value`` has at most `MOST_VALUES` parts, within at most `MOST_DEPTH` others."""
    waiting, seen = [(value, 0)], 0
    while waiting:
        part, depth = waiting.pop()
        parts = [*part, *part.values()] if isinstance(part, dict) else part if isinstance(part, list | tuple) else ()
        seen += len(parts)
        if seen > MOST_VALUES or depth > MOST_DEPTH:
            return False
        waiting += [(each, depth + 1) for each in parts]
    return True


@dataclasses.dataclass(frozen=True)
class LinearSchedule:
    """RL-Zoo's ``lin_3e-4``: from ``start`` to 0 over the whole training."""

    start: float

    def __repr__(self) -> str:
        return f"lin_{self.start:g}"


@dataclasses.dataclass(frozen=True)
class Arguments:
    """The arguments of one model."""

    origin: str  # where they were found, for people: file and line, or file and key
    algorithm: Algorithm  # whose arguments they are
    # by the constructor's and RL-Zoo's names: literals, `Expression`, `LinearSchedule`; in ``policy_kwargs`` too
    values: dict[str, Any]
    # argument -> where it was found, if that is another place than ``origin``
    places: dict[str, str] = dataclasses.field(default_factory=dict)
    assumed: dict[str, str] = dataclasses.field(default_factory=dict)  # argument -> why a value was assumed for it

    def place(self, name: str) -> str:
        return self.places.get(name, self.origin)


@dataclasses.dataclass(frozen=True)
class Note:
    """An argument without a counterpart in ``PPOConfig``."""

    field: str  # its name, SB3's or RL-Zoo's
    value: Any  # what was given, or SB3's default
    instead: str  # what RLlib does
    remedy: str  # what to do about it
