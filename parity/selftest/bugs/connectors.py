"""Connectors that change what one side sees and not what the other does."""

from __future__ import annotations

from typing import Any

import numpy as np
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.connectors.learner import AddColumnsFromEpisodesToTrainBatch
from ray.rllib.core.columns import Columns

from parity.selftest.good import MASK, SHELVES, SORTER, with_class, with_config
from parity.selftest.register import bug
from parity.task import Task

BEFORE_THE_MODULE, AFTER_THE_MODULE = "env_to_module_connector", "module_to_env_connector"
BEFORE_THE_LEARNER = "learner_connector"


class _EditsEpisodes(ConnectorV2):
    """Puts edited observations of the learning agent into the batch; into the episode only where ``writes_back``."""

    pipeline = BEFORE_THE_MODULE
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

    pipeline = BEFORE_THE_LEARNER
    column = ""

    def edit(self, values: list[Any]) -> list[Any]:
        raise NotImplementedError

    def __call__(self, **kwargs: Any) -> dict[str, Any]:
        # RLlib puts a port's own learner connectors before its default ones, so the columns are added here.
        batch = AddColumnsFromEpisodesToTrainBatch()(**kwargs)
        column = batch.get(self.column, {})
        for key, values in column.items():
            if key[1] == SORTER:
                column[key] = self.edit(values)
        return batch


@bug("observations are normalised for sampling and not in the episode: the learner sees others", "PAR303")
class NormalisedForSamplingOnly(_EditsEpisodes):
    def edit(self, seen: dict[str, Any]) -> dict[str, Any]:
        return {**seen, "label": seen["label"] * 3}


@bug("observations are normalised for sampling and training, and not for the value behind the end", "PAR308", "PAR404")
class NormalisedAndWrittenBack(_EditsEpisodes):
    writes_back = True

    def edit(self, seen: dict[str, Any]) -> dict[str, Any]:
        return {**seen, "label": (seen["label"] / 3).astype(np.float32)}


@bug("a frame of the picture is stacked over the last one, for sampling only", "PAR303")
class FramesStackedForSamplingOnly(_EditsEpisodes):
    def edit(self, seen: dict[str, Any]) -> dict[str, Any]:
        before, self.kept = getattr(self, "kept", seen["picture"]), seen["picture"]
        return {**seen, "picture": np.concatenate([before[:1], seen["picture"][1:]])}


@bug("a connector lifts the mask for sampling", "PAR302", "PAR303")
class MaskLiftedForSampling(_EditsEpisodes):
    def edit(self, seen: dict[str, Any]) -> dict[str, Any]:
        return {**seen, MASK: np.ones(SHELVES, np.int8)}


@bug("a connector in the learner's pipeline scales rewards", "PAR306")
class RewardsScaledInTheLearner(_EditsColumn):
    column = Columns.REWARDS

    def edit(self, values: list[Any]) -> list[Any]:
        return [value / 3 for value in values]


@bug("a connector normalises observations in the learner's pipeline only", "PAR303", "PAR308")
class NormalisedInTheLearnerOnly(ConnectorV2):
    pipeline = BEFORE_THE_LEARNER

    def __call__(self, *, batch: dict[str, Any], episodes: list[Any], **kwargs: Any) -> dict[str, Any]:
        for episode in self.single_agent_episode_iterator(episodes, agents_that_stepped_only=False):
            if episode.agent_id == SORTER:
                for t in range(len(episode) + 1):
                    seen = episode.get_observations(t)
                    episode.set_observations(
                        new_data={**seen, "label": (seen["label"] / 2).astype(np.float32)}, at_indices=t
                    )
        return batch


@bug("a connector mirrors the action for the environment; mask and batch have the other one", "PAR307", "PAR302")
def action_remapped(good: Task) -> Task:
    # RLlib fills the column again, unless both are off.
    off = with_config(good, lambda config: config.environment(normalize_actions=False, clip_actions=False))
    return with_class(off, _MirrorsActions)


class _MirrorsActions(ConnectorV2):
    pipeline = AFTER_THE_MODULE

    def __call__(self, *, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        batch[Columns.ACTIONS_FOR_ENV] = {
            key: [SHELVES - 1 - action for action in actions] if key[1] == SORTER else list(actions)
            for key, actions in batch[Columns.ACTIONS].items()
        }
        return batch


@bug("a connector replaces sampled actions: log-probs stay those of the sampled ones", "PAR303", "PAR307", "PAR302")
class ActionReplacedByChance(ConnectorV2):
    pipeline = AFTER_THE_MODULE

    def __call__(self, *, batch: dict[str, Any], episodes: list[Any], **kwargs: Any) -> dict[str, Any]:
        chance = np.random.default_rng(0)
        for key, actions in batch[Columns.ACTIONS].items():
            if key[1] == SORTER:
                batch[Columns.ACTIONS][key] = [np.int64(chance.integers(SHELVES)) for _ in actions]
        return batch


@bug("a connector scales the stored log-probs", "PAR303")
class LogProbsChangedInTheLearner(_EditsColumn):
    column = Columns.ACTION_LOGP

    def edit(self, values: list[Any]) -> list[Any]:
        return [value * 0.5 for value in values]


@bug("a connector marks every cut as an end", "PAR305", "PAR304", "PAR404")
class EndsChangedInTheLearner(_EditsColumn):
    column = Columns.TERMINATEDS

    def edit(self, values: list[Any]) -> list[Any]:
        return [*values[:-2], True, *values[-1:]]


@bug("a connector drops every episode's first step", "PAR310", "PAR309", "PAR312", "PAR306")
class FirstStepsDropped(ConnectorV2):
    pipeline = BEFORE_THE_LEARNER

    def __call__(self, *, batch: dict[str, Any], episodes: list[Any], **kwargs: Any) -> dict[str, Any]:
        episodes[:] = [episode[1:] if len(episode) > 1 else episode for episode in episodes]
        return batch


@bug("a connector returns nothing", "PAR312", "PAR001")
class ConnectorReturnsNone(ConnectorV2):
    pipeline = BEFORE_THE_MODULE

    def __call__(self, *, batch: dict[str, Any], **kwargs: Any) -> Any:
        return None
