"""Env runners that sample all sub-environments as arrays: the same episodes as the runner that they derive from, sooner."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.env.multi_agent_env_runner import MultiAgentEnvRunner
from ray.rllib.env.multi_agent_episode import MultiAgentEpisode

from parity.frameworks.rllib.exact.env_runner import ExactEnvRunner, ends, log_counts
from parity.frameworks.rllib.exact.learner import ROLLOUT_ORDER
from parity.frameworks.rllib.exact.returns import values_of
from parity.frameworks.rllib.fast import conditions
from parity.frameworks.rllib.fast.acting import Actor
from parity.frameworks.rllib.fast.episodes import ROWS, EpisodeLater, ModuleRows, PlayedEpisode, Rollout, as_lists
from parity.frameworks.rllib.fast.memory import collecting_seldom, unfilled
from parity.frameworks.rllib.fast.metrics import last_logged
from parity.frameworks.rllib.fast.recording import Game
from parity.frameworks.rllib.fast.sampler import Sampler, row_of

Pairs = dict[tuple[str, Any], np.float32]

# Methods of RLlib's env runner whose work the sampler does without calling them.
_STOCK = (
    "_new_episode",
    "_make_on_episode_callback",
    "_increase_sampled_metrics",
    "_try_env_step",
    "_prune_zero_len_sa_episodes",
)
# In which a subclass may change episodes before metrics look at them.
_BEFORE_METRICS = ("sample", "_sample", "get_metrics", "_log_episode_metrics")
_EXACT = ("_step", "_act", "_draw", "_gives_values", "_to_module", "_run", "_restart", "_cut", "_hand_over")


class _Fast(MultiAgentEnvRunner):
    """What both fast env runners share.

    Attributes:
        left: why sampling is left to RLlib's own loop, a sentence's middle each; empty where it is not.
    """

    _base: type = MultiAgentEnvRunner
    _bypassed: tuple[str, ...] = _STOCK

    def __init__(self, config: Any, **kwargs: Any) -> None:
        super().__init__(config=config, **kwargs)
        self._is_behind = False
        self.left: list[str] = []
        if self.env is not None and self.module is not None:
            self.left = conditions.of_sampling(self, self._base, self._bypassed)

    def _sample(self, *, num_timesteps: int | None = None, explore: bool, **how: Any) -> list[MultiAgentEpisode]:
        is_taken = num_timesteps is not None and explore and not how.get("random_actions") and self.module is not None
        # Anew each time: methods may have been replaced, callbacks and connectors added.
        if is_taken and self.env is not None:
            self.left = conditions.of_sampling(self, self._base, self._bypassed)
        starts_anew = how.get("force_reset") or self._needs_initial_reset
        if not is_taken or self.left:
            if self._is_behind and not (starts_anew or num_timesteps is None):
                self._catch_up(explore)
            self._is_behind = False
            return super()._sample(num_timesteps=num_timesteps, explore=explore, **how)
        if starts_anew:
            self._reset_envs_and_episodes(explore)
        assert num_timesteps is not None
        self._is_behind = True
        self._cached_to_module = None
        with unfilled(), collecting_seldom():
            return self._sample_arrays(num_timesteps)

    def _catch_up(self, explore: bool) -> None:
        """Gives RLlib's loop the module's next batch, which it keeps from one rollout to the next."""
        self._cached_to_module = self._env_to_module(
            rl_module=self.module,
            batch={},
            episodes=self._ongoing_episodes,
            explore=explore,
            shared_data=self._shared_data,
            metrics=None,
        )

    def _sample_arrays(self, num_timesteps: int) -> list[MultiAgentEpisode]:
        raise NotImplementedError

    def _hand_over_all(
        self, sampler: Sampler, episodes: list[MultiAgentEpisode], games: list[Game], rows: dict[str, ModuleRows]
    ) -> None:
        """Keeps episodes for RLlib's metrics and begins the next chunks of those that go on."""
        made = dict(zip(map(id, games), episodes, strict=True))
        self._keep_for_metrics(sampler.games, made)
        for episode, game in zip(episodes, games, strict=True):
            if not game.is_over:
                self._ongoing_episodes[game.index] = episode.cut(
                    len_lookback_buffer=self.config.episode_lookback_horizon
                )
                episode.validate()
                self._ongoing_episodes_for_metrics[episode.id_].append(episode)
            if not game.simultaneous:
                MultiAgentEnvRunner._prune_zero_len_sa_episodes(episode)
        for game in sampler.ongoing:
            if not game.turns:
                begun = sampler.replayed(game)
                self._ongoing_episodes[game.index] = self._without_steps(begun)
        log_counts(self, sampler.counts)
        if episodes and all(game.simultaneous for game in games) and self._learner_takes_rows():
            episodes[0].custom_data[ROWS] = Rollout(list(episodes), rows, sum(len(game.turns) for game in games))

    def _keep_for_metrics(self, games: list[Game], made: dict[int, MultiAgentEpisode]) -> None:
        """Keeps those of the games that have ended (in their order) which RLlib's metrics are going to show."""
        is_alone = not any(conditions.of_callbacks(self.config, ["on_sample_end"]))
        if is_alone and not any(conditions.of_methods(self, _Fast, _BEFORE_METRICS)):
            shown = math.ceil(self.config.metrics_num_episodes_for_smoothing / (self.config.num_env_runners or 1))
            if all(game.modules == games[0].modules for game in games):
                # Each adds a value to the same windows, which keep that many.
                for game in games[:-shown]:
                    self._ongoing_episodes_for_metrics.pop(game.episode.id_, None)
                games = games[-shown:]
            made = made | {id(game): PlayedEpisode(game) for game in games if game.simultaneous}
        self._done_episodes_for_metrics += [made[id(game)] for game in games]

    def get_metrics(self) -> Any:
        with last_logged(self):
            return super().get_metrics()

    def _without_steps(self, episode: MultiAgentEpisode) -> MultiAgentEpisode:
        """An episode that goes on in the next rollout and has had no step in this one."""
        # RLlib cuts these too, which changes how they count: a timestep before the first.
        return episode.cut(len_lookback_buffer=self.config.episode_lookback_horizon)

    def _convert(self, episodes: list[MultiAgentEpisode]) -> None:
        """Gives episodes the form that the configuration asks for, where others than a learner of arrays may read them."""
        if self.episodes_to_numpy:
            for episode in episodes:
                if not isinstance(episode, EpisodeLater):
                    episode.to_numpy()
        elif episodes and ROWS not in episodes[0].custom_data:
            for episode in episodes:
                as_lists(episode)

    def _learner_takes_rows(self) -> bool:
        """Whether the learner is in this process, knows arrays, and gets the episodes before anything of the user's."""
        config = self.config
        is_here = not self.worker_index and config.num_learners == 0
        listening = any(conditions.of_callbacks(config, ["on_sample_end"]))
        connected = config._learner_connector is not None or not config.add_default_connectors_to_learner_pipeline
        return is_here and getattr(config.learner_class, "takes_rows", False) and not listening and not connected


class FastEnvRunner(_Fast):
    """RLlib's `MultiAgentEnvRunner`, several times as fast, with its episodes to the last bit."""

    def _sample_arrays(self, num_timesteps: int) -> list[MultiAgentEpisode]:
        runners = self.config.num_env_runners or 1
        earlier = self.num_env_steps_sampled_lifetime // runners
        actor = Actor(self.module, self.config, self._device, with_values=self._learner_takes_rows())
        sampler = Sampler(self, actor, num_timesteps, resets_at_once=False)
        with evaluating(self.module):
            # What MultiAgentEnvRunner tells modules of the steps of all env runners.
            sampler.play(lambda sampled: (earlier + sampled) * runners)
        episodes, rows, games = sampler.chunks(lambda games: games)
        self._hand_over_all(sampler, episodes, games, rows)
        self._convert(episodes)
        return episodes


class FastExactEnvRunner(_Fast, ExactEnvRunner):
    """`ExactEnvRunner`, several times as fast, with its numbers to the last bit."""

    _base = ExactEnvRunner
    _bypassed = (*_STOCK, *_EXACT)

    def _sample_arrays(self, num_timesteps: int) -> list[MultiAgentEpisode]:
        actor = Actor(self.module, self.config, self._device, self._added)
        sampler = Sampler(self, actor, num_timesteps, resets_at_once=True, ends=ends)
        lifetime = self.num_env_steps_sampled_lifetime
        with torch.no_grad():
            sampler.play(lambda sampled: lifetime + sampled)
            known = self._bootstrap(sampler, actor)
        episodes, rows, games = sampler.chunks(lambda games: sorted(games, key=lambda game: game.index))
        self._hand_over_all(sampler, episodes, games, rows)
        for module_id, module in rows.items():
            if Columns.VALUES_BOOTSTRAPPED in sampler.outputs_of(module_id):
                self._bootstrap_rows(module, known)
        for episode, game in zip(episodes, games, strict=True):
            if not game.simultaneous:
                self._add_bootstrap_values(episode, known)
            self._chunks += 1
            episode.custom_data[ROLLOUT_ORDER] = (self.worker_index or 0, game.index, self._chunks)
        self._convert(episodes)
        return episodes

    def _without_steps(self, episode: MultiAgentEpisode) -> MultiAgentEpisode:
        return episode

    def _added(self, module_id: str, columns: dict[str, Any], output: dict[str, Any]) -> None:
        if self._gives_values(module_id, columns):
            if not self._has_own_values(module_id, output):
                output[Columns.VF_PREDS] = values_of(self.module[module_id], columns)
            output[Columns.VALUES_BOOTSTRAPPED] = torch.zeros_like(output[Columns.VF_PREDS])
        if module_id in self.uniforms:
            self._draw(module_id, output)

    def _bootstrap(self, sampler: Sampler, actor: Actor) -> Pairs:
        """V of the observations that the next actions will be chosen on, by episode id and agent."""
        values: Pairs = {}
        for module_id, (observations, whose) in sampler.current().items():
            columns = {Columns.OBS: actor.tensors(observations)}
            if self._gives_values(module_id, columns):
                predicted = values_of(self.module[module_id], columns).cpu().numpy()
                values.update(zip(whose, predicted, strict=True))
        return values

    def _bootstrap_rows(self, module: ModuleRows, known: Pairs) -> None:
        bootstrapped = module.columns[Columns.VALUES_BOOTSTRAPPED]
        for unit in module.units:
            if not unit.terminated:
                value = known.get((unit.game.episode.id_, unit.agent))
                if value is None:
                    last = row_of(module.columns[Columns.OBS], unit.high)
                    value = self._value_of(last, unit.game.modules[unit.agent])
                bootstrapped[unit.high - 1] = value


@contextlib.contextmanager
def evaluating(modules: Any) -> Iterator[None]:
    """Modules in evaluation mode, where RLlib puts them, with all their parts, for each forward pass."""
    trained = [m for m in modules.values() if isinstance(m, torch.nn.Module) and m.training]
    for module in trained:
        module.eval()
    try:
        yield
    finally:
        for module in trained:
            module.train()
