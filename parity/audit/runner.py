"""What an env runner shows: how episodes begin and end, and which weights it plays with."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import numpy as np
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.rl_module import MultiRLModule
from ray.rllib.core.rl_module.apis.inference_only_api import InferenceOnlyAPI

from parity.audit import numbers
from parity.audit.figures import RunnerFigures
from parity.errors import in_short
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
    if getattr(env_runner, "env", None) is None or env_runner.module is None:
        return None
    try:
        return _figures(env_runner, vars(env_runner).get(_WATCH))
    except Exception as error:  # RLlib would take an env runner that raises for one that is broken
        return RunnerFigures(env_runner.worker_index, aside=in_short(error))


def _figures(env_runner: Any, ends: list[Ends] | None) -> RunnerFigures:
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
        whose = _masked_otherwise(envs[i], each.shown)
        if whose is not None:
            figures.mask_gaps.append(f"sub-environment {i}{whose}")
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


def _masked_otherwise(env: Any, shown: Any) -> str | None:
    """Whose mask, of those that an environment showed last, is another than its own ``action_masks()`` gives; None: nobody's.

    Of several agents that method may answer a dict, or one mask at a time to whoever gives it an agent.
    """
    method = getattr(env.unwrapped, "action_masks", None)
    if not callable(method) or not isinstance(shown, dict):
        return None
    if MASK_KEY in shown:
        return "" if _differ(method(), shown[MASK_KEY]) else None
    masks = {agent: each[MASK_KEY] for agent, each in shown.items() if isinstance(each, dict) and MASK_KEY in each}
    parameters = inspect.signature(method).parameters.values()
    if any(each.default is each.empty and each.kind <= each.POSITIONAL_OR_KEYWORD for each in parameters):
        own = {agent: method(agent) for agent in masks}
    else:
        own = method()
        if not isinstance(own, dict):  # of the only one that has a mask, if it is one
            own = dict.fromkeys(masks, own) if len(masks) == 1 else {}
    return next((f", agent {agent}," for agent in masks if agent in own and _differ(own[agent], masks[agent])), None)


def _differ(own: Any, shown: Any) -> bool:
    own, shown = np.asarray(own).reshape(-1), np.asarray(shown).reshape(-1)
    return own.size == shown.size and not np.array_equal(own.astype(bool), shown.astype(bool))
