"""Does a mask that leaves a single action keep that decision out of the policy's gradient?

Two steps that look the same; only the mask tells them apart. At the first {0} is legal and pays 5; at the second {0, 1} is
legal, 1 pays 1 and 0 nothing. A forced decision has probability 1 whatever the logits are, so its gradient is 0, and the
best policy plays 1 where it may.

Without the mask in training, the large reward of forced decisions pushes action 0 everywhere. With gamma = 0 the value,
which does not see the mask, is V = (5 + 1) / 2 = 3 under the best policy, and the advantages are +2 (forced), -3 and -2
(free, 0 and 1): the expected gradient of the logit difference changes its sign, as 2 > 1. Uniform legal play returns
5 + 1/2, the best 6.
"""

from __future__ import annotations

from parity_envs.probes.env import ProbeEnv, legal, ppo, probe_task, state

from parity.probes.claims import ActionIsCertain, Probe, Symptom


class Forced(ProbeEnv):
    n_seen, n_actions = 1, 2

    def begin(self, start: int) -> None:
        self.mask = legal(2, 0)

    def act(self, action: int) -> tuple[float, bool, bool]:
        if self.mask[1]:
            return float(action), True, False
        self.mask = legal(2, 0, 1)
        return 5.0 * (action == 0), False, False


task = probe_task(
    "forced",
    Forced,
    uniform_legal=5.5,
    best=6.0,
    source="closed form: 5 + 1/2 and 5 + 1",
    ppo=ppo(gamma=0.0),
    steps=2048,
    eval_episodes=20,
)

probe = Probe(
    task=task,
    asks="Does a mask that leaves a single action keep that decision out of the policy's gradient?",
    states={"{0} legal": state(Forced, 0, 0), "both legal": state(Forced, 0)},
    claims=(
        ActionIsCertain("{0} legal", 0, (Symptom(0.5, "the mask is left out when sampling"),)),
        ActionIsCertain(
            "both legal",
            1,
            (Symptom(0.0, "decisions without a choice move the policy: the mask is left out in training"),),
        ),
    ),
)
