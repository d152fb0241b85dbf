"""Ports for the tests of the ladder: good ones in many shapes, and good ones with one thing broken."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from ray.tune.registry import register_env
from torch import nn
from worlds import Net

from parity import PPOParams, Task
from parity.results.capture import Numbers

Collected = Callable[..., Numbers]

LEARNER, OTHER = "picker", "helper"
ACTIONS = 5
PPO = PPOParams(n_envs=4, n_steps=64, batch_size=64, n_epochs=2, learning_rate=1e-3, gamma=0.95)


class Picker(gymnasium.Env):
    """Five actions of which a changing part is legal; the best one scores. Ends by itself or, half the time, by a limit.

    ``lenient`` lets illegal actions pass; ``scale`` multiplies rewards.
    """

    def __init__(self, lenient: bool = False, scale: float = 1.0, limit: bool = True) -> None:
        self.lenient, self.scale, self.limit = lenient, scale, limit
        self.action_space = spaces.Discrete(ACTIONS)
        self.observation_space = spaces.Dict(
            {"state": spaces.Box(-1.0, 1.0, (3,), np.float32), "last": spaces.Discrete(ACTIONS)}
        )

    def action_masks(self) -> np.ndarray:
        return self.mask

    def _observe(self) -> dict[str, Any]:
        self.mask = self.np_random.random(ACTIONS) < 0.5
        self.mask[self.np_random.integers(ACTIONS)] = True
        self.best = int(self.np_random.choice(np.flatnonzero(self.mask)))
        state = np.array([self.best / ACTIONS, self.t / 8, self.np_random.uniform(-1, 1)], np.float32)
        return {"state": state, "last": self.last}

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t, self.last = 0, 0
        self.length, self.truncates = int(self.np_random.integers(3, 8)), bool(self.np_random.random() < 0.5)
        return self._observe(), {}

    def step(self, action: Any) -> Any:
        if not self.mask[action] and not self.lenient:
            raise ValueError(f"illegal action {action}")
        reward = self.scale * (float(action == self.best) + 0.1 * float(self.np_random.random()))
        self.t, self.last = self.t + 1, int(action)
        over = self.t >= self.length
        truncated = over and self.truncates and self.limit
        return self._observe(), reward, over and not truncated, truncated, {}


class Pair(MultiAgentEnv):
    """``Picker`` with a second agent of two actions, which change nothing."""

    def __init__(self, env: gymnasium.Env, other: bool = True) -> None:
        super().__init__()
        self.env, self.other = env, other
        self.possible_agents = [LEARNER, OTHER] if other else [LEARNER]
        self.agents = list(self.possible_agents)
        seen = dict(env.observation_space.spaces)  # type: ignore[attr-defined]
        self.observation_spaces = {LEARNER: self._space(seen, ACTIONS)}
        self.action_spaces = {LEARNER: env.action_space}
        if other:
            self.observation_spaces[OTHER] = self._space(seen, 2)
            self.action_spaces[OTHER] = spaces.Discrete(2)

    @staticmethod
    def _space(seen: dict[str, Any], n: int) -> spaces.Dict:
        return spaces.Dict(seen | {"action_mask": spaces.Box(0, 1, (n,), np.int8)})

    def mask(self) -> np.ndarray:
        return self.env.action_masks().astype(np.int8)  # type: ignore[attr-defined]

    def show(self, seen: dict[str, Any]) -> dict[str, Any]:
        shown = {LEARNER: {**seen, "action_mask": self.mask()}}
        if self.other:
            shown[OTHER] = {**seen, "state": seen["state"].copy(), "action_mask": np.ones(2, np.int8)}
        return shown

    def ends(self, over: bool) -> dict[str, bool]:
        return {"__all__": over}

    def reward(self, reward: float) -> float:
        return reward

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        seen, _ = self.env.reset(seed=seed)
        return self.show(seen), {}

    def step(self, action_dict: dict[str, Any]) -> Any:
        seen, reward, terminated, truncated, _ = self.env.step(action_dict[LEARNER])
        rewards = dict.fromkeys(self.agents, self.reward(float(reward)))
        return self.show(seen), rewards, self.ends(terminated), self.ends_by_limit(truncated), {}

    def ends_by_limit(self, over: bool) -> dict[str, bool]:
        return {"__all__": over}


class OwnModule(TorchRLModule, ValueFunctionAPI):
    """`worlds.Net` under other names, with additive masking, as a user would write it."""

    def setup(self) -> None:
        self.encoder = nn.Linear(4, 16)
        self.pi, self.vf = nn.Linear(16, int(self.action_space.n)), nn.Linear(16, 1)

    def features(self, batch: dict[str, Any]) -> torch.Tensor:
        obs = batch[Columns.OBS]
        flat = torch.cat([obs["last"].float().reshape(-1, 1), obs["state"].float()], dim=-1)
        return torch.tanh(self.encoder(flat))

    def masked(self, logits: torch.Tensor, batch: dict[str, Any]) -> torch.Tensor:
        mask = batch[Columns.OBS]["action_mask"].float()
        return logits + torch.clamp(torch.log(mask), min=torch.finfo(torch.float32).min)

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return {Columns.ACTION_DIST_INPUTS: self.masked(self.pi(self.features(batch)), batch)}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        return self.vf(self.features(batch)).squeeze(-1)


def _pair(cls: type[Pair] = Pair, **kwargs: Any) -> Callable[[], Pair]:
    return lambda: cls(Picker(**kwargs), other=False)


def port(id: str = "own", **changes: Any) -> Task:
    """A good port: the user's own module in the user's own environment, one agent, parity's configuration."""
    fields: dict[str, Any] = {
        "id": id,
        "env": Picker,
        "network": Net,
        "ppo": PPO,
        "steps": 1024,
        "multi_agent_env": _pair(),
        "rllib_module": OwnModule,
    }
    return Task(**fields | changes)


# --- good ports -------------------------------------------------------------------------------------------------------


class ExtraColumns(OwnModule):
    """Returns values and embeddings at every call, as many examples do."""

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        features = self.features(batch)
        logits = self.masked(self.pi(features), batch)
        values = self.vf(features).squeeze(-1)
        return {Columns.ACTION_DIST_INPUTS: logits, Columns.EMBEDDINGS: features, Columns.VF_PREDS: values}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        return self.vf(self.features(batch) if embeddings is None else embeddings).squeeze(-1)


class MinusInfinity(OwnModule):
    """Masks with -inf."""

    def masked(self, logits: torch.Tensor, batch: dict[str, Any]) -> torch.Tensor:
        return logits.masked_fill(batch[Columns.OBS]["action_mask"] == 0, -torch.inf)


class SeparateEncoders(OwnModule):
    """An encoder of its own for the value function: no parameters correspond to SB3's."""

    def setup(self) -> None:
        super().setup()
        self.critic = nn.Sequential(nn.Linear(4, 16), nn.Tanh())

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        obs = batch[Columns.OBS]
        flat = torch.cat([obs["last"].float().reshape(-1, 1), obs["state"].float()], dim=-1)
        return self.vf(self.critic(flat)).squeeze(-1)


class PassThrough(ConnectorV2):
    """Leaves the batch as it is."""

    def __call__(self, *, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return batch


def _connect(connector: type[ConnectorV2]) -> Callable[[PPOConfig], PPOConfig]:
    return lambda config: config.env_runners(env_to_module_connector=lambda *_, **__: connector())


def two_learners() -> MultiAgentEnv:
    return Pair(Picker())


class TurnBased(Pair):
    """The other agent moves between the learning agent's moves, and has no effect."""

    def show(self, seen: dict[str, Any]) -> dict[str, Any]:
        self._seen = super().show(seen)
        return {LEARNER: self._seen[LEARNER]}

    def step(self, action_dict: dict[str, Any]) -> Any:
        if LEARNER in action_dict:
            _, self._reward, over, limit, infos = super().step(action_dict)
            if over["__all__"] or limit["__all__"]:
                return self._seen, self._reward, over, limit, infos
            return {OTHER: self._seen[OTHER]}, {}, over, limit, infos
        return {LEARNER: self._seen[LEARNER]}, self._reward, {"__all__": False}, {"__all__": False}, {}


class Leaver(Pair):
    """The other agent terminates after its first move; the episode goes on."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.agents = list(self.possible_agents)
        return super().reset(seed=seed)

    def show(self, seen: dict[str, Any]) -> dict[str, Any]:
        return {agent: part for agent, part in super().show(seen).items() if agent in self.agents}

    def step(self, action_dict: dict[str, Any]) -> Any:
        shown, rewards, over, limit, infos = super().step(action_dict)
        if OTHER in self.agents and not over["__all__"] and not limit["__all__"]:
            over[OTHER] = True
            self.agents = [LEARNER]
        return shown, rewards, over, limit, infos


class OtherBounds(Pair):
    """Declares its observations with other bounds, which no network sees."""

    def __init__(self, env: gymnasium.Env, other: bool = True) -> None:
        super().__init__(env, other)
        seen = dict(self.observation_spaces[LEARNER].spaces)
        self.observation_spaces[LEARNER] = spaces.Dict(seen | {"state": spaces.Box(-np.inf, np.inf, (3,), np.float32)})


class Several(gymnasium.Env):
    """Two masked sub-actions, and an observation that is no ``Dict``."""

    def __init__(self) -> None:
        self.action_space = spaces.MultiDiscrete([3, 4])
        self.observation_space = spaces.Box(-1.0, 1.0, (3,), np.float32)

    def action_masks(self) -> np.ndarray:
        return self.mask

    def _observe(self) -> np.ndarray:
        self.mask = self.np_random.random(7) < 0.5
        self.mask[[self.np_random.integers(3), 3 + self.np_random.integers(4)]] = True
        return self.np_random.uniform(-1, 1, 3).astype(np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return self._observe(), {}

    def step(self, action: Any) -> Any:
        if not (self.mask[action[0]] and self.mask[3 + action[1]]):
            raise ValueError(f"illegal action {action}")
        self.t += 1
        return self._observe(), float(action[0] == action[1]), bool(self.np_random.random() < 0.2), self.t >= 8, {}


class Unseeded(Several):
    """Draws from NumPy's global generator and from its action space, as sb3-contrib's InvalidActionEnv does."""

    def _observe(self) -> np.ndarray:
        self.mask = np.random.random(7) < 0.5
        first, second = self.action_space.sample()
        self.mask[[first, 3 + second]] = True
        return np.random.uniform(-1, 1, 3).astype(np.float32)


class FlatNet(nn.Module):
    def __init__(self, observation_space: spaces.Space, action_space: spaces.Space) -> None:
        super().__init__()
        self.hidden, self.policy, self.value = nn.Linear(3, 16), nn.Linear(16, 7), nn.Linear(16, 1)

    def forward(self, obs: Any) -> Any:
        features = torch.tanh(self.hidden(obs))
        return self.policy(features), self.value(features).squeeze(-1)


def shared_module(config: PPOConfig) -> PPOConfig:
    """Both agents play one module."""
    spec = RLModuleSpec(
        module_class=OwnModule,
        observation_space=two_learners().get_observation_space(LEARNER),
        action_space=spaces.Discrete(ACTIONS),
    )
    return config.multi_agent(
        policies={"shared"}, policy_mapping_fn=lambda *_, **__: "shared", policies_to_train=["shared"]
    ).rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs={"shared": spec}))


class Twins(Pair):
    """Two agents with the same spaces; the second one's actions change nothing."""

    def __init__(self) -> None:
        super().__init__(Picker())
        self.observation_spaces[OTHER] = self.observation_spaces[LEARNER]
        self.action_spaces[OTHER] = self.action_spaces[LEARNER]

    def show(self, seen: dict[str, Any]) -> dict[str, Any]:
        return {agent: {**seen, "state": seen["state"].copy(), "action_mask": self.mask()} for agent in self.agents}


def whole_config() -> PPOConfig:
    """A configuration as somebody has it who never heard of parity."""
    register_env("ladder-pair", lambda _: Pair(Picker(), other=False))
    return (
        PPOConfig()
        .environment("ladder-pair", disable_env_checking=True)
        .env_runners(num_env_runners=0, num_envs_per_env_runner=4, rollout_fragment_length=64)
        .training(
            lr=1e-3, gamma=0.95, lambda_=0.95, clip_param=0.2, vf_clip_param=float("inf"), vf_loss_coeff=0.5,
            entropy_coeff=0.0, use_kl_loss=False, grad_clip=0.5, grad_clip_by="global_norm",
            train_batch_size_per_learner=256, minibatch_size=64, num_epochs=2,
        )
        .multi_agent(policies={"p0"}, policy_mapping_fn=lambda *_, **__: "p0")
        .rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs={"p0": RLModuleSpec(module_class=OwnModule)}))
    )  # fmt: skip


GOOD: dict[str, Task] = {
    "reference": port("reference", rllib_module=None, multi_agent_env=None),
    "own": port(),
    "extra-columns": port("extra-columns", rllib_module=ExtraColumns),
    "minus-infinity": port("minus-infinity", rllib_module=MinusInfinity),
    "separate-encoders": port("separate-encoders", rllib_module=SeparateEncoders),
    "pass-through": port("pass-through", rllib_config=_connect(PassThrough)),
    "two-learners": port("two-learners", multi_agent_env=two_learners, learning_agent=LEARNER, rllib_module=None),
    "turn-based": port(
        "turn-based", multi_agent_env=lambda: TurnBased(Picker()), learning_agent=LEARNER, rllib_module=None
    ),
    "other-bounds": port("other-bounds", multi_agent_env=_pair(OtherBounds)),
    "leaver": port("leaver", multi_agent_env=lambda: Leaver(Picker()), learning_agent=LEARNER, rllib_module=None),
    "shared-module": port(
        "shared-module",
        multi_agent_env=Twins,
        learning_agent=LEARNER,
        rllib_module=None,
        rllib_config=shared_module,
    ),
    "whole-config": port("whole-config", rllib_module=None, multi_agent_env=None, rllib_config=whole_config()),
    "several-actions": port("several-actions", env=Several, network=FlatNet, multi_agent_env=None, rllib_module=None),
    "no-limit": port("no-limit", env=lambda: Picker(limit=False), multi_agent_env=_pair(limit=False)),
    "large-returns": port("large-returns", env=lambda: Picker(scale=300.0), multi_agent_env=_pair(scale=300.0)),
    "unseeded": port("unseeded", env=Unseeded, network=FlatNet, multi_agent_env=None, rllib_module=None),
    "entropy": port("entropy", ppo=dataclasses.replace(PPO, ent_coef=0.01, gae_lambda=1.0, n_envs=1, n_steps=256)),
}


# --- broken ports -----------------------------------------------------------------------------------------------------


class NoValueFunction(TorchRLModule):
    """The reported port's mistake: no ValueFunctionAPI, and zeros where RLlib computes nothing."""

    setup, features, masked, compute_values = (
        OwnModule.setup, OwnModule.features, OwnModule.masked, OwnModule.compute_values,
    )  # fmt: skip

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        logits = self.masked(self.pi(self.features(batch)), batch)
        zeros = torch.zeros(len(logits))
        return {Columns.ACTION_DIST_INPUTS: logits, Columns.ADVANTAGES: zeros, Columns.VALUE_TARGETS: zeros}


class NoValueFunctionNoZeros(NoValueFunction):
    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return OwnModule._forward(self, batch)  # type: ignore[arg-type]


class UnmaskedTraining(OwnModule):
    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return {Columns.ACTION_DIST_INPUTS: self.pi(self.features(batch))}


class UnmaskedInference(OwnModule):
    def _forward_inference(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return {Columns.ACTION_DIST_INPUTS: self.pi(self.features(batch))}


class Multiplied(OwnModule):
    def masked(self, logits: torch.Tensor, batch: dict[str, Any]) -> torch.Tensor:
        return logits * batch[Columns.OBS]["action_mask"].float()


class Additive(Pair):
    """Its mask is made to be added to logits."""

    @staticmethod
    def _space(seen: dict[str, Any], n: int) -> spaces.Dict:
        return spaces.Dict(seen | {"action_mask": spaces.Box(-1e8, 0.0, (n,), np.float32)})

    def mask(self) -> np.ndarray:
        return np.where(super().mask() > 0, 0.0, -1e8).astype(np.float32)


class AddsMask(OwnModule):
    def masked(self, logits: torch.Tensor, batch: dict[str, Any]) -> torch.Tensor:
        return logits + batch[Columns.OBS]["action_mask"]


class ValuesDetached(OwnModule):
    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        return super().compute_values(batch).detach()


class FrozenEncoder(OwnModule):
    def features(self, batch: dict[str, Any]) -> torch.Tensor:
        with torch.no_grad():
            return super().features(batch)


class ValuesWithLastAxis(OwnModule):
    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        return self.vf(self.features(batch))


class OtherInput(OwnModule):
    """Leaves out an input that SB3's network sees."""

    def features(self, batch: dict[str, Any]) -> torch.Tensor:
        obs = batch[Columns.OBS]
        return super().features({Columns.OBS: {**obs, "last": torch.zeros_like(obs["last"])}})


class Noisy(OwnModule):
    def features(self, batch: dict[str, Any]) -> torch.Tensor:
        return nn.functional.dropout(super().features(batch), 0.3, training=True)


class PopsMask(OwnModule):
    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        logits = self.masked(self.pi(self.features(batch)), batch)
        batch[Columns.OBS].pop("last")
        return {Columns.ACTION_DIST_INPUTS: logits}


class NaNInOneState(OwnModule):
    """A division by zero in rows that are rare."""

    def masked(self, logits: torch.Tensor, batch: dict[str, Any]) -> torch.Tensor:
        rare = batch[Columns.OBS]["last"].reshape(-1, 1) == ACTIONS - 1
        return super().masked(torch.where(rare, logits * 0 / 0, logits), batch)


class NaNGradient(OwnModule):
    """Finite outputs whose gradient is not: the square root of zero."""

    def features(self, batch: dict[str, Any]) -> torch.Tensor:
        features = super().features(batch)
        return features + 0 * torch.sqrt(0 * features[:, :1])


class FrozenLayer(OwnModule):
    def setup(self) -> None:
        super().setup()
        self.encoder.weight.requires_grad_(False)


class Raising(OwnModule):
    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        raise RuntimeError("no values today")


class ScalesBatch(ConnectorV2):
    """Puts scaled observations into the batch and not into the episode: sampling and training see different ones."""

    def __call__(self, *, batch: dict[str, Any], episodes: list[Any], **kwargs: Any) -> dict[str, Any]:
        for episode in self.single_agent_episode_iterator(episodes, agents_that_stepped_only=True):
            seen = episode.get_observations(-1)
            self.add_batch_item(batch, Columns.OBS, {**seen, "state": seen["state"] * 3}, episode)
        return batch


class PerAgentTruncation(Pair):
    def ends_by_limit(self, over: bool) -> dict[str, bool]:
        return {agent: over for agent in self.agents} | {"__all__": over}


class SwappedEnds(Pair):
    def step(self, action_dict: dict[str, Any]) -> Any:
        seen, rewards, terminateds, truncateds, infos = super().step(action_dict)
        return seen, rewards, truncateds, terminateds, infos


class StaleMask(Pair):
    """Shows the mask of the state before."""

    def mask(self) -> np.ndarray:
        before, self._before = getattr(self, "_before", None), super().mask()
        return self._before if before is None else before


class InvertedMask(Pair):
    def mask(self) -> np.ndarray:
        inverted = 1 - super().mask()
        return inverted if inverted.any() else super().mask()


class ScaledReward(Pair):
    def reward(self, reward: float) -> float:
        return reward / 10


class SameArrays(Pair):
    """One dictionary of arrays, written again at every step."""

    def show(self, seen: dict[str, Any]) -> dict[str, Any]:
        shown = super().show(seen)[LEARNER]
        if not hasattr(self, "_buffer"):
            self._buffer = {key: np.array(value) for key, value in shown.items()}
        for key, value in shown.items():
            self._buffer[key][...] = value
        return {LEARNER: self._buffer}


class EmptyMask(Pair):
    def mask(self) -> np.ndarray:
        return super().mask() * (self.env.t != 2)  # type: ignore[attr-defined]


class IgnoresSeed(Pair):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self._count = getattr(self, "_count", 0) + 1
        return super().reset(seed=self._count)


def _defaults(config: PPOConfig) -> PPOConfig:
    stock = PPOConfig()
    return config.training(lr=stock.lr, lambda_=stock.lambda_)


def _complete_with_seed(config: PPOConfig) -> PPOConfig:
    return config.env_runners(batch_mode="complete_episodes", num_envs_per_env_runner=1)


def _complete_with_envs(config: PPOConfig) -> PPOConfig:
    return config.env_runners(batch_mode="complete_episodes").debugging(seed=None)


def _own_gamma(config: PPOConfig) -> PPOConfig:
    return config.multi_agent(algorithm_config_overrides_per_module={LEARNER: PPOConfig.overrides(gamma=0.5)})


def _untrained(config: PPOConfig) -> PPOConfig:
    return config.multi_agent(policies_to_train=[OTHER])


_LARGE: dict[str, Any] = {"env": lambda: Picker(scale=300.0), "multi_agent_env": _pair(scale=300.0)}
_LENIENT: dict[str, Any] = {"env": lambda: Picker(lenient=True)}

# Name -> the port, and the code of the root that must be named.
BROKEN: dict[str, tuple[Task, str]] = {
    "no-value-function": (port(rllib_module=NoValueFunction), "PAR003"),
    "no-value-function-no-zeros": (port(rllib_module=NoValueFunctionNoZeros), "PAR003"),
    "unmasked-training": (port(rllib_module=UnmaskedTraining), "PAR201"),
    "unmasked-inference": (port(rllib_module=UnmaskedInference), "PAR201"),
    "multiplied-mask": (port(rllib_module=Multiplied), "PAR201"),
    "additive-mask": (port(rllib_module=AddsMask, multi_agent_env=_pair(Additive)), "PAR039"),
    "values-detached": (port(rllib_module=ValuesDetached), "PAR602"),
    "frozen-encoder": (port(rllib_module=FrozenEncoder), "PAR602"),
    "values-with-last-axis": (port(rllib_module=ValuesWithLastAxis), "PAR105"),
    "other-input": (port(rllib_module=OtherInput), "PAR101"),
    "noisy": (port(rllib_module=Noisy), "PAR104"),
    "pops-an-entry": (port(rllib_module=PopsMask), "PAR103"),
    "nan-gradient": (port(rllib_module=NaNGradient), "PAR601"),
    "frozen-layer": (port(rllib_module=FrozenLayer), "PAR605"),
    "raising": (port(rllib_module=Raising), "PAR107"),
    "scales-batch": (port(rllib_config=_connect(ScalesBatch)), "PAR303"),
    "per-agent-truncation": (port(multi_agent_env=_pair(PerAgentTruncation)), "PAR304"),
    "swapped-ends": (port(multi_agent_env=_pair(SwappedEnds)), "PAR033"),
    "stale-mask": (port(multi_agent_env=_pair(StaleMask, lenient=True), **_LENIENT), "PAR031"),
    "inverted-mask": (port(multi_agent_env=_pair(InvertedMask, lenient=True), **_LENIENT), "PAR031"),
    "scaled-reward": (port(multi_agent_env=_pair(ScaledReward)), "PAR032"),
    "empty-mask": (port(multi_agent_env=_pair(EmptyMask, lenient=True), **_LENIENT), "PAR005"),
    "ignores-seed": (port(multi_agent_env=_pair(IgnoresSeed)), "PAR015"),
    "learning-rate-and-lambda": (port(rllib_config=_defaults), "PAR010"),
    "value-clamp": (port(**_LARGE, rllib_config=lambda c: c.training(vf_clip_param=10.0)), "PAR011"),
    "kl-loss": (port(rllib_config=lambda c: c.training(use_kl_loss=True)), "PAR012"),
    "same-seed-again": (port(ppo=dataclasses.replace(PPO, n_envs=1), rllib_config=_complete_with_seed), "PAR014"),
    "thrown-away": (port(rllib_config=_complete_with_envs), "PAR016"),
    "own-gamma": (port(rllib_config=_own_gamma), "PAR018"),
    "untrained": (port(multi_agent_env=two_learners, learning_agent=LEARNER, rllib_config=_untrained), "PAR006"),
}
