"""A finished SB3 side is trained, evaluated and restored as it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sb3_contrib import MaskablePPO
from stable_baselines3.common.vec_env import VecExtractDictObs, VecNormalize

from parity import Task, frameworks
from parity.errors import CannotStart
from parity.frameworks.evaluation import evaluate
from parity.frameworks.sb3 import vec_env, with_own_hyperparameters
from parity.task.masks import MaskCounts
from parity.testing.toy_envs import SMALL, Maze, maze_task


@contextmanager
def opened(task: Task) -> Iterator[Any]:
    session = frameworks.get("sb3").open(task, 0, device="cpu", threads=1)
    try:
        yield session
    finally:
        session.close()


def refusal(make: Any) -> str:
    with pytest.raises(CannotStart) as stopped:
        frameworks.get("sb3").effective(maze_task(sb3_model=make), device="cpu", threads=1)
    assert "\n" not in str(stopped.value)
    return str(stopped.value)


def own_sb3(vec_env: Any, seed: int, device: str, **arguments: Any) -> MaskablePPO:
    return MaskablePPO("MultiInputPolicy", vec_env, n_steps=16, batch_size=8, seed=seed, device=device, **arguments)


def test_a_brought_sb3_model_is_trained_as_it_is() -> None:
    given: list[Any] = []

    def make(vec_env: Any, seed: int, device: str) -> MaskablePPO:
        given.extend([vec_env.num_envs, seed, device])
        return own_sb3(vec_env, seed, device, learning_rate=0.25, gamma=0.5)

    task = maze_task(sb3_model=make)
    with opened(task) as session:
        assert given == [SMALL.n_envs, 0, "cpu"]
        assert type(session.model.policy).__name__ == "MaskableMultiInputActorCriticPolicy"
        session.train(32, lambda _: None)
        assert session.sampling_masks() == MaskCounts(decisions=32)
    effective = frameworks.get("sb3").effective(task, "cpu", 1)
    assert (effective.hyperparameters["learning_rate"], effective.hyperparameters["gamma"]) == (0.25, 0.5)


def test_a_brought_models_normalisation_is_part_of_the_policy_that_is_evaluated_and_restored(tmp_path: Path) -> None:
    def make(vec_env: Any, seed: int, device: str) -> MaskablePPO:
        return own_sb3(VecNormalize(vec_env, norm_obs_keys=["state"], clip_obs=3.0), seed, device, learning_rate=1e-2)

    task = maze_task(sb3_model=make)
    with opened(task) as session:
        session.train(256, lambda _: None)
        played = evaluate(session.eval_runner(4), 30, deterministic=True)
        session.save(tmp_path / "checkpoint")
    restored = frameworks.get("sb3").restore(task, tmp_path / "checkpoint", slots=4)
    assert evaluate(restored, 30, deterministic=True).returns.tolist() == played.returns.tolist()
    restored._normalizer = None  # type: ignore[attr-defined]
    assert evaluate(restored, 30, deterministic=True).returns.tolist() != played.returns.tolist()


def elsewhere(vec_env: Any, seed: int, device: str) -> MaskablePPO:
    return MaskablePPO("MultiInputPolicy", Maze(), n_steps=16, batch_size=8)


BAD_MODELS: dict[str, tuple[Any, str]] = {
    "nothing": (lambda *_: None, "sb3_model returned a NoneType; return a MaskablePPO"),
    "stacked": (
        lambda vec_env, seed, device: MaskablePPO(
            "MlpPolicy", VecExtractDictObs(vec_env, "state"), n_steps=16, batch_size=8
        ),
        "sb3_model wraps vec_env in a VecExtractDictObs, which the evaluator would have to do too",
    ),
    "elsewhere": (elsewhere, "sb3_model does not use the vec_env that it is given"),
}


@pytest.mark.parametrize(("make", "says"), BAD_MODELS.values(), ids=BAD_MODELS)
def test_an_sb3_model_that_cannot_be_used_is_one_sentence(make: Any, says: str) -> None:
    assert says in refusal(make)


def test_a_model_whose_schedule_begins_at_nothing_is_one_sentence_to_the_ladder() -> None:
    task = maze_task(sb3_model=own_sb3)
    model = own_sb3(vec_env(task, 1), 0, "cpu", learning_rate=lambda left: 1e-3 * (1 - left))
    with pytest.raises(
        CannotStart, match="by the values that its schedules begin with: PPOParams field `learning_rate`"
    ):
        with_own_hyperparameters(task, model)


def test_a_task_that_brings_both_sides_needs_no_network() -> None:
    task = Task(id="whole", env=Maze, sb3_model=own_sb3, rllib_config={"env": "brought elsewhere"})
    assert task.network is None
    assert frameworks.get("sb3").effective(task, "cpu", 1).hyperparameters["batch_size"] == 8
