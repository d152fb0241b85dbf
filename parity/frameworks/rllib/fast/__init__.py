"""RLlib's PPO without its bookkeeping at every step: the same numbers, several times as fast.

For anybody's ``PPOConfig`` of a multi-agent environment, in one line:

    config.env_runners(env_runner_cls=FastEnvRunner)

What of a configuration cannot be taken that way is left to RLlib's own path, by itself; ``FastEnvRunner.left`` says what
and why.
"""

from parity.frameworks.rllib.fast.configure import accelerated
from parity.frameworks.rllib.fast.env_runner import FastEnvRunner, FastExactEnvRunner

__all__ = ["FastEnvRunner", "FastExactEnvRunner", "accelerated"]
