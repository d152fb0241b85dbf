"""How much of an update one difference makes."""

from __future__ import annotations

import dataclasses

import numpy as np

from parity.ladder.difference import Difference, per_tensor
from parity.ladder.rung_input import ModuleCheck
from parity.ladder.tolerances import Tolerance
from parity.results.capture import Arrays

# Adam divides a gradient by its own size: float32 noise on one that is nearly zero becomes noise on a step of the learning
# rate. Seen between two correct implementations: 4e-6 on a tensor of 9,216 after five minibatches at a learning rate of 1e-3.
NOISE_OF_A_STEP = 1e-2
# Two correct computations may lie on either side of a third.
BESIDE_ITSELF = 2.0
# A gradient of this part of the largest one is float32's noise on zero (a KL term at equal policies makes such).
NOTHING = 1e-7


def share(toggled: Arrays, sb3: Arrays, before: Arrays) -> float:
    """‖Δ_toggled - Δ_sb3‖ / ‖Δ_sb3‖ over all parameters, where Δ is the parameters' change."""
    names = [name for name in sb3 if name in before and name in toggled]
    squares = sum(float(((toggled[n].astype(np.float64) - sb3[n]) ** 2).sum()) for n in names)
    moved = sum(float(((sb3[n].astype(np.float64) - before[n]) ** 2).sum()) for n in names)
    return float(np.sqrt(squares / moved)) if moved > 0 else 0.0


def but_noise(ours: Arrays, sb3: Arrays, our_gradients: Arrays, sb3_gradients: Arrays, furthest: float) -> Arrays:
    """``ours`` with SB3's value in every element whose gradient was float noise on zero on both sides.

    Such an element (the logit of an action that was never legal, say) has a gradient of 0 on one side and of 1e-9 on the
    other, by the order of a sum, and Adam makes a step of it that is a good part of the learning rate. Left as they are:
    elements whose gradient is 0 on both sides, and differences above ``furthest``, which no step makes.
    """
    largest = max((float(np.abs(g).max(initial=0.0)) for g in sb3_gradients.values()), default=0.0)
    cleaned = dict(ours)
    for name in ours.keys() & sb3.keys() & our_gradients.keys() & sb3_gradients.keys():
        peak = np.maximum(np.abs(our_gradients[name]), np.abs(sb3_gradients[name]))
        difference = np.abs(ours[name].astype(np.float64) - sb3[name])
        noise = (peak > 0) & (peak <= NOTHING * largest) & (difference <= furthest)
        cleaned[name] = np.where(noise, sb3[name], ours[name])
    return cleaned


def after_steps(module: ModuleCheck, steps: int = 1) -> Tolerance:
    """For parameters that the optimiser has moved ``steps`` times: the floor is a hundredth of one element's way."""
    floor = max(module.tolerance.floor, NOISE_OF_A_STEP * module.settings["learning_rate"] * steps)
    return dataclasses.replace(module.tolerance, floor=floor)


def noise_floors(module: ModuleCheck, noise: Arrays) -> dict[str, float]:
    """Parameter -> how far apart two correct computations may end, by the port's names: the one rule for rungs 6 to 8.

    SB3's own computation is repeated from weights that are a few floats away (``noise``, see
    `parity.results.capture.Gradient`), and nobody is asked to come nearer to it than it comes to itself. What is large there is
    no error: a unit, or a ratio of PPO's, lies on its kink, or Adam divides a gradient of float noise by its own size. The
    reference is repeated and not the port, so that a port's mistake cannot widen its own bound.
    """
    return {name: BESIDE_ITSELF * float(each.max(initial=0.0)) for name, each in module.by_port_names(noise).items()}


def say_noise(module: ModuleCheck, floors: dict[str, float], difference: Difference, without: Difference) -> None:
    """Notes why a difference holds that the tolerances alone would not have allowed."""
    if difference and not without:
        module.rung.explained.append(
            f"{module.label}{without.where} differs from {module.other}'s by {without.tolerance_needed:.2g} times the "
            f"tolerance; {module.other}'s own result changes as much ({max(floors.values()):.2g}) where float noise is "
            "added to its first weights"
        )


def parameters_apart(
    module: ModuleCheck,
    ours: Arrays,
    sb3: Arrays,
    our_gradients: Arrays,
    sb3_gradients: Arrays,
    steps: int = 1,
    noise: Arrays | None = None,
) -> Difference:
    """Parameters after ``steps`` of the optimiser, all by the port's names, but for `but_noise` and `noise_floors`."""
    furthest = 2 * module.settings["learning_rate"] * steps
    cleaned, tolerance = but_noise(ours, sb3, our_gradients, sb3_gradients, furthest), after_steps(module, steps)
    floors = noise_floors(module, noise or {})
    difference = per_tensor(cleaned, sb3, tolerance, floors)
    say_noise(module, floors, difference, per_tensor(cleaned, sb3, tolerance))
    return difference
