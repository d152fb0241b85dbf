"""The problem: pay an amount exactly, with as few coins as possible. Replace it by yours.

Greedy play is not best here: 8 is 4 + 4, not 6 + 1 + 1.
"""

from collections.abc import Callable
from statistics import mean
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

COINS = np.array([1, 4, 6, 9])
MOST = 30


class CoinsEnv(gymnasium.Env):
    """An episode pays one amount, uniform over 1 .. ``MOST``; every coin costs 1. This is what MaskablePPO trains on.

    Observation: ``left``, the amount that is not yet paid. Action: the index of a coin, which must not exceed it.
    """

    # For an entry that is an image: uint8, channels first. Nothing is scaled or one-hot here, the network does that.
    observation_space = spaces.Dict({"left": spaces.Discrete(MOST + 1)})
    action_space = spaces.Discrete(len(COINS))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict, dict]:
        super().reset(seed=seed)
        # Every random number comes from self.np_random: parity plays both frameworks from the same seeds.
        self.left = int(self.np_random.integers(1, MOST + 1))
        return {"left": self.left}, {}

    def step(self, action: int) -> tuple[dict, float, bool, bool, dict]:
        if not self.action_masks()[action]:
            # A port that lets an illegal action through should not get far.
            raise ValueError(f"coin {COINS[action]} is more than the {self.left} that are left")
        self.left -= int(COINS[action])
        # terminated: the problem is over. truncated: a time limit cut it, and what lies behind still has a value.
        terminated, truncated = self.left == 0, False
        return {"left": self.left}, -1.0, terminated, truncated, {}

    def action_masks(self) -> np.ndarray:
        """Bool ``[4]``, the coins that may be paid now."""
        if self.left == 0:
            # Never all False, not even where nobody acts: RLlib's learner runs the module on last observations too.
            return np.ones(len(COINS), dtype=bool)
        return self.left >= COINS


def mean_return(choose: Callable[[list[float]], float]) -> float:
    """Exact mean return; ``choose`` makes one number of what the legal coins lead to: ``mean`` plays them uniformly,
    ``min`` plays the best one."""
    coins_needed = [0.0]
    for amount in range(1, MOST + 1):
        coins_needed.append(1 + choose([coins_needed[amount - coin] for coin in COINS if coin <= amount]))
    return -mean(coins_needed[1:])
