"""Ports for the tests of `parity bisect`, in the forms that people bring: a function, a finished configuration, a dict, a
finished SB3 side; each with something wrong, or with nothing."""

from __future__ import annotations

import dataclasses
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from ray.rllib.env.multi_agent_env_runner import MultiAgentEnvRunner
from sb3_contrib import MaskablePPO
from torch import nn

from parity import PPOParams, Task

HOLDER, WATCHER = "holder", "watcher"
PPO = PPOParams(n_envs=2, n_steps=32, batch_size=32, n_epochs=2, learning_rate=1e-3, gamma=0.95)


class Cards(gymnasium.Env):
    """Play the card that is shown; some cards are out. Ends after three to six plays."""

    def __init__(self) -> None:
        self.action_space = spaces.Discrete(4)
        self.observation_space = spaces.Dict(
            {"shown": spaces.Box(0.0, 1.0, (4,), np.float32), "played": spaces.Box(0.0, 1.0, (1,), np.float32)}
        )

    def action_masks(self) -> np.ndarray:
        return self.mask

    def _observe(self) -> dict[str, np.ndarray]:
        self.mask = self.np_random.random(4) < 0.6
        self.best = int(self.np_random.integers(4))
        self.mask[self.best] = True
        shown = np.eye(4, dtype=np.float32)[self.best]
        return {"shown": shown, "played": np.array([self.t / 6], np.float32)}

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t, self.length = 0, int(self.np_random.integers(3, 7))
        return self._observe(), {}

    def step(self, action: Any) -> Any:
        reward, self.t = float(action == self.best), self.t + 1
        return self._observe(), reward, self.t >= self.length, False, {}


class Table(MultiAgentEnv):
    """``Cards`` for one agent, a second one has a single action and no mask."""

    def __init__(self, config: Any = None) -> None:
        super().__init__()
        self.cards = Cards()
        self.possible_agents = [HOLDER, WATCHER]
        self.agents = [HOLDER, WATCHER]
        seen = self.cards.observation_space.spaces  # type: ignore[attr-defined]
        self.observation_spaces = {
            HOLDER: spaces.Dict(seen | {"action_mask": spaces.Box(0, 1, (4,), np.int8)}),
            WATCHER: spaces.Box(0.0, 1.0, (1,), np.float32),
        }
        self.action_spaces = {HOLDER: self.cards.action_space, WATCHER: spaces.Discrete(1)}

    def show(self, seen: dict[str, np.ndarray]) -> dict[str, Any]:
        return {HOLDER: {**seen, "action_mask": self.cards.mask.astype(np.int8)}, WATCHER: seen["played"].copy()}

    def pay(self, reward: float) -> float:
        return reward

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return self.show(self.cards.reset(seed=seed)[0]), {}

    def step(self, action_dict: dict[str, Any]) -> Any:
        seen, reward, over, _, _ = self.cards.step(action_dict[HOLDER])
        rewards = {HOLDER: self.pay(reward), WATCHER: 0.0}
        return self.show(seen), rewards, {"__all__": over}, {"__all__": False}, {}


class GenerousTable(Table):
    def pay(self, reward: float) -> float:
        return 2 * reward


class CardsNetwork(nn.Module):
    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        self.body, self.policy, self.value = nn.Linear(5, 16), nn.Linear(16, 4), nn.Linear(16, 1)

    def forward(self, obs: Any) -> Any:
        features = torch.tanh(self.body(torch.cat([obs["shown"], obs["played"]], dim=1)))
        return self.policy(features), self.value(features).squeeze(-1)


class HolderModule(TorchRLModule, ValueFunctionAPI):
    def setup(self) -> None:
        self.trunk, self.pi, self.vf = nn.Linear(5, 16), nn.Linear(16, 4), nn.Linear(16, 1)

    def features(self, batch: dict[str, Any]) -> torch.Tensor:
        obs = batch[Columns.OBS]
        return torch.tanh(self.trunk(torch.cat([obs["shown"], obs["played"]], dim=1)))

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        logits = self.pi(self.features(batch))
        return {Columns.ACTION_DIST_INPUTS: logits.masked_fill(batch[Columns.OBS]["action_mask"] == 0, -1e9)}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        return self.vf(self.features(batch)).squeeze(-1)


class DetachedValues(HolderModule):
    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        return super().compute_values(batch).detach()


class WatcherModule(TorchRLModule, ValueFunctionAPI):
    def setup(self) -> None:
        self.pi, self.vf = nn.Linear(1, 1), nn.Linear(1, 1)

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return {Columns.ACTION_DIST_INPUTS: self.pi(batch[Columns.OBS])}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        return self.vf(batch[Columns.OBS]).squeeze(-1)


def port(**changes: Any) -> Task:
    """A good port, written as a function with modules beside it."""
    fields: dict[str, Any] = {
        "id": "cards",
        "env": Cards,
        "network": CardsNetwork,
        "ppo": PPO,
        "steps": 512,
        "eval_every": 256,
        "eval_episodes": 20,
        "reference": {"uniform_legal": 2.0, "best": 4.5, "source": "tests"},
        "multi_agent_env": Table,
        "learning_agent": HOLDER,
        "rllib_module": HolderModule,
        "other_modules": {WATCHER: WatcherModule},
    }
    return Task(**fields | changes)


def whole(module: type = HolderModule, env: type = Table, **training: Any) -> PPOConfig:
    """The same port as one finished configuration, with modules under names of their own."""
    names = {HOLDER: "p0", WATCHER: "p1"}
    specs = {"p0": RLModuleSpec(module_class=module), "p1": RLModuleSpec(module_class=WatcherModule)}
    settings = {
        "lr": 1e-3, "gamma": 0.95, "lambda_": 0.95, "clip_param": 0.2, "vf_clip_param": float("inf"),
        "vf_loss_coeff": 0.5, "entropy_coeff": 0.0, "use_kl_loss": False, "grad_clip": 0.5,
        "grad_clip_by": "global_norm", "train_batch_size_per_learner": 64, "minibatch_size": 32, "num_epochs": 2,
    }  # fmt: skip
    return (
        PPOConfig()
        .environment(env, disable_env_checking=True)
        .env_runners(num_env_runners=0, num_envs_per_env_runner=2, rollout_fragment_length=32)
        .training(**settings | training)
        .multi_agent(
            policies={"p0", "p1"}, policy_mapping_fn=lambda agent, *_, **__: names[agent], policies_to_train=["p0"]
        )
        .rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs=specs))
    )


def from_whole(config: Any, **changes: Any) -> Task:
    return port(multi_agent_env=None, rllib_module=None, other_modules={}, rllib_config=config, **changes)


def own_sb3(vec_env: Any, seed: int, device: str) -> MaskablePPO:
    return MaskablePPO(
        "MultiInputPolicy",
        vec_env,
        n_steps=32,
        batch_size=32,
        n_epochs=2,
        gamma=0.95,
        learning_rate=1e-3,
        seed=seed,
        device=device,
        policy_kwargs={"net_arch": []},
    )


class Sb3Twin(TorchRLModule, ValueFunctionAPI):
    """What ``own_sb3`` computes, written apart: heads on the observation itself."""

    def setup(self) -> None:
        self.pi, self.vf = nn.Linear(5, 4), nn.Linear(5, 1)

    def flat(self, batch: dict[str, Any]) -> torch.Tensor:
        obs = batch[Columns.OBS]
        return torch.cat([obs["played"], obs["shown"]], dim=1)

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        logits = self.pi(self.flat(batch))
        return {Columns.ACTION_DIST_INPUTS: logits.masked_fill(batch[Columns.OBS]["action_mask"] == 0, -1e9)}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        return self.vf(self.flat(batch)).squeeze(-1)


class Sb3TwinWithoutMask(Sb3Twin):
    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return {Columns.ACTION_DIST_INPUTS: self.pi(self.flat(batch))}


def _raises(config: PPOConfig) -> PPOConfig:
    raise ZeroDivisionError("no learners")


class HalvingEnvRunner(MultiAgentEnvRunner):
    """Plays with weights of half precision."""

    def set_state(self, state: Any) -> None:
        super().set_state(state)
        for module in self.module.values():
            for parameter in module.parameters():
                parameter.data = parameter.data.to(torch.bfloat16).float()


good = port()
halving_env_runner = port(rllib_config=lambda config: config.env_runners(env_runner_cls=HalvingEnvRunner))
as_configuration = from_whole(whole())
configuration_with_two_faults = from_whole(whole(DetachedValues, lr=0.5))
as_dict_with_a_generous_table = from_whole(whole(env=GenerousTable).to_dict())
both_sides_whole = from_whole(whole(Sb3Twin), network=None, sb3_model=own_sb3)
both_sides_whole_without_a_mask = from_whole(whole(Sb3TwinWithoutMask), network=None, sb3_model=own_sb3)
raising_configuration = dataclasses.replace(good, rllib_config=_raises)
task = good
