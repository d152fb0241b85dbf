"""Samples many times, a few steps each: a callback may leave the first rollout alone and change rewards or levels later on.

What is sampled is counted by callbacks (``on_sample_end``, ``on_episode_start``); environment steps in the ten thousands are
not seen here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.utils import force_list

from parity.capture.rllib.repetition import FirstCalls, first_difference
from parity.frameworks.rllib.config import Port
from parity.frameworks.rllib.env_tap import Call, EnvReader, tap_sub_environments
from parity.frameworks.rllib.eval_runner import make_env_runner, make_played_env
from parity.results.capture import LaterSamples

SAMPLES = 40
STEPS = 8  # of each sub-environment in a sample
SUB_ENVIRONMENTS = 2
# Samples that have to be as the environment had them, before a later one that is not is put down to a callback.
AS_IT_WAS = 2
TOLERANCE = 1e-4
# Of the largest reward of a step and sub-environment.
HELD_BACK = 2.0
WHILE_SAMPLING = ("on_episode_created", "on_episode_start", "on_episode_step", "on_episode_end", "on_sample_end")


def has_own(config: Any) -> bool:
    """Whether the port brings a callback that is called while env runners sample."""
    classes = force_list(config.callbacks_class)
    return any(
        getattr(config, f"callbacks_{name}", None) is not None
        or any(getattr(each, name, None) is not getattr(RLlibCallback, name) for each in classes)
        for name in WHILE_SAMPLING
    )


def later_samples(port: Port) -> LaterSamples:
    """Plays, and makes the first sub-environment's calls once more on a new environment that no callback has seen."""
    config = port.config.copy(copy_frozen=False)
    config.rollout_fragment_length = STEPS
    runner = make_env_runner(config, min(SUB_ENVIRONMENTS, config.num_envs_per_env_runner))
    paid, calls = _Paid(), FirstCalls(most=SAMPLES * STEPS * 2)
    tap_sub_environments(runner, lambda index, _: [paid, calls] if index == 0 else [paid])
    result = LaterSamples(samples=SAMPLES)
    given, stored = [], []
    try:
        for _ in range(SAMPLES):
            before = paid.total
            episodes = runner.sample(num_timesteps=STEPS * runner.num_envs)
            stored.append(sum(float(np.sum(each.get_return())) for each in episodes))
            given.append(paid.total - before)
    finally:
        runner.stop()
    result.rewards = _other_rewards(np.array(given), np.array(stored), HELD_BACK * paid.largest * runner.num_envs)
    result.plays_otherwise = first_difference(make_played_env(port.config), calls.calls)
    return result


def _other_rewards(given: np.ndarray, stored: np.ndarray, held_back: float) -> str | None:
    """Where episodes first hold another sum than the environment paid in a sample; None if the sums stay together.

    Args:
        given, stored: float64 ``[samples]``.
        held_back: how far sums may be off for a while: RLlib keeps what agents are paid between their turns for later.
    """
    off = stored - given
    other = np.flatnonzero(np.abs(off) > TOLERANCE * np.maximum(1.0, np.abs(given)))
    # What is other from the first sample on the rollout's rung sees.
    if not len(other) or other[0] < AS_IT_WAS or abs(off.sum()) <= held_back:
        return None
    first = int(other[0])
    return f"sample {first + 1}: the environment paid {given[first]:.4g}, the episodes hold {stored[first]:.4g}"


class _Paid(EnvReader):
    """What the environments have paid all agents so far, and the most in one step."""

    def __init__(self) -> None:
        self.total = self.largest = 0.0

    def after(self, call: Call) -> None:
        if call.method == "step":
            rewards = [float(reward) for reward in call.result[1].values()]
            self.total += sum(rewards)
            self.largest = max(self.largest, sum(map(abs, rewards)))
