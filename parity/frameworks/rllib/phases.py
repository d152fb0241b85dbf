"""Which methods of RLlib's loop are which phase (`parity.frameworks.phases`), on its own path and on the fast one.

Methods are watched in their classes, as a method that an object has of its own counts as the user's.
"""

from __future__ import annotations

from typing import Any

from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.connectors.module_to_env.get_actions import GetActions
from ray.rllib.env.env_runner_group import EnvRunnerGroup
from ray.rllib.utils import force_list

from parity.frameworks.phases import REST, Phases, watch_env
from parity.frameworks.rllib.fast.acting import Actor
from parity.frameworks.rllib.fast.captured import CapturedStep


def watch(phases: Phases, algorithm: Any, learner: Any) -> None:
    """``learner``: the local one; None where learners are other processes, for which the loop waits."""
    runner = algorithm.env_runner
    if runner is not None and runner.env is not None and not algorithm.config.num_env_runners:
        _watch_sampling(phases, runner)
    else:
        phases.watch(EnvRunnerGroup, "foreach_env_runner", "waiting", "env runners")
    phases.watch(EnvRunnerGroup, "sync_weights", "weight_sync")
    for kind in force_list(algorithm.config.callbacks_class):
        for event in vars(kind):
            if event.startswith("on_") and kind is not RLlibCallback:
                phases.watch(kind, event, REST, f"callback {kind.__name__}.{event}")
    if learner is None:
        phases.watch(type(algorithm.learner_group), "update", "waiting", "learners")
    else:
        _watch_learning(phases, learner)


def _watch_sampling(phases: Phases, runner: Any) -> None:
    for env in runner.env.unwrapped.envs:
        watch_env(phases, env.unwrapped)
    phases.watch(Actor, "act", "inference")
    for method in ("forward_exploration", "forward_inference"):
        phases.watch(type(runner.module), method, "inference")
    phases.watch(GetActions, "__call__", "inference")
    for pipeline in (runner._env_to_module, runner._module_to_env):
        _watch_connectors(phases, pipeline)


def _watch_learning(phases: Phases, learner: Any) -> None:
    kind = type(learner)
    for method, phase in (
        ("compute_losses", "loss"),
        ("postprocess_gradients", "optimiser"),
        ("apply_gradients", "optimiser"),
    ):
        phases.watch(kind, method, phase)
    phases.watch(CapturedStep, "replay", "graph")
    phases.watch(type(learner.module), "forward_train", "forward")
    for optimizer in learner._named_optimizers.values():
        phases.watch(type(optimizer), "step", "optimiser")
    if learner._learner_connector is not None:
        _watch_connectors(phases, learner._learner_connector)


def _watch_connectors(phases: Phases, pipeline: Any) -> None:
    for piece in pipeline.connectors:
        # `GeneralAdvantageEstimation` and what stands in its place end the learner's pipeline.
        is_returns = type(piece).__name__ in ("GeneralAdvantageEstimation", "ExactReturns")
        phases.watch(type(piece), "__call__", "returns" if is_returns else REST, _connector)


def _connector(piece: Any) -> str:
    return f"connector {type(piece).__name__}"
