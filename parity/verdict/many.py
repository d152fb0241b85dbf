"""The verdicts of many studies at once, as arrays: for simulations and for splits of stored runs.

The same rules as ``parity.verdict.judge``, which judges one stored study: ``tests/verdict/test_many.py`` holds the two
together. Collapsed seeds, and what makes a study INVALID, are not looked at.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from parity.results.summary import Verdict
from parity.verdict.pooled import pooled_difference
from parity.verdict.sequential import DEFAULT_LOOKS, Look, Looks, alpha_per_look, decided
from parity.verdict.statistics import CONFIDENCE, holm_rows, interval_verdicts, welch_difference


def primary_verdicts(
    reference: ArrayLike, port: ArrayLike, margin: float, confidence: float = CONFIDENCE
) -> NDArray[np.str_]:
    """The port's verdict in every study, str ``[studies]``.

    Args:
        reference: normalised scores of SB3's runs, ``[studies, metrics, tasks, n]``; ``port`` alike. One task is tested by
            Welch, several are pooled.
        margin: of equivalence, in normalised score.
        confidence: of the intervals; WORSE is Holm-corrected over the metrics at ``(1 - confidence) / 2``.
    """
    a, b = np.asarray(reference, np.float64), np.asarray(port, np.float64)
    if a.shape[2] == 1:
        test = welch_difference(a[..., 0, :], b[..., 0, :], margin, confidence)
    else:
        test = pooled_difference(a, b, margin, confidence)
    verdicts = interval_verdicts(test.low, test.high, margin)
    below = (verdicts == Verdict.WORSE) & (holm_rows(test.p_worse) <= (1 - confidence) / 2)
    verdicts = np.where((verdicts == Verdict.WORSE) & ~below, Verdict.INCONCLUSIVE, verdicts)
    return np.select(
        [(verdicts == verdict).any(axis=1) for verdict in (Verdict.WORSE, Verdict.INCONCLUSIVE, Verdict.BETTER)],
        [Verdict.WORSE, Verdict.INCONCLUSIVE, Verdict.BETTER],
        Verdict.EQUIVALENT,
    )


def rates(verdicts: NDArray[np.str_]) -> dict[Verdict, float]:
    """How often each verdict was said; INVALID never is here."""
    return {verdict: float(np.mean(verdicts == verdict)) for verdict in Verdict if verdict is not Verdict.INVALID}


def sequential_verdicts(
    reference: ArrayLike, port: ArrayLike, margin: float, looks: Looks = DEFAULT_LOOKS
) -> tuple[NDArray[np.str_], NDArray[np.int_]]:
    """Verdict and seeds per framework at which every study stopped that adds seeds in ``looks``, each ``[studies]``.

    Runs as in ``primary_verdicts``, with as many seeds as the last look has.

    Raises:
        ValueError: no alpha is known for these looks.
    """
    a, b = np.asarray(reference, np.float64), np.asarray(port, np.float64)
    verdicts = np.full(len(a), Verdict.INCONCLUSIVE.value, dtype=object)
    seeds = np.zeros(len(a), np.int_)
    running = np.ones(len(a), bool)
    for n in looks:
        look = Look(n, looks, alpha_per_look(looks))
        found = primary_verdicts(a[running][..., :n], b[running][..., :n], margin, look.confidence)
        verdicts[running], seeds[running] = found, n
        running[running] = [not decided(Verdict(verdict), look) for verdict in found]
    return verdicts.astype(np.str_), seeds
