"""Do two agents with opposite rewards reach the saddle point?

One step, nothing to see. The learner picks a row, the partner a column of

    0 2
    1 3

which the learner is paid and the partner pays. Row 1 is better in each column and column 0 cheaper in each row, so the
only equilibrium is (1, 0), in pure strategies, and its value 1: V = 1. While the partner plays at random V is 2. In the
single-agent form the partner plays column 0 from the beginning: uniform legal play returns 1/2, the best 1.
"""

from __future__ import annotations

from parity_envs.probes.env import state
from parity_envs.probes.pair import PairEnv
from parity_envs.probes.pair_task import pair_task

from parity.probes.claims import ActionIsCertain, Probe, Symptom, ValueIs

PAYS = ((0.0, 2.0), (1.0, 3.0))


class Competitive(PairEnv):
    n_seen, n_actions = 1, 2
    n_partner_seen, n_partner_actions = 1, 2

    def fixed(self) -> int:
        return 0

    def act_together(self, action: int, partner_action: int) -> tuple[float, float, bool, bool]:
        reward = PAYS[action][partner_action]
        return reward, -reward, True, False


task = pair_task(
    "competitive",
    Competitive,
    uniform_legal=0.5,
    best=1.0,
    source="closed form, against column 0",
    steps=2048,
    eval_episodes=20,
    declared={"PAR032": "the other agent learns too, and the reward depends on it"},
)

probe = Probe(
    task=task,
    asks="Do two agents with opposite rewards reach the saddle point?",
    states={"the start": state(Competitive, 0)},
    claims=(
        ActionIsCertain("the start", 1, (Symptom(0.0, "the learner is taught with the partner's reward"),)),
        ValueIs(
            "the start",
            1.0,
            0.15,
            (Symptom(3.0, "the partner is taught with the learner's reward"),),
            otherwise="the partner does not learn: it is not trained, or does not pay what the learner is paid",
        ),
    ),
)
