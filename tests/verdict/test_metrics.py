from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from parity.verdict import metrics


def curve(steps: list[int], means: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"steps": np.array(steps, np.int64), "return_mean": np.array(means, np.float64)})


def test_final_is_the_mean_of_the_last_tenth() -> None:
    twenty = curve(list(range(0, 2100, 100)), [0.0] * 19 + [1.0, 3.0])
    assert metrics.final(twenty, 2000) == 2.0
    # Nine evaluations: the last tenth holds one of them.
    assert metrics.final(curve(list(range(0, 9, 1)), [0.0] * 7 + [1.0, 3.0]), 8) == 3.0


def test_final_counts_an_evaluation_after_the_horizon_as_its_own() -> None:
    assert metrics.final(curve([0, 5000, 10_240], [0.0, 1.0, 2.0]), 10_000) == 2.0


def test_auc_is_the_mean_height_of_the_curve() -> None:
    assert metrics.auc(curve([0, 500, 1000], [0.0, 1.0, 1.0]), 1000) == pytest.approx(0.75)


def test_auc_does_not_depend_on_how_often_a_line_is_evaluated() -> None:
    often = curve([0, 100, 300, 1000], [0.0, 0.1, 0.3, 1.0])
    assert metrics.auc(often, 1000) == pytest.approx(metrics.auc(curve([0, 1000], [0.0, 1.0]), 1000))


def test_auc_ends_at_the_horizon_whatever_was_trained_beyond_it() -> None:
    beyond = curve([0, 500, 1500], [0.0, 1.0, 3.0])
    assert metrics.auc(beyond, 1000) == pytest.approx(0.25 + 0.75)


def test_auc_of_a_curve_that_does_not_cover_the_horizon_is_nan() -> None:
    assert math.isnan(metrics.auc(curve([0, 500], [0.0, 1.0]), 1000))
    assert math.isnan(metrics.auc(curve([100, 1000], [0.0, 1.0]), 1000))


def test_steps_to_threshold_is_the_first_evaluation_that_reaches_it() -> None:
    reached = metrics.steps_to_threshold(curve([0, 10, 20, 30], [0.0, 0.5, 0.4, 0.9]), 0.5)
    assert reached == (10, False)


def test_steps_to_threshold_is_censored_at_the_last_evaluation() -> None:
    reached = metrics.steps_to_threshold(curve([0, 10, 20, 30], [0.0, 0.5, 0.4, 0.4]), 0.6)
    assert reached == (30, True)
