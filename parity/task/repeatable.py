"""Makes environments repeatable that draw random numbers from elsewhere than their own ``np_random``."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium
import numpy as np


class Repeatable(gymnasium.Wrapper):
    """An environment whose episodes follow from ``reset(seed=...)`` although it draws from global generators or its spaces.

    While ``reset`` or ``step`` run, this environment has the global generators of Python and NumPy, and those of its spaces,
    for itself: what others draw does not change its episodes, and what it draws changes nothing for others. Everybody else
    sees copies of the spaces.

    Args:
        env: the environment. Its own ``np_random`` is left alone: ``reset(seed=...)`` seeds it already.
    """

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        self.action_space = copy.deepcopy(env.action_space)
        self.observation_space = copy.deepcopy(env.observation_space)
        self._python: Any = None
        self._numpy: Any = None
        self._seed_generators(int(np.random.SeedSequence().generate_state(1)[0]))

    def _seed_generators(self, seed: int) -> None:
        """Three streams of one seed; the spaces of the innermost environment are those that it samples from."""
        python, numpy, *of_spaces = (int(n) for n in np.random.SeedSequence(seed).generate_state(4))
        self._python, self._numpy = random.Random(python).getstate(), np.random.RandomState(numpy).get_state()
        inner = self.env.unwrapped
        for space, stream in zip((inner.observation_space, inner.action_space), of_spaces, strict=True):
            space.seed(stream)

    @contextmanager
    def _own_generators(self) -> Iterator[None]:
        python, numpy = random.getstate(), np.random.get_state()
        random.setstate(self._python)
        np.random.set_state(self._numpy)
        try:
            yield
        finally:
            self._python, self._numpy = random.getstate(), np.random.get_state()
            random.setstate(python)
            np.random.set_state(numpy)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        if seed is not None:
            self._seed_generators(seed)
        with self._own_generators():
            return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        with self._own_generators():
            return self.env.step(action)
