"""Does a policy learn from what another agent did?

Two steps, two agents. The partner sees a number c in {0, 1}, equally likely, and plays it; its policy is fixed. After the
first step the learner sees the partner's action, nothing else tells c, and its second action pays 1 if it is the same. The
partner is paid the opposite, so rewards that reach the wrong agent teach the opposite.

The best policy plays what it sees: V(c) = 1 for both, V(start) = gamma = 0.9; the first action changes nothing. Uniform
legal play returns 1/2, the best 1. In the single-agent form the partner is part of the environment and plays the same.
"""

from __future__ import annotations

from typing import Any

from parity_envs.probes.env import state
from parity_envs.probes.pair import LEARNER, PARTNER, PairEnv
from parity_envs.probes.pair_task import pair_task

from parity.probes.claims import ActionIsCertain, Probe, Symptom, ValueIs


class OtherAgent(PairEnv):
    n_seen, n_actions, starts = 3, 2, 2
    n_partner_seen, n_partner_actions = 2, 2

    def begin(self, start: int) -> None:
        self.seen, self.partner_seen = 0, start

    def fixed(self) -> int:
        return self.partner_seen

    def act_together(self, action: int, partner_action: int) -> tuple[float, float, bool, bool]:
        if self.seen == 0:
            self.seen = 1 + partner_action
            return 0.0, 0.0, False, False
        reward = float(action == self.seen - 1)
        return reward, -reward, True, False


def fix_partner(config: Any) -> Any:
    """Gives the partner its fixed policy and trains the learner alone."""
    from parity_envs.probes.pair_together import PlaysWhatItSees
    from ray.rllib.core.rl_module.rl_module import RLModuleSpec

    modules = config.rl_module_spec
    modules.add_modules({PARTNER: RLModuleSpec(module_class=PlaysWhatItSees)})
    return config.rl_module(rl_module_spec=modules).multi_agent(policies_to_train=[LEARNER])


task = pair_task(
    "other-agent",
    OtherAgent,
    uniform_legal=0.5,
    best=1.0,
    source="closed form: one of two actions is right",
    steps=2048,
    eval_episodes=40,
    rllib_config=fix_partner,
)

_UNSEEN = "the learner does not see the partner's action, or its rewards are not for that"
_WRONG = Symptom(0.0, "the learner is taught with the partner's reward, or with the wrong sign")

probe = Probe(
    task=task,
    asks="Does a policy learn from what another agent did?",
    states={
        "the start": state(OtherAgent, 0),
        "the partner played 0": state(OtherAgent, 1),
        "the partner played 1": state(OtherAgent, 2),
    },
    claims=(
        ActionIsCertain("the partner played 0", 0, (_WRONG,), _UNSEEN),
        ActionIsCertain("the partner played 1", 1, (_WRONG,), _UNSEEN),
        ValueIs("the partner played 0", 1.0, 0.15),
        ValueIs("the partner played 1", 1.0, 0.15),
        ValueIs("the start", 0.9, 0.15),
    ),
)
