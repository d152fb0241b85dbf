"""How much of an update one difference makes."""

from __future__ import annotations

import numpy as np

Parameters = dict[str, np.ndarray]


def share(toggled: Parameters, sb3: Parameters, before: Parameters) -> float:
    """‖Δ_toggled - Δ_sb3‖ / ‖Δ_sb3‖ over all parameters, where Δ is the parameters' change."""
    names = [name for name in sb3 if name in before and name in toggled]
    apart = sum(float(((toggled[n].astype(np.float64) - sb3[n]) ** 2).sum()) for n in names)
    moved = sum(float(((sb3[n].astype(np.float64) - before[n]) ** 2).sum()) for n in names)
    return float(np.sqrt(apart / moved)) if moved > 0 else 0.0
