"""The fast path in a whole ``Algorithm``: the documented line, checkpoints, evaluation, env runners in other processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from parity_envs.tiles.task import tiles
from ray import tune
from test_readme import blocks

from parity import frameworks
from parity.frameworks.rllib.algorithm import build, stop
from parity.frameworks.rllib.fast import accelerated

pytestmark = pytest.mark.usefixtures("ray_started")


def configuration(framework: str, **env_runners: Any) -> Any:
    config = frameworks.get(framework).port(tiles, 0, "cpu").config
    config.env_runners(num_envs_per_env_runner=4, rollout_fragment_length=32, **env_runners)
    config.train_batch_size_per_learner, config.minibatch_size, config.num_epochs = 128, 64, 1
    return config


def weights(algorithm: Any) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = algorithm.learner_group.get_weights()["tile_selector"]
    return found


def same(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    return all(np.array_equal(ours[name], value) for name, value in theirs.items())


def test_the_documented_line_takes_anybodys_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    ((_, text),) = blocks("docs/fast.md")
    exec(compile(text, "docs/fast.md", "exec"), {})
    assert capsys.readouterr().out.strip().endswith("[] []")


@pytest.mark.slow
def test_training_goes_on_from_a_checkpoint_and_evaluates_beside_it(tmp_path: Path) -> None:
    config = accelerated(configuration("rllib-exact"))
    config.evaluation(
        evaluation_interval=1, evaluation_duration=3, evaluation_num_env_runners=0, evaluation_config={"explore": False}
    )
    algorithm = build(config)
    result = algorithm.train()
    assert result["evaluation"]["env_runners"]["num_episodes"] >= 3
    algorithm.save_to_path(str(tmp_path / "checkpoint"))
    restored = build(config)
    restored.restore_from_path(str(tmp_path / "checkpoint"))
    assert same(weights(restored), weights(algorithm))
    before = weights(algorithm)
    for each in (algorithm, restored):
        again = each.train()
        assert again["env_runners"]["num_env_steps_sampled_lifetime"] == 256
        assert not same(weights(each), before) and each.env_runner.left == []
        stop(each)


@pytest.mark.slow
def test_env_runners_in_other_processes_sample_fast_and_give_the_same_numbers() -> None:
    ended = []
    for accelerate in (accelerated, lambda config: config):
        torch.manual_seed(0)
        np.random.seed(0)
        algorithm = build(accelerate(configuration("rllib-exact", num_env_runners=1)))
        for _ in range(2):
            algorithm.train()
        lefts = algorithm.env_runner_group.foreach_env_runner(
            lambda runner: getattr(runner, "left", "slow"), local_env_runner=False
        )
        ended.append((lefts, weights(algorithm)))
        stop(algorithm)
    assert [lefts for lefts, _ in ended] == [[[]], ["slow"]]
    assert same(ended[0][1], ended[1][1])


@pytest.mark.slow
def test_tune_trains_it_and_leaves_it_fast(tmp_path: Path) -> None:
    def notes(algorithm: Any, result: dict[str, Any], **_: Any) -> None:
        result["left"] = [algorithm.env_runner.left, algorithm.learner_group._learner.left]

    config = accelerated(configuration("rllib")).callbacks(on_train_result=notes)
    tuner = tune.Tuner(
        "PPO",
        param_space=config.copy(copy_frozen=False).training(lr=tune.grid_search([1e-3, 1e-4])),
        run_config=tune.RunConfig(stop={"training_iteration": 1}, storage_path=str(tmp_path), verbose=0),
    )
    results = tuner.fit()
    assert len(results) == 2 and not results.errors
    assert [each.metrics["left"] for each in results] == [[[], []]] * 2
