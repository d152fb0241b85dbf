"""Multi-agent environments that show, pay or end something else than the single-agent one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from gymnasium import spaces

from parity.selftest.good import CLERK, MASK, SHELVES, SORTER, Sorting, SortingTogether
from parity.selftest.register import bug, planted, wrong
from parity.task import Task


@planted
class Environments(SortingTogether):
    """Bugs of what the environment shows, pays, ends and resets."""

    @wrong("ends", "a time limit ends every agent by name: RLlib stores a termination (D1)", "PAR304")
    def truncation_per_agent(self, terminated: bool, truncated: bool) -> Any:
        return {"__all__": terminated}, {**dict.fromkeys(self.agents, truncated), "__all__": truncated}

    @wrong("ends", "terminated and truncated are swapped", "PAR033")
    def ends_swapped(self, terminated: bool, truncated: bool) -> Any:
        return {"__all__": truncated}, {"__all__": terminated}

    @wrong("ends", "a time limit is reported as a termination", "PAR033")
    def truncation_as_termination(self, terminated: bool, truncated: bool) -> Any:
        return {"__all__": terminated or truncated}, {"__all__": False}

    @wrong("ends", "every end is a truncation: values are bootstrapped behind the end", "PAR033")
    def termination_as_truncation(self, terminated: bool, truncated: bool) -> Any:
        return {"__all__": False}, {"__all__": terminated or truncated}

    @wrong("ends", "the episode is cut one step early", "PAR033")
    def ends_a_step_early(self, terminated: bool, truncated: bool) -> Any:
        return {"__all__": terminated}, {"__all__": truncated or self.env.t == 5}

    @wrong(
        "ends",
        "ends are given for the learning agent, and __all__ never comes",
        "PAR033",
        "PAR312",
        "PAR304",
        "PAR310",
        "PAR036",
    )
    def no_end_for_all(self, terminated: bool, truncated: bool) -> Any:
        return {SORTER: terminated, "__all__": False}, {SORTER: truncated, "__all__": False}

    @wrong("paid", "rewards are scaled", "PAR032")
    def reward_scaled(self, reward: float) -> float:
        return reward / 3

    @wrong("paid", "rewards are clipped to [-1, 1]", "PAR032")
    def reward_clipped(self, reward: float) -> float:
        return float(np.clip(reward, -1, 1))

    @wrong("paid", "rewards come one step late", "PAR032")
    def reward_a_step_late(self, reward: float) -> float:
        before, self.last_reward = getattr(self, "last_reward", 0.0), reward
        return before

    @wrong("paid", "the learning agent's reward is shared between the agents", "PAR032")
    def reward_shared(self, reward: float) -> float:
        return reward / len(self.agents)

    @wrong("paid", "the environment discounts rewards, and GAE does it again", "PAR032")
    def discounted_in_the_environment(self, reward: float) -> float:
        return reward * 0.95 ** (self.env.t - 1)

    @wrong("paid", "a time penalty is added", "PAR032")
    def reward_with_a_penalty(self, reward: float) -> float:
        return reward - 0.01

    @wrong("observed", "the agent sees the observation of the step before", "PAR030")
    def observation_a_step_late(self, seen: dict[str, Any]) -> Any:
        shown = super().observed(seen)
        before, self.last_seen = getattr(self, "last_seen", seen), seen
        return shown | {SORTER: {**before, MASK: shown[SORTER][MASK]}}

    @wrong("observed", "the entry `last` has the other agent's action, which is always 0", "PAR030")
    def observation_of_the_other_agent(self, seen: dict[str, Any]) -> Any:
        return super().observed({**seen, "last": np.int64(0)})

    @wrong("observed", "the environment normalises its numbers, and the single-agent one does not", "PAR030", "PAR034")
    def observation_normalised(self, seen: dict[str, Any]) -> Any:
        return super().observed({**seen, "label": (seen["label"] / 2).astype(np.float32)})

    @wrong(
        "step", "at the end the environment starts a new episode by itself and shows its first observation", "PAR030"
    )
    def resets_itself(self, action_dict: dict[str, Any]) -> Any:
        _, rewards, terminateds, truncateds, infos = super().step(action_dict)
        if terminateds["__all__"] or truncateds["__all__"]:
            self.env.reset()
        return self.observed(self.env._observation()), rewards, terminateds, truncateds, infos

    @wrong("step", "the action is off by one on its way to the environment", "PAR030", "PAR032", "PAR031")
    def action_off_by_one(self, action_dict: dict[str, Any]) -> Any:
        return super().step({**action_dict, SORTER: (action_dict[SORTER] + 1) % SHELVES})

    @wrong("reset", "reset ignores its seed and uses a constant: every episode is the same", "PAR015", "PAR030")
    def seed_constant(self, *, seed: int | None = None, options: Any = None) -> Any:
        return super().reset(seed=7)

    @wrong("reset", "reset drops its seed", "PAR048")
    def seed_dropped(self, *, seed: int | None = None, options: Any = None) -> Any:
        return super().reset()

    @wrong("reset", "resets without a seed use a constant one: every later episode is the same", "PAR015", "PAR014")
    def later_episodes_equal(self, *, seed: int | None = None, options: Any = None) -> Any:
        return super().reset(seed=3 if seed is None else seed)

    @wrong("paid", "rewards have noise of the global generator", "PAR048")
    def unseeded_noise(self, reward: float) -> float:
        return super().paid(reward) + 0.01 * float(np.random.normal())

    @wrong("reset", "every sub-environment draws from a generator of the same seed", "PAR015")
    def sub_environments_alike(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.count = getattr(self, "count", 0) + 1
        return super().reset(seed=self.count)

    @wrong("observed", "all observations are one dictionary that is written again", "PAR019")
    def observation_aliased(self, seen: dict[str, Any]) -> Any:
        shown = super().observed(seen)
        if not hasattr(self, "kept"):
            self.kept = {key: np.array(part) for key, part in shown[SORTER].items()}
        for key, part in shown[SORTER].items():
            self.kept[key][...] = part
        return {SORTER: self.kept, CLERK: shown[CLERK]}

    @wrong("reset", "state of the last episode leaks: the last action is not cleared", "PAR030")
    def state_kept_over_reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        before = getattr(self.env, "last", 0)
        _, infos = super().reset(seed=seed)
        self.env.last = before
        return self.observed(self.env._observation()), infos

    @wrong("step", "the environment raises in the middle of an episode", "PAR312", "PAR036", "PAR001")
    def environment_raises(self, action_dict: dict[str, Any]) -> Any:
        if self.env.t == 2:
            raise ZeroDivisionError("no parcels left")
        return super().step(action_dict)

    @wrong(
        "__init__",
        "the environment holds other parcels: shorter episodes than the single-agent one",
        "PAR033",
        "PAR030",
    )
    def another_environment(self) -> None:
        super().__init__(Sorting(length=(3, 5)))

    @wrong("paid", "rewards are NaN now and then", "PAR032")
    def reward_nan(self, reward: float) -> float:
        return float("nan") if self.env.t == 3 else reward

    @wrong("observed", "an entry of the observation is rounded by its dtype", "PAR030", "PAR034")
    def observation_rounded(self, seen: dict[str, Any]) -> Any:
        return super().observed({**seen, "label": seen["label"].astype(np.int8).astype(np.float32)})

    @wrong("step", "the learning agent's reward is the other agent's", "PAR032")
    def reward_of_the_other_agent(self, action_dict: dict[str, Any]) -> Any:
        seen, rewards, *rest = super().step(action_dict)
        return seen, {SORTER: 0.0, CLERK: rewards[SORTER]}, *rest


@bug("an entry of the observation is missing", "PAR034", "PAR001", "PAR107")
class ObservationEntryMissing(SortingTogether):
    def entries(self) -> dict[str, Any]:
        return {name: space for name, space in super().entries().items() if name != "last"}

    def observed(self, seen: dict[str, Any]) -> Any:
        shown = super().observed(seen)
        del shown[SORTER]["last"]
        return shown


@bug("the picture is float64 in [0, 1] already, and the module scales it again", "PAR030", "PAR034")
class PictureScaledInTheEnvironment(SortingTogether):
    def entries(self) -> dict[str, Any]:
        shown = super().entries()
        return shown | {"picture": spaces.Box(0.0, 1.0, shown["picture"].shape, np.float32)}

    def observed(self, seen: dict[str, Any]) -> Any:
        return super().observed({**seen, "picture": (seen["picture"] / 255).astype(np.float32)})


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
