"""A task that needs memory, and masked recurrent modules for it: a GRU, attention over what was seen, and mistakes in them."""

from __future__ import annotations

import dataclasses
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from ray.rllib.examples.rl_modules.classes.action_masking_rlm import ActionMaskingTorchRLModule
from torch import nn

from parity import PPOParams, Task

DOORS, LENGTH, WIDTH = 4, 6, 12


class Doors(gymnasium.Env):
    """Only the first observation shows which door pays; the mask leaves out another one at each step."""

    observation_space = spaces.Dict(
        {"sign": spaces.Box(0, 1, (DOORS + 1,), np.float32), "action_mask": spaces.Box(0, 1, (DOORS,), np.int8)}
    )
    action_space = spaces.Discrete(DOORS)

    def _view(self) -> dict[str, np.ndarray]:
        sign = np.zeros(DOORS + 1, np.float32)
        sign[self.door] = self.t == 0
        sign[-1] = self.t / LENGTH
        mask = np.ones(DOORS, np.int8)
        closed = (self.door + 1 + self.t % (DOORS - 1)) % DOORS
        mask[closed] = 0
        return {"sign": sign, "action_mask": mask}

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t, self.door = 0, int(self.np_random.integers(DOORS))
        return self._view(), {}

    def step(self, action: Any) -> Any:
        self.t += 1
        return self._view(), float(int(action) == self.door), self.t >= LENGTH, False, {}


class Memoryless(nn.Module):
    """What SB3 trains: it has no masked recurrent policy."""

    def __init__(self, *_: Any) -> None:
        super().__init__()
        self.hidden, self.policy, self.value = nn.Linear(DOORS + 1, WIDTH), nn.Linear(WIDTH, DOORS), nn.Linear(WIDTH, 1)

    def forward(self, obs: Any) -> Any:
        features = torch.tanh(self.hidden(obs["sign"]))
        return self.policy(features), self.value(features).squeeze(-1)


class Recurrent(TorchRLModule, ValueFunctionAPI):
    """Masked heads over ``remember``, which a subclass has."""

    width = WIDTH

    def setup(self) -> None:
        self.policy, self.value = nn.Linear(self.width, DOORS), nn.Linear(self.width, 1)

    def remember(self, batch: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        raise NotImplementedError

    def masked(self, batch: Any, features: torch.Tensor) -> torch.Tensor:
        return torch.where(batch[Columns.OBS]["action_mask"] > 0, self.policy(features), -1e8)

    def _forward(self, batch: Any, **_: Any) -> dict[str, Any]:
        features, state = self.remember(batch)
        return {Columns.ACTION_DIST_INPUTS: self.masked(batch, features), Columns.STATE_OUT: state}

    def compute_values(self, batch: Any, embeddings: Any = None) -> torch.Tensor:
        return self.value(self.remember(batch)[0]).squeeze(-1)


class Gru(Recurrent):
    def setup(self) -> None:
        super().setup()
        self.gru = nn.GRU(DOORS + 1, WIDTH, batch_first=True)

    def get_initial_state(self) -> dict[str, Any]:
        return {"h": np.zeros(WIDTH, np.float32)}

    def remember(self, batch: Any) -> Any:
        features, last = self.gru(batch[Columns.OBS]["sign"], batch[Columns.STATE_IN]["h"].unsqueeze(0))
        return features, {"h": last[0]}


class SharesFeatures(Gru):
    """The training pass hands its features to compute_values."""

    def _forward_train(self, batch: Any, **_: Any) -> dict[str, Any]:
        features, _ = self.remember(batch)
        return {Columns.ACTION_DIST_INPUTS: self.masked(batch, features), Columns.EMBEDDINGS: features}

    def compute_values(self, batch: Any, embeddings: Any = None) -> torch.Tensor:
        features = self.remember(batch)[0] if embeddings is None else embeddings
        return self.value(features).squeeze(-1)


class Attends(Recurrent):
    """Attention over the last `LENGTH` observations, which are its state. What is added to all keys moves nothing."""

    width = 2 * WIDTH

    def setup(self) -> None:
        super().setup()
        self.embed = nn.Linear(DOORS + 1, WIDTH)
        self.query, self.key = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def get_initial_state(self) -> dict[str, Any]:
        return {"seen": torch.zeros(LENGTH, DOORS + 1)}

    def remember(self, batch: Any) -> Any:
        shown = batch[Columns.OBS]["sign"]
        seen = torch.cat([batch[Columns.STATE_IN]["seen"], shown], dim=1)
        embedded = torch.tanh(self.embed(seen))
        features = []
        for t in range(shown.shape[1]):
            before, now = embedded[:, t + 1 : t + 1 + LENGTH], embedded[:, t + LENGTH : t + LENGTH + 1]
            weights = torch.softmax(self.query(now) @ self.key(before).transpose(1, 2), dim=-1)
            features.append(torch.cat([now, weights @ before], dim=-1))
        return torch.cat(features, dim=1), {"seen": seen[:, -LENGTH:]}


class Wrapped(Doors):
    """The same as RLlib's own masked module wants it: ``observations`` beside the mask."""

    observation_space = spaces.Dict(
        {
            "observations": spaces.Box(0, 1, (DOORS + 1,), np.float32),
            "action_mask": spaces.Box(0, 1, (DOORS,), np.float32),
        }
    )

    def _view(self) -> dict[str, np.ndarray]:
        view = super()._view()
        return {"observations": view["sign"], "action_mask": view["action_mask"].astype(np.float32)}


class WrappedMemoryless(Memoryless):
    def forward(self, obs: Any) -> Any:
        return super().forward({"sign": obs["observations"]})


def rllibs_own(config: Any) -> Any:
    """RLlib's example of a masked module over its default LSTM; it takes the mask out of the batch that it is given."""
    spec = RLModuleSpec(
        module_class=ActionMaskingTorchRLModule,
        observation_space=Wrapped.observation_space,
        action_space=Wrapped.action_space,
        model_config=DefaultModelConfig(use_lstm=True, max_seq_len=LENGTH, lstm_cell_size=WIDTH, fcnet_hiddens=[WIDTH]),
    )
    return config.rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs={"agent": spec}))


class Remembers(Recurrent):
    """Nothing to learn: it keeps the sign and picks that door, so that its return says whether it is given its state."""

    width = DOORS

    def setup(self) -> None:
        super().setup()
        with torch.no_grad():
            self.policy.weight.copy_(100 * torch.eye(DOORS))
            self.policy.bias.zero_()

    def get_initial_state(self) -> dict[str, Any]:
        return {"sign": np.zeros(DOORS, np.float32)}

    def remember(self, batch: Any) -> Any:
        shown = torch.cat(
            [batch[Columns.STATE_IN]["sign"].unsqueeze(1), batch[Columns.OBS]["sign"][..., :DOORS]], dim=1
        )
        kept = shown.cummax(dim=1).values[:, 1:]
        return kept, {"sign": kept[:, -1]}


# --- mistakes


class UnmaskedInTraining(Gru):
    def _forward_train(self, batch: Any, **_: Any) -> dict[str, Any]:
        return {Columns.ACTION_DIST_INPUTS: self.policy(self.remember(batch)[0])}


class ForgetsInTraining(Gru):
    """Training begins every sequence with zeros, sampling did not."""

    def _forward_train(self, batch: Any, **_: Any) -> dict[str, Any]:
        state = {"h": torch.zeros_like(batch[Columns.STATE_IN]["h"])}
        return self._forward({**batch, Columns.STATE_IN: state})


class BackwardsInTraining(Gru):
    """The features of a sequence in the wrong order."""

    def _forward_train(self, batch: Any, **_: Any) -> dict[str, Any]:
        return {Columns.ACTION_DIST_INPUTS: self.masked(batch, self.remember(batch)[0].flip(1))}


class NeverTrainsItsMemory(Gru):
    def remember(self, batch: Any) -> Any:
        with torch.no_grad():
            return super().remember(batch)


class ValuesOfSampling(SharesFeatures):
    """Takes the features that sampling returned: the row behind a chunk has those of the chunk's last row."""

    def _forward(self, batch: Any, **_: Any) -> dict[str, Any]:
        features, state = self.remember(batch)
        logits = self.masked(batch, features)
        return {Columns.ACTION_DIST_INPUTS: logits, Columns.STATE_OUT: state, Columns.EMBEDDINGS: features}

    def compute_values(self, batch: Any, embeddings: Any = None) -> torch.Tensor:
        return self.value(batch[Columns.EMBEDDINGS] if embeddings is None else embeddings).squeeze(-1)


class LosesTheLastAxis(Gru):
    def compute_values(self, batch: Any, embeddings: Any = None) -> torch.Tensor:
        return super().compute_values(batch)[:, 0]


class Growing(PPOTorchLearner):
    """The learning rate grows by a hundredth after the first step of an update."""

    def apply_gradients(self, gradients: Any) -> None:
        super().apply_gradients(gradients)
        for _, optimizer in self.get_optimizers_for_module("agent"):
            for group in optimizer.param_groups:
                group["lr"] = 1.01e-3


def task(module: Any, longest: int | None = LENGTH, learner: Any = None) -> Task:
    """``longest``: ``max_seq_len``; None leaves it out."""

    def configured(config: Any) -> Any:
        if longest is not None:
            config = config.rl_module(model_config={"max_seq_len": longest})
        return config if learner is None else config.learners().training(learner_class=learner)

    return Task(
        id="doors",
        env=Doors,
        network=Memoryless,
        rllib_module=module,
        rllib_config=configured,
        ppo=PPOParams(n_envs=4, n_steps=30, batch_size=40, n_epochs=2, learning_rate=1e-3),
        steps=240,
        eval_every=120,
        eval_episodes=8,
    )


lstm = dataclasses.replace(
    task(None), id="doors-lstm", env=Wrapped, network=WrappedMemoryless, rllib_module=None, rllib_config=rllibs_own
)
