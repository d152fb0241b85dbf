"""Multi-agent environments that show, pay or end something else than the single-agent one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from gymnasium import spaces

from parity.selftest.good import CLERK, MASK, SHELVES, SORTER, Sorting, SortingTogether
from parity.selftest.register import bug
from parity.task import Task


@bug("a time limit ends every agent by name: RLlib stores a termination (D1)", "PAR304")
class TruncationPerAgent(SortingTogether):
    def ends(self, terminated: bool, truncated: bool) -> Any:
        return {"__all__": terminated}, {**dict.fromkeys(self.agents, truncated), "__all__": truncated}


@bug("terminated and truncated are swapped", "PAR033")
class EndsSwapped(SortingTogether):
    def ends(self, terminated: bool, truncated: bool) -> Any:
        return {"__all__": truncated}, {"__all__": terminated}


@bug("a time limit is reported as a termination", "PAR033")
class TruncationAsTermination(SortingTogether):
    def ends(self, terminated: bool, truncated: bool) -> Any:
        return {"__all__": terminated or truncated}, {"__all__": False}


@bug("every end is a truncation: values are bootstrapped behind the end", "PAR033")
class TerminationAsTruncation(SortingTogether):
    def ends(self, terminated: bool, truncated: bool) -> Any:
        return {"__all__": False}, {"__all__": terminated or truncated}


@bug("the episode is cut one step early", "PAR033")
class EndsAStepEarly(SortingTogether):
    def ends(self, terminated: bool, truncated: bool) -> Any:
        return {"__all__": terminated}, {"__all__": truncated or self.env.t == 5}


@bug("ends are given for the learning agent, and __all__ never comes", "PAR033", "PAR312", "PAR304", "PAR310", "PAR036")
class NoEndForAll(SortingTogether):
    def ends(self, terminated: bool, truncated: bool) -> Any:
        return {SORTER: terminated, "__all__": False}, {SORTER: truncated, "__all__": False}


@bug("rewards are scaled", "PAR032")
class RewardScaled(SortingTogether):
    def paid(self, reward: float) -> float:
        return reward / 3


@bug("rewards are clipped to [-1, 1]", "PAR032")
class RewardClipped(SortingTogether):
    def paid(self, reward: float) -> float:
        return float(np.clip(reward, -1, 1))


@bug("rewards come one step late", "PAR032")
class RewardAStepLate(SortingTogether):
    def paid(self, reward: float) -> float:
        before, self.kept = getattr(self, "kept", 0.0), reward
        return before


@bug("the learning agent's reward is shared between the agents", "PAR032")
class RewardShared(SortingTogether):
    def paid(self, reward: float) -> float:
        return reward / len(self.agents)


@bug("the environment discounts rewards, and GAE does it again", "PAR032")
class DiscountedInTheEnvironment(SortingTogether):
    def paid(self, reward: float) -> float:
        return reward * 0.95 ** (self.env.t - 1)


@bug("a time penalty is added", "PAR032")
class RewardWithAPenalty(SortingTogether):
    def paid(self, reward: float) -> float:
        return reward - 0.01


@bug("the agent sees the observation of the step before", "PAR030")
class ObservationAStepLate(SortingTogether):
    def observed(self, seen: dict[str, Any]) -> Any:
        shown = super().observed(seen)
        before, self.kept = getattr(self, "kept", seen), seen
        return shown | {SORTER: {**before, MASK: shown[SORTER][MASK]}}


@bug("the entry `last` has the other agent's action, which is always 0", "PAR030")
class ObservationOfTheOtherAgent(SortingTogether):
    def observed(self, seen: dict[str, Any]) -> Any:
        return super().observed({**seen, "last": np.int64(0)})


@bug("the environment normalises its numbers, and the single-agent one does not", "PAR030", "PAR034")
class ObservationNormalised(SortingTogether):
    def observed(self, seen: dict[str, Any]) -> Any:
        return super().observed({**seen, "label": (seen["label"] / 2).astype(np.float32)})


@bug("an entry of the observation is missing", "PAR034", "PAR001", "PAR107")
class ObservationEntryMissing(SortingTogether):
    def __init__(self) -> None:
        super().__init__()
        space = dict(self.observation_spaces[SORTER].spaces)
        del space["last"]
        self.observation_spaces[SORTER] = spaces.Dict(space)

    def observed(self, seen: dict[str, Any]) -> Any:
        shown = super().observed(seen)
        del shown[SORTER]["last"]
        return shown


@bug("the picture is float64 in [0, 1] already, and the module scales it again", "PAR030", "PAR034")
class PictureScaledInTheEnvironment(SortingTogether):
    def __init__(self) -> None:
        super().__init__()
        space = dict(self.observation_spaces[SORTER].spaces)
        space["picture"] = spaces.Box(0.0, 1.0, space["picture"].shape, np.float32)
        self.observation_spaces[SORTER] = spaces.Dict(space)

    def observed(self, seen: dict[str, Any]) -> Any:
        return super().observed({**seen, "picture": (seen["picture"] / 255).astype(np.float32)})


@bug("at the end the environment starts a new episode by itself and shows its first observation", "PAR030")
class ResetsItself(SortingTogether):
    def step(self, action_dict: dict[str, Any]) -> Any:
        _, rewards, terminateds, truncateds, infos = super().step(action_dict)
        if terminateds["__all__"] or truncateds["__all__"]:
            self.env.reset()
        return self.observed(self.env._observation()), rewards, terminateds, truncateds, infos


@bug("the action is off by one on its way to the environment", "PAR030", "PAR032", "PAR031")
class ActionOffByOne(SortingTogether):
    def step(self, action_dict: dict[str, Any]) -> Any:
        return super().step({**action_dict, SORTER: (action_dict[SORTER] + 1) % SHELVES})


@bug("illegal actions are replaced by a legal one in the environment, without a word", "PAR201", "PAR302")
def illegal_actions_repaired(good: Task) -> Task:
    from parity.selftest.good import SorterModule

    class Env(SortingTogether):
        def step(self, action_dict: dict[str, Any]) -> Any:
            shelf = int(action_dict[SORTER])
            mask = self.env.action_masks()
            return super().step({**action_dict, SORTER: shelf if mask[shelf] else int(np.argmax(mask))})

    class Module(SorterModule):
        def masked(self, logits: Any, mask: Any) -> Any:
            return logits

    return replace(good, multi_agent_env=Env, rllib_module=Module)


@bug("reset ignores its seed and uses a constant: every episode is the same", "PAR015", "PAR030")
class SeedConstant(SortingTogether):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return super().reset(seed=7)


@bug("reset drops its seed", "PAR048")
class SeedDropped(SortingTogether):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return super().reset()


@bug("resets without a seed use a constant one: every later episode is the same", "PAR015", "PAR014")
class LaterEpisodesEqual(SortingTogether):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return super().reset(seed=3 if seed is None else seed)


@bug("rewards have noise of the global generator", "PAR048")
class UnseededNoise(SortingTogether):
    def paid(self, reward: float) -> float:
        return super().paid(reward) + 0.01 * float(np.random.normal())


@bug("every sub-environment draws from a generator of the same seed", "PAR015")
class SubEnvironmentsAlike(SortingTogether):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.count = getattr(self, "count", 0) + 1
        return super().reset(seed=self.count)


@bug("all observations are one dictionary that is written again", "PAR019")
class ObservationAliased(SortingTogether):
    def observed(self, seen: dict[str, Any]) -> Any:
        shown = super().observed(seen)
        if not hasattr(self, "kept"):
            self.kept = {key: np.array(part) for key, part in shown[SORTER].items()}
        for key, part in shown[SORTER].items():
            self.kept[key][...] = part
        return {SORTER: self.kept, CLERK: shown[CLERK]}


@bug("state of the last episode leaks: the last action is not cleared", "PAR030")
class StateKeptOverReset(SortingTogether):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        before = getattr(self.env, "last", 0)
        _, infos = super().reset(seed=seed)
        self.env.last = before
        return self.observed(self.env._observation()), infos


@bug("the environment raises in the middle of an episode", "PAR312", "PAR036", "PAR001")
class EnvironmentRaises(SortingTogether):
    def step(self, action_dict: dict[str, Any]) -> Any:
        if self.env.t == 2:
            raise ZeroDivisionError("no parcels left")
        return super().step(action_dict)


@bug("the environment holds other parcels: shorter episodes than the single-agent one", "PAR033", "PAR030")
class AnotherEnvironment(SortingTogether):
    def __init__(self) -> None:
        super().__init__(Sorting(length=(3, 5)))


@bug("rewards are NaN now and then", "PAR032")
class RewardNan(SortingTogether):
    def paid(self, reward: float) -> float:
        return float("nan") if self.env.t == 3 else reward


@bug("an entry of the observation is rounded by its dtype", "PAR030", "PAR034")
class ObservationRounded(SortingTogether):
    def observed(self, seen: dict[str, Any]) -> Any:
        return super().observed({**seen, "label": seen["label"].astype(np.int8).astype(np.float32)})


@bug("the learning agent's reward is the other agent's", "PAR032")
class RewardOfTheOtherAgent(SortingTogether):
    def step(self, action_dict: dict[str, Any]) -> Any:
        seen, rewards, *rest = super().step(action_dict)
        return seen, {SORTER: 0.0, CLERK: rewards[SORTER]}, *rest
