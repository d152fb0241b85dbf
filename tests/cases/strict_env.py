"""A turn-taking game for RLlib that refuses illegal actions, under a finished configuration as people bring it."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from ray.tune.registry import register_env

from parity import PPOParams, Task

CARDS = 6
SPACE = spaces.Dict(
    {"hand": spaces.Box(0, 1, (CARDS,), np.float32), "action_mask": spaces.Box(0, 1, (CARDS,), np.int8)}
)


class Hand:
    """Three cards of six; a card that is not there cannot be played."""

    def __init__(self, generator: np.random.Generator) -> None:
        self.cards = set(generator.permutation(CARDS)[:3].tolist())

    def shown(self) -> dict[str, np.ndarray]:
        hand = np.zeros(CARDS, np.float32)
        hand[list(self.cards)] = 1
        mask = hand.astype(np.int8) if self.cards else np.ones(CARDS, np.int8)
        return {"hand": hand, "action_mask": mask}

    def play(self, card: Any) -> float:
        self.cards.remove(int(card))
        return float(card) / CARDS


class Single(gymnasium.Env):
    observation_space = SPACE
    action_space = spaces.Discrete(CARDS)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.hand = Hand(self.np_random)
        return self.hand.shown(), {}

    def step(self, action: Any) -> Any:
        reward = self.hand.play(action)
        return self.hand.shown(), reward, not self.hand.cards, False, {}


class Table(MultiAgentEnv):
    """The same for RLlib."""

    def __init__(self, config: Any = None) -> None:
        super().__init__()
        self.possible_agents = self.agents = ["player"]
        self.observation_spaces, self.action_spaces = {"player": SPACE}, {"player": spaces.Discrete(CARDS)}
        self.generator = np.random.default_rng()
        self.worth = 1.0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        if seed is not None:
            self.generator = np.random.default_rng(np.random.SeedSequence(seed))
        self.hand = Hand(self.generator)
        return {"player": self.hand.shown()}, {}

    def step(self, actions: Any) -> Any:
        reward = self.worth * self.hand.play(actions["player"])
        return (
            {"player": self.hand.shown()},
            {"player": reward},
            {"__all__": not self.hand.cards},
            {"__all__": False},
            {},
        )


class NotAmongAgents(Table):
    """RLlib's check looks for the agents in ``agents``, which changes from step to step in many games."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.agents = []
        return super().reset(seed=seed, options=options)


class Network(torch.nn.Module):
    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        self.trunk, self.head, self.critic = (
            torch.nn.Linear(CARDS, 16),
            torch.nn.Linear(16, CARDS),
            torch.nn.Linear(16, 1),
        )

    def forward(self, obs: Any) -> Any:
        features = torch.tanh(self.trunk(obs["hand"]))
        return self.head(features), self.critic(features).squeeze(-1)


class Module(TorchRLModule, ValueFunctionAPI):
    def setup(self) -> None:
        self.trunk, self.head, self.critic = (
            torch.nn.Linear(CARDS, 16),
            torch.nn.Linear(16, CARDS),
            torch.nn.Linear(16, 1),
        )

    def _forward(self, batch: Any, **kwargs: Any) -> Any:
        logits = self.head(torch.tanh(self.trunk(batch["obs"]["hand"])))
        return {Columns.ACTION_DIST_INPUTS: torch.where(batch["obs"]["action_mask"] > 0, logits, -1e9)}

    def compute_values(self, batch: Any, embeddings: Any = None) -> Any:
        return self.critic(torch.tanh(self.trunk(batch["obs"]["hand"]))).squeeze(-1)


def finished(env: type[Table] = Table, module: type[Module] = Module, **environment: Any) -> PPOConfig:
    register_env(f"table-{env.__name__}", lambda config: env(config))
    return (
        PPOConfig()
        .environment(f"table-{env.__name__}", **environment)
        .env_runners(num_env_runners=0, num_envs_per_env_runner=4)
        .training(
            train_batch_size_per_learner=256, minibatch_size=64, num_epochs=10, lr=3e-4, gamma=0.99, lambda_=0.95,
            clip_param=0.2, vf_loss_coeff=0.5, vf_clip_param=float("inf"), use_kl_loss=False, kl_coeff=0.0, grad_clip=0.5,
            grad_clip_by="global_norm", entropy_coeff=0.0,
        )
        .multi_agent(policies={"player"}, policy_mapping_fn=lambda agent, *args, **kwargs: "player")
        .rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs={"player": RLModuleSpec(module_class=module)}))
    )  # fmt: skip


def task(config: PPOConfig) -> Task:
    return Task(
        id="table", env=Single, network=Network, rllib_config=config, multi_agent_env=Table, learning_agent="player",
        ppo=PPOParams(n_envs=4, n_steps=64), steps=1024, eval_every=512, eval_episodes=10,
        declared={code: "other dice" for code in ("PAR030", "PAR031", "PAR032")},
    )  # fmt: skip


checked = task(finished())
unchecked = task(finished(disable_env_checking=True))


class Doubles(RLlibCallback):
    """Rewrites rewards after its tenth sample."""

    samples = 0

    def on_sample_end(self, *, samples: Any, **_: Any) -> None:
        self.samples += 1
        for episode in samples if self.samples > 10 else []:
            for each in episode.agent_episodes.values():
                each.set_rewards(new_data=2 * np.asarray(each.get_rewards()))


class Levels(RLlibCallback):
    """Pays less after its fifth sample."""

    samples = 0

    def on_sample_end(self, *, env_runner: Any, **_: Any) -> None:
        self.samples += 1
        for env in env_runner.env.unwrapped.envs if self.samples == 5 else []:
            env.unwrapped.worth = 0.5


class OnlyCounts(RLlibCallback):
    samples = 0

    def on_sample_end(self, *, samples: Any, **_: Any) -> None:
        self.samples += 1
