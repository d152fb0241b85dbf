"""A task's network of two towers of one size, and the same written anew under other names, with mistakes on demand."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.core.columns import Columns
from ray.rllib.core.distribution.torch.torch_distribution import TorchMultiCategorical
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from torch import nn
from torch.nn import functional

from parity import PPOParams, Task

D, H, BRANCHES = 6, 16, (3, 3)
LOGITS = sum(BRANCHES)
# Sizes of observations: (middle, spread).
SIZES = {"order 1": (0.0, 1.0), "around 400": (450.0, 50.0), "of 1e-3": (0.0, 1e-3)}


class Dials(gymnasium.Env):
    """Two dials; turning each to the largest of its readings pays."""

    def __init__(self, size: str) -> None:
        self.middle, self.spread = SIZES[size]
        low, high = self.middle - 4 * self.spread, self.middle + 4 * self.spread
        self.observation_space = spaces.Box(low, high, (D,), np.float32)
        self.action_space = spaces.MultiDiscrete(BRANCHES)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.steps = 0
        return self._read(), {}

    def _read(self) -> np.ndarray:
        self.z = self.np_random.normal(size=D).clip(-4, 4)
        self.legal = self.np_random.random(LOGITS) < 0.7
        self.legal[:: BRANCHES[0]] = True
        return (self.middle + self.spread * self.z).astype(np.float32)

    def action_masks(self) -> np.ndarray:
        return self.legal

    def step(self, action: Any) -> Any:
        scores = np.where(self.legal, self.z, -np.inf).reshape(len(BRANCHES), -1)
        reward = float(np.mean(scores.argmax(-1) == action))
        self.steps += 1
        return self._read(), reward, self.steps == 12, False, {}


class Towers(nn.Module):
    """As a task has it: two layers of one size in each tower, a normalisation and a residual connection around the second."""

    def __init__(self, *_: Any) -> None:
        super().__init__()
        for tower, outputs in (("pi", LOGITS), ("vf", 1)):
            layers = {"first": nn.Linear(D, H), "second": nn.Linear(H, H), "last": nn.Linear(H, outputs)}
            self.add_module(tower, nn.ModuleDict(layers))

    @staticmethod
    def _through(tower: Any, seen: torch.Tensor) -> torch.Tensor:
        hidden = torch.tanh(tower["first"](seen))
        return tower["last"](torch.tanh(tower["second"](functional.layer_norm(hidden, (H,)))) + hidden)

    def forward(self, seen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self._through(self.pi, seen), self._through(self.vf, seen).squeeze(-1)


# Mistake -> what is said about the place where it begins, on the way to the logits.
MISTAKES = {
    "relu": "SB3 has tanh and layer_norm there, the port relu and layer_norm",
    "no activation": "SB3 has tanh and layer_norm there, the port layer_norm",
    "half blind": "entries 3, 4, 5 of 6 are 0 in the port",
    "policy half blind": "entries 3, 4, 5 of 6 are 0 in the port",
    "scaled input": "the port's numbers are 0.003922 times SB3's",
    "input normalised": "",
    "dropout": "",
    "no layer norm": "SB3 has tanh and layer_norm there, the port tanh",
    "no residual": "SB3 adds tanh of what comes out of",
    "value from the policy's tower": "",
    "outputs in another order": "the port has SB3's numbers in another order, 5, 4, 3, 2, 1, 0",
    "logits halved": "the port's numbers are 0.5 times SB3's",
}  # fmt: skip
# SB3's tower and layer -> the port's.
NAMES = {
    "pi.first": "first.actor", "pi.second": "second.actor", "vf.first": "first.critic", "vf.second": "second.critic",
    "vf.last": "value_out",
}  # fmt: skip
RIGHT = {f"{a}.{part}": f"{b}.{part}" for a, b in NAMES.items() for part in ("weight", "bias")}
RIGHT |= {"pi.last.weight": "w", "pi.last.bias": "b"}


class OtherTowers(nn.Module):
    """The same with other names and nesting, registered in another order, the policy's head as bare parameters."""

    def __init__(self, mistake: str = "") -> None:
        super().__init__()
        self.mistake = mistake
        self.value_out = nn.Linear(H, 1)
        self.second = nn.ModuleDict({"critic": nn.Linear(H, H), "actor": nn.Linear(H, H)})
        self.first = nn.ModuleDict({"critic": nn.Linear(D, H), "actor": nn.Linear(D, H)})
        self.statistics = nn.BatchNorm1d(H, affine=False) if mistake == "batch norm" else nn.Identity()
        self.w, self.b = nn.Parameter(0.1 * torch.randn(LOGITS, H)), nn.Parameter(torch.zeros(LOGITS))

    def features(self, name: str, seen: torch.Tensor) -> torch.Tensor:
        if self.mistake == "half blind" or (self.mistake == "policy half blind" and name == "actor"):
            seen = torch.cat([seen[:, :3], torch.zeros_like(seen[:, 3:])], -1)
        if self.mistake.startswith("inputs reversed"):
            seen = seen.flip(-1)
        if self.mistake == "inputs reversed for half of them":
            seen = torch.cat([seen[:, :3], torch.zeros_like(seen[:, 3:])], -1)
        if self.mistake == "scaled input":
            seen = seen / 255
        if self.mistake == "input normalised":
            seen = functional.layer_norm(seen, (D,), eps=1e-12)
        hidden = self.first[name](seen)
        if self.mistake != "no activation":
            hidden = torch.relu(hidden) if self.mistake.endswith("relu") else torch.tanh(hidden)
        hidden = self.statistics(hidden)
        if self.mistake == "dropout":
            hidden = functional.dropout(hidden, 0.3)
        normalised = hidden if self.mistake == "no layer norm" else functional.layer_norm(hidden, (H,))
        above = torch.tanh(self.second[name](normalised))
        return above if self.mistake == "no residual" else above + hidden

    def forward(self, seen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        actor, critic = self.features("actor", seen), self.features("critic", seen)
        if self.mistake == "value from the policy's tower":
            critic = actor
        logits = functional.linear(actor, self.w, self.b)
        if self.mistake == "logits halved":
            logits = logits / 2
        return logits.flip(-1) if self.mistake == "outputs in another order" else logits, self.value_out(critic)[:, 0]


def module_with(mistake: str) -> type[TorchRLModule]:
    class OtherNames(TorchRLModule, ValueFunctionAPI):
        def setup(self) -> None:
            torch.manual_seed(0)
            self.net = OtherTowers(mistake)
            self.action_dist_cls = TorchMultiCategorical.get_partial_dist_cls(
                space=self.action_space, input_lens=list(BRANCHES)
            )

        def _forward(self, batch: dict[str, Any], **_: Any) -> dict[str, Any]:
            obs = batch[Columns.OBS]
            logits = self.net(obs["observations"])[0]
            mask = obs["action_mask"] != 0
            if mistake == "masks a legal action":
                mask = mask & (torch.arange(LOGITS) != 1)
            return {Columns.ACTION_DIST_INPUTS: logits.masked_fill(~mask, torch.finfo(torch.float32).min)}

        def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
            return self.net(batch[Columns.OBS]["observations"])[1]

    return OtherNames


def towers_task(size: str, mistake: str = "") -> Task:
    return Task(
        id="towers",
        env=lambda: Dials(size),
        network=Towers,
        rllib_module=module_with(mistake),
        ppo=PPOParams(n_envs=2, n_steps=64, batch_size=32, n_epochs=2),
        steps=512,
        eval_every=512,
    )
