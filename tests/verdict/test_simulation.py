"""Judging many studies as arrays says what the judge says of each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from parity.results.summary import Verdict
from parity.verdict.judge import judge
from parity.verdict.simulation import primary_verdicts

FRAMEWORKS = ("sb3", "rllib")
METRICS = ("final", "auc")


@pytest.mark.parametrize("tasks", [("tiles",), ("tiles", "taxi", "cartpole")])
def test_arrays_of_studies_get_the_verdicts_of_the_judge(make_study: Callable, tasks: tuple[str, ...]) -> None:
    rng = np.random.default_rng(0)
    arms: dict[str, list] = {framework: [] for framework in FRAMEWORKS}
    said = []
    for drop, deviation in zip(np.linspace(-0.4, 0.4, 24), np.geomspace(0.01, 0.2, 24), strict=True):
        means = {"sb3": 1.0, "rllib": 1.0 + drop}
        scores = {task: {f: list(rng.normal(means[f], deviation, 4)) for f in FRAMEWORKS} for task in tasks}
        summary = judge(make_study(scores))
        said.append(summary.tasks["tiles"].verdict if summary.pooled is None else summary.pooled.verdict)
        for framework in FRAMEWORKS:
            trials = [[t for t in summary.tasks[task].trials if t.framework == framework] for task in tasks]
            arms[framework].append([[[getattr(t, metric) for t in each] for each in trials] for metric in METRICS])
    verdicts = primary_verdicts(arms["sb3"], arms["rllib"], margin=0.15)
    assert list(verdicts) == said
    assert set(said) >= {Verdict.EQUIVALENT, Verdict.WORSE, Verdict.BETTER}
