"""RLlib's PPO on the new API stack, with the task's masked multi-agent modules."""

from parity.frameworks.rllib.framework import Rllib

__all__ = ["Rllib"]
