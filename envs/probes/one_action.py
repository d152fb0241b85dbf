"""Is the value function trained at all?

One observation, one action, one step, reward 1, terminated. There is only one policy: V = 1, and uniform legal play returns
1 as the best does, so that a score has nothing to measure here; the value is the whole answer. A value that is bootstrapped
behind the end is 1 / (1 - gamma) = 2 with gamma = 1/2.
"""

from __future__ import annotations

from parity_envs.probes.env import ProbeEnv, ppo, probe_task, state

from parity.probes.claims import ActionIsCertain, Probe, Symptom, ValueIs


class OneAction(ProbeEnv):
    n_seen, n_actions = 1, 1

    def act(self, action: int) -> tuple[float, bool, bool]:
        return 1.0, True, False


task = probe_task(
    "one-action",
    OneAction,
    uniform_legal=1.0,
    best=1.0,
    source="closed form: there is one policy, and it is paid 1",
    ppo=ppo(gamma=0.5),
    steps=1024,
    eval_episodes=20,
)

probe = Probe(
    task=task,
    asks="Is the value function trained?",
    states={"the start": state(OneAction, 0)},
    claims=(
        ValueIs(
            "the start",
            1.0,
            0.1,
            (
                Symptom(0.0, "the value is not trained: its targets are 0, or its gradient does not arrive"),
                Symptom(2.0, "the end of the episode is bootstrapped: a termination is treated as truncation"),
            ),
        ),
        ActionIsCertain("the start", 0),
    ),
)
