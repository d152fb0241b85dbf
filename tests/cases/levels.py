"""A corridor with levels, and callbacks of ``Algorithm`` that change it, count in it, or leave it alone."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import torch
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from parity.task import Task
from parity.testing.toy_envs import Maze, maze_task


class Levels(MultiAgentEnv):
    """The maze, whose episodes last ``level`` steps more; it also counts, and keeps what somebody wrote into it."""

    def __init__(self, _: Any = None) -> None:
        super().__init__()
        self.maze, self.level, self.counted, self.label = Maze("obs"), 0, 0, ""
        self.possible_agents = self.agents = ["agent"]
        self.observation_spaces = {"agent": self.maze.observation_space}
        self.action_spaces = {"agent": self.maze.action_space}

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        observation, _ = self.maze.reset(seed=seed)
        self.maze.length += self.level
        return {"agent": observation}, {}

    def step(self, action_dict: dict[str, Any]) -> Any:
        self.counted += 1
        observation, reward, terminated, _, _ = self.maze.step(action_dict["agent"])
        return {"agent": observation}, {"agent": reward}, {"__all__": terminated}, {"__all__": False}, {}


def _set(runner: Any, **values: Any) -> None:
    for env in runner.env.envs:
        for name, value in values.items():
            setattr(env.unwrapped, name, value)


class Curriculum(RLlibCallback):
    """Raises the level in the third iteration."""

    def on_train_result(self, *, algorithm: Any, **_: Any) -> None:
        level = 3 if algorithm.iteration >= 2 else 0
        algorithm.env_runner_group.foreach_env_runner(functools.partial(_set, level=level))


def level_at_first(*, algorithm: Any, **_: Any) -> None:
    algorithm.env_runner_group.foreach_env_runner(functools.partial(_set, level=2))


class AfterEvaluation(RLlibCallback):
    def on_evaluate_end(self, *, algorithm: Any, **_: Any) -> None:
        algorithm.env_runner_group.foreach_env_runner(functools.partial(_set, level=2))


class Logs(RLlibCallback):
    """Reads the environments and the result, and logs."""

    def on_train_result(self, *, algorithm: Any, metrics_logger: Any, result: Any, **_: Any) -> None:
        steps = algorithm.env_runner_group.foreach_env_runner(lambda r: sum(e.unwrapped.counted for e in r.env.envs))
        metrics_logger.log_value("counted", float(np.sum(steps)))
        result["own"] = 1.0


class Counts(RLlibCallback):
    """Reads a counter and sets it back."""

    def on_train_result(self, *, algorithm: Any, **_: Any) -> None:
        algorithm.env_runner_group.foreach_env_runner(functools.partial(_set, counted=0))


class Labels(RLlibCallback):
    """Writes what no play depends on, which nobody can know."""

    def on_train_result(self, *, algorithm: Any, **_: Any) -> None:
        algorithm.env_runner_group.foreach_env_runner(functools.partial(_set, label=str(algorithm.iteration)))


class ShrinksAtFirst(RLlibCallback):
    """Planted: weights other than those that training is said to begin with."""

    def on_algorithm_init(self, *, algorithm: Any, **_: Any) -> None:
        def shrink(learner: Any) -> None:
            with torch.no_grad():
                for parameter in learner.module["agent"].parameters():
                    parameter.mul_(0.9)

        algorithm.learner_group.foreach_learner(shrink)


def task(callbacks: Any = None, **functions: Any) -> Task:
    """``functions``: RLlib's own keywords, ``on_train_result=...``."""

    def configured(config: Any) -> Any:
        config.evaluation(evaluation_interval=5, evaluation_duration=1)
        return config.callbacks(callbacks, **functions) if callbacks else config.callbacks(**functions)

    return maze_task(
        env=functools.partial(Maze, "obs"), multi_agent_env=Levels, learning_agent="agent", rllib_config=configured
    )


class Late(RLlibCallback):
    """Raises the level in the seventh iteration, when `check --full` has long looked away."""

    def on_train_result(self, *, algorithm: Any, **_: Any) -> None:
        level = 3 if algorithm.iteration >= 6 else 0
        algorithm.env_runner_group.foreach_env_runner(functools.partial(_set, level=level))


late = dataclasses.replace(task(Late), id="late-level", steps=320, eval_every=160)
