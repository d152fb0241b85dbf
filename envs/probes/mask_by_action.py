"""Is the mask that of the state in which the policy acts?

Two steps, two observations. At the start {0, 1} is legal and nothing is paid; action 0 leads to a state with {0, 1} legal,
action 1 to one with {0, 2} legal, which looks the same. There, 1 pays 1, 2 pays 3, and 0 nothing. An illegal action pays 6
and does what 0 does.

The best policy plays 1, then 2 (or 1 where it may): V(start) = gamma * 3 = 2.7, V(after) = 3. Uniform legal play returns
(1/2 + 3/2) / 2 = 1, the best 3.
"""

from __future__ import annotations

from parity_envs.probes.env import ProbeEnv, legal, probe_task, state

from parity.probes.claims import ActionIsCertain, Probe, ValueIs

BAIT = 6.0


class MaskByAction(ProbeEnv):
    n_seen, n_actions = 2, 3

    def begin(self, start: int) -> None:
        self.seen, self.mask = 0, legal(3, 0, 1)

    def act(self, action: int) -> tuple[float, bool, bool]:
        bait = 0.0 if self.mask[action] else BAIT
        if self.seen == 0:
            self.seen = 1
            self.mask = legal(3, 0, 2) if action == 1 else legal(3, 0, 1)
            return bait, False, False
        return bait or (0.0, 1.0, 3.0)[action], True, False


task = probe_task(
    "mask-by-action",
    MaskByAction,
    uniform_legal=1.0,
    best=3.0,
    source="closed form: (1/2 + 3/2) / 2 and 3",
    steps=2048,
    eval_episodes=20,
)

_LATE = "the mask is that of another state: of the step before, or of another row"

probe = Probe(
    task=task,
    asks="Is the mask that of the state in which the policy acts?",
    states={
        "the start": state(MaskByAction, 0, 0, 1),
        "after action 1": state(MaskByAction, 1, 0, 2),
    },
    claims=(
        ActionIsCertain("the start", 1),
        ActionIsCertain("after action 1", 2, otherwise=_LATE),
        ValueIs("after action 1", 3.0, 0.3, otherwise=_LATE),
        ValueIs("the start", 2.7, 0.3, otherwise=_LATE),
    ),
)
