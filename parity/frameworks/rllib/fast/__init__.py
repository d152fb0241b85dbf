"""RLlib's PPO without its bookkeeping at every step: the same numbers, several times as fast.

For anybody's ``PPOConfig`` of a multi-agent environment, in one line:

    config.env_runners(env_runner_cls=FastEnvRunner).learners(learner_class=FastPPOLearner)

What of a configuration cannot be taken that way is left to RLlib's own path, by itself; ``left`` of env runner and
learner says what and why.
"""

from parity.frameworks.rllib.fast.configure import accelerated
from parity.frameworks.rllib.fast.env_runner import FastEnvRunner, FastExactEnvRunner
from parity.frameworks.rllib.fast.learner import FastExactPPOLearner, FastPPOLearner

__all__ = ["FastEnvRunner", "FastExactEnvRunner", "FastExactPPOLearner", "FastPPOLearner", "accelerated"]
