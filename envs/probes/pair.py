"""Two agents that act at the same time: the environment, and its single-agent form for SB3."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from parity_envs.probes.env import ProbeEnv

LEARNER, PARTNER = "learner", "partner"


class PairEnv(ProbeEnv):
    """As a ``ProbeEnv`` it is the single-agent form: the learner acts, the partner plays ``fixed``.

    ``partner_seen`` and ``partner_mask`` are to the partner what ``seen`` and ``mask`` are to the learner.
    """

    n_partner_seen: ClassVar[int]
    n_partner_actions: ClassVar[int]

    def __init__(self) -> None:
        super().__init__()
        self.partner_seen = 0
        self.partner_mask = np.ones(self.n_partner_actions, bool)

    def fixed(self) -> int:
        """The partner's action in the single-agent form: that of its best policy."""
        raise NotImplementedError

    def act_together(self, action: int, partner_action: int) -> tuple[float, float, bool, bool]:
        """One step of both: reward of the learner, reward of the partner, terminated, truncated."""
        raise NotImplementedError

    def act(self, action: int) -> tuple[float, bool, bool]:
        reward, _, terminated, truncated = self.act_together(action, self.fixed())
        return reward, terminated, truncated
