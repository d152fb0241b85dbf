"""Two seats at one counter, and what people let play them: one shared policy, a module chosen per episode, seats that empty.

Each seat serves customers of its own, from a stream of its own: of three dishes some are sold out, the dearest that is left
pays most. What one seat does changes nothing for the other, so that the single-agent environment shows what a seat sees.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.algorithms.ppo.torch.default_ppo_torch_rl_module import DefaultPPOTorchRLModule
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from ray.tune.registry import register_env
from torch import nn

from parity import PPOParams, Task

DISHES, LENGTH = 3, 8
SEATS = ("left", "right")


def seat_space(mask: str = "action_mask") -> spaces.Dict:
    return spaces.Dict({"prices": spaces.Box(0, 1, (DISHES + 1,), np.float32), mask: spaces.MultiBinary(DISHES)})


class Seat:
    """What happens at one seat."""

    def __init__(self, seed: int, place: int, mask: str = "action_mask") -> None:
        self.rng, self.mask, self.steps = np.random.default_rng([seed, place]), mask, 0
        self._next()

    def _next(self) -> None:
        self.prices = np.append(self.rng.random(DISHES), self.steps / LENGTH).astype(np.float32)
        self.left = np.ones(DISHES, np.int8)
        self.left[self.rng.integers(DISHES)] = 0

    def serve(self, dish: Any) -> float:
        # What a Python integer can do and NumPy's cannot would show here.
        assert isinstance(dish, np.integer) and self.left[dish], dish
        paid = float(self.prices[dish])
        self.steps += 1
        self._next()
        return paid

    def see(self) -> dict[str, Any]:
        return {"prices": self.prices, self.mask: self.left}


class AtTheLeft(gymnasium.Env):
    mask, length = "action_mask", LENGTH

    def __init__(self) -> None:
        self.observation_space, self.action_space = seat_space(self.mask), spaces.Discrete(DISHES)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.seat = Seat(int(self.np_random.integers(1 << 30)) if seed is None else seed, 0, self.mask)
        return self.seat.see(), {}

    def step(self, action: Any) -> Any:
        paid = self.seat.serve(action)
        over = self.seat.steps == self.length
        return self.seat.see(), paid, over and self.length < LENGTH, over and self.length == LENGTH, {}


class AtTheLeftForAWhile(AtTheLeft):
    length = 3


class Counter(MultiAgentEnv):
    """Both seats in every step. ``leaves``: after how many steps a seat empties; ``comes``: when it is first taken."""

    mask = "action_mask"
    leaves: ClassVar[dict[str, int]] = {}
    comes: ClassVar[dict[str, int]] = {}

    def __init__(self, config: Any = None) -> None:
        super().__init__()
        self.possible_agents = self.agents = list(SEATS)
        self.observation_spaces = {seat: seat_space(self.mask) for seat in SEATS}
        self.action_spaces = {seat: spaces.Discrete(DISHES) for seat in SEATS}
        self.rng = np.random.default_rng(0)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        seed = int(self.rng.integers(1 << 30)) if seed is None else seed
        self.seats = {name: Seat(seed, place, self.mask) for place, name in enumerate(SEATS)}
        self.steps = 0
        return self._shown(), {}

    def _shown(self) -> dict[str, Any]:
        return {
            name: seat.see()
            for name, seat in self.seats.items()
            if self.comes.get(name, 0) <= self.steps < self.leaves.get(name, LENGTH)
        }

    def step(self, actions: dict[str, Any]) -> Any:
        self.steps += 1
        rewards = {name: self.seats[name].serve(dish) for name, dish in actions.items()}
        over = self.steps == LENGTH
        left = {} if over else {name: True for name, steps in self.leaves.items() if steps == self.steps}
        last = {name: self.seats[name].see() for name in (actions if over else left)}
        return self._shown() | last, rewards, {**left, "__all__": False}, {"__all__": over}, {}


class LikesInt64(AtTheLeft):
    """Takes actions in the type alone in which SB3 hands them over."""

    def step(self, action: Any) -> Any:
        assert type(action) is np.int64
        return super().step(action)


class LikesInt32(Counter):
    """Takes actions in the type alone in which RLlib hands them over."""

    def step(self, actions: dict[str, Any]) -> Any:
        assert {type(action) for action in actions.values()} <= {np.int32}
        return super().step(actions)


class RightLeaves(Counter):
    leaves: ClassVar[dict[str, int]] = {"right": 3}


class LeftLeaves(Counter):
    leaves: ClassVar[dict[str, int]] = {"left": 3}


class RightComesLater(Counter):
    comes: ClassVar[dict[str, int]] = {"right": 4}


class InTurns(Counter):
    """Only the seat whose turn it is sees something."""

    def _shown(self) -> dict[str, Any]:
        name = SEATS[self.steps % 2]
        return {name: self.seats[name].see()}

    def step(self, actions: dict[str, Any]) -> Any:
        self.steps += 1
        rewards = {name: self.seats[name].serve(dish) for name, dish in actions.items()}
        over = self.steps == 2 * LENGTH
        shown = {name: seat.see() for name, seat in self.seats.items()} if over else self._shown()
        return shown, rewards, {"__all__": False}, {"__all__": over}, {}


class Numbered(Counter):
    """Agents whose names are numbers; nobody is there before the first reset."""

    def __init__(self, config: Any = None) -> None:
        super().__init__()
        self.possible_agents, self.agents = [0, 1], []
        self.observation_spaces = {place: seat_space(self.mask) for place in (0, 1)}
        self.action_spaces = {place: spaces.Discrete(DISHES) for place in (0, 1)}

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        shown, infos = super().reset(seed=seed)
        self.agents = [0, 1]
        return _numbered(shown), infos

    def step(self, actions: dict[Any, Any]) -> Any:
        results = super().step({SEATS[place]: dish for place, dish in actions.items()})
        return tuple(map(_numbered, results))


def _numbered(by_name: dict[Any, Any]) -> dict[Any, Any]:
    return {SEATS.index(name) if name in SEATS else name: value for name, value in by_name.items()}


class Watched(Counter):
    """A third agent without a mask, whose actions are numbers."""

    def __init__(self, config: Any = None) -> None:
        super().__init__()
        self.possible_agents = self.agents = [*SEATS, "critic"]
        self.observation_spaces["critic"] = spaces.Box(0, 1, (2,), np.float32)
        self.action_spaces["critic"] = spaces.Box(-1, 1, (1,), np.float32)

    def _shown(self) -> dict[str, Any]:
        return super()._shown() | {"critic": np.zeros(2, np.float32)}

    def step(self, actions: dict[str, Any]) -> Any:
        served = {name: dish for name, dish in actions.items() if name != "critic"}
        shown, rewards, *rest = super().step(served)
        return shown | {"critic": np.zeros(2, np.float32)}, rewards | {"critic": 0.0}, *rest


class Crowd(MultiAgentEnv):
    """The left seat, and two of six guests who come by chance and leave when they like."""

    def __init__(self, config: Any = None) -> None:
        super().__init__()
        self.possible_agents, self.agents = ["left", *(f"guest {i}" for i in range(6))], []
        self.observation_spaces = {agent: seat_space() for agent in self.possible_agents}
        self.action_spaces = {agent: spaces.Discrete(DISHES) for agent in self.possible_agents}
        self.rng = np.random.default_rng(0)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.rng = self.rng if seed is None else np.random.default_rng([seed, 9])
        seed = int(self.rng.integers(1 << 30)) if seed is None else seed
        guests = self.rng.choice(6, 2, replace=False)
        self.seats = {"left": Seat(seed, 0)} | {f"guest {i}": Seat(seed, int(i) + 1) for i in guests}
        self.stays = {agent: int(self.rng.integers(1, LENGTH)) for agent in self.seats if agent != "left"}
        self.steps, self.agents = 0, list(self.seats)
        return {agent: seat.see() for agent, seat in self.seats.items()}, {}

    def step(self, actions: dict[str, Any]) -> Any:
        self.steps += 1
        rewards = {agent: self.seats[agent].serve(dish) for agent, dish in actions.items()}
        over = self.steps == LENGTH
        gone = {} if over else {agent: True for agent in actions if self.stays.get(agent) == self.steps}
        self.agents = [agent for agent in self.agents if agent not in gone]
        shown = {agent: self.seats[agent].see() for agent in actions}
        return shown, rewards, {**gone, "__all__": False}, {"__all__": over}, {}


class Network(nn.Module):
    def __init__(self, observation_space: spaces.Space, action_space: spaces.Space) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(DISHES + 1, 16), nn.Tanh())
        self.policy, self.value = nn.Linear(16, DISHES), nn.Linear(16, 1)

    def forward(self, obs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = self.trunk(obs["prices"])
        return self.policy(hidden), self.value(hidden).squeeze(-1)


class Module(TorchRLModule, ValueFunctionAPI):
    mask = "action_mask"

    def setup(self) -> None:
        self.network = Network(self.observation_space, self.action_space)

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        obs = batch[Columns.OBS]
        return {Columns.ACTION_DIST_INPUTS: torch.where(obs[self.mask] > 0, self.network(obs)[0], -1e8)}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        return self.network(batch[Columns.OBS])[1]


PPO = PPOParams(n_envs=4, n_steps=32, batch_size=64, n_epochs=2)


def task(id: str, env: type[MultiAgentEnv] = Counter, single: type[gymnasium.Env] = AtTheLeft, **fields: Any) -> Task:
    return Task(
        id=id, env=single, network=Network, ppo=PPO, steps=512, eval_every=256, eval_episodes=8,
        multi_agent_env=env, learning_agent="left", **fields,
    )  # fmt: skip


def shared(config: PPOConfig) -> PPOConfig:
    return config.multi_agent(policies={"both"}, policy_mapping_fn=lambda agent, *_, **__: "both")


def shared_with_a_module(config: PPOConfig) -> PPOConfig:
    spec = MultiRLModuleSpec(rl_module_specs={"both": RLModuleSpec(module_class=Module)})
    return shared(config).rl_module(rl_module_spec=spec)


def main_on_either_seat(agent: str, episode: Any, *_: Any, **__: Any) -> str:
    return "main" if int(episode.id_[-1], 16) % 2 == SEATS.index(agent) else "past"


def self_play(config: PPOConfig) -> PPOConfig:
    return config.multi_agent(
        policies={"main", "past"}, policy_mapping_fn=main_on_either_seat, policies_to_train=["main"]
    )


def register_counters() -> None:
    """A Ray that was started and ended in this process has taken the names with it."""
    register_env("counter", lambda config: Counter(config))
    register_env("legal-counter", lambda config: LegalCounter(config))


def finished() -> PPOConfig:
    """A whole configuration for self-play, by nobody's help."""
    register_counters()
    spec = RLModuleSpec(
        module_class=Module, observation_space=seat_space(), action_space=spaces.Discrete(DISHES), model_config={}
    )
    config = (
        PPOConfig()
        .environment("counter", disable_env_checking=True)
        .env_runners(num_env_runners=0, num_envs_per_env_runner=PPO.n_envs, rollout_fragment_length=PPO.n_steps)
        .training(
            train_batch_size_per_learner=PPO.n_envs * PPO.n_steps, minibatch_size=PPO.batch_size, num_epochs=PPO.n_epochs,
            lr=PPO.learning_rate, gamma=PPO.gamma, lambda_=PPO.gae_lambda, clip_param=PPO.clip_range,
            vf_loss_coeff=PPO.vf_coef, vf_clip_param=float("inf"), use_kl_loss=False, grad_clip=PPO.max_grad_norm,
            grad_clip_by="global_norm", entropy_coeff=PPO.ent_coef,
        )
    )  # fmt: skip
    specs = MultiRLModuleSpec(rl_module_specs={"main": spec, "past": spec})
    return self_play(config).rl_module(rl_module_spec=specs)


def team(config: PPOConfig) -> PPOConfig:
    specs = {"team": RLModuleSpec(module_class=Module), "critic": RLModuleSpec(module_class=DefaultPPOTorchRLModule)}
    return config.multi_agent(
        policies={"team", "critic"},
        policy_mapping_fn=lambda agent, *_, **__: "critic" if agent == "critic" else "team",
        policies_to_train=["team"],
    ).rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs=specs))


PORTS = {
    "two-policies": task("two-policies"),
    "shared-bare": task("shared-bare", rllib_config=shared),
    "typed": task("typed", LikesInt32, LikesInt64, rllib_config=shared),
    "shared-brought": task("shared-brought", rllib_config=shared, rllib_module=Module),
    "shared-by-its-own-specification": task("shared-spec", rllib_config=shared_with_a_module),
    "shared-in-turns": task("shared-turns", InTurns, rllib_config=shared),
    "self-play": task("self-play", rllib_config=self_play),
    "self-play-in-turns": task("self-play-turns", InTurns, rllib_config=self_play, rllib_module=Module),
    "self-play-finished": task("self-play-finished", rllib_config=finished()),
    "right-leaves": task("right-leaves", RightLeaves),
    "right-leaves-shared": task("right-leaves-shared", RightLeaves, rllib_config=shared),
    "left-leaves": task("left-leaves", LeftLeaves, AtTheLeftForAWhile),
    "left-leaves-shared": task("left-leaves-shared", LeftLeaves, AtTheLeftForAWhile, rllib_config=shared),
    "right-comes-later": task("right-comes-later", RightComesLater, rllib_config=shared),
    "numbered": dataclasses.replace(task("numbered", Numbered), learning_agent="0"),
    "numbered-shared": dataclasses.replace(task("numbered-shared", Numbered, rllib_config=shared), learning_agent="0"),
    "team": task("team", Watched, rllib_config=team),
    "crowd": task("crowd", Crowd, rllib_config=shared),
    "crowd-of-policies": task("crowd-of-policies", Crowd),
}


class LegalAtTheLeft(AtTheLeft):
    mask = "legal"


class LegalCounter(Counter):
    mask = "legal"


class LegalModule(Module):
    mask = "legal"


class LegalInTurns(InTurns):
    mask = "legal"


def finished_legal() -> PPOConfig:
    """The same with masks where the module looks for them: nowhere an entry ``action_mask``."""
    spec = RLModuleSpec(
        module_class=LegalModule,
        observation_space=seat_space("legal"),
        action_space=spaces.Discrete(DISHES),
        model_config={},
    )
    config = finished().environment("legal-counter")
    return config.rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs={"main": spec, "past": spec}))


class AvailCounter(Counter):
    """Beside a single-agent environment whose mask has the usual name."""

    mask = "avail_actions"


class AvailModule(Module):
    mask = "avail_actions"


PORTS_OF_OTHER_KEYS = {
    "named-by-the-task": task(
        "legal", LegalCounter, LegalAtTheLeft, mask="obs:legal", rllib_module=LegalModule,
        other_modules={"right": LegalModule},
    ),
    "shared": task(
        "legal-shared", LegalInTurns, LegalAtTheLeft, mask="obs:legal", rllib_module=LegalModule,
        other_modules={"right": LegalModule}, rllib_config=shared,
    ),
    "finished": task("legal-finished", LegalCounter, LegalAtTheLeft, mask="obs:legal", rllib_config=finished_legal()),
    "told-by-its-form": task(
        "avail", AvailCounter, rllib_module=AvailModule, other_modules={"right": AvailModule}
    ),
}  # fmt: skip
