"""Correct trainings of different shapes, to their end: of none of them anything above info may be said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from audit.late_faults import Cards, cards_config
from audit.watched_scripts import Mended, Tiles, tiles_config
from gymnasium import spaces
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.core.columns import Columns
from ray.rllib.core.distribution.torch.torch_distribution import TorchMultiCategorical
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from sb3_contrib import MaskablePPO
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize
from torch import nn

import parity
from parity import frameworks
from parity.frameworks.rllib.fast import accelerated
from parity.results.watch import WATCH_FILE, WatchEvent, read_events
from parity.task import registry

Outcome = tuple[list[WatchEvent], int]


def rllib(make: Callable[[], Any], iterations: int, **watched: Any) -> Callable[[Path], Outcome]:
    def train(folder: Path) -> Outcome:
        algorithm = parity.watch(make(), folder=folder, **watched).build_algo()
        for _ in range(iterations):
            algorithm.train()
        algorithm.stop()
        return read_events(folder / WATCH_FILE), iterations

    return train


def sb3(make: Callable[[], Any], iterations: int) -> Callable[[Path], Outcome]:
    def train(folder: Path) -> Outcome:
        model = make()
        model.learn(model.n_steps * model.n_envs * iterations, callback=parity.WatchCallback(folder))
        return read_events(folder / WATCH_FILE), iterations

    return train


def task_config(framework: str, task: str) -> Any:
    """A built-in task's own configuration, on the fast path."""
    return accelerated(
        frameworks.get(framework).port(registry.load(registry.resolve(task)), seed=0, device="cpu").config
    )


def task_model(task: str) -> Any:
    return frameworks.get("sb3").open(registry.load(registry.resolve(task)), 0, "cpu", 1).model


def single(env: Any, **training: Any) -> PPOConfig:
    given = {"train_batch_size_per_learner": 512, "minibatch_size": 64, "num_epochs": 6, "lr": 1e-3, "lambda_": 0.95}
    given |= {"vf_clip_param": float("inf"), "grad_clip": 0.5, "grad_clip_by": "global_norm", "use_kl_loss": False}
    return (
        PPOConfig()
        .environment(env)
        .env_runners(num_env_runners=0, num_envs_per_env_runner=4)
        .rl_module(model_config=DefaultModelConfig(fcnet_hiddens=[32, 32], vf_share_layers=False))
        .training(**(given | training))
        .debugging(seed=0)
    )


class TellsMasks(Tiles):
    """Asked for, masks of all agents, whoever acts next."""

    def action_masks(self) -> dict[str, np.ndarray]:
        return {"selector": self.free.astype(bool), "echo": np.ones(1, bool)}


class SparseTiles(Tiles):
    """Pays once, at the end, for five right choices."""

    def reset(self, **given: Any) -> Any:
        self.right = 0
        return super().reset(**given)

    def step(self, actions: Any) -> Any:
        observations, rewards, terminated, truncated, info = super().step(actions)
        self.right += int(rewards["selector"])
        paid = float(terminated["__all__"] and self.right >= 5)
        return observations, dict.fromkeys(rewards, paid), terminated, truncated, info


class Levels(Tiles):
    """Fewer tiles at first; a callback raises the level."""

    level = 0

    def step(self, actions: Any) -> Any:
        observations, rewards, terminated, truncated, info = super().step(actions)
        done = terminated["__all__"] or self.free.sum() <= (5, 4, 2)[self.level]
        return observations, rewards, {"__all__": bool(done)}, truncated, info


class RaisesLevel(RLlibCallback):
    def on_train_result(self, *, algorithm: Any, **_: Any) -> None:
        level = min(2, algorithm.iteration // 12)
        algorithm.env_runner_group.foreach_env_runner(
            lambda runner: [setattr(env.unwrapped, "level", level) for env in runner.env.unwrapped.envs]
        )


class Bandit(gym.Env):
    """One step, one right answer: a policy that is done with it has no gradient left."""

    observation_space = spaces.Box(0, 1, (2,), np.float32)
    action_space = spaces.Discrete(4)

    def __init__(self, config: Any = None) -> None: ...

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return self.np_random.random(2, dtype=np.float32), {}

    def step(self, action: Any) -> Any:
        return np.zeros(2, np.float32), float(action == 2), True, False, {}


class Nim(MultiAgentEnv):
    """Two players take one to three of twelve sticks by turns; who takes the last wins. Turn-based, one shared policy."""

    def __init__(self, config: Any = None) -> None:
        super().__init__()
        self.possible_agents = self.agents = ["first", "second"]
        space = spaces.Dict(
            {"shown": spaces.Box(0, 1, (13,), np.float32), "action_mask": spaces.Box(0, 1, (3,), np.int8)}
        )
        self.observation_spaces = dict.fromkeys(self.agents, space)
        self.action_spaces = dict.fromkeys(self.agents, spaces.Discrete(3))
        self.rng = np.random.default_rng(0)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        if seed is not None:
            self.rng = np.random.default_rng(seed)
        self.sticks, self.turn = int(self.rng.integers(5, 13)), 0
        return self._observe([0]), {}

    def step(self, actions: Any) -> Any:
        self.sticks -= int(actions[self.agents[self.turn]]) + 1
        player, self.turn = self.turn, 1 - self.turn
        if self.sticks:
            return self._observe([self.turn]), {self.agents[self.turn]: 0.0}, {"__all__": False}, {"__all__": False}, {}
        rewards = {self.agents[player]: 1.0, self.agents[self.turn]: -1.0}
        return self._observe([0, 1]), rewards, {"__all__": True}, {"__all__": False}, {}

    def _observe(self, players: list[int]) -> Any:
        shown = np.eye(13, dtype=np.float32)[self.sticks]
        mask = (np.arange(1, 4) <= max(1, self.sticks)).astype(np.int8)
        return {self.agents[i]: {"shown": shown, "action_mask": mask} for i in players}


class NimModule(Mended):
    def setup(self) -> None:
        self.trunk = nn.Sequential(nn.Linear(13, 32), nn.Tanh())
        self.pi, self.vf = nn.Linear(32, 3), nn.Linear(32, 1)


def nim() -> PPOConfig:
    return (
        PPOConfig()
        .environment(Nim)
        .env_runners(num_env_runners=0, num_envs_per_env_runner=4)
        .multi_agent(policies={"both"}, policy_mapping_fn=lambda agent_id, episode, **kwargs: "both")
        .rl_module(rl_module_spec=RLModuleSpec(NimModule))
        .training(train_batch_size_per_learner=400, minibatch_size=64, num_epochs=4, lr=3e-3, lambda_=0.95)
        .debugging(seed=0)
    )


class CopiesToOpponent(RLlibCallback):
    """Self-play: the opponent gets the learning policy's weights now and then."""

    def on_train_result(self, *, algorithm: Any, **_: Any) -> None:
        if algorithm.iteration % 5 == 0:
            weights = algorithm.learner_group.get_weights()["learns"]
            algorithm.learner_group._learner.module["opponent"].set_state(weights)
            algorithm.env_runner_group.sync_weights(
                from_worker_or_learner_group=algorithm.learner_group, inference_only=True
            )


def nim_with_opponent() -> PPOConfig:
    roles = {"first": "learns", "second": "opponent"}
    return (
        nim()
        .multi_agent(
            policies={"learns", "opponent"},
            policy_mapping_fn=lambda agent_id, episode, **kwargs: roles[agent_id],
            policies_to_train=["learns"],
        )
        .callbacks(CopiesToOpponent)
    )


class TwoHands(gym.Env):
    """Two choices at once, each with a mask."""

    action_space = spaces.MultiDiscrete([4, 3])
    observation_space = spaces.Dict(
        {"shown": spaces.Box(0, 1, (7,), np.float32), "action_mask": spaces.Box(0, 1, (7,), np.int8)}
    )

    def __init__(self, config: Any = None) -> None: ...

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.steps = 0
        return self._observe(), {}

    def step(self, action: Any) -> Any:
        best = np.where(self.mask, self.shown, -1)
        reward = float(action[0] == best[:4].argmax()) + float(action[1] == best[4:].argmax())
        self.steps += 1
        return self._observe(), reward, False, self.steps >= 10, {}

    def _observe(self) -> Any:
        self.shown = self.np_random.random(7, dtype=np.float32)
        self.mask = np.ones(7, dtype=np.int8)
        self.mask[[self.np_random.integers(4), 4 + self.np_random.integers(3)]] = 0
        return {"shown": self.shown, "action_mask": self.mask.copy()}


class TwoHandsModule(TorchRLModule, ValueFunctionAPI):
    def setup(self) -> None:
        self.trunk = nn.Sequential(nn.Linear(7, 32), nn.Tanh())
        self.pi, self.vf = nn.Linear(32, 7), nn.Linear(32, 1)
        self.action_dist_cls = TorchMultiCategorical.get_partial_dist_cls(
            space=self.action_space, input_lens=self.action_space.nvec.tolist()
        )

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        obs = batch[Columns.OBS]
        return {
            Columns.ACTION_DIST_INPUTS: self.pi(self.trunk(obs["shown"])).masked_fill(obs["action_mask"] == 0, -1e9)
        }

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        return self.vf(self.trunk(batch[Columns.OBS]["shown"])).squeeze(-1)


def cartpole(**given: Any) -> Any:
    return PPO("MlpPolicy", make_vec_env("CartPole-v1", 4, seed=0), n_steps=128, batch_size=64, seed=0, **given)


def normalised_pendulum() -> Any:
    env = VecNormalize(make_vec_env("Pendulum-v1", 4, seed=0))
    return PPO("MlpPolicy", env, n_steps=256, batch_size=128, gamma=0.9, seed=0)


tiles = tiles_config
CORRECT: dict[str, Callable[[Path], Outcome]] = {
    "the reported script, mended": rllib(tiles, 40),
    "the same on the fast path": rllib(lambda: accelerated(tiles()), 60),
    "complete episodes without a seed": rllib(
        lambda: tiles().env_runners(batch_mode="complete_episodes", num_envs_per_env_runner=1).debugging(seed=None), 20
    ),
    "sparse rewards": rllib(lambda: accelerated(tiles(env=SparseTiles)), 60),
    "an environment that tells masks of all agents": rllib(lambda: tiles(env=TellsMasks), 12),
    "a curriculum, declared": rllib(
        lambda: tiles(env=Levels).callbacks(RaisesLevel), 36, declared={"PAR935": "the level is raised twice"}
    ),
    "a bandit that is solved": rllib(lambda: single(Bandit, lr=1e-2, train_batch_size_per_learner=256), 60),
    "learning rate schedule to zero": rllib(lambda: single("CartPole-v1", lr=[[0, 2e-3], [8_000, 0.0]]), 20),
    "entropy schedule": rllib(lambda: tiles(entropy_coeff=[[0, 0.02], [4_000, 0.0]]), 24),
    "a truncated task, continuous actions": rllib(lambda: single("Pendulum-v1", gamma=0.9), 24),
    "a game in self-play, one policy": rllib(nim, 30),
    "self-play against older weights": rllib(nim_with_opponent, 30),
    "two choices at once": rllib(lambda: cards_config(TwoHands, TwoHandsModule, vf_clip_param=float("inf")), 30),
    "masks in a single-agent environment": rllib(cards_config, 40),
    "a recurrent module": rllib(
        lambda: single("CartPole-v1", num_epochs=3).rl_module(
            model_config=DefaultModelConfig(use_lstm=True, lstm_cell_size=16, max_seq_len=16, fcnet_hiddens=[16])
        ),
        10,
    ),
    "env runners in other processes": rllib(lambda: tiles().env_runners(num_env_runners=2), 10),
    "two learners": rllib(lambda: tiles().learners(num_learners=2), 8),
    "tiles, rllib": rllib(lambda: task_config("rllib", "tiles"), 16),
    "tiles, rllib-exact": rllib(lambda: task_config("rllib-exact", "tiles"), 16),
    "taxi, rllib": rllib(lambda: task_config("rllib", "taxi"), 16),
    "sb3: learning rate to zero": sb3(lambda: cartpole(learning_rate=lambda left: 1e-3 * left), 24),
    "sb3: target_kl": sb3(lambda: cartpole(target_kl=0.01, ent_coef=0.01), 24),
    "sb3: normalised observations and rewards": sb3(normalised_pendulum, 12),
    "sb3: masks": sb3(
        lambda: MaskablePPO("MultiInputPolicy", Cards(), n_steps=256, batch_size=64, learning_rate=1e-3, seed=0), 30
    ),
    "sb3: taxi": sb3(lambda: task_model("taxi"), 10),
}
