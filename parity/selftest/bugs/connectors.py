"""Connectors that change what one side sees and not what the other does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.core.columns import Columns

from parity.selftest.good import MASK, SHELVES, SORTER
from parity.selftest.register import bug
from parity.task import Task


def _before_the_module(good: Task, connector: type[ConnectorV2]) -> Task:
    return replace(
        good, rllib_config=lambda config: config.env_runners(env_to_module_connector=lambda *_, **__: connector())
    )


def _after_the_module(good: Task, connector: type[ConnectorV2]) -> Task:
    return replace(
        good, rllib_config=lambda config: config.env_runners(module_to_env_connector=lambda *_, **__: connector())
    )


def _before_the_learner(good: Task, connector: Callable[[], ConnectorV2]) -> Task:
    return replace(good, rllib_config=lambda config: config.training(learner_connector=lambda *_, **__: connector()))


class _EditsEpisodes(ConnectorV2):
    """Puts edited observations of the learning agent into the batch; into the episode only where ``writes_back``."""

    writes_back = False

    def edit(self, seen: dict[str, Any]) -> dict[str, Any]:
        raise NotImplementedError

    def __call__(self, *, batch: dict[str, Any], episodes: list[Any], **kwargs: Any) -> dict[str, Any]:
        for episode in self.single_agent_episode_iterator(episodes, agents_that_stepped_only=True):
            seen = episode.get_observations(-1)
            if episode.agent_id == SORTER:
                seen = self.edit(seen)
                if self.writes_back:
                    episode.set_observations(new_data=seen, at_indices=-1)
            self.add_batch_item(batch, Columns.OBS, seen, episode)
        return batch


class _EditsColumn(ConnectorV2):
    """Changes one column of the learning module's batch in the learner's pipeline."""

    column = ""

    def edit(self, value: Any) -> Any:
        raise NotImplementedError

    def __call__(self, *, batch: dict[str, Any], episodes: list[Any], **kwargs: Any) -> dict[str, Any]:
        column = batch.get(self.column, {})
        for key, values in column.items():
            if key[1] == SORTER:
                column[key] = [self.edit(value) for value in values]
        return batch


@bug("observations are normalised for sampling and not in the episode: the learner sees others", "PAR303")
def normalised_for_sampling_only(good: Task) -> Task:
    class Connector(_EditsEpisodes):
        def edit(self, seen: dict[str, Any]) -> dict[str, Any]:
            return {**seen, "label": seen["label"] * 3}

    return _before_the_module(good, Connector)


@bug("observations are normalised for sampling and training, and not for the value behind the end", "PAR308", "PAR404")
def normalised_and_written_back(good: Task) -> Task:
    class Connector(_EditsEpisodes):
        writes_back = True

        def edit(self, seen: dict[str, Any]) -> dict[str, Any]:
            return {**seen, "label": (seen["label"] / 3).astype(np.float32)}

    return _before_the_module(good, Connector)


@bug("a frame of the picture is stacked over the last one, for sampling only", "PAR303")
def frames_stacked_for_sampling_only(good: Task) -> Task:
    class Connector(_EditsEpisodes):
        def edit(self, seen: dict[str, Any]) -> dict[str, Any]:
            before, self.kept = getattr(self, "kept", seen["picture"]), seen["picture"]
            return {**seen, "picture": np.concatenate([before[:1], seen["picture"][1:]])}

    return _before_the_module(good, Connector)


@bug("a connector lifts the mask for sampling", "PAR302", "PAR303")
def mask_lifted_for_sampling(good: Task) -> Task:
    class Connector(_EditsEpisodes):
        def edit(self, seen: dict[str, Any]) -> dict[str, Any]:
            return {**seen, MASK: np.ones(SHELVES, np.int8)}

    return _before_the_module(good, Connector)


@bug("a connector in the learner's pipeline scales rewards", "PAR306")
def rewards_scaled_in_the_learner(good: Task) -> Task:
    class Connector(_EditsColumn):
        column = Columns.REWARDS

        def edit(self, value: Any) -> Any:
            return value / 3

    return _before_the_learner(good, _after_default(Connector))


@bug("a connector normalises observations in the learner's pipeline only", "PAR303", "PAR308")
def normalised_in_the_learner_only(good: Task) -> Task:
    class Connector(ConnectorV2):
        def __call__(self, *, batch: dict[str, Any], episodes: list[Any], **kwargs: Any) -> dict[str, Any]:
            for episode in self.single_agent_episode_iterator(episodes, agents_that_stepped_only=False):
                if episode.agent_id == SORTER:
                    for t in range(len(episode) + 1):
                        seen = episode.get_observations(t)
                        episode.set_observations(
                            new_data={**seen, "label": (seen["label"] / 2).astype(np.float32)}, at_indices=t
                        )
            return batch

    return _before_the_learner(good, Connector)


@bug("a connector mirrors the action for the environment; mask and batch have the other one", "PAR307", "PAR302")
def action_remapped(good: Task) -> Task:
    class Connector(ConnectorV2):
        def __call__(self, *, batch: dict[str, Any], episodes: list[Any], **kwargs: Any) -> dict[str, Any]:
            batch[Columns.ACTIONS_FOR_ENV] = {
                key: [SHELVES - 1 - action for action in actions] if key[1] == SORTER else list(actions)
                for key, actions in batch[Columns.ACTIONS].items()
            }
            return batch

    # RLlib fills the column again, unless both are off.
    return replace(
        good,
        rllib_config=lambda config: config.environment(normalize_actions=False, clip_actions=False).env_runners(
            module_to_env_connector=lambda *_, **__: Connector()
        ),
    )


@bug("a connector replaces sampled actions: log-probs stay those of the sampled ones", "PAR303", "PAR307", "PAR302")
def action_replaced_by_chance(good: Task) -> Task:
    class Connector(ConnectorV2):
        def __call__(self, *, batch: dict[str, Any], episodes: list[Any], **kwargs: Any) -> dict[str, Any]:
            chance = np.random.default_rng(0)
            for key, actions in batch[Columns.ACTIONS].items():
                if key[1] == SORTER:
                    batch[Columns.ACTIONS][key] = [np.int64(chance.integers(SHELVES)) for _ in actions]
            return batch

    return _after_the_module(good, Connector)


@bug("a connector scales the stored log-probs", "PAR303")
def log_probs_changed_in_the_learner(good: Task) -> Task:
    class Connector(_EditsColumn):
        column = Columns.ACTION_LOGP

        def edit(self, value: Any) -> Any:
            return value * 0.5

    return _before_the_learner(good, _after_default(Connector))


@bug("a connector marks every cut as an end", "PAR305", "PAR304", "PAR404")
def ends_changed_in_the_learner(good: Task) -> Task:
    class Connector(_EditsColumn):
        column = Columns.TERMINATEDS

        def __call__(self, *, batch: dict[str, Any], episodes: list[Any], **kwargs: Any) -> dict[str, Any]:
            for key, values in batch.get(self.column, {}).items():
                if key[1] == SORTER:
                    batch[self.column][key] = [*values[:-2], True, *values[-1:]]
            return batch

    return _before_the_learner(good, _after_default(Connector))


@bug("a connector drops every episode's first step", "PAR310", "PAR309", "PAR312", "PAR306")
def first_steps_dropped(good: Task) -> Task:
    class Connector(ConnectorV2):
        def __call__(self, *, batch: dict[str, Any], episodes: list[Any], **kwargs: Any) -> dict[str, Any]:
            episodes[:] = [episode[1:] if len(episode) > 1 else episode for episode in episodes]
            return batch

    return _before_the_learner(good, Connector)


@bug("a connector returns nothing", "PAR312", "PAR001")
def connector_returns_none(good: Task) -> Task:
    class Connector(ConnectorV2):
        def __call__(self, *, batch: dict[str, Any], **kwargs: Any) -> Any:
            return None

    return _before_the_module(good, Connector)


def _after_default(connector: type[_EditsColumn]) -> Callable[[], ConnectorV2]:
    """As it comes: RLlib puts a port's own learner connectors before its default ones, so the column is added here."""
    from ray.rllib.connectors.learner import AddColumnsFromEpisodesToTrainBatch

    class Both(ConnectorV2):
        def __init__(self) -> None:
            super().__init__()
            self.columns, self.edit = AddColumnsFromEpisodesToTrainBatch(), connector()

        def __call__(self, **kwargs: Any) -> dict[str, Any]:
            return self.edit(**{**kwargs, "batch": self.columns(**kwargs)})

    return Both
