"""Gymnasium's Taxi-v3: deterministic, 500 states, a time limit of 200 steps, its mask in ``info["action_mask"]``."""

from __future__ import annotations

from functools import partial

import gymnasium
from parity_envs.taxi.network import TaxiNetwork

from parity import PPOParams, Task

taxi = Task(
    id="taxi",
    env=partial(gymnasium.make, "Taxi-v3", disable_env_checker=True),
    network=TaxiNetwork,
    # At a learning rate of 2e-3 and without the entropy term, a run settled on never delivering.
    ppo=PPOParams(n_envs=8, n_steps=128, batch_size=128, n_epochs=8, learning_rate=1e-3, ent_coef=0.02),
    steps=98_304,
    eval_every=12_288,
    eval_episodes=50,
    reference={
        "uniform_legal": -186.18,
        "best": 7.93,
        "source": "results/reference/single_agent.json (benchmarks/single_agent_reference.py)",
    },
)
