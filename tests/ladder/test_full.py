"""``check --full``: what a port's ``Algorithm``, env runners and learners do is what the ladder compared in one process.

Each broken port here passes in one process: it is wrong only where there are several processes.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from ray.rllib.algorithms.ppo import PPO as RllibPPO
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.callbacks.callbacks import RLlibCallback

from parity import PPOParams, Task
from parity.capture import collect
from parity.frameworks.rllib.module import SharedNetworkModule
from parity.ladder.run_rungs import LadderResult, run_rungs
from parity.ladder.rungs.algorithm import seen
from parity.results.capture import Capture
from parity.system.ray_session import connect
from parity.testing.toy_envs import maze_task

PPO = PPOParams(n_envs=8, n_steps=32, batch_size=64, n_epochs=2, learning_rate=1e-3)
ONLY_HERE = "PARITY_TEST_ONLY_HERE"


@pytest.fixture(scope="module", autouse=True)
def local_ray() -> Iterator[None]:
    ray.shutdown()
    # Processes that Ray starts import the modules of these tests.
    connect(None, 6, {str(Path(__file__).parent), str(Path(__file__).parent.parent)})
    os.environ[ONLY_HERE] = "yes"
    yield
    del os.environ[ONLY_HERE]
    ray.shutdown()


def spread(runners: int, learners: int) -> Callable[[PPOConfig], PPOConfig]:
    """As many env runners and learners in processes of their own, with the task's rollout in all."""

    def edit(config: PPOConfig) -> PPOConfig:
        shares = max(1, learners)
        return (
            config.env_runners(num_env_runners=runners, num_envs_per_env_runner=8 // max(1, runners))
            .learners(num_learners=learners)
            .training(train_batch_size_per_learner=config.train_batch_size_per_learner // shares)
        )

    return edit


def port(runners: int, learners: int, edit: Callable[[PPOConfig], Any] = lambda config: config) -> Task:
    def both(config: PPOConfig) -> PPOConfig:
        config = spread(runners, learners)(config)
        edit(config)
        return config

    return maze_task(ppo=PPO, rllib_config=both)


def test_every_process_keeps_agents_in_the_same_order() -> None:
    """RLlib holds agents in sets, whose order is that of their names' hashes."""
    fixed = os.environ | {"PYTHONHASHSEED": "0"}
    wanted = subprocess.run(
        [sys.executable, "-c", "print(hash('player_1'))"], env=fixed, capture_output=True, text=True, check=True
    )
    assert ray.get(ray.remote(lambda: hash("player_1")).remote()) == int(wanted.stdout)


def captured(task: Task) -> Capture:
    torch.set_num_threads(1)
    capture = collect(task, "rllib", "cpu", full=True)
    assert capture is not None
    return capture


def errors(found: LadderResult) -> set[str]:
    return {each.code for each in found.raw_findings if each.is_error and each.root is None}


class NeverSynchronises(RllibPPO):
    def training_step(self) -> None:
        kept, self.env_runner_group.sync_weights = self.env_runner_group.sync_weights, lambda **_: None
        super().training_step()
        self.env_runner_group.sync_weights = kept


class StepsMoreElsewhere(PPOTorchLearner):
    """A second learner adds to what all of them have agreed on."""

    def apply_gradients(self, gradients_dict: Any) -> None:
        super().apply_gradients(gradients_dict)
        with torch.no_grad():
            for parameter in self.module["agent"].parameters():
                parameter += 1e-4 * (self._learner_index or 0)


class DependsOnItsProcess(SharedNetworkModule):
    def _forward(self, batch: Any, **kwargs: Any) -> Any:
        out = super()._forward(batch, **kwargs)
        if ONLY_HERE not in os.environ:
            out["action_dist_inputs"] = 2 * out["action_dist_inputs"]
        return out


class LearnsFasterElsewhere(PPOTorchLearner):
    def compute_loss_for_module(self, *args: Any, **kwargs: Any) -> Any:
        loss = super().compute_loss_for_module(*args, **kwargs)
        return (
            loss
            if ONLY_HERE in os.environ
            else loss + 0.1 * sum((parameter**2).sum() for parameter in self.module["agent"].parameters())
        )


class Raises(RLlibCallback):
    def on_algorithm_init(self, **_: Any) -> None:
        raise RuntimeError("no such bucket")


def _halves_the_learning_rate(learner: Any, **_: Any) -> None:
    for _, optimizer in learner.get_optimizers_for_module("agent"):
        for group in optimizer.param_groups:
            group["lr"] /= 2


class AnnealsByItself(RLlibCallback):
    def on_train_result(self, *, algorithm: Any, **_: Any) -> None:
        algorithm.learner_group.foreach_learner(_halves_the_learning_rate)


def _shrinks(learner: Any, **_: Any) -> None:
    with torch.no_grad():
        for parameter in learner.module["agent"].parameters():
            parameter.mul_(0.9)


class ShrinksWeights(RLlibCallback):
    def on_train_result(self, *, algorithm: Any, **_: Any) -> None:
        algorithm.learner_group.foreach_learner(_shrinks)


@pytest.mark.parametrize(("runners", "learners"), [(0, 0), pytest.param(2, 2, marks=pytest.mark.slow)])
def test_a_good_port_computes_the_same_with_any_number_of_processes(runners: int, learners: int) -> None:
    capture = captured(port(runners, learners))
    found = run_rungs(capture)
    assert found, errors(found)
    about = seen(capture.algorithm)
    assert about is not None
    assert (about["env_runners"], about["learners"]) == (runners, learners)
    assert 256 <= about["env_steps"] < 256 + 8  # RLlib's next-step resets make a rollout a little longer
    assert about["weights_apart"] == 0
    assert about["log_probs_apart"] < 1e-6
    # Several learners average their gradients: no learner alone does that update.
    assert about["update_apart"] == (0 if learners == 0 else None)


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (lambda: port(1, 0, lambda config: setattr(config, "algo_class", NeverSynchronises)), "PAR805"),
        (lambda: port(0, 2, lambda config: config.learners(learner_class=StepsMoreElsewhere)), "PAR804"),
        (lambda: port(0, 1, lambda config: config.learners(learner_class=LearnsFasterElsewhere)), "PAR806"),
        (lambda: port(0, 0, lambda config: config.callbacks(AnnealsByItself)), "PAR059"),
        (lambda: port(0, 0, lambda config: config.callbacks(ShrinksWeights)), "PAR059"),
        (lambda: port(0, 0, lambda config: config.callbacks(Raises)), "PAR807"),
    ],
    ids=[
        "never synchronised",
        "learners part",
        "another loss in a process",
        "anneals by itself",
        "shrinks weights",
        "raises",
    ],
)
def test_what_is_wrong_only_through_algorithm_is_named(broken: Callable[[], Task], code: str) -> None:
    capture = captured(broken())
    found = run_rungs(capture)
    assert not found
    assert errors(found) == {code}
    alone = dataclasses.replace(capture, context=dataclasses.replace(capture.context, raised={}), algorithm=None)
    assert run_rungs(alone), "one process shows it too: the port proves nothing"


@pytest.mark.slow
def test_a_module_that_computes_otherwise_in_an_env_runners_process_is_named() -> None:
    def edit(config: PPOConfig) -> None:
        modules = config.rl_module_spec
        modules.rl_module_specs["agent"].module_class = DependsOnItsProcess
        config.rl_module(rl_module_spec=modules)

    found = run_rungs(captured(port(1, 0, edit)))
    assert errors(found) == {"PAR314"}
