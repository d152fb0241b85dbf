"""May we stop at this look? Seeds are added in looks, and each look is tested at its own alpha.

Looking at 3, 5, 8 and 10 seeds at 5 % each would call one port in nine equivalent that is worse by the whole margin.
The per-look alphas below hold that at 5 % over all looks; ``tests/verdict`` simulates it. They were found by simulation
of one task and hold for WORSE as well; pooled tests have more degrees of freedom and keep them too. An equal port is
WORSE on all tasks together in at most 4 %, on one of several by itself in at most 4 %, and either way in 5 to 7 %, as
without looks. The rule on collapsed seeds has no alpha: where every run collapses with chance q, looking four times accuses
an equal port in 1.4 % (q = 0.02), 6.6 % (0.05) and 14 % (0.1) of studies, ten seeds at once in 1.3, 6.1 and 12 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from parity.results.summary import Verdict

Looks = tuple[int, ...]

# Seeds per framework at each look, and the one-sided alpha at every one of them (Pocock's kind of boundary).
ALPHA_PER_LOOK: Mapping[Looks, float] = MappingProxyType({(3, 5, 8, 10): 0.0182, (5, 10): 0.0294})
DEFAULT_LOOKS: Looks = (3, 5, 8, 10)


@dataclass(frozen=True)
class Look:
    """The look at ``seeds`` seeds per framework, the ``number``-th of ``looks`` from 1; ``alpha`` is one-sided."""

    seeds: int
    looks: Looks
    alpha: float

    @property
    def number(self) -> int:
        return self.looks.index(self.seeds) + 1

    @property
    def last(self) -> bool:
        return self.seeds == self.looks[-1]

    @property
    def confidence(self) -> float:
        """Of the two-sided interval that is TOST at ``alpha``: what ``welch_difference`` and the like take."""
        return 1 - 2 * self.alpha


def alpha_per_look(looks: Looks) -> float:
    """The alpha of every look.

    Raises:
        ValueError: there is no simulated alpha for these looks.
    """
    if looks not in ALPHA_PER_LOOK:
        known = "; ".join(", ".join(map(str, plan)) for plan in ALPHA_PER_LOOK)
        raise ValueError(f"no alpha is known for looks at {', '.join(map(str, looks))} seeds; choose from {known}")
    return ALPHA_PER_LOOK[looks]


def look_at(seeds: int, looks: Looks = DEFAULT_LOOKS) -> Look | None:
    """The look that is due with ``seeds`` complete seeds per framework; None between looks, where nothing may be tested.

    Raises:
        ValueError: as ``alpha_per_look``, or more seeds than the last look has.
    """
    alpha = alpha_per_look(looks)
    if seeds > looks[-1]:
        raise ValueError(f"{seeds} seeds are beyond the last look, at {looks[-1]}")
    return Look(seeds, looks, alpha) if seeds in looks else None


def next_look(seeds: int, looks: Looks = DEFAULT_LOOKS) -> Look | None:
    """The first look after ``seeds`` complete seeds, so that ``.seeds - seeds`` are to be added; None after the last."""
    alpha = alpha_per_look(looks)
    return next((Look(due, looks, alpha) for due in looks if due > seeds), None)


def decided(verdict: Verdict, look: Look) -> bool:
    """Whether to stop: at the last look, and before it with any verdict, at ``look.confidence``, but INCONCLUSIVE.

    INVALID stops too: more seeds do not mend a study that cannot be judged.
    """
    return look.last or verdict is not Verdict.INCONCLUSIVE


def seeds_saved(look: Look) -> int:
    """Seeds per framework that stopping at ``look`` saves against going on to the last one."""
    return look.looks[-1] - look.seeds
