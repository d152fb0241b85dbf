"""Named sets of tasks and seeds for ``parity run --suite`` and ``parity plan --suite``. No task is imported here."""

from __future__ import annotations

import dataclasses

from parity.errors import CannotStart
from parity.task.registry import BUILT_IN


@dataclasses.dataclass(frozen=True)
class Suite:
    """Attributes: ``tasks``: built-in ids; ``seeds``: per framework and task."""

    name: str
    tasks: tuple[str, ...]
    seeds: int


SUITES: dict[str, Suite] = {
    suite.name: suite
    for suite in (
        # For CI: runs end within 0.02 of one another, so three seeds of two tasks, the least that can say LEARNS, decide. It
        # sees that a port learns; of four real mistakes its curves show two (results/degradations).
        Suite("quick", ("invalid-discrete", "invalid-multidiscrete"), 3),
        # Decides equivalence at 15 % over tasks of different kinds: pictures and two agents, control with a physical state,
        # and the three kinds of discrete action spaces. From results/tiles, as it was made on 2026-11-23, and
        # results/single-agent: deviations of a run's final score 0.082, 0.166, 0.021, 0.002, 0.009, of its area 0.035, 0.084,
        # 0.013, 0.018, 0.034; power of both metrics over 0.99 (tests/test_suites.py). As cartpole is noisier than the rest,
        # 5.9 % of studies at the margin are equivalent in one metric instead of 5, and 3.0 % in both (simulated). taxi in its
        # place would be slower.
        Suite("parity", ("tiles", "cartpole", "invalid-discrete", "invalid-multidiscrete", "invalid-multibinary"), 5),
        # Every built-in task but the probes, which have a known answer, and tiles-100, which wants a GPU.
        Suite("full", tuple(name for name in BUILT_IN if not name.startswith("probe-") and name != "tiles-100"), 5),
    )
}


def find(name: object, where: str) -> Suite:
    """The suite of that name; ``where`` is the option that named it.

    Raises:
        CannotStart: there is none.
    """
    if not isinstance(name, str) or name not in SUITES:
        raise CannotStart(f"{where} {name}: no such suite; there are {', '.join(SUITES)}.")
    return SUITES[name]
