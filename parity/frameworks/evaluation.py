"""The evaluator of every framework: each plays the same environment seeds, masked, and every decision is counted."""

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
# Longer episodes count as endless.
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

    Every slot plays a fixed share of the seeds to the end. If whichever slot is free took the next seed, short episodes
    would be favoured: stable_baselines3.common.evaluation (``evaluate_policy``) describes this bias.

    Args:
        eval_runner: plays the policy; its ``counts`` are set to zero before.
        episodes: number of episodes.
        deterministic: whether each action is the most probable one instead of a sampled one.
        first_seed: seed of the first episode and of the sampled actions.

    Raises:
        CannotStart: an episode does not end.
    """
    eval_runner.counts = MaskCounts()
    eval_runner.seed_policy(first_seed)
    returns = np.zeros(episodes)
    lengths = np.zeros(episodes, dtype=np.int64)
    returns_of_others = {agent: np.zeros(episodes) for agent in eval_runner.others}
    episode_of = {slot: slot for slot in range(min(eval_runner.slots, episodes))}
    for slot, episode in episode_of.items():
        eval_runner.reset(slot, first_seed + episode)
    while episode_of:
        slots = list(episode_of)
        for slot, (reward, done) in zip(slots, eval_runner.step(slots, deterministic), strict=True):
            episode = episode_of[slot]
            returns[episode] += reward
            lengths[episode] += 1
            for agent, reward_of_other in eval_runner.rewards_of_others(slot).items():
                returns_of_others[agent][episode] += reward_of_other
            next_episode = episode + eval_runner.slots
            if done and next_episode < episodes:
                eval_runner.reset(slot, first_seed + next_episode)
                episode_of[slot] = next_episode
            elif done:
                del episode_of[slot]
            elif lengths[episode] >= MAX_EPISODE_STEPS:
                raise CannotStart(
                    f"No end after {MAX_EPISODE_STEPS} steps of an evaluated episode; add a TimeLimit wrapper to the "
                    "environment."
                )
    return Evaluation(
        returns, lengths, eval_runner.counts, {str(agent): earned for agent, earned in returns_of_others.items()}
    )
