"""Studies as they would lie on disk, made from the scores that their runs shall have."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from parity.results.study import (
    EffectiveConfig,
    ReferenceScores,
    Request,
    StudyFile,
    StudyRecord,
    TaskRecord,
    TrialMeta,
    TrialRecord,
)

UNIFORM_LEGAL, BEST = 0.31, 0.69
STEPS, EVAL_EVERY, EPISODES = 65_536, 8_192, 100

Edit = Callable[[TrialRecord], TrialRecord]


def curve(score: float, seed: int = 0, steps: int = STEPS) -> pd.DataFrame:
    """A curve that rises from uniform-legal play to ``score``; each evaluation's episodes have exactly its mean."""
    rng = np.random.default_rng(seed)
    at = np.arange(0, steps + 1, EVAL_EVERY)
    means = UNIFORM_LEGAL + (BEST - UNIFORM_LEGAL) * score * (1 - np.exp(-6 * at / steps)) / (1 - np.exp(-6))
    noise = rng.normal(0, 0.25, (len(at), EPISODES))
    episodes = means[:, None] + noise - noise.mean(axis=1, keepdims=True)
    columns = {"return_mean": means, "return_std": episodes.std(axis=1), "returns": list(episodes)}
    return pd.DataFrame(
        {"steps": at, "wall_s": at / 1000.0, "train_s": at / 2000.0, "length_mean": 4.0}
        | columns
        | {f"sampled_{name}": values for name, values in columns.items()}
    )


def trial(task: str, framework: str, seed: int, score: float) -> TrialRecord:
    masks = {phase: {"decisions": 1000, "violations": 0, "empty": 0} for phase in ("sampling", "evaluation")}
    timing = pd.DataFrame({"iteration": range(32), "steps": np.arange(1, 33) * 2048})
    timing = timing.assign(
        sample_s=0.5, returns_s=np.nan if framework == "rllib" else 0.1, update_s=0.6, evaluate_s=0.2
    )
    meta = TrialMeta(
        task=task,
        framework=framework,
        seed=seed,
        status="done",
        steps=STEPS,
        started="2026-11-22T09:00:00Z",
        wall_s=60.0,
        peak_memory_mb=500.0 + seed,
        devices={"policy": "cpu"},
    )
    return TrialRecord(task, framework, seed, Path(), meta, curve(score, seed), timing, masks)


def make_study(
    scores: Mapping[str, Sequence[float]] | Mapping[str, Mapping[str, Sequence[float]]],
    *,
    require: Sequence[str] = (),
    best: float | None = BEST,
    margin: float = 0.15,
    looks: Sequence[int] = (),
    edit: Mapping[tuple[str, int], Edit] | None = None,
) -> StudyRecord:
    """``scores``: final scores by framework, one a seed, of the task ``tiles``; or the same by task.

    ``edit`` changes single trials, by framework and seed.
    """
    by_task = scores if isinstance(next(iter(scores.values())), Mapping) else {"tiles": scores}
    first = next(iter(by_task.values()))
    seeds = list(range(len(next(iter(first.values())))))
    task = TaskRecord(
        source="built-in",
        steps=STEPS,
        eval_every=EVAL_EVERY,
        eval_episodes=EPISODES,
        margin=margin,
        mask="obs:action_mask",
        reference=ReferenceScores(uniform_legal=UNIFORM_LEGAL, best=best, source="computed"),
        ppo={},
        frameworks={framework: EffectiveConfig(hyperparameters={}) for framework in first},
    )
    file = StudyFile(
        parity_version="0.1.0",
        study="2026-11-22-tiles",
        created="2026-11-22T09:00:00Z",
        command="parity run",
        request=Request(
            tasks=list(by_task), frameworks=list(first), seeds=seeds, require=list(require), looks=list(looks)
        ),
        tasks=dict.fromkeys(by_task, task),
    )
    trials = [
        trial(name, framework, seed, score)
        for name, frameworks in by_task.items()
        for framework, values in frameworks.items()
        for seed, score in zip(seeds, values, strict=True)
    ]
    edits = edit or {}
    changed = [edits.get((t.framework, t.seed), lambda unchanged: unchanged)(t) for t in trials]
    return StudyRecord(Path(), file, changed)


@pytest.fixture(name="make_study")
def _make_study() -> Callable[..., StudyRecord]:
    return make_study


@pytest.fixture(name="make_curve")
def _make_curve() -> Callable[..., pd.DataFrame]:
    return curve


@pytest.fixture
def with_meta() -> Callable[..., Edit]:
    """An edit that changes fields of ``trial.json``."""

    def changed(**fields: object) -> Edit:
        return lambda t: dataclasses.replace(t, meta=t.meta.model_copy(update=fields) if t.meta else None)

    return changed
