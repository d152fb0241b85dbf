"""sb3-contrib's MaskablePPO, with the task's network as its whole policy."""

from parity.frameworks.sb3.framework import Sb3
from parity.frameworks.sb3.model import UnwrappedMaskablePPO, build_model, vec_env, with_own_hyperparameters

__all__ = ["Sb3", "UnwrappedMaskablePPO", "build_model", "vec_env", "with_own_hyperparameters"]
