"""Makes environments repeatable that draw random numbers from elsewhere than their own ``np_random``."""

from __future__ import annotations

import contextlib
import copy
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium
import numpy as np
from numpy.random import bit_generator

_NUMPY: Any = bit_generator


class Repeatable(gymnasium.Wrapper):
    """An environment whose episodes follow from ``reset(seed=...)``, wherever it draws its random numbers from.

    While ``reset`` or ``step`` run, this environment has the global generators of Python and NumPy, and those of its spaces,
    for itself: what others draw does not change its episodes, and what it draws changes nothing for others. A generator of
    NumPy's that it makes without a seed meanwhile (``np.random.default_rng(None)``) follows from the last seed too, and so
    does an episode that begins without a seed. Everybody else sees copies of the spaces.

    Args:
        env: the environment, or what makes it: a class or function without arguments. Where its constructor draws something (an
            instance, a map), give what makes it: it is then made anew at every reset with a seed, and that follows from the
            seed as well.
    """

    def __init__(self, env: gymnasium.Env | Callable[[], gymnasium.Env]) -> None:
        self._make: Callable[[], gymnasium.Env] | None = None if isinstance(env, gymnasium.Env) else env
        self._python: Any = None
        self._numpy: Any = None
        self._space_seeds: list[int] = []
        self._choose_generators(int(np.random.SeedSequence().generate_state(1)[0]))
        super().__init__(env if isinstance(env, gymnasium.Env) else self._made())
        self._seed_spaces()
        self.action_space = copy.deepcopy(self.env.action_space)
        self.observation_space = copy.deepcopy(self.env.observation_space)

    def _choose_generators(self, seed: int) -> None:
        """Streams of one seed."""
        python, numpy, *self._space_seeds = (int(n) for n in np.random.SeedSequence(seed).generate_state(4))
        self._python, self._numpy = random.Random(python).getstate(), np.random.RandomState(numpy).get_state()

    def _seed_spaces(self) -> None:
        """The spaces of the innermost environment are those that it samples from."""
        inner = self.env.unwrapped
        for name, stream in zip(("observation_space", "action_space"), self._space_seeds, strict=True):
            with contextlib.suppress(AttributeError):  # a property: its owner makes it
                # Its own: spaces that a class holds are shared by all of its environments.
                setattr(inner, name, copy.deepcopy(getattr(inner, name)))
            getattr(inner, name).seed(stream)

    def _made(self) -> gymnasium.Env:
        assert self._make is not None
        with self._own_generators():
            return self._make()

    @contextmanager
    def _own_generators(self) -> Iterator[None]:
        python, numpy, entropy = random.getstate(), np.random.get_state(), _NUMPY.randbits
        random.setstate(self._python)
        np.random.set_state(self._numpy)
        # Where NumPy takes the entropy of generators without a seed from (bit_generator.pyx, SeedSequence).
        _NUMPY.randbits = random.getrandbits
        try:
            yield
        finally:
            self._python, self._numpy = random.getstate(), np.random.get_state()
            random.setstate(python)
            np.random.set_state(numpy)
            _NUMPY.randbits = entropy

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        if seed is not None:
            self._choose_generators(seed)
            if self._make is not None:
                self.env.close()
                self.env = self._made()
            self._seed_spaces()
        with self._own_generators():
            # Many environments make themselves a new generator where they are given no seed.
            return self.env.reset(seed=random.getrandbits(31) if seed is None else seed, options=options)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        with self._own_generators():
            return self.env.step(action)
