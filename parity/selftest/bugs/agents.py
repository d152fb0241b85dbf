"""Multi-agent environments that break what RLlib's episodes need."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from gymnasium import spaces
from ray.rllib.env.wrappers.pettingzoo_env import PettingZooEnv

from parity.selftest.good import CLERK, MASK, SORTER, SortingTogether
from parity.selftest.ports.agents import TurnBased
from parity.selftest.ports.games import Doors, turn_based_pair
from parity.selftest.register import bug, planted, wrong
from parity.task import Task


@planted
class Agents(SortingTogether):
    """Bugs of an environment of several agents."""

    @wrong("ends", "terminateds has no __all__", "PAR043")
    def all_missing(self, terminated: bool, truncated: bool) -> Any:
        return dict.fromkeys(self.agents, terminated), {"__all__": truncated}

    @wrong("ends", "every agent ends by name, and __all__ says that the episode goes on", "PAR043")
    def all_agents_end_by_name(self, terminated: bool, truncated: bool) -> Any:
        return {**dict.fromkeys(self.agents, terminated or truncated), "__all__": False}, {"__all__": False}

    @wrong("step", "the last step has no rewards", "PAR041")
    def no_reward_at_the_end(self, action_dict: dict[str, Any]) -> Any:
        seen, rewards, terminateds, truncateds, infos = super().step(action_dict)
        over = terminateds["__all__"] or truncateds["__all__"]
        return seen, {} if over else rewards, terminateds, truncateds, infos

    @wrong("step", "the other agent is never paid", "PAR041")
    def no_reward_for_the_other_agent(self, action_dict: dict[str, Any]) -> Any:
        seen, rewards, *rest = super().step(action_dict)
        return seen, {SORTER: rewards[SORTER]}, *rest

    @wrong("step", "a time limit leaves the last observations out", "PAR042")
    def nothing_shown_at_the_time_limit(self, action_dict: dict[str, Any]) -> Any:
        seen, rewards, terminateds, truncateds, infos = super().step(action_dict)
        return {} if truncateds["__all__"] else seen, rewards, terminateds, truncateds, infos

    @wrong("observed", "an agent that is not among possible_agents joins in the third step", "PAR044")
    def agent_joins_unannounced(self, seen: dict[str, Any]) -> Any:
        shown = super().observed(seen)
        return shown | ({"visitor": shown[CLERK]} if self.env.t == 2 else {})

    @wrong("step", "rewards are keyed by other ids than observations", "PAR044", "PAR041")
    def rewards_by_other_ids(self, action_dict: dict[str, Any]) -> Any:
        seen, rewards, *rest = super().step(action_dict)
        return seen, {f"{agent}_0": reward for agent, reward in rewards.items()}, *rest

    @wrong("ends", "the other agent leaves after two steps and is paid and shown on", "PAR045")
    def told_after_its_end(self, terminated: bool, truncated: bool) -> Any:
        return {CLERK: self.env.t >= 2, "__all__": terminated}, {"__all__": truncated}

    @wrong("__init__", "an entry of the other agent's observation has another shape than its space", "PAR040")
    def observation_of_another_shape(self) -> None:
        super().__init__()
        label = spaces.Box(-1.0, 1.0, (4, 1), np.float32)
        self.observation_spaces[CLERK] = spaces.Dict({"label": label, MASK: spaces.Box(0, 1, (1,), np.int8)})

    @wrong("observed", "an entry of the observation is out of its bounds and float64", "PAR040", "PAR030")
    def observation_out_of_bounds(self, seen: dict[str, Any]) -> Any:
        shown = super().observed(seen)
        shown[CLERK]["label"] = 3.0 * shown[CLERK]["label"].astype(np.float64)
        return shown

    @wrong("observed", "an observation is NaN in the first step of every episode", "PAR040")
    def observation_nan(self, seen: dict[str, Any]) -> Any:
        shown = super().observed(seen)
        if self.env.t == 1:
            shown[CLERK]["label"][0] = np.nan
        return shown

    @wrong("reset", "reset returns observations alone, as in Gym's old API", "PAR047")
    def reset_of_the_old_api(self, *, seed: int | None = None, options: Any = None) -> Any:
        return super().reset(seed=seed)[0]

    @wrong("step", "step returns done instead of terminateds and truncateds, as in Gym's old API", "PAR047")
    def step_of_the_old_api(self, action_dict: dict[str, Any]) -> Any:
        seen, rewards, terminateds, truncateds, infos = super().step(action_dict)
        return seen, rewards, {"__all__": terminateds["__all__"] or truncateds["__all__"]}, infos


@bug("agents take turns, and at a time limit only the one who acted last sees how it ended", "PAR042")
class OneLastObservationForTwo(TurnBased):
    def step(self, action_dict: dict[str, Any]) -> Any:
        seen, rewards, terminateds, truncateds, infos = super().step(action_dict)
        if truncateds["__all__"]:
            seen = {CLERK: self.waiting[0][CLERK]}
        return seen, rewards, terminateds, truncateds, infos


@bug("the learning agent is called otherwise in reset and step than among possible_agents", "PAR046", "PAR044")
class AgentOfAnotherName(SortingTogether):
    def observed(self, seen: dict[str, Any]) -> Any:
        shown = super().observed(seen)
        return {"Sorter": shown[SORTER], CLERK: shown[CLERK]}

    def step(self, action_dict: dict[str, Any]) -> Any:
        return super().step({SORTER: action_dict.get("Sorter", 0), CLERK: 0})


@bug("a third agent is announced and never appears", "PAR046")
def agent_never_appears(good: Task) -> Task:
    class Env(SortingTogether):
        def __init__(self) -> None:
            super().__init__()
            self.possible_agents = [SORTER, CLERK, "porter"]
            self.observation_spaces["porter"] = self.observation_spaces[CLERK]
            self.action_spaces["porter"] = self.action_spaces[CLERK]

    return replace(
        good,
        multi_agent_env=Env,
        other_modules={**good.other_modules, "porter": good.other_modules[CLERK]},
    )


@bug("the turn-based environment ends each agent's truncation by name (D1)", "PAR304")
class TruncationPerAgentInTurns(TurnBased):
    def ends(self, terminated: bool, truncated: bool) -> Any:
        return {"__all__": terminated}, {**dict.fromkeys(self.agents, truncated), "__all__": truncated}


@bug("a PettingZoo game with a time limit in RLlib's own wrapper, which ends every agent by name (D1)", "PAR304")
def truncation_in_rllibs_own_wrapper(good: Task) -> Task:
    return replace(turn_based_pair(), multi_agent_env=lambda: PettingZooEnv(Doors()))
