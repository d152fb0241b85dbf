"""RLlib with its remaining differences from MaskablePPO removed: a learner and an env runner for anybody's ``PPOConfig``.

    config.learners(learner_class=ExactPPOLearner).env_runners(env_runner_cls=ExactEnvRunner)

The framework ``rllib-exact`` (`framework.py`) trains a task with both.
"""

from parity.frameworks.rllib.exact.env_runner import ExactEnvRunner
from parity.frameworks.rllib.exact.learner import ExactOptions, ExactPPOLearner

__all__ = ["ExactEnvRunner", "ExactOptions", "ExactPPOLearner"]
