"""The one evaluator: both frameworks play the same environment seeds, masked, and every decision is counted."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from parity.errors import CannotStart
from parity.task.masks import MaskCounts

if TYPE_CHECKING:
    from parity.frameworks.base import EvalRunner

# Far from the training seeds (0 .. a few thousand times SEED_STRIDE), the same in every study.
FIRST_EVALUATION_SEED = 1_000_000_000
# Episodes played side by side: enough to amortise a forward pass, few enough that building environments stays cheap.
SLOTS = 20
# A policy may play on for ever; a score needs an end.
MAX_EPISODE_STEPS = 100_000


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Finished episodes of one policy.

    Attributes:
        returns: float64 ``[episodes]``, undiscounted, of the learning agent only, in order of the environment seed.
        lengths: int64 ``[episodes]``, environment steps.
        masks: decisions of every agent in these episodes.
        others: returns, as ``returns``, of each other agent that has a choice.
    """

    returns: np.ndarray
    lengths: np.ndarray
    masks: MaskCounts
    others: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)


def evaluate(
    eval_runner: EvalRunner, episodes: int, deterministic: bool, first_seed: int = FIRST_EVALUATION_SEED
) -> Evaluation:
    """Plays ``episodes`` whole episodes, the k-th from environment seed ``first_seed + k``.

    Every slot plays a fixed share of the seeds to the end, so that short episodes are not favoured (the bias that
    stable_baselines3.common.evaluation describes for vectorised environments).

    Raises:
        CannotStart: an episode does not end.
    """
    eval_runner.counts = MaskCounts()
    eval_runner.seed_policy(first_seed)
    returns = np.zeros(episodes)
    lengths = np.zeros(episodes, dtype=np.int64)
    others = {agent: np.zeros(episodes) for agent in eval_runner.others}
    playing: dict[int, int] = {}  # slot -> episode
    for slot in range(min(eval_runner.slots, episodes)):
        eval_runner.reset(slot, first_seed + slot)
        playing[slot] = slot
    while playing:
        slots = list(playing)
        for slot, (reward, done) in zip(slots, eval_runner.step(slots, deterministic), strict=True):
            episode = playing[slot]
            returns[episode] += reward
            lengths[episode] += 1
            for agent, earned in eval_runner.rewards_of_others(slot).items():
                others[agent][episode] += earned
            if not done and lengths[episode] >= MAX_EPISODE_STEPS:
                raise CannotStart(
                    f"No end after {MAX_EPISODE_STEPS} steps of an evaluated episode; add a TimeLimit wrapper to the "
                    "environment."
                )
            if done:
                following = episode + eval_runner.slots
                if following < episodes:
                    eval_runner.reset(slot, first_seed + following)
                    playing[slot] = following
                else:
                    del playing[slot]
    return Evaluation(returns, lengths, eval_runner.counts, {str(agent): earned for agent, earned in others.items()})
