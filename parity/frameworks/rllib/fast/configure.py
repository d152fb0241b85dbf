"""Puts the fast classes in the place of those whose numbers they give."""

from __future__ import annotations

from typing import Any

from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.env.multi_agent_env_runner import MultiAgentEnvRunner

from parity.frameworks.rllib.exact.env_runner import ExactEnvRunner
from parity.frameworks.rllib.exact.learner import ExactPPOLearner
from parity.frameworks.rllib.fast.env_runner import FastEnvRunner, FastExactEnvRunner
from parity.frameworks.rllib.fast.learner import FastExactPPOLearner, FastPPOLearner

_RUNNERS: dict[Any, type] = {
    None: FastEnvRunner,
    MultiAgentEnvRunner: FastEnvRunner,
    ExactEnvRunner: FastExactEnvRunner,
}
_LEARNERS: dict[Any, type] = {PPOTorchLearner: FastPPOLearner, ExactPPOLearner: FastExactPPOLearner}


def accelerated(given: Any) -> Any:
    """A copy of a ``PPOConfig`` on the fast path; classes of the user's own stay."""
    config = given.copy(copy_frozen=False)
    if config.is_multi_agent and config.env_runner_cls in _RUNNERS:
        config.env_runners(env_runner_cls=_RUNNERS[config.env_runner_cls])
    if config.learner_class in _LEARNERS:
        config.learners(learner_class=_LEARNERS[config.learner_class])
    return config
