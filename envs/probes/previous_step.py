"""Is a reward credited to the step before, discounted once?

Two steps. At the start nothing is paid; the second step pays 1 if the first action was 1, whatever the second is. The
second observation tells which one it was. With gamma = 0.5 the best policy plays 1 first: V(start) = gamma = 0.5,
V(after 1) = 1, V(after 0) = 0. Uniform legal play returns 1/2, the best 1.
"""

from __future__ import annotations

from parity_envs.probes.env import ProbeEnv, ppo, probe_task, state

from parity.probes.claims import ActionIsCertain, Probe, Symptom, ValueIs

GAMMA = 0.5


class PreviousStep(ProbeEnv):
    n_seen, n_actions = 3, 2

    def begin(self, start: int) -> None:
        self.seen = 0

    def act(self, action: int) -> tuple[float, bool, bool]:
        if self.seen == 0:
            self.seen = 1 + action
            return 0.0, False, False
        return float(self.seen == 2), True, False


task = probe_task(
    "previous-step",
    PreviousStep,
    uniform_legal=0.5,
    best=1.0,
    source="closed form: the first action decides",
    ppo=ppo(gamma=GAMMA),
    steps=2048,
    eval_episodes=20,
)

probe = Probe(
    task=task,
    asks="Is a reward credited to the step before, discounted once?",
    states={"the start": state(PreviousStep, 0), "after action 1": state(PreviousStep, 2)},
    claims=(
        ValueIs(
            "after action 1",
            1.0,
            0.1,
            (
                Symptom(GAMMA, "the environment discounts its rewards, or pays a part"),
                Symptom(0.0, "the reward of an episode's last step is lost, or comes a step late"),
            ),
        ),
        ActionIsCertain(
            "the start",
            1,
            (Symptom(0.5, "the reward does not reach the action before: gamma is 0, or the episode is cut there"),),
        ),
        ValueIs(
            "the start",
            GAMMA,
            0.1,
            (
                Symptom(1.0, "nothing is discounted, or nearly so: gamma is another one (RLlib's default is 0.99)"),
                Symptom(GAMMA**2, "rewards are discounted twice: in the environment and again by GAE"),
                Symptom(0.0, "the reward does not reach the step before: gamma is 0, or the episode is cut there"),
            ),
        ),
    ),
)
