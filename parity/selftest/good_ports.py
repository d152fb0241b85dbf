"""Good ports, unusual in one way each."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.inference_only_api import InferenceOnlyAPI
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from torch import nn

from parity import tasks
from parity.masks import MaskedEnv
from parity.selftest.good import (
    CLERK,
    MASK,
    PPO,
    SHELVES,
    SORTER,
    ClerkModule,
    SorterModule,
    Sorting,
    SortingTogether,
    initialise,
)
from parity.selftest.good import good_port as port
from parity.selftest.register import good_port
from parity.task import Task

# --- modules ----------------------------------------------------------------------------------------------------------


@good_port("the port that bugs are planted in: own module, own names, a second agent")
def own_module() -> Task:
    return port()


@good_port("parity's reference port of the same task")
def reference_port() -> Task:
    return replace(port(), multi_agent_env=None, learning_agent=None, rllib_module=None, other_modules={})


@good_port("encoders of their own for policy and value")
def separate_encoders() -> Task:
    class Module(SorterModule):
        def setup(self) -> None:
            super().setup()
            self.value_eyes = nn.Conv2d(3, 4, 3, stride=2, padding=1)
            self.value_head = nn.Linear(64, 1)

        def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
            pictures = torch.relu(self.value_eyes(self.picture(batch[Columns.OBS]))).flatten(1)
            return self.value_head(pictures).squeeze(-1)

    # The critic that the port that this one is made from has is none of this module's.
    class WithoutCritic(Module):
        def setup(self) -> None:
            super().setup()
            del self.critic

    return replace(port(), rllib_module=WithoutCritic)


@good_port("forward returns values, embeddings and a column of its own, as many examples do")
def extra_columns() -> Task:
    class Module(SorterModule):
        def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
            obs = batch[Columns.OBS]
            features = self.features(obs)
            return {
                Columns.ACTION_DIST_INPUTS: self.masked(self.actor(features), obs[MASK]),
                Columns.VF_PREDS: self.critic(features).squeeze(-1),
                Columns.EMBEDDINGS: features,
                "largest_feature": features.max(dim=-1).values,
            }

        def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
            features = self.features(batch[Columns.OBS]) if embeddings is None else embeddings
            return self.critic(features).squeeze(-1)

    return replace(port(), rllib_module=Module)


@good_port("masks with -inf, and never an empty row")
def minus_infinity() -> Task:
    class Module(SorterModule):
        def masked(self, logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return torch.where(mask.bool(), logits, -torch.inf)

    return replace(port(), rllib_module=Module)


@good_port("masks as RLlib's example does it: clamp(log(mask), min=FLOAT_MIN)")
def clamped_log_of_the_mask() -> Task:
    class Module(SorterModule):
        def masked(self, logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return logits + torch.clamp(torch.log(mask.float()), min=torch.finfo(torch.float32).min)

    return replace(port(), rllib_module=Module)


@good_port("logits come normalised: log-probabilities over the legal actions")
def normalised_logits() -> Task:
    class Module(SorterModule):
        def masked(self, logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return torch.log_softmax(super().masked(logits, mask), dim=-1)

    return replace(port(), rllib_module=Module)


@good_port("the module samples by itself and returns actions and log-probs")
def samples_by_itself() -> Task:
    class Module(SorterModule):
        def _forward_exploration(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
            logits = self._forward(batch)[Columns.ACTION_DIST_INPUTS]
            policy = torch.distributions.Categorical(logits=logits)
            actions = policy.sample()
            return {
                Columns.ACTIONS: actions,
                Columns.ACTION_LOGP: policy.log_prob(actions),
                Columns.ACTION_DIST_INPUTS: logits,
            }

    return replace(port(), rllib_module=Module)


@good_port("layer normalisation, more layers and another activation: nothing corresponds to SB3's network")
def layer_normalisation() -> Task:
    class Module(SorterModule):
        def setup(self) -> None:
            super().setup()
            self.norm = nn.LayerNorm(self.actor.in_features)
            self.deeper = nn.Sequential(nn.Linear(self.actor.in_features, self.actor.in_features), nn.SiLU())

        def features(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
            return self.deeper(self.norm(super().features(obs)))

    return replace(port(), rllib_module=Module)


@good_port("a recurrent-looking module without state: a GRU cell from zeros")
def gru_from_zeros() -> Task:
    class Module(SorterModule):
        def setup(self) -> None:
            super().setup()
            width = self.actor.in_features
            self.cell, self.small = nn.GRUCell(width, 32), nn.Linear(32, width)

        def features(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
            return torch.tanh(self.small(self.cell(super().features(obs))))

    return replace(port(), rllib_module=Module)


@good_port("dropout in evaluation mode only: nn.Dropout(p=0)")
def dropout_of_nothing() -> Task:
    class Module(SorterModule):
        def setup(self) -> None:
            super().setup()
            self.drop = nn.Dropout(0.0)

        def features(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
            return self.drop(super().features(obs))

    return replace(port(), rllib_module=Module)


@good_port("PyTorch's default initialisation")
def default_initialisation() -> Task:
    class Module(SorterModule):
        def setup(self) -> None:
            super().setup()
            for layer in (self.eyes, self.counter, self.actor, self.critic):
                layer.reset_parameters()

    return replace(port(), rllib_module=Module)


@good_port("a pretrained part is frozen on purpose, in a network of its own shape")
def frozen_on_purpose() -> Task:
    class Module(SorterModule):
        def setup(self) -> None:
            super().setup()
            self.pretrained = nn.Linear(self.actor.in_features, self.actor.in_features)
            self.pretrained.requires_grad_(False)

        def features(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
            return torch.relu(self.pretrained(super().features(obs)))

    return replace(port(), rllib_module=Module)


@good_port("a buffer that counts calls, and nothing computed from it")
def counts_its_calls() -> Task:
    class Module(SorterModule):
        def setup(self) -> None:
            super().setup()
            self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

        def features(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
            self.calls += 1
            return super().features(obs)

    return replace(port(), rllib_module=Module)


# --- agents, connectors, configurations -------------------------------------------------------------------------------


class _Noted(ConnectorV2):
    """Looks at the batch and leaves it as it is."""

    def __call__(self, *, batch: dict[str, Any], episodes: list[Any], **kwargs: Any) -> dict[str, Any]:
        self.seen = getattr(self, "seen", 0) + len(episodes)
        return batch


@good_port("pass-through connectors in all three pipelines")
def pass_through_connectors() -> Task:
    def edit(config: PPOConfig) -> PPOConfig:
        return config.env_runners(
            env_to_module_connector=lambda *_, **__: _Noted(), module_to_env_connector=lambda *_, **__: _Noted()
        ).training(learner_connector=lambda *_, **__: _Noted())

    return replace(port(), rllib_config=edit)


@good_port("the learning agent alone, and the configuration untouched")
def one_agent() -> Task:
    class Alone(SortingTogether):
        def __init__(self) -> None:
            super().__init__()
            self.possible_agents = [SORTER]
            self.agents = [SORTER]
            del self.observation_spaces[CLERK], self.action_spaces[CLERK]

        def observed(self, seen: dict[str, Any]) -> dict[str, Any]:
            return {SORTER: super().observed(seen)[SORTER]}

    return replace(port(), multi_agent_env=Alone, other_modules={})


class _TwoLearn(SortingTogether):
    """The clerk has two things to do, one of them sometimes impossible; neither matters to the sorter."""

    def __init__(self) -> None:
        super().__init__()
        self.observation_spaces[CLERK] = spaces.Dict(
            {"label": self.env.observation_space["label"], MASK: spaces.Box(0, 1, (2,), np.int8)}
        )
        self.action_spaces[CLERK] = spaces.Discrete(2)

    def observed(self, seen: dict[str, Any]) -> dict[str, Any]:
        shown = super().observed(seen)
        shown[CLERK][MASK] = np.array([1, self.env.t % 2], np.int8)
        return shown


@good_port("two agents learn")
def two_learning_agents() -> Task:
    return replace(port(), multi_agent_env=_TwoLearn, other_modules={})


@good_port("agents take turns: the clerk acts between two decisions of the sorter")
def turn_based() -> Task:
    return replace(port(), multi_agent_env=_Turns)


class _Turns(SortingTogether):
    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, Any]:
        shown, infos = super().reset(seed=seed)
        self.waiting: Any = None
        return {SORTER: shown[SORTER]}, infos

    def step(self, action_dict: dict[str, Any]) -> tuple[Any, Any, Any, Any, Any]:
        if SORTER in action_dict:
            self.waiting = super().step({SORTER: action_dict[SORTER], CLERK: 0})
            shown = self.waiting[0]
            if self.waiting[2]["__all__"] or self.waiting[3]["__all__"]:
                return shown, *self.waiting[1:]
            return {CLERK: shown[CLERK]}, {}, {"__all__": False}, {"__all__": False}, {}
        shown, rewards, *rest = self.waiting
        return {SORTER: shown[SORTER]}, rewards, *rest


@good_port("the end of an episode shows the agents nothing where it terminates")
def nothing_shown_at_the_end() -> Task:
    class Env(SortingTogether):
        def step(self, action_dict: dict[str, Any]) -> tuple[Any, Any, Any, Any, Any]:
            shown, rewards, terminateds, *rest = super().step(action_dict)
            return {} if terminateds["__all__"] else shown, rewards, terminateds, *rest

    return replace(port(), multi_agent_env=Env)


@good_port("the mask is all ones, or all zeros, where no action follows")
def no_mask_at_the_end() -> Task:
    class Env(SortingTogether):
        def step(self, action_dict: dict[str, Any]) -> tuple[Any, Any, Any, Any, Any]:
            shown, rewards, terminateds, truncateds, infos = super().step(action_dict)
            if terminateds["__all__"] or truncateds["__all__"]:
                shown[SORTER][MASK] = np.zeros(SHELVES, np.int8)
            return shown, rewards, terminateds, truncateds, infos

    return replace(port(), multi_agent_env=Env)


@good_port("ends by the agents' names where they are terminations, and __all__")
def terminations_by_name() -> Task:
    class Env(SortingTogether):
        def ends(self, terminated: bool, truncated: bool) -> tuple[dict[str, bool], dict[str, bool]]:
            return {**dict.fromkeys(self.agents, terminated), "__all__": terminated}, {"__all__": truncated}

    return replace(port(), multi_agent_env=Env)


@good_port("the mask is bool in the space and in the observation")
def mask_of_bools() -> Task:
    class Env(SortingTogether):
        def __init__(self) -> None:
            super().__init__()
            space = dict(self.observation_spaces[SORTER].spaces)
            self.observation_spaces[SORTER] = spaces.Dict(space | {MASK: spaces.Box(0, 1, (SHELVES,), np.bool_)})

        def mask(self) -> np.ndarray:
            return self.env.action_masks().astype(bool)

    return replace(port(), multi_agent_env=Env)


@good_port("the mask is float32, as RLlib's example has it")
def mask_of_floats() -> Task:
    class Env(SortingTogether):
        def __init__(self) -> None:
            super().__init__()
            space = dict(self.observation_spaces[SORTER].spaces)
            self.observation_spaces[SORTER] = spaces.Dict(space | {MASK: spaces.Box(0.0, 1.0, (SHELVES,), np.float32)})

        def mask(self) -> np.ndarray:
            return self.env.action_masks().astype(np.float32)

    return replace(port(), multi_agent_env=Env)


@good_port("another environment than the task's class: strict, it raises at an illegal action")
def strict_environment() -> Task:
    return replace(
        port(), env=lambda: Sorting(strict=True), multi_agent_env=lambda: SortingTogether(Sorting(strict=True))
    )


@good_port("other hyperparameters than the task's, all of them declared")
def declared_hyperparameters() -> Task:
    def edit(config: PPOConfig) -> PPOConfig:
        return config.training(lr=1e-3, clip_param=0.3, use_kl_loss=True, entropy_coeff=0.0, num_epochs=2)

    reasons = dict.fromkeys(("learning_rate", "clip_range", "ent_coef", "n_epochs", "kl_coeff"), "found by a sweep")
    return replace(port(), rllib_config=edit, declared=reasons)


@good_port("a reward on another scale, declared")
def declared_reward() -> Task:
    class Env(SortingTogether):
        def paid(self, reward: float) -> float:
            return reward / 3

    return replace(port(), multi_agent_env=Env, declared={"PAR032": "shared between three"})


@good_port("one environment, lambda 1, no entropy, no value clipping, advantages as they are")
def other_hyperparameters() -> Task:
    ppo = dataclasses.replace(PPO, n_envs=1, n_steps=256, gae_lambda=1.0, ent_coef=0.0, gamma=0.99, batch_size=32)
    return replace(port(), ppo=ppo)


@good_port("a last minibatch that is shorter")
def short_last_minibatch() -> Task:
    return replace(port(), ppo=dataclasses.replace(PPO, batch_size=48))


@good_port("one minibatch of everything")
def one_minibatch() -> Task:
    return replace(port(), ppo=dataclasses.replace(PPO, batch_size=256))


def _module_ids(config: PPOConfig, names: dict[str, str]) -> PPOConfig:
    """Modules of other names than the agents'."""
    env = SortingTogether()
    classes = {SORTER: SorterModule, CLERK: ClerkModule}
    specs = {
        names[agent]: RLModuleSpec(
            module_class=module, observation_space=env.observation_spaces[agent], action_space=env.action_spaces[agent]
        )
        for agent, module in classes.items()
    }
    return config.rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs=specs)).multi_agent(
        policies=set(names.values()),
        policy_mapping_fn=lambda agent, *_, **__: names[agent],
        policies_to_train=[names[SORTER]],
    )


@good_port("module ids that are no agent ids")
def other_module_ids() -> Task:
    names = {SORTER: "policy_0", CLERK: "policy_1"}
    return replace(port(), rllib_module=None, other_modules={}, rllib_config=lambda config: _module_ids(config, names))


@good_port("a finished PPOConfig, as it would be given to Tune")
def finished_configuration() -> Task:
    config = (
        PPOConfig()
        .environment(SortingForConfig, disable_env_checking=True)
        .env_runners(num_env_runners=0, num_envs_per_env_runner=4, rollout_fragment_length=64)
        .training(
            train_batch_size_per_learner=256,
            minibatch_size=64,
            num_epochs=3,
            lr=2e-3,
            gamma=0.95,
            lambda_=0.9,
            clip_param=0.15,
            entropy_coeff=0.01,
            vf_loss_coeff=0.4,
            vf_clip_param=float("inf"),
            use_kl_loss=False,
            grad_clip=0.4,
            grad_clip_by="global_norm",
        )
    )
    config = _module_ids(config, {SORTER: SORTER, CLERK: CLERK})
    return replace(port(), rllib_module=None, other_modules={}, rllib_config=config)


class SortingForConfig(SortingTogether):
    """Takes RLlib's ``env_config``."""

    def __init__(self, config: Any = None) -> None:
        super().__init__()


@good_port("complete episodes of one environment, without a seed")
def complete_episodes() -> Task:
    ppo = dataclasses.replace(PPO, n_envs=1, n_steps=256)
    return replace(
        port(),
        ppo=ppo,
        rllib_config=lambda config: config.env_runners(batch_mode="complete_episodes").debugging(seed=None),
    )


@good_port("two env runners of two sub-environments each")
def remote_env_runners() -> Task:
    return replace(port(), rllib_config=lambda c: c.env_runners(num_env_runners=2, num_envs_per_env_runner=2))


@good_port("the env runner's copy leaves the value head out: InferenceOnlyAPI")
def inference_only() -> Task:
    class Module(SorterModule, InferenceOnlyAPI):
        def get_non_inference_attributes(self) -> list[str]:
            return ["critic"]

    return replace(port(), rllib_module=Module)


@good_port("values and rewards of hundreds")
def large_returns() -> Task:
    class Env(Sorting):
        def step(self, action: Any) -> Any:
            seen, reward, *rest = super().step(action)
            return seen, 300.0 * reward, *rest

    return replace(port(), env=Env, multi_agent_env=lambda: SortingTogether(Env()))


# --- environments -----------------------------------------------------------------------------------------------------


@good_port("episodes of 400 to 600 steps: none ends within a rollout")
def long_episodes() -> Task:
    env = lambda: Sorting(length=(400, 600))  # noqa: E731
    return replace(port(), env=env, multi_agent_env=lambda: SortingTogether(env()))


@good_port("episodes of one step")
def short_episodes() -> Task:
    env = lambda: Sorting(length=(1, 1))  # noqa: E731
    return replace(port(), env=env, multi_agent_env=lambda: SortingTogether(env()))


@good_port("no time limit")
def no_time_limit() -> Task:
    env = lambda: Sorting(limit=False)  # noqa: E731
    return replace(port(), env=env, multi_agent_env=lambda: SortingTogether(env()))


class _Lights(gymnasium.Env):
    """Switch what ``wanted`` says; some switches are out of order. The mask comes in ``info``."""

    def __init__(self, action_space: spaces.Space, is_box: bool = False) -> None:
        self.action_space, self._is_box = action_space, is_box
        self._sizes = [2] * action_space.n if isinstance(action_space, spaces.MultiBinary) else list(action_space.nvec)  # type: ignore[attr-defined]
        box = spaces.Box(-1.0, 1.0, (len(self._sizes) + 2,), np.float32)
        self.observation_space = box if is_box else spaces.Dict({"wanted": box, "mode": spaces.MultiDiscrete([2, 3])})

    def _seen(self) -> tuple[Any, dict[str, Any]]:
        self.wanted = np.array([self.np_random.integers(size) for size in self._sizes])
        masks = [self.np_random.random(size) < 0.7 for size in self._sizes]
        for mask, wanted in zip(masks, self.wanted, strict=True):
            mask[wanted] = True
        box = np.concatenate([self.wanted / 3, [self.t / 8, self.np_random.uniform(-1, 1)]]).astype(np.float32)
        info = {"action_mask": np.concatenate(masks)}
        return (box if self._is_box else {"wanted": box, "mode": np.array([self.t % 2, self.t % 3])}), info

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t, self.length = 0, int(self.np_random.integers(2, 8))
        return self._seen()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        reward = float((np.asarray(action) == self.wanted).mean())
        self.t += 1
        seen, info = self._seen()
        return seen, reward, self.t >= self.length, False, info


class _LightsNetwork(nn.Module):
    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        n = 2 * action_space.n if isinstance(action_space, spaces.MultiBinary) else int(action_space.nvec.sum())
        parts = observation_space.values() if isinstance(observation_space, spaces.Dict) else [observation_space]
        self.hidden = nn.Linear(sum(int(np.prod(part.shape)) for part in parts), 16)
        self.policy, self.value = nn.Linear(16, n), nn.Linear(16, 1)
        initialise(self, self.policy, self.value)

    def forward(self, obs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        parts = [part.float() for part in obs.values()] if isinstance(obs, dict) else [obs]
        hidden = torch.tanh(self.hidden(torch.cat(parts, dim=-1)))
        return self.policy(hidden), self.value(hidden).squeeze(-1)


def _lights(action_space: spaces.Space, is_box: bool = False) -> Task:
    return Task(id="lights", env=lambda: _Lights(action_space, is_box), network=_LightsNetwork, ppo=PPO, steps=2048)


@good_port("a MultiDiscrete action, the mask in info")
def multi_discrete() -> Task:
    return _lights(spaces.MultiDiscrete([3, 4, 2]))


@good_port("a MultiBinary action")
def multi_binary() -> Task:
    return _lights(spaces.MultiBinary(4))


@good_port("a MultiDiscrete action and an observation that is one Box")
def box_observation() -> Task:
    return _lights(spaces.MultiDiscrete([3, 3]), is_box=True)


class _FlatSorting(gymnasium.Env):
    """``Sorting`` with one vector as its observation."""

    def __init__(self) -> None:
        self.inner = Sorting()
        self.action_space = self.inner.action_space
        self.observation_space = spaces.Box(-1.0, 1.0, (4,), np.float32)

    def action_masks(self) -> np.ndarray:
        return self.inner.action_masks()

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        seen, info = self.inner.reset(seed=seed)
        return seen["label"], info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        seen, *rest = self.inner.step(action)
        return seen["label"], *rest


class _FlatNetwork(nn.Module):
    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        self.hidden, self.policy, self.value = nn.Linear(4, 16), nn.Linear(16, SHELVES), nn.Linear(16, 1)
        initialise(self, self.policy, self.value)

    def forward(self, obs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = torch.tanh(self.hidden(obs))
        return self.policy(hidden), self.value(hidden).squeeze(-1)


class _FlatTogether(MultiAgentEnv):
    """A Box observation beside its mask, as RLlib's action-masking example has it."""

    def __init__(self) -> None:
        super().__init__()
        self.env = MaskedEnv(_FlatSorting())
        self.possible_agents = ["only"]
        self.agents = ["only"]
        space = {"observations": self.env.observation_space, MASK: spaces.Box(0.0, 1.0, (SHELVES,), np.float32)}
        self.observation_spaces = {"only": spaces.Dict(space)}
        self.action_spaces = {"only": self.env.action_space}

    def _shown(self, seen: Any) -> dict[str, Any]:
        return {"only": {"observations": seen, MASK: self.env.action_masks().astype(np.float32)}}

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, Any]:
        seen, _ = self.env.reset(seed=seed)
        return self._shown(seen), {}

    def step(self, action_dict: dict[str, Any]) -> tuple[Any, Any, Any, Any, Any]:
        seen, reward, terminated, truncated, _ = self.env.step(action_dict["only"])
        return self._shown(seen), {"only": reward}, {"__all__": terminated}, {"__all__": truncated}, {}


class _FlatModule(TorchRLModule, ValueFunctionAPI):
    def setup(self) -> None:
        self.body, self.pi, self.vf = nn.Linear(4, 16), nn.Linear(16, SHELVES), nn.Linear(16, 1)
        initialise(self, self.pi, self.vf)

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        obs = batch[Columns.OBS]
        logits = self.pi(torch.tanh(self.body(obs["observations"])))
        return {Columns.ACTION_DIST_INPUTS: logits + torch.clamp(torch.log(obs[MASK]), min=-3.4e38)}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        return self.vf(torch.tanh(self.body(batch[Columns.OBS]["observations"]))).squeeze(-1)


@good_port("one Box beside its mask, own environment and module, as RLlib's example has it")
def box_beside_its_mask() -> Task:
    return Task(
        id="flat",
        env=_FlatSorting,
        network=_FlatNetwork,
        ppo=PPO,
        steps=2048,
        multi_agent_env=_FlatTogether,
        rllib_module=_FlatModule,
    )


# --- parity's own -----------------------------------------------------------------------------------------------------


def _built_in(name: str) -> Task:
    return tasks.load(tasks.resolve(name))


@good_port("built-in task tiles")
def tiles() -> Task:
    return _built_in("tiles")


@good_port("built-in task tiles-time-limit")
def tiles_time_limit() -> Task:
    return _built_in("tiles-time-limit")


@good_port("built-in task tiles-resolution: the other agent has a fixed policy")
def tiles_resolution() -> Task:
    return _built_in("tiles-resolution")


@good_port("built-in task tiles-two-learners: the other agent changes the world, which SB3's environment does not have")
def tiles_two_learners() -> Task:
    return _built_in("tiles-two-learners")
