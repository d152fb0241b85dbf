"""Do two agents that share a reward both learn, each with its own observation and mask?

One step. The learner sees x in {0, 1}, the partner y in {0, 1}, all four pairs equally likely. The learner's actions {0, 1}
are legal and x is right, the partner's {1, 2} are and y + 1 is right. Both are paid 1 if both are right, else nothing.

Playing right is best whatever the other does, so both learn it: V(x) = 1. While the partner plays at random V(x) is 1/2.
In the single-agent form the partner is part of the environment and plays right from the beginning: uniform legal play
returns 1/2, the best 1.
"""

from __future__ import annotations

from parity_envs.probes.env import legal, state
from parity_envs.probes.pair import PairEnv
from parity_envs.probes.pair_task import pair_task

from parity.probes.claims import ActionIsCertain, Probe, Symptom, ValueIs


class Cooperative(PairEnv):
    n_seen, n_actions, starts = 2, 3, 4
    n_partner_seen, n_partner_actions = 2, 3

    def begin(self, start: int) -> None:
        self.seen, self.partner_seen = divmod(start, 2)
        self.mask, self.partner_mask = legal(3, 0, 1), legal(3, 1, 2)

    def fixed(self) -> int:
        return self.partner_seen + 1

    def act_together(self, action: int, partner_action: int) -> tuple[float, float, bool, bool]:
        reward = float(action == self.seen and partner_action == self.partner_seen + 1)
        return reward, reward, True, False


task = pair_task(
    "cooperative",
    Cooperative,
    uniform_legal=0.5,
    best=1.0,
    source="closed form, beside a partner that plays right",
    steps=3072,
    eval_episodes=40,
    declared={"PAR032": "the other agent learns too, and the reward depends on it"},
)

_NOT_OWN = "the learner's mask, observation or reward is not its own"
_MAY_NOT = Symptom(0.0, "the learner may not play what is right: its mask is not its own")
_ALONE = "the partner does not learn: it is not trained, or its reward, observation or mask is not its own"

probe = Probe(
    task=task,
    asks="Do two agents that share a reward both learn, each with its own observation and mask?",
    states={"x = 0": state(Cooperative, 0, 0, 1), "x = 1": state(Cooperative, 1, 0, 1)},
    claims=(
        ActionIsCertain("x = 0", 0, otherwise=_NOT_OWN),
        ActionIsCertain("x = 1", 1, otherwise=_NOT_OWN),
        ValueIs("x = 0", 1.0, 0.15, (_MAY_NOT,), _ALONE),
        ValueIs("x = 1", 1.0, 0.15, (_MAY_NOT,), _ALONE),
    ),
)
