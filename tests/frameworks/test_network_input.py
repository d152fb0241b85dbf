"""The contract's "Tensors": one network sees the same dtypes, shapes and values in every phase of both frameworks.

The environment numbers its observations, so that every row that reaches the network can be compared with the
observation that the environment gave.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from ray.rllib.core import COMPONENT_RL_MODULE
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from torch import nn

from parity import PPOParams, Task, frameworks
from parity.frameworks.evaluation import evaluate
from parity.frameworks.network import network_input
from parity.frameworks.rllib.config import build_port
from parity.frameworks.rllib.eval_runner import RllibEvalRunner, make_env_runner
from parity.frameworks.sb3 import Sb3

NUMBERS = 64
LENGTH = 5

PARTS: dict[str, spaces.Space] = {
    "image": spaces.Box(0, 255, (4, 5, 3), np.uint8),  # channels last: SB3 would transpose it
    "double": spaces.Box(-np.inf, np.inf, (2,), np.float64),
    "loose": spaces.Box(-np.inf, np.inf, (2,), np.float32),  # the environment returns float64
    "whole": spaces.Box(0, 10**9, (1,), np.int32),
    "scalar": spaces.Box(-1, 1, (), np.float32),
    "choice": spaces.Discrete(NUMBERS + 3, start=3),
    "choices": spaces.MultiDiscrete([8, 8]),
    "bits": spaces.MultiBinary(6),
}
TENSORS: dict[str, tuple[torch.dtype, tuple[int, ...]]] = {
    "image": (torch.uint8, (4, 5, 3)),
    "double": (torch.float32, (2,)),
    "loose": (torch.float32, (2,)),
    "whole": (torch.int32, (1,)),
    "scalar": (torch.float32, ()),
    "choice": (torch.int64, ()),
    "choices": (torch.int64, (2,)),
    "bits": (torch.int8, (6,)),
}


def observed(part: str, n: int) -> Any:
    """The n-th value of one part, as the environment returns it."""
    match part:
        case "image":
            return (np.arange(60).reshape(4, 5, 3) + n).astype(np.uint8)
        case "double" | "loose":
            return np.array([n / 3, -n / 7], dtype=np.float64)
        case "whole":
            return np.array([10**8 + n], dtype=np.int32)
        case "scalar":
            return np.float32(n / NUMBERS)
        case "choice":
            return n + 3
        case "choices":
            return np.array([n // 8, n % 8])
        case _:
            return np.array([n >> k & 1 for k in range(6)], dtype=np.int8)


def tensor(part: str, n: int) -> torch.Tensor:
    """The same, as the network must get it, without the batch dimension."""
    return torch.tensor(np.asarray(observed(part, n)), dtype=TENSORS[part][0])


def legal(n: int) -> list[bool]:
    """The mask beside the n-th observation."""
    return [(n + k) % 3 > 0 for k in range(3)]


class Numbered(gymnasium.Env):
    """Observation n, n + 1, … from a seeded start; one part alone or a ``Dict`` of all; the end alternates in kind."""

    def __init__(self, part: str | None) -> None:
        self.part = part
        self.action_space = spaces.Discrete(3)
        self.observation_space = spaces.Dict(PARTS) if part is None else PARTS[part]
        self.episodes = 0

    def _observation(self) -> Any:
        self.n = (self.start + self.t) % NUMBERS
        return {part: observed(part, self.n) for part in PARTS} if self.part is None else observed(self.part, self.n)

    def action_masks(self) -> list[bool]:
        return legal(self.n)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t, self.start = 0, int(self.np_random.integers(NUMBERS))
        self.episodes += 1
        return self._observation(), {}

    def step(self, action: Any) -> Any:
        assert self.action_masks()[action]
        self.t += 1
        done, cut = self.t == LENGTH, self.episodes % 2 == 0
        return self._observation(), 1.0, done and not cut, done and cut, {}


class Recorder(nn.Module):
    """A network that notes what it gets."""

    seen: ClassVar[list[tuple[bool, Any]]] = []

    def __init__(self, observation_space: spaces.Space, action_space: spaces.Space) -> None:
        super().__init__()
        self.space = observation_space
        self.bias = nn.Parameter(torch.zeros(4))

    def forward(self, obs: Any) -> Any:
        copy = {key: part.clone() for key, part in obs.items()} if isinstance(obs, dict) else obs.clone()
        self.seen.append((self.training, copy))
        batch = len(next(iter(obs.values())) if isinstance(obs, dict) else obs)
        out = torch.ones(batch, 1) * self.bias
        return out[:, :3], out[:, 3]


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    Recorder.seen.clear()
    yield
    Recorder.seen.clear()


def make_task(part: str | None) -> Task:
    return Task(
        id="numbered",
        env=lambda: Numbered(part),
        network=Recorder,
        ppo=PPOParams(n_envs=3, n_steps=16, batch_size=12, n_epochs=2),
        eval_episodes=5,
    )


def take(training: bool | None = None) -> list[Any]:
    """What the network got since the last time."""
    taken = [obs for mode, obs in Recorder.seen if training is None or mode is training]
    Recorder.seen.clear()
    assert taken
    return taken


def check(batches: list[Any], part: str | None) -> None:
    """Every row is an observation of the environment, in the contract's dtype and shape; enough of them were seen."""
    numbers = set()
    for batch in batches:
        if part is not None:
            assert isinstance(batch, torch.Tensor)
        by_part = batch if part is None else {part: batch}
        assert list(by_part) == (sorted(PARTS) if part is None else [part])
        for name, rows in by_part.items():
            dtype, shape = TENSORS[name]
            assert rows.dtype == dtype and rows.shape[1:] == shape, f"{name}: {rows.dtype} {list(rows.shape)}"
        rows_of = [{name: rows[k] for name, rows in by_part.items()} for k in range(len(next(iter(by_part.values()))))]
        for row in rows_of:
            key = "choice" if part is None else part
            matches = [n for n in range(NUMBERS) if torch.equal(row[key], tensor(key, n))]
            assert len(matches) == 1, f"{key}: {row[key]} is no observation of the environment"
            assert all(torch.equal(value, tensor(name, matches[0])) for name, value in row.items())
            numbers.update(matches)
    assert len(numbers) > 3


KINDS = [None, *PARTS]


@pytest.mark.parametrize("part", KINDS)
def test_sb3_rollout_train_and_predict(part: str | None) -> None:
    task = make_task(part)
    session = Sb3().open(task, seed=0, device="cpu", threads=1)
    Recorder.seen.clear()
    session.train(2 * task.ppo.rollout_steps, lambda _: None)
    recorded = list(Recorder.seen)
    check(take(training=False), part)  # rollout, bootstrap values of truncated and of cut episodes
    Recorder.seen.extend(recorded)
    check(take(training=True), part)  # train()
    eval_runner = session.eval_runner(3)
    for deterministic in (True, False):
        evaluate(eval_runner, 5, deterministic)
        check(take(), part)


@pytest.mark.parametrize("name", ["rllib", "rllib-exact"])
@pytest.mark.parametrize("part", KINDS)
def test_rllib_sampling_training_and_inference(name: str, part: str | None) -> None:
    port = frameworks.get(name).port(make_task(part), seed=0, device="cpu")  # type: ignore[attr-defined]
    runner = make_env_runner(port.config)
    learner = port.config.build_learner(env=None, spaces=runner.get_spaces())
    runner.set_state({COMPONENT_RL_MODULE: learner.module.get_state()})
    Recorder.seen.clear()
    episodes = runner.sample(num_timesteps=48)
    check(take(), part)
    learner.update(episodes=episodes, num_epochs=2, minibatch_size=12)
    check(take(), part)  # values of the whole batch for the advantages, then minibatches
    eval_runner = RllibEvalRunner(port, 3, lambda: {COMPONENT_RL_MODULE: learner.module.get_state()})
    for deterministic in (True, False):
        evaluate(eval_runner, 5, deterministic)
        check(take(), part)
    eval_runner.close()
    runner.stop()


@pytest.mark.parametrize("part", PARTS)
def test_a_tensor_of_a_framework_becomes_the_contracts_whatever_its_dtype_and_extra_dimensions(part: str) -> None:
    """SB3 stores a Discrete as ``[B, 1]``; a framework may hand over float32 for any of them."""
    rows = np.stack([np.asarray(observed(part, n), dtype=np.float64) for n in range(3)])
    shaped = rows.reshape(3, *(TENSORS[part][1] or (1,)))
    for given in (shaped, torch.as_tensor(shaped), torch.as_tensor(shaped, dtype=torch.float64)):
        result = network_input(given, PARTS[part])
        assert torch.equal(result, torch.stack([tensor(part, n) for n in range(3)]))
        assert result.dtype == TENSORS[part][0]


class Brought(TorchRLModule, ValueFunctionAPI):
    """A port's own module, which notes what it gets."""

    seen: ClassVar[list[dict[str, torch.Tensor]]] = []

    def setup(self) -> None:
        self.bias = nn.Parameter(torch.zeros(4))

    def _forward(self, batch: dict[str, Any], **_: Any) -> dict[str, Any]:
        obs = batch["obs"]
        self.seen.append({key: part.clone() for key, part in obs.items()})
        legal = obs["action_mask"].bool()
        return {"action_dist_inputs": torch.where(legal, self.bias[:3].expand(len(legal), 3), torch.tensor(-1e8))}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        return self.bias[3] * torch.ones(len(batch["obs"]["action_mask"]))


@pytest.mark.parametrize("part", [None, "choice"])
def test_a_brought_module_gets_the_observation_as_it_is_and_the_mask_as_int8(part: str | None) -> None:
    task = dataclasses.replace(make_task(part), rllib_module=Brought)
    port = build_port(task, seed=0, device="cpu")
    runner = make_env_runner(port.config)
    Brought.seen.clear()
    runner.sample(num_timesteps=48)
    keys = {"action_mask"} | (set(PARTS) if part is None else {"observations"})
    for batch in Brought.seen:
        assert set(batch) == keys
        mask = batch["action_mask"]
        assert mask.dtype == torch.int8 and mask.shape[1:] == (3,)
        numbers = (batch["choice"] if part is None else batch["observations"]).reshape(-1).tolist()
        assert mask.bool().tolist() == [legal(n - 3) for n in numbers]
    runner.stop()
