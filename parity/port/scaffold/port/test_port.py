"""What every port must hold, run by `python -m pytest` in this folder."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from env import COINS, CoinsEnv
from port import AGENT, MASK, CoinsMultiAgentEnv, MaskedModule, task

HERE = Path(__file__).parent


def uniform_legal_play(env: CoinsEnv, episodes: int) -> Iterator[float]:
    """Plays legal actions only; the return of each episode."""
    rng = np.random.default_rng(0)
    for episode in range(episodes):
        env.reset(seed=episode)
        total, done = 0.0, False
        while not done:
            legal = np.flatnonzero(env.action_masks())
            _, reward, terminated, truncated, _ = env.step(int(rng.choice(legal)))
            total, done = total + reward, terminated or truncated
            assert env.action_masks().any(), "an empty mask"
        yield total


def test_uniform_legal_play_scores_what_the_reference_says() -> None:
    returns = np.array(list(uniform_legal_play(CoinsEnv(), episodes=1000)))
    standard_error = returns.std() / len(returns) ** 0.5
    assert task.reference is not None
    assert returns.mean() == pytest.approx(task.reference["uniform_legal"], abs=4 * standard_error)


def test_an_illegal_action_is_refused() -> None:
    env = CoinsEnv()
    env.reset(seed=0)
    env.left = 1
    with pytest.raises(ValueError, match="coin 4 is more than the 1"):
        env.step(1)


@pytest.mark.parametrize("forward", ["forward_exploration", "forward_inference", "forward_train"])
def test_no_forward_pass_gives_an_illegal_action_a_chance(forward: str) -> None:
    env = CoinsMultiAgentEnv()
    module = MaskedModule(observation_space=env.observation_spaces[AGENT], action_space=env.action_spaces[AGENT])
    left = torch.arange(1, 31)
    mask = (left[:, None] >= torch.from_numpy(COINS)).to(torch.int8)
    logits = getattr(module, forward)({"obs": {"left": left, MASK: mask}})["action_dist_inputs"]
    assert logits.softmax(dim=-1)[mask == 0].max() == 0


def test_the_port_computes_what_sb3_computes() -> None:
    """Every rung of `parity check`, in seconds and without training."""
    done = subprocess.run([sys.executable, "-m", "parity", "check"], cwd=HERE, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
