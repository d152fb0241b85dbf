"""The selftest's bugs, planted in a port that plays a probe."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from parity_envs.probes.pair import LEARNER, PARTNER
from parity_envs.probes.pair_together import PairTogether
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from torch import nn

from parity.probes.claims import Probe
from parity.selftest.good import CLERK, MASK, SORTER, SorterModule, SortingTogether
from parity.selftest.register import BUGS, load
from parity.task import Task

load()
OBSERVATIONS = "observations"


class _InDict(gymnasium.ObservationWrapper):
    """A probe whose observation has a name, as those of the port have that bugs are planted in."""

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        self.observation_space = spaces.Dict({OBSERVATIONS: env.observation_space})

    def observation(self, observation: Any) -> dict[str, Any]:
        return {OBSERVATIONS: observation}

    def action_masks(self) -> np.ndarray:
        return self.env.get_wrapper_attr("action_masks")()


class ProbeTogether(SortingTogether):
    """A single-agent probe for ``sorter``; ``clerk`` sees the same and can do one thing only."""

    def __init__(self, env: gymnasium.Env) -> None:
        MultiAgentEnv.__init__(self)
        self.env = _InDict(env)
        self.possible_agents = [SORTER, CLERK]
        self.agents = list(self.possible_agents)
        seen = self.env.observation_space[OBSERVATIONS]
        self.observation_spaces = {
            SORTER: spaces.Dict({OBSERVATIONS: seen, MASK: spaces.Box(0, 1, (int(self.env.action_space.n),), np.int8)}),
            CLERK: spaces.Dict({OBSERVATIONS: seen, MASK: spaces.Box(0, 1, (1,), np.int8)}),
        }
        self.action_spaces = {SORTER: self.env.action_space, CLERK: spaces.Discrete(1)}

    def observed(self, seen: dict[str, Any]) -> dict[str, Any]:
        return {
            SORTER: {**seen, MASK: self.mask()},
            CLERK: {OBSERVATIONS: seen[OBSERVATIONS].copy(), MASK: np.ones(1, np.int8)},
        }


class TableModule(SorterModule):
    """The probes' table of logits and values under the names of the port that bugs are planted in."""

    def setup(self) -> None:
        size = self.observation_space[OBSERVATIONS].shape[0]
        self.pi = nn.Linear(size, int(self.action_space.n), bias=False)
        self.vf = nn.Linear(size, 1, bias=False)
        for layer in (self.pi, self.vf):
            nn.init.orthogonal_(layer.weight, gain=0.01)

    def features(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
        return obs[OBSERVATIONS]


def planted(name: str, probe: Probe) -> Task:
    """A single-agent probe's task with a bug of `parity.selftest.bugs` in its port."""
    good = dataclasses.replace(
        probe.task, learning_agent=SORTER, multi_agent_env=SortingTogether, rllib_module=SorterModule
    )
    port = BUGS[name].plant(good)
    env: Any = _on(port.multi_agent_env, ProbeTogether)
    if issubclass(port.rllib_module, ValueFunctionAPI):  # type: ignore[arg-type]
        module = _on(port.rllib_module, TableModule)
    else:
        own = {"setup": TableModule.setup, "features": TableModule.features}
        module = type("PlantedModule", (port.rllib_module,), own)  # type: ignore[arg-type]
    return dataclasses.replace(port, multi_agent_env=partial(_make, env, port.env), rllib_module=module)


def _on(bug: Any, base: type) -> type:
    """The bug's class on top of the probe's: both have the same one below."""
    return base if issubclass(base, bug) else type(f"{bug.__name__}On{base.__name__}", (bug, base), {})


def _make(together: Any, env: Any) -> Any:
    return together(env())


class AllLegal(SortingTogether):
    """The environment shows ones in place of the learning agent's mask: those of an agent that may do everything."""

    def mask(self) -> np.ndarray:
        return np.ones_like(super().mask())


class RewardsSwapped(PairTogether):
    """Each agent gets the other's reward."""

    def paid(self, reward: float, partner_reward: float) -> dict[str, float]:
        return {LEARNER: partner_reward, PARTNER: reward}


class RewardForBoth(PairTogether):
    """The partner gets the learner's reward."""

    def paid(self, reward: float, partner_reward: float) -> dict[str, float]:
        return dict.fromkeys(self.agents, reward)


class RewardForTheLearnerOnly(PairTogether):
    """The partner gets nothing."""

    def paid(self, reward: float, partner_reward: float) -> dict[str, float]:
        return {LEARNER: reward, PARTNER: 0.0}


class MaskOfThePartner(PairTogether):
    """The learner gets the partner's mask."""

    def observed(self) -> dict[str, Any]:
        shown = super().observed()
        shown[LEARNER][MASK] = shown[PARTNER][MASK].copy()
        return shown


class ObservationOfTheStepBefore(PairTogether):
    """The learner sees what it saw before."""

    def observed(self) -> dict[str, Any]:
        shown = super().observed()
        now = shown[LEARNER][OBSERVATIONS]
        shown[LEARNER][OBSERVATIONS] = getattr(self, "kept", now)
        self.kept = now
        return shown


class ObservationOfThePartner(PairTogether):
    """The learner sees what the partner sees."""

    def observed(self) -> dict[str, Any]:
        shown = super().observed()
        shown[LEARNER][OBSERVATIONS] = shown[PARTNER][OBSERVATIONS].copy()
        return shown


def with_env(env: type, probe: Probe) -> Task:
    """The probe's task with another multi-agent environment: of a pair, or for ``sorter``."""
    if issubclass(env, PairTogether):
        return dataclasses.replace(probe.task, multi_agent_env=partial(_make, env, probe.task.env))
    both = _on(env, ProbeTogether)
    return dataclasses.replace(probe.task, learning_agent=SORTER, multi_agent_env=partial(_make, both, probe.task.env))
