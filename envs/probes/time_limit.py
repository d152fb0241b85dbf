"""Is the value behind a time limit bootstrapped, and none behind an end?

One step, action 1 pays 1, action 0 nothing; two observations, equally likely. From "ends" the episode is terminated, from
"is cut" it is truncated, and what is seen then is the same observation again. Under the best policy V(ends) = 1 and
V(is cut) = 1 + gamma V(is cut) = 1 / (1 - gamma) = 4 with gamma = 3/4. Each rollout brings V(is cut) closer by gamma, 24
of them to 0.1 %. Uniform legal play returns 1/2, the best 1.
"""

from __future__ import annotations

from parity_envs.probes.env import ProbeEnv, ppo, probe_task, state

from parity.probes.claims import ActionIsCertain, Probe, Symptom, ValueIs

GAMMA = 0.75
BOOTSTRAPPED = 1 / (1 - GAMMA)


class TimeLimit(ProbeEnv):
    n_seen, n_actions, starts = 2, 2, 2

    def begin(self, start: int) -> None:
        self.seen = start

    def act(self, action: int) -> tuple[float, bool, bool]:
        return float(action), self.seen == 0, self.seen == 1


task = probe_task(
    "time-limit",
    TimeLimit,
    uniform_legal=0.5,
    best=1.0,
    source="closed form: one step, action 1 pays 1",
    ppo=ppo(gamma=GAMMA),
    steps=3072,
    eval_episodes=100,
)

probe = Probe(
    task=task,
    asks="Is the value behind a time limit bootstrapped, and none behind an end?",
    states={'"ends"': state(TimeLimit, 0), '"is cut"': state(TimeLimit, 1)},
    claims=(
        ActionIsCertain('"ends"', 1),
        ActionIsCertain('"is cut"', 1),
        ValueIs(
            '"is cut"',
            BOOTSTRAPPED,
            0.4,
            (
                Symptom(
                    1.0,
                    "truncation is treated as termination: nothing is bootstrapped behind a time limit (RLlib stores a "
                    'truncation of every agent by name so; give truncateds={"__all__": True})',
                ),
            ),
        ),
        ValueIs(
            '"ends"',
            1.0,
            0.15,
            (Symptom(BOOTSTRAPPED, "termination is treated as truncation: a value is bootstrapped behind the end"),),
        ),
    ),
)
