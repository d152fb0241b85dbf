"""Does the policy act under the mask that the environment shows?

One step, one observation; only the mask tells two situations apart, equally likely. With actions {0, 1} legal, 1 pays 1;
with {0, 1, 2} legal, 2 pays 2 and 1 pays 1; 0 pays nothing. Where it is illegal, action 2 pays 5: whoever overlooks the
mask takes the bait.

The best policy plays the largest legal action. The value does not see the mask: V = (1 + 2) / 2 = 1.5. Uniform legal play
returns (1/2 + 1) / 2 = 0.75, the best 1.5.
"""

from __future__ import annotations

from parity_envs.probes.env import ProbeEnv, legal, probe_task, state

from parity.probes.claims import ActionIsCertain, Probe, Symptom, ValueIs

BAIT = 5.0


class Mask(ProbeEnv):
    n_seen, n_actions, starts = 1, 3, 2

    def begin(self, start: int) -> None:
        self.mask = legal(3, 0, 1) if start == 0 else legal(3, 0, 1, 2)

    def act(self, action: int) -> tuple[float, bool, bool]:
        return float(action) if self.mask[action] else BAIT, True, False


task = probe_task(
    "mask",
    Mask,
    uniform_legal=0.75,
    best=1.5,
    source="closed form: (1/2 + 1) / 2 and (1 + 2) / 2",
    steps=2560,
    eval_episodes=100,
)

_BAIT = (
    "the policy plays what the environment forbids, which pays 5 here: the mask is left out or another's when sampling"
)

probe = Probe(
    task=task,
    asks="Does the policy act under the mask that the environment shows?",
    states={"{0, 1} legal": state(Mask, 0, 0, 1), "all legal": state(Mask, 0)},
    claims=(
        ActionIsCertain("{0, 1} legal", 1, (Symptom(0.0, _BAIT), Symptom(0.5, _BAIT))),
        ActionIsCertain("all legal", 2),
        ValueIs("all legal", 1.5, 0.2, (Symptom((BAIT + 2.0) / 2, _BAIT), Symptom(1.0, "action 2 is never legal"))),
    ),
)
