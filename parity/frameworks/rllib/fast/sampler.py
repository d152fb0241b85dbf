"""One rollout of all sub-environments of an env runner, as arrays first and as RLlib's episodes afterwards."""

from __future__ import annotations

import functools
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import tree
from ray.rllib.core.columns import Columns
from ray.rllib.env.multi_agent_episode import MultiAgentEpisode
from ray.rllib.utils.metrics import (
    NUM_AGENT_STEPS_SAMPLED,
    NUM_ENV_STEPS_SAMPLED,
    NUM_EPISODES,
    NUM_MODULE_STEPS_SAMPLED,
    WEIGHTS_SEQ_NO,
)

from parity.frameworks.rllib.arrays import mapped
from parity.frameworks.rllib.env_tap import without_audit
from parity.frameworks.rllib.fast.acting import Actor
from parity.frameworks.rllib.fast.episodes import ModuleRows, Unit, make_episodes
from parity.frameworks.rllib.fast.observations import ObservationRows
from parity.frameworks.rllib.fast.recording import Game, Step, Turn
from parity.task.masks import MASK_KEY

Ends = Callable[[dict[Any, bool], dict[Any, bool]], tuple[dict[Any, bool], dict[Any, bool]]]


class Sampler:
    """Plays until enough steps are there; `episodes` then has what RLlib's env runner returns.

    The order of everything that may draw random numbers is that of the env runner whose rollouts these are: forward passes
    and actions module by module, steps and resets environment by environment.

    Args:
        runner: the env runner.
        actor: plays its modules.
        resets_at_once: whether a sub-environment is reset in the step in which its episode ends, else in the next one.
        ends: rewrites an environment's flags before they are read.

    Attributes:
        counts: environment, agent and module steps and episodes, by RLlib's names.
        games: those that have ended, in their order.
        ongoing: the sub-environments' current ones.
        rows: by module, what it observed before each decision; the last ones have had no decision yet.
        lasts: by module, last observations of episodes that have ended.
        outputs: by module and column, one array per step.
        values: by module that was asked for them, the ``vf_preds`` of all its rows, once outputs are joined.
    """

    def __init__(
        self, runner: Any, actor: Actor, num_timesteps: int, resets_at_once: bool, ends: Ends = lambda *flags: flags
    ) -> None:
        self._actor, self._wanted = actor, num_timesteps
        self._resets_at_once, self._ends = resets_at_once, ends
        self._vector = runner.env.unwrapped
        played = [without_audit(env) for env in self._vector.envs]
        # What they would check step by step is in the rollout's arrays.
        self._audits = [audit for _, audit in played if audit is not None]
        is_audited = len(self._audits) == len(played)
        self._envs = [env for env, _ in played] if is_audited else self._vector.envs
        self._mapping = runner.config.policy_mapping_fn
        self._weights_seq_no = runner._weights_seq_no  # episodes may be made when there are other weights
        self._capacity = num_timesteps + 2 * runner.num_envs
        self.counts: Counter[Any] = Counter()
        self.games: list[Game] = []
        self.rows: dict[str, ObservationRows] = {}
        self.lasts: dict[str, ObservationRows] = {}
        self.outputs: dict[str, dict[str, Any]] = {}
        self.values: dict[str, np.ndarray] = {}
        self.owners: dict[str, list[tuple[int, Any]]] = {}
        self._begun: dict[str, int] = {}  # module -> its first row that has had no decision
        self._orders: dict[tuple[Any, ...], list[Any]] = {}
        self.spaces = [_spaces(env.unwrapped) for env in self._vector.envs]
        self.ongoing = [self._continued(i, episode) for i, episode in enumerate(runner._ongoing_episodes)]

    # Before and after.

    def _continued(self, index: int, episode: MultiAgentEpisode) -> Game:
        game = Game(index, episode, {a: e.module_id for a, e in episode.agent_episodes.items()}, set(), {})
        if not episode.is_reset:
            return game
        game.started_at = episode._start_time or game.started_at
        game.done = {a for a, e in episode.agent_episodes.items() if e.is_done}
        observed = episode.get_observations(-1)
        lookbacks = {len(e.actions.data) for e in episode.agent_episodes.values()}
        game.simultaneous = (
            not game.done
            and observed.keys() == game.modules.keys()
            and len(lookbacks) == 1
            and not episode._hanging_actions_end
            and not any(episode._hanging_rewards_begin.values())
            and not any(e.actions.finalized for e in episode.agent_episodes.values())
        )
        game.acting = self._write(game, observed)
        return game

    def current(self) -> dict[str, tuple[Any, list[tuple[str, Any]]]]:
        """By module, the observations that come next and whose they are (episode id, agent)."""
        chosen = {}
        for module_id, rows in self.rows.items():
            low = self._begun.get(module_id, 0)
            if rows.count > low:
                whose = [(self.ongoing[i].episode.id_, agent) for i, agent in self.owners[module_id][low:]]
                chosen[module_id] = (rows.rows(slice(low, rows.count), only=self._read_of(module_id)), whose)
        return chosen

    # Steps.

    def play(self, t: Callable[[int], int]) -> None:
        """Steps until the wanted number of environment steps is there; ``t``: what modules are told, given their number."""
        while self.counts[NUM_ENV_STEPS_SAMPLED] < self._wanted:
            actions = self._act(t(self.counts[NUM_ENV_STEPS_SAMPLED]))
            if self._resets_at_once:
                for game in list(self.ongoing):
                    self._step(game, self._envs[game.index].step(actions[game.index]), actions[game.index])
            else:
                self._tick(actions)
        if self._envs is not self._vector.envs:
            self._audit()

    def _audit(self) -> None:
        """Has the actions of this rollout checked against the masks in what they were chosen on."""
        for module_id, count in self._begun.items():
            whose = [agent for _, agent in self.owners[module_id][:count]]
            actions = self.outputs_of(module_id)[Columns.ACTIONS]
            for agent in dict.fromkeys(whose):
                rows = np.array([k for k, each in enumerate(whose) if each == agent])
                shown = self.rows[module_id].rows(rows, only=self._audits[0].entries)
                self._audits[0].check_rows(agent, shown, actions[rows])
        for game, audit in zip(self.ongoing, self._audits, strict=True):
            audit.show({a: self.rows[game.modules[a]].rows(row, only=audit.entries) for a, row in game.acting.items()})

    def _tick(self, actions: list[dict[Any, Any]]) -> None:
        """A step of RLlib's vector environment, which resets what has ended before, and then of its env runner."""
        vector = self._vector
        results: list[Any] = []
        for index, env in enumerate(self._envs):
            if vector._autoreset_envs[index]:
                observations, infos = env.reset()
                agents = env.unwrapped.possible_agents
                going = dict.fromkeys([*agents, "__all__"], False)
                results.append((observations, dict.fromkeys(agents, 0.0), going, going, infos))
            else:
                results.append(env.step(actions[index]))
        # After all of them, as RLlib: environments may share arrays.
        for index, result in enumerate(results):
            game = self.ongoing[index]
            vector._autoreset_envs[index] = bool(result[2]["__all__"] or result[3].get("__all__", False))
            if game.modules:
                self._step(game, result, actions[index])
            else:
                self._begin(game, result[0], result[4])

    def _act(self, t: int) -> list[dict[Any, Any]]:
        actions: list[dict[Any, Any]] = [{} for _ in self.ongoing]
        observations, bounds = {}, {}
        for module_id in self._acting_modules():
            rows = self.rows[module_id]
            low = self._begun.get(module_id, 0)
            bounds[module_id] = low, rows.count
            observations[module_id] = rows.rows(slice(low, rows.count), only=self._read_of(module_id))
        if not observations:
            return actions
        for module_id, output in self._actor.act(observations, t).items():
            low, high = bounds[module_id]
            chosen = output[Columns.ACTIONS]
            copies = getattr(chosen, "ndim", 1) > 1
            for (index, agent), action in zip(self.owners[module_id][low:high], chosen, strict=True):
                actions[index][agent] = action.copy() if copies else action
            columns = self.outputs.setdefault(module_id, {})
            for name, values in output.items():
                columns.setdefault(name, []).append(values)
            self._begun[module_id] = high
        return actions

    def _acting_modules(self) -> list[str]:
        """Modules that have to act, in the order in which they first stand in RLlib's batch."""
        chosen: dict[str, None] = {}
        for game in self.ongoing:
            for agent in game.acting:
                chosen.setdefault(game.modules[agent])
            if len(chosen) == len(self.rows):
                break
        return list(chosen)

    def _step(self, game: Game, result: Step, actions: dict[Any, Any]) -> None:
        """What a sub-environment returned for the actions of its agents."""
        observations, rewards, terminateds, truncateds, infos = result
        terminateds, truncateds = self._ends(terminateds, truncateds)
        agents = game.modules.keys()
        if game.simultaneous:
            game.simultaneous = observations.keys() == agents == rewards.keys() == actions.keys()
        acted, game.acting = game.acting, {}
        game.ends(terminateds, truncateds)
        is_final = game.is_over
        if is_final:
            observed = self._last(game, observations)
        else:
            for agent in observations.keys() - agents:
                # `add_env_step` takes no notice of an agent that is done in the step in which it is first seen.
                if not (terminateds.get(agent) or truncateds.get(agent)):
                    game.modules[agent] = game.episode.module_for(agent)
            observed = self._write(game, observations)
            game.acting = {agent: row for agent, row in observed.items() if agent not in game.done}
        game.turns.append(Turn(acted, observed, rewards, terminateds, truncateds, infos or {}, is_final))
        game.stepped_at = time.perf_counter()
        counts = self.counts
        counts[NUM_ENV_STEPS_SAMPLED] += 1
        for agent in observations:
            counts[NUM_AGENT_STEPS_SAMPLED, str(agent)] += 1
            counts[NUM_MODULE_STEPS_SAMPLED, game.episode.module_for(agent)] += 1
        if is_final:
            counts[NUM_EPISODES] += 1
            self.games.append(game)
            self._next_game(game.index)

    def _next_game(self, index: int) -> None:
        game = self.ongoing[index] = Game(index, self._new_episode(index), {}, set(), {})
        if self._resets_at_once:
            self._begin(game, *self._envs[index].reset())

    def _new_episode(self, index: int) -> MultiAgentEpisode:
        """Without anything in it; nobody is told, as there are no callbacks."""
        observation_space, action_space = self.spaces[index]
        return MultiAgentEpisode(
            observation_space=observation_space, action_space=action_space, agent_to_module_mapping_fn=self._mapping
        )

    def _begin(self, game: Game, observations: dict[Any, Any], infos: dict[Any, Any] | None, *_: Any) -> None:
        game.modules = {agent: game.episode.module_for(agent) for agent in observations}
        game.started_at = time.perf_counter()
        game.acting = self._write(game, observations)
        game.began = ({agent: game.acting[agent] for agent in observations}, infos or {})

    def _order(self, agents: tuple[Any, ...]) -> list[Any]:
        """RLlib walks through agents in the order of a set (``get_agents_that_stepped``)."""
        if agents not in self._orders:
            self._orders[agents] = list(set(agents))
        return self._orders[agents]

    def _write(self, game: Game, observations: dict[Any, Any]) -> dict[Any, int]:
        """Writes observations into the rows that their modules act on next; those of agents that are done elsewhere."""
        written = {}
        for agent in self._order(tuple(agent for agent in game.modules if agent in observations)):
            if agent in game.done:
                game.simultaneous = False
                written[agent] = ~self._rows_of(self.lasts, game.modules[agent]).add(observations[agent])
                continue
            module_id = game.modules[agent]
            written[agent] = self._rows_of(self.rows, module_id).add(observations[agent])
            self.owners.setdefault(module_id, []).append((game.index, agent))
        return written

    def _last(self, game: Game, observations: dict[Any, Any]) -> dict[Any, int]:
        return {
            agent: ~self._rows_of(self.lasts, game.modules[agent]).add(observation)
            for agent, observation in observations.items()
            if agent in game.modules
        }

    def _rows_of(self, store: dict[str, ObservationRows], module_id: str) -> ObservationRows:
        if module_id not in store:
            at_once = MASK_KEY if module_id in self._actor.forced else None
            store[module_id] = ObservationRows(self._capacity if store is self.rows else 64, at_once)
        return store[module_id]

    def _read_of(self, module_id: str) -> tuple[str, ...] | None:
        """The entries of observations that a module acts on; None for all of them."""
        return (MASK_KEY,) if module_id in self._actor.forced else None

    # Episodes.

    def observation(self, module_id: str, row: int) -> Any:
        """One observation; ``row``: as `Turn.observed` has it, negative for a last one."""
        return self.lasts[module_id].rows(~row) if row < 0 else self.rows[module_id].rows(row)

    def replayed(self, game: Game) -> MultiAgentEpisode:
        """The game's episode by RLlib's own ``add_env_step``, for games that are not ``simultaneous`` or have no steps yet."""
        episode = game.episode
        if game.began is not None:
            rows, infos = game.began
            episode.add_env_reset(
                observations={a: self.observation(game.modules[a], row) for a, row in rows.items()}, infos=infos
            )
        for turn in game.turns:
            actions, extra = {}, {}
            for agent, row in turn.acted.items():
                columns = self.outputs_of(game.modules[agent])
                extra[agent] = {
                    name: row_of(column, row) for name, column in columns.items() if name != Columns.ACTIONS
                } | {WEIGHTS_SEQ_NO: self._weights_seq_no}
                actions[agent] = columns[Columns.ACTIONS][row]
            episode.add_env_step(
                observations={a: self.observation(game.modules[a], row) for a, row in turn.observed.items()},
                actions=actions,
                rewards=turn.rewards,
                infos=turn.infos,
                terminateds=turn.terminateds,
                truncateds=turn.truncateds,
                extra_model_outputs=extra,
            )
        return episode

    def outputs_of(self, module_id: str) -> dict[str, Any]:
        """A module's outputs ``[rows, …]``, joined once."""
        columns = self.outputs.get(module_id, {})
        for name, values in columns.items():
            if isinstance(values, list):
                joined = columns[name] = tree.map_structure(lambda *parts: np.concatenate(parts), *values)
                if len(tree.flatten(joined)[0]) != self._begun[module_id]:
                    raise ValueError(f'module "{module_id}" returned "{name}" in some forward passes or rows only')
        if module_id in self._actor.asked_for_values and Columns.VF_PREDS in columns:
            self.values[module_id] = columns.pop(Columns.VF_PREDS)
        return columns

    def module_rows(self, games: list[Game]) -> dict[str, ModuleRows]:
        """The rows of games that are ``simultaneous``, unit after unit."""
        units: dict[str, list[Unit]] = {}
        sizes: dict[str, int] = {}
        for game in games:
            ended = game.turns[-1]
            # RLlib's learner walks through `MultiAgentEpisode.agent_ids`, a set.
            for agent in self._order(tuple(game.modules)):
                module_id = game.modules[agent]
                earlier = game.episode.agent_episodes.get(agent)
                before = 0 if earlier is None else len(earlier.actions.data)
                low = sizes.get(module_id, 0) + before
                high = low + len(game.turns)
                sizes[module_id] = high + 1
                units.setdefault(module_id, []).append(
                    Unit(
                        game,
                        agent,
                        low,
                        high,
                        before,
                        terminated=bool(ended.terminateds.get(agent, False) or game.terminated),
                        truncated=bool(ended.truncateds.get(agent, False) or game.truncated),
                    )
                )
        return {
            module_id: ModuleRows(of, functools.partial(self._columns, module_id, of, sizes[module_id]))
            for module_id, of in units.items()
        }

    def _columns(self, module_id: str, units: list[Unit], size: int) -> tuple[dict[str, Any], np.ndarray | None]:
        """What `ModuleRows` calls ``columns`` and ``values``."""
        source = np.zeros(size, dtype=np.int64)  # the row of the module's arrays that each of these is
        lasts: list[tuple[int, int]] = []  # here -> the row of last observations
        rewards = np.zeros(size)
        earlier: list[tuple[int, Unit]] = []
        for unit in units:
            agent, turns = unit.agent, unit.game.turns
            low, high = unit.low, unit.high
            source[low:high] = [turn.acted[agent] for turn in turns]
            rewards[low:high] = [turn.rewards[agent] or 0.0 for turn in turns]
            # Where it acted last: the row for the observation after the last step repeats the other columns.
            source[high] = turns[-1].acted[agent]
            last = turns[-1].observed[agent]
            lasts.append((high, last))
            if unit.before:
                earlier.append((low - unit.before, unit))
        outputs = self.outputs_of(module_id)
        here = np.array([position for position, _ in lasts])
        there = np.array([row for _, row in lasts])
        ended = there < 0
        of_observations = source.copy()
        of_observations[here[~ended]] = there[~ended]
        columns = {Columns.OBS: self.rows[module_id].rows(of_observations)}
        if ended.any():
            final = self.lasts[module_id].rows(~there[ended])
            _put(columns[Columns.OBS], here[ended], final)
        columns[Columns.ACTIONS] = outputs[Columns.ACTIONS][source]
        columns[Columns.REWARDS] = rewards
        for name, column in outputs.items():
            if name != Columns.ACTIONS:
                columns[name] = mapped(lambda array: array[source], column)
        columns[WEIGHTS_SEQ_NO] = np.full(size, self._weights_seq_no)
        for first, unit in earlier:
            kept = unit.game.episode.agent_episodes[unit.agent]
            for k in range(unit.before):
                _put(columns[Columns.OBS], first + k, kept.observations.data[k])
                columns[Columns.ACTIONS][first + k] = kept.actions.data[k]
                rewards[first + k] = kept.rewards.data[k]
                for name, buffer in kept.extra_model_outputs.items():
                    if name in columns:
                        _put(columns[name], first + k, buffer.data[k])
        values = self.values.get(module_id)
        return columns, None if values is None else values[source]

    def chunks(
        self, order: Callable[[list[Game]], list[Game]]
    ) -> tuple[list[MultiAgentEpisode], dict[str, ModuleRows], list[Game]]:
        """All games with steps as episodes, in the given order, the rows of those that could be made from arrays, the games."""
        games = order([*self.games, *(game for game in self.ongoing if game.turns)])
        simultaneous = [game for game in games if game.simultaneous]
        rows = self.module_rows(simultaneous)
        made = dict(zip(map(id, simultaneous), make_episodes(simultaneous, rows, self.spaces), strict=True))
        return [made[id(game)] if id(game) in made else self.replayed(game) for game in games], rows, games


def _spaces(env: Any) -> tuple[dict[Any, Any], dict[Any, Any]]:
    agents = env.possible_agents
    return {a: env.get_observation_space(a) for a in agents}, {a: env.get_action_space(a) for a in agents}


def _put(column: Any, rows: Any, values: Any) -> None:
    """Writes ``values`` into rows of a column, both nested alike."""

    if isinstance(column, dict):
        for name, part in column.items():
            _put(part, rows, values[name])
    elif isinstance(column, tuple):
        for part, value in zip(column, values, strict=True):
            _put(part, rows, value)
    else:
        column[rows] = values


def row_of(column: Any, row: int) -> Any:
    return mapped(lambda array: array[row], column)
