"""Good ports whose agents, connectors or configuration are unusual."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.algorithms.ppo.torch.default_ppo_torch_rl_module import DefaultPPOTorchRLModule
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.inference_only_api import InferenceOnlyAPI

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
    with_modules,
)
from parity.selftest.good import good_port as port
from parity.selftest.ports.environments import sorting
from parity.selftest.register import good_port
from parity.task import PPOParams, Task


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


@good_port("the other agent leaves after its first move, and the episode goes on")
def other_agent_leaves() -> Task:
    return replace(port(), multi_agent_env=_Leaving, other_modules={})


class _Leaving(_TwoLearn):
    def observed(self, seen: dict[str, Any]) -> dict[str, Any]:
        shown = super().observed(seen)
        return shown if self.env.t <= 1 else {SORTER: shown[SORTER]}

    def step(self, action_dict: dict[str, Any]) -> tuple[Any, Any, Any, Any, Any]:
        shown, rewards, terminateds, *rest = super().step(action_dict)
        if self.env.t == 1:
            terminateds[CLERK] = True
        return shown, {agent: rewards[agent] for agent in shown}, terminateds, *rest


@good_port("two agents learn")
def two_learning_agents() -> Task:
    return replace(port(), multi_agent_env=_TwoLearn, other_modules={})


@good_port("agents take turns: the clerk acts between two decisions of the sorter")
class TurnBased(SortingTogether):
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
class NothingShownAtTheEnd(SortingTogether):
    def step(self, action_dict: dict[str, Any]) -> tuple[Any, Any, Any, Any, Any]:
        shown, rewards, terminateds, *rest = super().step(action_dict)
        return {} if terminateds["__all__"] else shown, rewards, terminateds, *rest


@good_port("the mask is all ones, or all zeros, where no action follows")
class NoMaskAtTheEnd(SortingTogether):
    def step(self, action_dict: dict[str, Any]) -> tuple[Any, Any, Any, Any, Any]:
        shown, rewards, terminateds, truncateds, infos = super().step(action_dict)
        if terminateds["__all__"] or truncateds["__all__"]:
            shown[SORTER][MASK] = np.zeros(SHELVES, np.int8)
        return shown, rewards, terminateds, truncateds, infos


@good_port("ends by the agents' names where they are terminations, and __all__")
class TerminationsByName(SortingTogether):
    def ends(self, terminated: bool, truncated: bool) -> tuple[dict[str, bool], dict[str, bool]]:
        return {**dict.fromkeys(self.agents, terminated), "__all__": terminated}, {"__all__": truncated}


@good_port("the environment declares its observations with other bounds, which no network sees")
class OtherBounds(SortingTogether):
    def entries(self) -> dict[str, Any]:
        return super().entries() | {"label": spaces.Box(-np.inf, np.inf, (4,), np.float32)}


@good_port("the mask is bool in the space and in the observation")
class MaskOfBools(SortingTogether):
    def entries(self) -> dict[str, Any]:
        return super().entries() | {MASK: spaces.Box(0, 1, (SHELVES,), np.bool_)}  # type: ignore[arg-type]

    def mask(self) -> np.ndarray:
        return self.env.action_masks().astype(bool)


@good_port("the mask is float32, as RLlib's example has it")
class MaskOfFloats(SortingTogether):
    def entries(self) -> dict[str, Any]:
        return super().entries() | {MASK: spaces.Box(0.0, 1.0, (SHELVES,), np.float32)}

    def mask(self) -> np.ndarray:
        return self.env.action_masks().astype(np.float32)


good_port(
    "another environment than the task's class: strict, it raises at an illegal action", name="strict-environment"
)(partial(sorting, strict=True))


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


def _with_ppo(ppo: PPOParams) -> Task:
    return replace(port(), ppo=ppo)


for _name, _what, _ppo in (
    (
        "other-hyperparameters",
        "one environment, lambda 1, no entropy, no value clipping, advantages as they are",
        replace(PPO, n_envs=1, n_steps=256, gae_lambda=1.0, ent_coef=0.0, gamma=0.99, batch_size=32),
    ),
    ("short-last-minibatch", "a last minibatch that is shorter", replace(PPO, batch_size=48)),
    ("one-minibatch", "one minibatch of everything", replace(PPO, batch_size=256)),
):
    good_port(_what, name=_name)(partial(_with_ppo, _ppo))


def _module_ids(config: PPOConfig, names: dict[str, str]) -> PPOConfig:
    """Modules of other names than the agents'."""
    classes = {names[SORTER]: SorterModule, names[CLERK]: ClerkModule}
    return with_modules(config, classes, {module: agent for agent, module in names.items()}).multi_agent(
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
    return replace(
        port(),
        ppo=replace(PPO, n_envs=1, n_steps=256),
        rllib_config=lambda config: config.env_runners(batch_mode="complete_episodes").debugging(seed=None),
    )


@good_port("two env runners of two sub-environments each")
def remote_env_runners() -> Task:
    return replace(port(), rllib_config=lambda c: c.env_runners(num_env_runners=2, num_envs_per_env_runner=2))


@good_port("the env runner's copy leaves the value head out: InferenceOnlyAPI")
class InferenceOnly(SorterModule, InferenceOnlyAPI):
    def get_non_inference_attributes(self) -> list[str]:
        return ["critic"]


@good_port("values and rewards of hundreds")
def large_returns() -> Task:
    class Env(Sorting):
        def step(self, action: Any) -> Any:
            seen, reward, *rest = super().step(action)
            return seen, 300.0 * reward, *rest

    return replace(port(), env=Env, multi_agent_env=lambda: SortingTogether(Env()))


@good_port("another agent learns continuous actions, by RLlib's own module")
def continuous_second_agent() -> Task:
    class Env(SortingTogether):
        def __init__(self) -> None:
            super().__init__()
            self.observation_spaces[CLERK] = self.env.observation_space["label"]
            self.action_spaces[CLERK] = spaces.Box(-1, 1, (2,), np.float32)

        def observed(self, seen: dict[str, Any]) -> dict[str, Any]:
            shown = super().observed(seen)
            return {**shown, CLERK: shown[CLERK]["label"]}

    return replace(port(), multi_agent_env=Env, other_modules={CLERK: DefaultPPOTorchRLModule})


@good_port("another agent observes entries of entries")
def nested_second_agent() -> Task:
    class Env(_TwoLearn):
        def __init__(self) -> None:
            super().__init__()
            label = spaces.Dict({"label": self.observation_spaces[CLERK]["label"]})
            mask = self.observation_spaces[CLERK][MASK]
            self.observation_spaces[CLERK] = spaces.Dict({MASK: mask, "observations": label})

        def observed(self, seen: dict[str, Any]) -> dict[str, Any]:
            shown = super().observed(seen)
            clerk = shown[CLERK]
            shown[CLERK] = {MASK: clerk[MASK], "observations": {"label": clerk["label"]}}
            return shown

    class Clerk(ClerkModule):
        def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
            obs = batch[Columns.OBS]
            logits = self.pi(obs["observations"]["label"])
            return {Columns.ACTION_DIST_INPUTS: logits.masked_fill(obs[MASK] == 0, -1e9)}

        def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
            return self.vf(batch[Columns.OBS]["observations"]["label"]).squeeze(-1)

    return replace(port(), multi_agent_env=Env, other_modules={CLERK: Clerk})


@good_port("two agents share the learning agent's module, and the other's is left over")
def shared_module() -> Task:
    class Env(SortingTogether):
        def __init__(self) -> None:
            super().__init__()
            self.observation_spaces[CLERK] = self.observation_spaces[SORTER]
            self.action_spaces[CLERK] = self.action_spaces[SORTER]

        def observed(self, seen: dict[str, Any]) -> dict[str, Any]:
            shown = super().observed(seen)
            return {SORTER: shown[SORTER], CLERK: {key: np.array(part) for key, part in shown[SORTER].items()}}

    def edit(config: PPOConfig) -> PPOConfig:
        return config.multi_agent(policy_mapping_fn=lambda *_, **__: SORTER)

    return replace(port(), multi_agent_env=Env, other_modules={CLERK: SorterModule}, rllib_config=edit)


@good_port("the environment goes through its episodes in turns, on both sides")
def remembers_its_episodes() -> Task:
    class Alternating(Sorting):
        episodes = 0

        def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, Any]:
            self.episodes += 1
            return super().reset(seed=seed)

        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            seen, reward, *rest = super().step(action)
            return seen, reward + 0.1 * (self.episodes % 2), *rest

    class Env(SortingTogether):
        def __init__(self) -> None:
            super().__init__()
            self.env = Alternating()

    return replace(port(), env=Alternating, multi_agent_env=Env)


@good_port("observations stand below an entry of their own, as RLlib's own masked module wants them")
def observations_below_an_entry() -> Task:
    class Env(SortingTogether):
        def entries(self) -> dict[str, Any]:
            shown = super().entries()
            return {MASK: shown.pop(MASK), "observations": spaces.Dict(shown)}

        def observed(self, seen: dict[str, Any]) -> dict[str, Any]:
            shown = super().observed(seen)
            rest = dict(shown[SORTER])
            return {**shown, SORTER: {MASK: rest.pop(MASK), "observations": rest}}

    class Module(SorterModule):
        def features(self, obs: dict[str, Any]) -> torch.Tensor:
            return super().features(obs["observations"])

    return replace(port(), multi_agent_env=Env, rllib_module=Module)
