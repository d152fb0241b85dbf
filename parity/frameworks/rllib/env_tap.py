"""Reads what passes between RLlib and a port's environments: calls of ``reset`` and ``step``, and what they return."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from parity.frameworks.rllib.env import shown_mask
from parity.task.masks import MASK_KEY, MaskCounts, plain_masks


@dataclasses.dataclass(slots=True)
class Call:
    """One call of an environment.

    Attributes:
        method: which one.
        arguments: of the call, positional and named.
        result: what the environment returned; None before it has.
    """

    method: Literal["reset", "step"]
    arguments: tuple[tuple[Any, ...], dict[str, Any]]
    result: Any = None

    @property
    def seed(self) -> int | None:
        """What a reset was given."""
        return self.arguments[1].get("seed")

    @property
    def actions(self) -> dict[Any, Any]:
        """What a step was given: agent -> action."""
        positional, named = self.arguments
        return positional[0] if positional else next(iter(named.values()))


class EnvReader:
    """Reads the calls of one environment, in their order.

    A call holds the objects that RLlib and the environment exchange: they may change later, so whoever keeps them copies.
    """

    def before(self, call: Call) -> None:
        """Told before the environment gets the call."""

    def after(self, call: Call) -> None:
        """Told when it has returned; never where it raised."""


class EnvTap:
    """Stands in for an environment and tells readers of every ``reset`` and ``step``.

    All else is the environment's own, reading and writing alike: a port's callbacks and wrappers find in it what they look
    for, and ``unwrapped`` is the user's object, of the user's type.
    """

    __slots__ = ("_tap_readers", "_tapped_env")

    def __init__(self, env: Any, *readers: EnvReader) -> None:
        object.__setattr__(self, "_tapped_env", env)
        object.__setattr__(self, "_tap_readers", readers)

    def reset(self, *args: Any, **kwargs: Any) -> Any:
        return self._pass_on(Call("reset", (args, kwargs)))

    def step(self, *args: Any, **kwargs: Any) -> Any:
        return self._pass_on(Call("step", (args, kwargs)))

    def _pass_on(self, call: Call) -> Any:
        for reader in self._tap_readers:
            reader.before(call)
        positional, named = call.arguments
        call.result = getattr(self._tapped_env, call.method)(*positional, **named)
        for reader in self._tap_readers:
            reader.after(call)
        return call.result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tapped_env, name)

    def __reduce__(self) -> tuple[Any, ...]:
        # In two steps: what is tapped may lead back here.
        return object.__new__, (EnvTap,), (self._tapped_env, self._tap_readers)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        for name, value in zip(("_tapped_env", "_tap_readers"), state, strict=True):
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._tapped_env, name, value)


def tap_sub_environments(runner: Any, readers: Callable[[int, Any], Sequence[EnvReader]]) -> None:
    """Puts a tap in front of each of an env runner's sub-environments.

    After they are built: RLlib builds them itself, and its own check of an environment may step it with illegal actions.

    Args:
        runner: RLlib's, with a vector environment that plays what is in its list ``envs``; of the old API stack too, whose
            vector environment resets what each of its ``env_states`` holds.
        readers: given a sub-environment's index and the user's environment in it, makes its readers.
    """
    vector = getattr(runner, "async_env", None) or runner.env.unwrapped
    vector.envs = [EnvTap(env, *readers(index, env.unwrapped)) for index, env in enumerate(vector.envs)]
    for state, env in zip(getattr(vector, "env_states", ()), vector.envs, strict=False):
        state.env = env


class MaskAudit(EnvReader):
    """Checks every action against the mask that the environment showed the agent before.

    Agents that show no mask, or none that can be read as one, are not counted.

    Args:
        env: the user's.
        key: the entry of observations that holds masks.

    Attributes:
        counts: so far.
        entries: of observations, those that a mask may stand in.
    """

    def __init__(self, env: Any, key: str = MASK_KEY) -> None:
        self.counts = MaskCounts()
        self._env, self._key = env, key
        self.entries = (key, MASK_KEY)
        self._shown: dict[Any, np.ndarray] = {}

    def before(self, call: Call) -> None:
        if call.method == "step":
            for agent, action in call.actions.items():
                if agent in self._shown:
                    self.counts.check(self._shown[agent], action, self._env.get_action_space(agent))

    def after(self, call: Call) -> None:
        self.show(call.result[0])

    def show(self, observations: dict[Any, Any]) -> None:
        """Notes what agents see before their next actions."""
        space_of = self._env.get_action_space
        masks = {agent: shown_mask(seen, space_of(agent), self._key) for agent, seen in observations.items()}
        self._shown = {agent: mask for agent, mask in masks.items() if mask is not None}

    def check_rows(self, agent: Any, observations: Any, actions: np.ndarray) -> None:
        """Checks what an agent did at each of ``n`` observations, as calls of the environment would have had it checked.

        Args:
            agent: its id.
            observations: ``[n, …]`` in the containers of one.
            actions: ``[n, …]``.
        """
        space = self._env.get_action_space(agent)
        raw = observations.get(self._key, observations.get(MASK_KEY)) if isinstance(observations, dict) else None
        if raw is None:
            return
        plain = plain_masks(raw, space)
        if plain is not None:
            self.counts.check_rows(plain, actions, space)
            return
        for mask, action in zip(raw, actions, strict=True):
            read = shown_mask({self._key: mask}, space, self._key)
            if read is not None:
                self.counts.check(read, action, space)


def without_audit(env: Any) -> tuple[Any, MaskAudit | None]:
    """An environment behind a tap that only a `MaskAudit` listens to, and that audit; any other environment itself."""
    if type(env) is EnvTap and len(env._tap_readers) == 1 and type(env._tap_readers[0]) is MaskAudit:
        return env._tapped_env, env._tap_readers[0]
    return env, None
