"""Is lambda the one that was asked for?

Lambda is a trade of bias for variance and leaves the values of a table where they are, unless one entry stands for two
states. Here two steps look the same. Each pays 1 for action 1 and nothing for action 0, the first 2 on top, the second 2
less. Under the best policy (always 1) the rewards are 3 and -1, and the value v of the one observation is the mean of its
two targets, 3 + gamma ((1 - lambda) v - lambda) and -1:

    v = (2 - gamma lambda) / (2 - gamma (1 - lambda))

With lambda = 1/2 it is 1 for every gamma. With lambda = 1, RLlib's default, it is 0.55 at gamma = 0.9, with lambda = 0
it is 1.82. Uniform legal play returns 1, the best 2.
"""

from __future__ import annotations

from parity_envs.probes.env import ProbeEnv, ppo, probe_task, state

from parity.probes.claims import ActionIsCertain, Probe, Symptom, ValueIs

GAMMA, LAMBDA = 0.9, 0.5


def value(lambda_: float) -> float:
    """v above."""
    return (2 - GAMMA * lambda_) / (2 - GAMMA * (1 - lambda_))


class TwoStepsLookTheSame(ProbeEnv):
    n_seen, n_actions = 1, 2

    def begin(self, start: int) -> None:
        self.is_second = False

    def act(self, action: int) -> tuple[float, bool, bool]:
        if self.is_second:
            return float(action) - 2.0, True, False
        self.is_second = True
        return float(action) + 2.0, False, False


task = probe_task(
    "lambda",
    TwoStepsLookTheSame,
    uniform_legal=1.0,
    best=2.0,
    source="closed form: 2 * 1/2 and 2 * 1",
    ppo=ppo(gamma=GAMMA, gae_lambda=LAMBDA),
    steps=3072,
    eval_episodes=20,
)

probe = Probe(
    task=task,
    asks="Is lambda the one that was asked for?",
    states={"both steps": state(TwoStepsLookTheSame, 0)},
    claims=(
        ActionIsCertain("both steps", 1),
        ValueIs(
            "both steps",
            value(LAMBDA),
            0.2,
            (
                Symptom(value(1.0), "lambda is another one: 1 is RLlib's default, 0.95 SB3's"),
                Symptom(value(0.0), "lambda is 0, or each step is an episode of its own"),
            ),
        ),
    ),
)
