"""CartPole-v1 with a mask of ones: what masking must leave as it is."""

from __future__ import annotations

import gymnasium
from parity_envs.by_id import EverythingLegal
from parity_envs.mlp import MlpNetwork

from parity import PPOParams, Task


def make_env() -> gymnasium.Env:
    return EverythingLegal(gymnasium.make("CartPole-v1", disable_env_checker=True))


cartpole = Task(
    id="cartpole",
    env=make_env,
    network=MlpNetwork,
    ppo=PPOParams(n_envs=8, n_steps=128, batch_size=256, n_epochs=10, learning_rate=5e-4, gamma=0.98, gae_lambda=0.9),
    steps=40_960,
    eval_every=5_120,
    eval_episodes=20,
    reference={
        "uniform_legal": 22.2,
        "best": 500.0,
        "source": "results/reference/single_agent.json (benchmarks/single_agent_reference.py)",
    },
)
