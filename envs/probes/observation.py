"""Do policy and value see the observation of their own decision?

One step, two observations x in {0, 1}, equally likely, x paid for being there. Action x pays 1 on top, the other nothing.
The best policy plays x: V(x) = 1 + x. Who does not see x has no reason to prefer an action. Uniform legal play returns
1/2 + 1/2 = 1, the best 1 + 1/2 = 1.5.
"""

from __future__ import annotations

from parity_envs.probes.env import ProbeEnv, probe_task, state

from parity.probes.claims import ActionIsCertain, Probe, Symptom, ValueIs


class Observation(ProbeEnv):
    n_seen, n_actions, starts = 2, 2, 2

    def begin(self, start: int) -> None:
        self.seen = start

    def act(self, action: int) -> tuple[float, bool, bool]:
        return float(self.seen) + (action == self.seen), True, False


task = probe_task(
    "observation",
    Observation,
    uniform_legal=1.0,
    best=1.5,
    source="closed form: 1/2 + 1/2 and 1 + 1/2",
    steps=1536,
    eval_episodes=200,
)

_NOT_TAUGHT = (
    "the policy is not taught: advantages are 0 or of other decisions, or its observations are not those it is paid for"
)
_REVERSED = Symptom(0.0, "the policy is taught the opposite: the sign of advantages or rewards is wrong")
_BLIND = "the value does not see the observation, or that of another step"

probe = Probe(
    task=task,
    asks="Do policy and value see the observation of their own decision?",
    states={"x = 0": state(Observation, 0), "x = 1": state(Observation, 1)},
    claims=(
        ActionIsCertain("x = 0", 0, (_REVERSED,), _NOT_TAUGHT),
        ActionIsCertain("x = 1", 1, (_REVERSED,), _NOT_TAUGHT),
        ValueIs("x = 0", 1.0, 0.15, (Symptom(1.5, _BLIND),)),
        ValueIs("x = 1", 2.0, 0.2, (Symptom(1.5, _BLIND),)),
    ),
)
