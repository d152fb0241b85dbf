"""Checks whether an environment of several agents keeps to what RLlib's episodes need, while it is played.

Kinds of breaches (`parity.results.capture.EnvContract`):

    form                  reset or step returned something else than tuples of dictionaries
    unknown               an agent that is not among possible_agents
    outside, bounds       an observation that is not in its space: by structure, shape, range of a number or NaN; by bounds
                          or dtype of a Box alone
    no_reward             an agent acted and got an observation, and no reward
    no_last_reward        the episode ended for an agent in the step in which it acted, without reward or observation
    no_last_observation   an agent that acted since its last observation is truncated without one
    no_all, all_by_name   terminateds without "__all__"; every agent has ended by name and "__all__" says no
    after_end             data for an agent that has ended before
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from parity.frameworks.rllib.env_tap import Call, EnvReader
from parity.results.capture import Breach, EnvContract

ALL = "__all__"


class EnvContractReader(EnvReader):
    """Checks the calls of one environment.

    Args:
        contract: of all environments that are played: what is seen goes there.
        name: what places in this one are called.
    """

    def __init__(self, contract: EnvContract, env: Any, name: str) -> None:
        self._contract, self._env, self._name = contract, env, name
        contract.possible = contract.possible or [str(agent) for agent in env.possible_agents]
        self._possible = set(env.possible_agents)
        self._number, self._step = -1, 0
        self._present: set[Any] = set()
        self._acted: set[Any] = set()  # since their last observation
        self._done: set[Any] = set()

    def _note(self, kind: str, agent: Any, detail: str) -> None:
        place = f"{self._name}, episode {self._number}, step {self._step}"
        breach = Breach(agent=str(agent), place=place, detail=detail, times=0)
        self._contract.breaches.setdefault(kind, breach).times += 1

    def before(self, call: Call) -> None:
        if call.method == "step":
            self._acting = list(call.actions)

    def after(self, call: Call) -> None:
        if call.method == "reset":
            self._begin(call.result)
        else:
            self._go_on(self._acting, call.result)

    def _begin(self, result: Any) -> None:
        self._number += 1
        self._step = 0
        self._contract.episodes += 1
        self._present, self._acted, self._done = set(), set(), set()
        if not _is_tuple_of_dicts(result, 2):
            self._note("form", "", f"reset() returned {_form(result)}, not (observations, infos)")
            return
        self._check_observations(result[0])

    def _go_on(self, acting: list[Any], result: Any) -> None:
        self._step += 1
        if not _is_tuple_of_dicts(result, 5):
            wanted = "(observations, rewards, terminateds, truncateds, infos)"
            self._note("form", "", f"step() returned {_form(result)}, not {wanted}")
            return
        observations, rewards, terminateds, truncateds, infos = result
        mentioned = {a for part in (rewards, terminateds, truncateds) for a in part if a != ALL}
        for agent in mentioned - self._possible - set(observations):
            self._note("unknown", agent, f"agent {agent} is told something and is not among possible_agents")
        self._after_their_end(observations, rewards, terminateds, truncateds, infos)
        self._acted |= set(acting)
        self._rewards(acting, observations, rewards, terminateds)
        for agent in self._acted - set(observations) - self._done:
            if truncateds.get(ALL) or truncateds.get(agent):
                self._note(
                    "no_last_observation", agent, f"agent {agent} has acted and is cut off without an observation"
                )
        self._check_observations(observations)
        self._ends(terminateds, truncateds)
        self._acted -= set(observations)

    def _after_their_end(self, observations: Any, rewards: Any, terminateds: Any, truncateds: Any, infos: Any) -> None:
        over = terminateds.get(ALL) or truncateds.get(ALL)
        for agent in self._done:
            named = over or agent in terminateds or agent in truncateds
            data = [observations.get(agent), rewards.get(agent), infos.get(agent) if named else None]
            if any(part is not None for part in data):
                self._note("after_end", agent, f"agent {agent} has left the episode and is told something")

    def _rewards(self, acting: list[Any], observations: Any, rewards: Any, terminateds: Any) -> None:
        for agent in acting:
            if rewards.get(agent) is not None:
                continue
            if agent in observations:
                self._note("no_reward", agent, f"agent {agent} acted, sees something and is paid nothing")
            elif terminateds.get(ALL) or terminateds.get(agent):
                self._note(
                    "no_last_reward", agent, f"the episode ends with an action of agent {agent}, without a reward"
                )

    def _ends(self, terminateds: Any, truncateds: Any) -> None:
        if ALL not in terminateds:
            self._note("no_all", "", 'terminateds has no "__all__"')
        self._done |= {a for part in (terminateds, truncateds) for a, ended in part.items() if ended and a != ALL}
        over = terminateds.get(ALL) or truncateds.get(ALL)
        if self._present and self._present <= self._done and not over and ALL in terminateds:
            self._note("all_by_name", "", 'every agent has ended by name, and "__all__" is False')

    def _check_observations(self, observations: dict[Any, Any]) -> None:
        for agent, observation in observations.items():
            seen = self._contract.seen
            seen[str(agent)] = seen.get(str(agent), 0) + 1
            self._present.add(agent)
            if agent not in self._possible:
                self._note("unknown", agent, f"agent {agent} sees something and is not among possible_agents")
                continue
            reason = misfit(self._env.get_observation_space(agent), observation)
            if reason is not None:
                self._note("outside" if reason[0] else "bounds", agent, f"agent {agent}: {reason[1]}")


def _is_tuple_of_dicts(result: Any, parts: int) -> bool:
    return isinstance(result, tuple) and len(result) == parts and all(isinstance(part, dict) for part in result)


def _form(result: Any) -> str:
    if not isinstance(result, tuple):
        return f"a {type(result).__name__}"
    return f"({', '.join(type(part).__name__ for part in result)})"


def misfit(space: spaces.Space, value: Any, entry: str = "the observation") -> tuple[bool, str] | None:
    """Why ``value`` is not in ``space``, and whether that is more than bounds and dtype; None where it is."""
    if space.contains(value):
        return None
    match space:
        case spaces.Dict():
            return _dict_misfit(space, value, entry)
        case spaces.Tuple():
            return _tuple_misfit(space, value, entry)
        case spaces.Box():
            return _box_misfit(space, np.asarray(value), entry)
        case spaces.Discrete():
            return _number_misfit(space, np.asarray(value), entry)
    return True, f"{entry} is not in {space}"


def _dict_misfit(space: spaces.Dict, value: Any, entry: str) -> tuple[bool, str] | None:
    if not isinstance(value, dict):
        return True, f"{entry} is a {type(value).__name__}, its space a Dict"
    missing = [key for key in space.spaces if key not in value]
    if missing:
        return True, f'{entry} has no "{missing[0]}"'
    reasons = [misfit(part, value[key], f'"{key}"') for key, part in space.spaces.items()]
    if any(reasons):
        return max(filter(None, reasons), key=lambda each: each[0])
    extra = [key for key in value if key not in space.spaces]
    return False, f'{entry} has an entry "{extra[0]}" that its space does not have' if extra else "its type is another"


def _tuple_misfit(space: spaces.Tuple, value: Any, entry: str) -> tuple[bool, str]:
    if not isinstance(value, tuple) or len(value) != len(space.spaces):
        return True, f"{entry} is {_form(value)}, its space a Tuple of {len(space.spaces)}"
    reasons = [misfit(part, value[i], f"{entry}[{i}]") for i, part in enumerate(space.spaces)]
    return max(filter(None, reasons), key=lambda each: each[0], default=(False, "its type is another"))


def _box_misfit(space: spaces.Box, value: np.ndarray, entry: str) -> tuple[bool, str]:
    if value.shape != space.shape:
        return True, f"{entry} has shape {list(value.shape)}, its space {list(space.shape)}"
    if value.dtype.kind not in "biuf":
        return True, f"{entry} holds {value.dtype}"
    if np.isnan(value).any():
        return True, f"{entry} holds NaN"
    above, below = value > space.high, value < space.low
    if above.any() or below.any():
        out = value[above] if above.any() else value[below]
        return False, f"{entry} holds {out.flat[0]:.4g}, out of the bounds of its space"
    return False, f"{entry} is {value.dtype}, its space {space.dtype}"


def _number_misfit(space: spaces.Discrete, value: np.ndarray, entry: str) -> tuple[bool, str]:
    if value.size != 1 or value.dtype.kind not in "biu":
        return True, f"{entry} is {value.dtype} of shape {list(value.shape)}, its space {space}"
    number, first = int(value.item()), int(space.start)
    inside = first <= number < first + int(space.n)
    return not inside, f"{entry} is {number} of shape {list(value.shape)}, its space {space}"
