"""May a study stop at this interim analysis? Seeds are added between interim analyses, each tested at its own alpha.

Testing at 3, 5, 8 and 10 seeds at 5 % each would call one port in nine equivalent that is worse by the whole margin. The
alphas below hold that at 5 % over all analyses; ``tests/verdict`` simulates it. They were found by simulation of one task
and hold for WORSE as well; pooled tests have more degrees of freedom and keep them too. An equal port is WORSE on all tasks
together in at most 4 %, on one of several by itself in at most 4 %, and either way in 5 to 7 %, as without interim
analyses. The rule on collapsed seeds has no alpha: where every run collapses with chance q, four analyses accuse an equal
port in 1.4 % (q = 0.02), 6.6 % (0.05) and 14 % (0.1) of studies, ten seeds at once in 1.3, 6.1 and 12 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from parity.results.summary import Verdict

SeedCounts = tuple[int, ...]

# Seeds per framework at each interim analysis, and the one-sided alpha at every one of them (Pocock's kind of boundary).
ALPHA_PER_ANALYSIS: Mapping[SeedCounts, float] = MappingProxyType({(3, 5, 8, 10): 0.0182, (5, 10): 0.0294})
DEFAULT_LOOKS: SeedCounts = (3, 5, 8, 10)


@dataclass(frozen=True)
class InterimAnalysis:
    """The analysis at ``seeds`` seeds per framework, the ``number``-th of ``looks`` from 1; ``alpha`` is one-sided."""

    seeds: int
    looks: SeedCounts
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

    @property
    def seeds_saved(self) -> int:
        """Seeds per framework that stopping here saves against going on to the last analysis."""
        return self.looks[-1] - self.seeds


def alpha_per_analysis(looks: SeedCounts) -> float:
    """The alpha of every interim analysis.

    Raises:
        ValueError: there is no simulated alpha for these numbers of seeds.
    """
    if looks not in ALPHA_PER_ANALYSIS:
        known = "; ".join(", ".join(map(str, plan)) for plan in ALPHA_PER_ANALYSIS)
        at = ", ".join(map(str, looks))
        raise ValueError(f"no alpha is known for interim analyses at {at} seeds; choose from {known}")
    return ALPHA_PER_ANALYSIS[looks]


def analysis_at(seeds: int, looks: SeedCounts = DEFAULT_LOOKS) -> InterimAnalysis | None:
    """The analysis that is due with ``seeds`` complete seeds per framework; None between two, where nothing may be tested.

    Raises:
        ValueError: as ``alpha_per_analysis``, or more seeds than the last analysis has.
    """
    alpha = alpha_per_analysis(looks)
    if seeds > looks[-1]:
        raise ValueError(f"{seeds} seeds are beyond the last interim analysis, at {looks[-1]}")
    return InterimAnalysis(seeds, looks, alpha) if seeds in looks else None


def next_analysis(seeds: int, looks: SeedCounts = DEFAULT_LOOKS) -> InterimAnalysis | None:
    """The first analysis after ``seeds`` complete seeds, so that ``.seeds - seeds`` are to be added; None after the last."""
    alpha = alpha_per_analysis(looks)
    return next((InterimAnalysis(due, looks, alpha) for due in looks if due > seeds), None)


def decided(verdict: Verdict, analysis: InterimAnalysis) -> bool:
    """Whether to stop: at the last analysis, and before it with any verdict, at its ``confidence``, but INCONCLUSIVE.

    INVALID stops too: more seeds do not mend a study that cannot be judged.
    """
    return analysis.last or verdict is not Verdict.INCONCLUSIVE
