"""What an env runner shows: how episodes begin and end, and which weights it plays with."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.rl_module import MultiRLModule
from ray.rllib.core.rl_module.apis.inference_only_api import InferenceOnlyAPI

from parity.audit import numbers
from parity.audit.figures import RunnerFigures
from parity.frameworks.rllib.arrays import array, named_parameters
from parity.frameworks.rllib.env_tap import EnvTap
from parity.task.masks import MASK_KEY

_WATCH = "_parity_watch"


@dataclasses.dataclass
class Ends:
    """Of one sub-environment, since it was asked last.

    Attributes:
        most: beginnings to look at.
        seeds: all that it was ever reset with.
    """

    most: int
    starts: list[int] = dataclasses.field(default_factory=list)
    seeds: set[int] = dataclasses.field(default_factory=set)
    seeds_again: int = 0
    terminated: int = 0
    truncated: int = 0
    shown: Any = None


class EndsTap(EnvTap):
    """An `EnvTap` of its own that notes ends and beginnings, at the least cost of a step."""

    __slots__ = ("_tap_ends",)

    def __init__(self, env: Any, ends: Ends) -> None:
        super().__init__(env)
        object.__setattr__(self, "_tap_ends", ends)

    def __reduce__(self) -> tuple[Any, ...]:
        return object.__new__, (EndsTap,), (self._tapped_env, self._tap_readers, self._tap_ends)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        *inner, ends = state
        super().__setstate__(tuple(inner))
        object.__setattr__(self, "_tap_ends", ends)

    def reset(self, *args: Any, **kwargs: Any) -> Any:
        result = self._tapped_env.reset(*args, **kwargs)
        ends: Ends = self._tap_ends
        seed = kwargs.get("seed")
        if seed is not None:
            ends.seeds_again += seed in ends.seeds
            ends.seeds.add(seed)
        ends.shown = result[0]
        if len(ends.starts) < ends.most:
            ends.starts.append(numbers.observation_checksum(result[0]))
        return result

    def step(self, *args: Any, **kwargs: Any) -> Any:
        result = self._tapped_env.step(*args, **kwargs)
        ends: Ends = self._tap_ends
        ends.shown, _, terminated, truncated, _ = result
        if isinstance(terminated, dict):
            terminated, truncated = terminated.get("__all__", False), truncated.get("__all__", False)
        if terminated:
            ends.terminated += 1
        elif truncated:
            ends.truncated += 1
        return result


def tap(env_runner: Any, vector: Any) -> None:
    """Watches the sub-environments of a vector environment that keeps them in a list."""
    envs = getattr(vector, "envs", None)
    if isinstance(envs, list | tuple):
        ends = [Ends(max(numbers.STARTS_OF_EACH, numbers.STARTS // len(envs))) for _ in envs]
        vector.envs = [EndsTap(env, each) for env, each in zip(envs, ends, strict=True)]
        setattr(env_runner, _WATCH, ends)


def taken(env_runner: Any) -> RunnerFigures | None:
    """The figures since the last time; None for an env runner that plays nothing."""
    ends: list[Ends] | None = vars(env_runner).get(_WATCH)
    if getattr(env_runner, "env", None) is None or env_runner.module is None:
        return None
    figures = RunnerFigures(env_runner.worker_index)
    module = env_runner.module
    modules = {DEFAULT_MODULE_ID: module}  # of a single agent
    if isinstance(module, MultiRLModule):
        modules = {module_id: each.unwrapped() for module_id, each in module.items()}
    figures.weights = {module_id: _checksums(each) for module_id, each in modules.items()}
    if ends is None:
        return figures
    envs = env_runner.env.unwrapped.envs
    for i, each in enumerate(ends):
        figures.starts.append(each.starts)
        figures.seeds_again += each.seeds_again
        figures.terminated += each.terminated
        figures.truncated += each.truncated
        if _shows_another_mask(envs[i], each.shown):
            figures.mask_gaps.append(f"sub-environment {i}")
        each.starts, each.seeds_again, each.terminated, each.truncated = [], 0, 0, 0
    return figures


def _checksums(module: Any) -> dict[str, int]:
    """Of the parameters that RLlib synchronises: an env runner may keep others, such as those of values, and not use them."""
    left_out = module.get_non_inference_attributes() if isinstance(module, InferenceOnlyAPI) else []
    return {
        name: numbers.checksum(array(p))
        for name, p in named_parameters(module).items()
        if not any(name == each or name.startswith(f"{each}.") for each in left_out)
    }


def _shows_another_mask(env: Any, shown: Any) -> bool:
    """Whether a single-agent environment's ``action_masks()`` says otherwise than the mask that it showed last."""
    if not isinstance(shown, dict) or MASK_KEY not in shown:
        return False
    method = getattr(env.unwrapped, "action_masks", None)
    if not callable(method):
        return False
    mask = np.asarray(method()).reshape(-1)
    return mask.size == np.asarray(shown[MASK_KEY]).size and not np.array_equal(
        mask.astype(bool), np.asarray(shown[MASK_KEY]).reshape(-1).astype(bool)
    )
