"""What the environments gave and received, written down beside what the collector stores."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from parity.task.masks import MaskedEnv


class Recording:
    """All decisions, by sub-environment; wraps ``reset`` and ``step`` on the instances.

    Attributes:
        moves: per environment, in time order: ``observation``, ``mask``, ``action``, ``reward``, ``terminated``,
            ``truncated``, ``after`` (what followed), ``episode``, ``step``.
        seeds: per environment, what each ``reset`` before an episode was given.
    """

    def __init__(self) -> None:
        self.moves: list[list[dict[str, Any]]] = []
        self.seeds: list[list[int | None]] = []

    def attach(self, envs: list[MaskedEnv]) -> None:
        for env in envs:
            self._attach(env)

    def _attach(self, env: MaskedEnv) -> None:
        moves: list[dict[str, Any]] = []
        seeds: list[int | None] = []
        self.moves.append(moves)
        self.seeds.append(seeds)
        reset, step = env.reset, env.step
        now: dict[str, Any] = {"step": 0, "fresh": False}

        def recorded_reset(*, seed: int | None = None, options: Any = None) -> Any:
            observation, info = reset(seed=seed, options=options)
            if now["fresh"]:
                # Nothing was played since the last one: TorchRL looks at its environments several times before it starts.
                seeds.pop()
            seeds.append(seed)
            now.update(observation=copy.deepcopy(observation), step=0, fresh=True)
            return observation, info

        def recorded_step(action: Any) -> Any:
            mask = env.action_masks().copy()
            observation, reward, terminated, truncated, info = step(action)
            after = copy.deepcopy(observation)
            moves.append(
                {"observation": now["observation"], "mask": mask, "action": np.array(action), "reward": float(reward)}
                | {"terminated": bool(terminated), "truncated": bool(truncated) and not terminated, "after": after}
                | {"episode": len(seeds) - 1, "step": now["step"]}
            )
            now.update(observation=after, step=now["step"] + 1, fresh=False)
            return observation, reward, terminated, truncated, info

        env.reset, env.step = recorded_reset, recorded_step  # type: ignore[method-assign]
