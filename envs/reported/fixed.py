"""The reported port with the one line that makes RLlib compute advantages: the module says that it has a value function.

GAE asks ``isinstance(module, ValueFunctionAPI)`` and skips a module that is none, whatever methods it has
(ray/rllib/connectors/learner/general_advantage_estimation.py:94-107, seen in 2.60.0).

Usage: parity run --task envs/reported/fixed.py
"""

from __future__ import annotations

import dataclasses

from parity_envs.reported import port
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI


class MaskedPPOModule(port.MaskedPPOModule, ValueFunctionAPI):
    """The same module. Its zeros for advantages and value targets are harmless now: GAE overwrites them."""


task = dataclasses.replace(port.task, id="reported-fixed", rllib_module=MaskedPPOModule)
