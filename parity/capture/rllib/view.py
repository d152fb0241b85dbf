"""Plays the multi-agent environment beside the single-agent one, on the same moves: does the learning agent see the same?

Both are reset with the same seed and get the same actions of the learning agent, drawn uniformly from what the single-agent
environment allows; the other agents play what the single-agent environment plays for them (the opponents of an
`AgainstOpponents`, from the same seed), or their own modules, greedily, where these are not trained, else uniformly over what
their own masks allow.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import itertools
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import tree
from gymnasium import spaces
from ray.rllib.core.columns import Columns

from parity.capture.raised import note
from parity.capture.rllib.connectors import Connected
from parity.capture.rllib.env_contract import EnvContractReader
from parity.capture.rllib.recording import shares_memory
from parity.capture.rllib.repetition import FirstCalls, first_difference, first_episode, same
from parity.errors import CannotStart, in_short
from parity.frameworks.network import copied
from parity.frameworks.rllib.arrays import array, by_entry, device_of, handed_over, stack
from parity.frameworks.rllib.config import Port
from parity.frameworks.rllib.env import OBSERVATIONS_KEY, OnlyAgent, has_choice, shown_mask
from parity.frameworks.rllib.env_tap import Call, EnvTap
from parity.frameworks.rllib.eval_runner import make_played_env
from parity.frameworks.rllib.mapping import episode_played_by
from parity.frameworks.rllib.module import is_wrapped, same_tensors, unmasked_space
from parity.results.capture import Capture, Context, View, ViewSide
from parity.task import Task
from parity.task.masks import MASK_KEY, MaskedEnv, as_mask, is_empty, is_legal, uniform_legal_action
from parity.task.pettingzoo import AgainstOpponents
from parity.task.repeatable import Repeatable

EPISODES = 6
MOST_STEPS = 200
UNSEEDED_RESETS = 4
# That may be over before the learning agent's first turn.
MOST_GAMES = 100
# The first episode may be longer, and more episodes are played until one has terminated and one was truncated: a defect at
# one kind of end shows nowhere else. In steps, and in bytes of observations that are kept.
MOST_STEPS_OF_ALL = 600
# Where an end is rare, more is played, by other habits too, as long as the environments are quick about it.
MOST_STEPS_OF_A_SEARCH, SECONDS_OF_A_SEARCH = 4_000, 1.0
MOST_BYTES = 2**25
SIDES = ("single", "again", "multi")
Others = Callable[[str, Any, spaces.Space], Any]
"""``(agent, observation, action space) -> action``; None for an agent that may play anything."""


def view(capture: Capture, task: Task, port: Port, learner: Any, sampled: list[Call]) -> None:
    """Plays a few episodes side by side and stores both views.

    Args:
        learner: RLlib's, whose frozen modules play; None where it could not be built.
        sampled: first calls of an environment in the rollout.
    """
    # Looking for the mask takes a reset, which an environment may remember.
    convention = MaskedEnv(task.env(), task.mask).convention
    single, again = (MaskedEnv(task.env(), convention, audit=True) for _ in range(2))
    played = make_played_env(port.config)
    if isinstance(played, OnlyAgent):
        capture.context.notes.append(
            "its configuration trains a single-agent environment, which is played here as the only agent of a MultiAgentEnv"
        )
    first_calls = FirstCalls()
    contract = EnvContractReader(capture.contract.env_contract, played, "compared with the single-agent environment")
    multi = EnvTap(played, first_calls, contract)
    seen = port.agents[port.learning_agent][0]
    wrapped = is_wrapped(seen, single.observation_space, port.mask_key)
    differing, bounds = _spaces_differ(single.observation_space, seen, port.mask_key)
    met: Any = multi
    if differing is not None and port.config._env_to_module_connector is not None:
        behind = _behind_connectors(capture.context, multi, port)
        if behind is not None and _spaces_differ(single.observation_space, behind.space, port.mask_key)[0] is None:
            met, differing = behind, None
            wrapped = is_wrapped(behind.space, single.observation_space, port.mask_key)
            capture.context.notes.append(
                "connectors make of the multi-agent environment's observations what the single-agent one shows: they are "
                "compared behind them"
            )
    result = capture.contract.view = View(spaces=differing, bounds=bounds)
    rows = _Rows()
    frozen = _frozen(port, learner)
    deadline = time.monotonic() + SECONDS_OF_A_SEARCH
    try:
        for episode in itertools.count():
            most = MOST_STEPS_OF_ALL
            if episode >= EPISODES and time.monotonic() < deadline:
                most = MOST_STEPS_OF_A_SEARCH
            if episode >= EPISODES and (
                rows.seen_both_ends() or rows.spent(most) or result.stopped or result.unlike is not None
            ):
                break
            others = _others(single, frozen, episode)
            player = _Player(met, port.learning_agent, episode, wrapped, others, port.mask_key)
            try:
                _episode(rows, episode, single, again, player, most)
            except CannotStart:
                raise
            except _Unlike as unlike:
                result.unlike = str(unlike)
            except _Stopped as stopped:
                result.stopped[str(episode)] = str(stopped)
            result.shared_arrays = result.shared_arrays or player.shares_memory
            result.unreadable_mask = result.unreadable_mask or player.unreadable
            for agent, error in player.raised.items():
                note(
                    capture.context,
                    f"agent {agent} played at random where the port's environment is compared with the single-agent one",
                    error,
                )
        starts = {
            side: unseeded_starts(capture.context, side, env) for side, env in (("single", single), ("multi", multi))
        }
        result.unseeded_starts = {side: _distinct(shown) for side, shown in starts.items()}
        if not same(starts["single"], unseeded_starts(capture.context, "single", again)):
            result.reseeds.append("single")
        if _reseeds(capture.context, port):
            result.reseeds.append("multi")
        if result.reseeds or result.unlike is not None or rows.copies_differ():
            result.made_repeatable = _made_repeatable(task, convention)
        result.unrepeatable = first_difference(make_played_env(port.config), first_calls.calls)
        if result.unrepeatable is None:
            calls = first_episode(sampled) if "multi" in result.reseeds else sampled
            result.played_otherwise = first_difference(make_played_env(port.config), calls)
    finally:
        for env in (single, again, multi):
            env.close()
    rows.store(result)
    result.distinct_starts = rows.distinct_starts()
    result.contradictions = single.contradictions
    for place, error in single.unreadable.items():
        note(capture.context, f"the mask that the environment shows as {place} is not compared", error)
    result.convention = single.convention
    _without_masks(capture.context, result, task, seen, port.mask_key)


def _behind_connectors(context: Context, env: Any, port: Port) -> Connected | None:
    try:
        return Connected(env, port)
    except Exception as error:
        note(context, "what connectors make of the environment's observations is not compared", error)
        return None


class _Stopped(Exception):
    """The multi-agent side raised."""


class _Unlike(Exception):
    """The second single-agent environment refused an action that the first one took."""


@dataclasses.dataclass
class _Row:
    """What one side shows after a reset or a decision; reward and ends as they led there."""

    observation: Any
    mask: np.ndarray | None
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False


class _Player:
    """The multi-agent environment as its learning agent meets it: one step per decision of that agent.

    Attributes:
        shares_memory: whether successive observations of the learning agent share memory.
        unreadable: why a mask of the learning agent is none.
        raised: agent -> what its module raised, so that it played at random.
    """

    def __init__(self, env: Any, agent: str, seed: int, wrapped: bool, others: Others, mask_key: str) -> None:
        self._env, self._agent, self._seed, self._wrapped, self._mask_key = env, agent, seed, wrapped, mask_key
        self._others = others
        self._generator = np.random.default_rng(seed)
        self._shown: dict[str, Any] = {}
        self._left: set[Any] = set()  # agents that nobody acts for any more, though their last observation may be shown
        self._last: Any = None
        self.shares_memory = False
        self.unreadable: str | None = None
        self.raised: dict[str, Exception] = {}

    def reset(self) -> _Row:
        """The first decision of the learning agent; games that are over before its turn are nobody's to learn from."""
        try:
            for seed in [self._seed, *itertools.repeat(None, MOST_GAMES)]:
                self._left = set()
                self._shown, _ = self._env.reset(seed=seed)
                row = self._advance(None)
                if self._last is not None and not (row.terminated or row.truncated):
                    return row
                self._last = None
            raise ValueError(f"{MOST_GAMES} games are over for {self._agent} before its first turn")
        except Exception as error:
            raise _Stopped(f"reset(seed={self._seed}): {in_short(error)}") from error

    def step(self, action: Any) -> _Row:
        try:
            return self._advance(action)
        except Exception as error:
            raise _Stopped(f"step: {in_short(error)}") from error

    def _advance(self, action: Any) -> _Row:
        """Steps until the learning agent sees something again, or the episode is over for it."""
        reward, terminated, truncated = 0.0, False, False
        for _ in range(MOST_STEPS):
            if action is not None or self._agent not in self._shown:
                actions = {
                    agent: self._play(agent, seen)
                    for agent, seen in self._shown.items()
                    if agent != self._agent and agent not in self._left
                }
                if action is not None:
                    actions[self._agent], action = action, None
                handed = {agent: handed_over(each) for agent, each in actions.items()}
                self._shown, rewards, terminateds, truncateds, _ = self._env.step(handed)
                self._left |= {agent for part in (terminateds, truncateds) for agent, ended in part.items() if ended}
                reward += float(rewards.get(self._agent, 0.0))
                terminated = bool(terminateds.get("__all__") or terminateds.get(self._agent))
                truncated = bool(truncateds.get("__all__") or truncateds.get(self._agent)) and not terminated
            if self._agent in self._shown or terminated or truncated:
                break
        observation = self._shown.get(self._agent, self._last)
        if observation is None:
            return _Row(None, None)
        if self._last is not None and observation is not self._last and shares_memory(self._last, observation):
            self.shares_memory = True
        self._last = observation
        mask = observation.get(self._mask_key) if isinstance(observation, dict) else None
        shown = None if mask is None else self._mask(mask)
        return _Row(self._unmasked(observation), shown, reward, terminated, truncated)

    def _mask(self, raw: Any) -> np.ndarray | None:
        try:
            return as_mask(raw, self._env.get_action_space(self._agent), f"agent {self._agent}")
        except CannotStart as error:
            self.unreadable = str(error)
            return None

    def _unmasked(self, observation: Any) -> Any:
        if not isinstance(observation, dict):
            return np.array(observation)
        rest = {key: tree.map_structure(np.array, part) for key, part in observation.items() if key != self._mask_key}
        return rest[OBSERVATIONS_KEY] if self._wrapped and list(rest) == [OBSERVATIONS_KEY] else rest

    def _play(self, agent: str, seen: Any) -> Any:
        space = self._env.get_action_space(agent)
        try:
            action = self._others(agent, seen, space)
        except Exception as error:
            # A module may need the port's connectors, or a state.
            self.raised.setdefault(str(agent), error)
            action = None
        if action is not None:
            return action
        mask = shown_mask(seen, space, self._mask_key)
        if mask is None:
            space.seed(int(self._generator.integers(2**31)))
            return space.sample()
        return uniform_legal_action(mask, space, self._generator)


def _others(single: MaskedEnv, frozen: dict[str, Any], seed: int) -> Others:
    """How the other agents play inside the single-agent environment."""
    game = single.unwrapped
    if isinstance(game, AgainstOpponents):
        play, observed = game.opponents(seed), game.game.env.observation_space

        def of_game(agent: Any, seen: Any) -> Any:
            return seen if isinstance(observed(agent), spaces.Dict) else seen.get(OBSERVATIONS_KEY, seen)

        return lambda agent, seen, _: play(agent, of_game(agent, seen), {game.mask_key: seen[MASK_KEY]})
    return lambda agent, seen, space: greedy(frozen[agent], seen, space) if agent in frozen else None


def greedy(module: Any, seen: Any, space: spaces.Space) -> Any:
    """The action that a module plays deterministically; ``seen``: one observation."""
    device = device_of(module)
    with torch.no_grad():
        out = module.forward_inference({Columns.OBS: tree.map_structure(lambda leaf: leaf.to(device), stack([seen]))})
        if Columns.ACTIONS in out:
            action = array(out[Columns.ACTIONS])[0]
        else:
            policy = module.get_inference_action_dist_cls().from_logits(out[Columns.ACTION_DIST_INPUTS])
            action = array(policy.to_deterministic().sample())[0]
    return action


def _frozen(port: Port, learner: Any) -> dict[str, Any]:
    """Modules of the other agents that have a choice and are not trained: SB3's environment plays these too, or none."""
    modules = {}
    if not port.config.enable_env_runner_and_connector_v2:
        return {}  # the old API stack asks who plays whom with an env runner at hand
    episode = episode_played_by(port.config, port.learning_agent, port.learning_module)
    for agent, (_, space) in port.agents.items():
        if learner is None or agent == port.learning_agent or not has_choice(space):
            continue
        module_id = episode.module_for(agent)
        if module_id in learner.module and not learner.should_module_be_updated(module_id):
            modules[agent] = learner.module[module_id].unwrapped()
    return modules


class _Rows:
    """What was seen, side by side."""

    def __init__(self) -> None:
        self._rows: dict[str, list[_Row]] = {side: [] for side in SIDES}
        self._episode: list[int] = []
        self._step: list[int] = []
        self._bytes_of_row = 0

    def add(self, episode: int, step: int, **sides: _Row) -> None:
        self._episode.append(episode)
        self._step.append(step)
        for side, row in sides.items():
            self._rows[side].append(row)

    def spent(self, most: int) -> bool:
        """Whether that many steps were played, or what is kept of them grows large."""
        rows = self._rows["single"]
        if rows and not self._bytes_of_row:
            self._bytes_of_row = sum(leaf.nbytes for leaf in _stacked(rows[:1]).values())
        return len(rows) >= most or len(rows) * self._bytes_of_row * len(SIDES) >= MOST_BYTES

    def copies_differ(self) -> bool:
        """Whether the two single-agent environments showed something else from each other, in a first coarse look."""
        return any(
            not same((a.observation, a.reward), (b.observation, b.reward))
            for a, b in zip(self._rows["single"], self._rows["again"], strict=True)
        )

    def seen_both_ends(self) -> bool:
        rows = self._rows["single"]
        return any(row.terminated for row in rows) and any(row.truncated for row in rows)

    def distinct_starts(self) -> int:
        starts = [row for row, step in zip(self._rows["single"], self._step, strict=True) if step == 0]
        return len({b"".join(leaf.tobytes() for leaf in _stacked([row]).values()) for row in starts})

    def store(self, result: View) -> None:
        result.episode, result.step = np.array(self._episode), np.array(self._step)
        for name, rows in self._rows.items():
            if not rows:
                continue
            side: ViewSide = getattr(result, name)
            side.reward = np.array([row.reward for row in rows])
            side.terminated = np.array([row.terminated for row in rows])
            side.truncated = np.array([row.truncated for row in rows])
            masks = [row.mask for row in rows if row.mask is not None]
            if len(masks) == len(rows):
                side.mask = np.stack(masks)
            side.observations = _stacked(rows)


def _stacked(rows: list[_Row]) -> dict[str, np.ndarray]:
    return by_entry(stack([row.observation for row in rows]))


def unseeded_starts(context: Context, side: str, env: Any) -> list[Any]:
    """What a few resets without a seed show, after one with a seed."""
    starts: list[Any] = []
    try:
        env.reset(seed=0)
        for _ in range(UNSEEDED_RESETS):
            starts.append(copy.deepcopy(env.reset()[0]))
    except Exception as error:
        note(context, f"starts without a seed of the {side}-agent environment were not all seen", error)
    return starts


def _distinct(shown: list[Any]) -> int:
    return sum(not any(same(each, before) for before in shown[:i]) for i, each in enumerate(shown))


def _reseeds(context: Context, port: Port) -> bool:
    """Whether two new multi-agent environments, reset with one seed, start their later episodes differently."""
    starts = []
    for _ in range(2):
        with contextlib.closing(make_played_env(port.config)) as env:
            starts.append(unseeded_starts(context, "multi", env))
    return not same(*starts)


def _made_repeatable(task: Task, convention: str) -> bool:
    """Whether two copies of the single-agent environment are alike once `parity.Repeatable` makes them."""
    envs = [MaskedEnv(Repeatable(task.env), convention) for _ in range(2)]
    try:
        return all(same(*(_short_play(env, seed) for env in envs)) for seed in range(2))
    except Exception:
        # What raises here raised before, where it is told.
        return False
    finally:
        for env in envs:
            env.close()


def _short_play(env: MaskedEnv, seed: int) -> list[Any]:
    """What is seen from a reset with a seed on, by uniform legal play over a few episodes of which only the first is seeded."""
    generator = np.random.default_rng([seed, 1])
    seen = [copy.deepcopy(env.reset(seed=seed)[0])]
    for _ in range(MOST_STEPS):
        dead_end = is_empty(env.action_masks(), env.action_space)
        if not dead_end:
            observation, reward, terminated, truncated, _ = env.step(_picked(env, 0, None, generator))
            seen += [copy.deepcopy(observation), float(reward)]
        if dead_end or terminated or truncated:
            seen.append(copy.deepcopy(env.reset()[0]))
    return seen


def _episode(rows: _Rows, episode: int, single: MaskedEnv, again: MaskedEnv, player: _Player, most: int) -> None:
    generator = np.random.default_rng([episode, 1])
    seen = [_own(env, *env.reset(seed=episode)[:1]) for env in (single, again)]
    rows.add(episode, 0, single=seen[0], again=seen[1], multi=player.reset())
    action: Any = None
    for step in itertools.count(1):
        if rows.spent(most) if episode == 0 or episode >= EPISODES else step >= MOST_STEPS:
            return
        if is_empty(single.action_masks(), single.action_space):
            return  # a dead end: rung 0 sees the mask
        action = _picked(single, episode, action, generator)
        seen = [_step(single, action)]
        try:
            seen.append(_step(again, action))
        except Exception as error:
            raise _Unlike(in_short(error)) from error
        other = player.step(action)
        rows.add(episode, step, single=seen[0], again=seen[1], multi=other)
        if any(row.terminated or row.truncated for row in (*seen, other)):
            return


def _picked(env: MaskedEnv, episode: int, before: Any, generator: np.random.Generator) -> Any:
    """Uniform over what is legal; in every second episode of a search the last action again, nine times of ten."""
    mask = env.action_masks()
    may_repeat = episode >= EPISODES and episode % 2 and before is not None and generator.random() < 0.9
    if may_repeat and is_legal(mask, before, env.action_space):
        return before
    return uniform_legal_action(mask, env.action_space, generator)


def _step(env: MaskedEnv, action: Any) -> _Row:
    observation, reward, terminated, truncated, _ = env.step(action)
    return _own(env, observation, reward, terminated, truncated and not terminated)


def _own(
    env: MaskedEnv, observation: Any, reward: Any = 0.0, terminated: bool = False, truncated: bool = False
) -> _Row:
    """A row of the single-agent environment, copied: it may return the same arrays again."""
    shown = copied(observation, env.observation_space)
    return _Row(shown, env.action_masks().copy(), float(reward), bool(terminated), bool(truncated))


def _without_masks(context: Context, result: View, task: Task, multi: spaces.Space, mask_key: str) -> None:
    """A port that is shown no mask takes every action for legal; where all of them are, that is the same."""
    masks = result.single.optional("mask")
    if mask_key in getattr(multi, "spaces", ()) or masks is None or not masks.all():
        return
    env, generator = MaskedEnv(task.env(), result.convention), np.random.default_rng(0)
    try:
        env.reset(seed=0)
        decisions, deadline = len(masks), time.monotonic() + SECONDS_OF_A_SEARCH
        for _ in range(MOST_STEPS_OF_A_SEARCH):
            decisions += 1
            mask = env.action_masks()
            if not mask.all():
                return
            _, _, terminated, truncated, _ = env.step(uniform_legal_action(mask, env.action_space, generator))
            if terminated or truncated:
                env.reset()
            if time.monotonic() > deadline:
                break
        result.spaces, result.bounds = _tensors_differ(env.observation_space, multi)
    finally:
        env.close()
    result.multi.mask = np.ones_like(masks)
    context.notes.append(
        f"the port is shown no mask; in {decisions} decisions of the single-agent environment every action was legal"
    )


def _spaces_differ(single: spaces.Space, multi: spaces.Space, mask_key: str) -> tuple[str | None, str | None]:
    """How the learning agent's space differs from the single-agent environment's: in its tensors, else in bounds alone."""
    if not isinstance(multi, spaces.Dict) or mask_key not in multi.spaces:
        return f'it has no entry "{mask_key}"', None
    return _tensors_differ(single, unmasked_space(multi, is_wrapped(multi, single, mask_key), mask_key))


def _tensors_differ(single: spaces.Space, other: spaces.Space) -> tuple[str | None, str | None]:
    if same_tensors(other, single):
        return None, None if other == single else f"{other}, there {single}"
    if isinstance(other, spaces.Dict) and isinstance(single, spaces.Dict):
        for key in [*single.spaces, *other.spaces]:
            if key not in other.spaces:
                return f'entry "{key}" is missing', None
            if key not in single.spaces:
                return f'entry "{key}" is not in the single-agent environment', None
            if not same_tensors(single.spaces[key], other.spaces[key]):
                there = single.spaces[key]
                return f'entry "{key}" is {other.spaces[key]}, in the single-agent environment {there}', None
    return f"it is {other}, in the single-agent environment {single}", None
