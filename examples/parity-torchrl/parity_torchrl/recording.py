"""What the environments gave and received, written down beside what the collector stores."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from parity.capture.moves import Move
from parity.task.masks import MaskedEnv


class Recording:
    """All decisions, by sub-environment; wraps ``reset`` and ``step`` on the instances.

    Attributes:
        moves: per environment, in time order.
        seeds: per environment, what each ``reset`` before an episode was given.
    """

    def __init__(self, agent: str) -> None:
        self._agent = agent
        self.moves: list[list[Move]] = []
        self.seeds: list[list[int | None]] = []

    def attach(self, envs: list[MaskedEnv]) -> None:
        for env in envs:
            self._attach(env)

    def _attach(self, env: MaskedEnv) -> None:
        index, moves = len(self.moves), list[Move]()
        seeds: list[int | None] = []
        self.moves.append(moves)
        self.seeds.append(seeds)
        reset, step, agent = env.reset, env.step, self._agent
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
                Move(
                    index,
                    len(seeds) - 1,
                    agent,
                    now["step"],
                    now["observation"],
                    mask,
                    np.array(action),
                    float(reward),
                    bool(terminated),
                    bool(truncated) and not terminated,
                    after,
                )
            )
            now.update(observation=after, step=now["step"] + 1, fresh=False)
            return observation, reward, terminated, truncated, info

        env.reset, env.step = recorded_reset, recorded_step  # type: ignore[method-assign]
