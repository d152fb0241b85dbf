"""RLlib's own example of masking, as people use it: its module, and one in its manner for several sub-actions.

Its module takes the mask out of the batch that it is given, and looks for it there again in training.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from observations_key import Shelves
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.algorithms.ppo.torch.default_ppo_torch_rl_module import DefaultPPOTorchRLModule
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.rllib.core.rl_module.rl_module import RLModule
from ray.rllib.examples.rl_modules.classes.action_masking_rlm import ActionMaskingTorchRLModule
from ray.rllib.utils.torch_utils import FLOAT_MIN
from torch import nn

from parity import PPOParams, Task

BRANCHES = [3, 2]
WIDTH = 3


class Racks(gymnasium.Env):
    """A shelf and a hand are chosen at once; masks of both side by side."""

    observation_space = spaces.Dict(
        {"observations": spaces.Box(-6, 6, (WIDTH,), np.float32), "action_mask": spaces.MultiBinary(sum(BRANCHES))}
    )
    action_space = spaces.MultiDiscrete(BRANCHES)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.steps = 0
        return self._observe(), {}

    def step(self, action: Any) -> Any:
        assert isinstance(action, np.ndarray) and action.shape == (2,)
        self.steps += 1
        paid = float(self.stock[action[0]] + (action[1] == 0))
        return self._observe(), paid, False, self.steps == 10, {}

    def _observe(self) -> dict[str, Any]:
        self.stock = self.np_random.normal(size=WIDTH).clip(-6, 6).astype(np.float32)
        mask = np.ones(sum(BRANCHES), np.int8)
        mask[self.np_random.integers(BRANCHES[0])] = 0
        mask[BRANCHES[0] + self.np_random.integers(2)] = self.np_random.integers(2)
        return {"observations": self.stock, "action_mask": mask}


class _TakesTheMaskOut(RLModule):
    def __init__(self, *, observation_space: Any = None, **kwargs: Any) -> None:
        self.whole_space = observation_space
        super().__init__(observation_space=observation_space["observations"], **kwargs)


class SeveralSubActions(_TakesTheMaskOut, DefaultPPOTorchRLModule, ValueFunctionAPI):
    def setup(self) -> None:
        super().setup()
        self.observation_space = self.whole_space

    def _forward_inference(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        mask = self._take_out(batch)
        return self._masked(super()._forward_inference(batch, **kwargs), mask)

    def _forward_exploration(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        mask = self._take_out(batch)
        return self._masked(super()._forward_exploration(batch, **kwargs), mask)

    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return self._masked(super()._forward_train(batch, **kwargs), batch["action_mask"])

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        if isinstance(batch[Columns.OBS], dict):
            batch["action_mask"] = self._take_out(batch)
        return super().compute_values(batch, embeddings)

    def _take_out(self, batch: dict[str, Any]) -> torch.Tensor:
        mask = batch[Columns.OBS].pop("action_mask")
        batch[Columns.OBS] = batch[Columns.OBS].pop("observations")
        return mask

    def _masked(self, out: dict[str, Any], mask: torch.Tensor) -> dict[str, Any]:
        forbidden = torch.clamp(torch.log(mask.float()), min=FLOAT_MIN)
        return {**out, Columns.ACTION_DIST_INPUTS: out[Columns.ACTION_DIST_INPUTS] + forbidden}


class WithoutASubAction(SeveralSubActions):
    """The mistake: only the first sub-action's mask is applied."""

    def _masked(self, out: dict[str, Any], mask: torch.Tensor) -> dict[str, Any]:
        some = mask.clone()
        some[:, BRANCHES[0] :] = 1
        return super()._masked(out, some)


def network(outputs: int) -> type[nn.Module]:
    class Network(nn.Module):
        def __init__(self, observation_space: spaces.Space, action_space: spaces.Space) -> None:
            super().__init__()
            self.policy, self.value = _tower(outputs), _tower(1)

        def forward(self, obs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
            return self.policy(obs["observations"]), self.value(obs["observations"]).squeeze(-1)

    return Network


def _tower(outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(WIDTH, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, outputs))


def same_layers(config: PPOConfig) -> PPOConfig:
    model = DefaultModelConfig(fcnet_hiddens=[16, 16], fcnet_activation="tanh", vf_share_layers=False)
    return config.rl_module(model_config=model)


def task(env: type[gymnasium.Env], module: type, outputs: int) -> Task:
    ppo = PPOParams(n_envs=4, n_steps=32, batch_size=64, n_epochs=2)
    return Task(
        id=module.__name__.lower(),
        env=env,
        network=network(outputs),
        rllib_module=module,
        rllib_config=same_layers,
        ppo=ppo,
    )


RLLIBS_OWN = task(Shelves, ActionMaskingTorchRLModule, 3)
SUB_ACTIONS = task(Racks, SeveralSubActions, sum(BRANCHES))
WITHOUT_ONE = task(Racks, WithoutASubAction, sum(BRANCHES))
