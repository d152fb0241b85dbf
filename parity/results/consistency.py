"""What the files of a study say of each other: a trial that was copied, edited or put there by somebody is none of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from parity.results.study import StudyFile, TrialRecord


def contradictions(file: StudyFile, trials: Sequence[TrialRecord]) -> Iterator[tuple[int, str]]:
    """Places in ``trials`` of those that can be read by themselves and do not fit the others or ``study.json``, and why."""
    signed = any(trial.meta.digests for trial in trials if trial.meta is not None)
    seen: dict[tuple[object, ...], TrialRecord] = {}
    for place, trial in enumerate(trials):
        if trial.damage is not None or trial.meta is None:
            continue
        if signed and not trial.meta.digests and trial.meta.status == "done":
            yield place, "trial.json: it has no digests, as those of the other trials have"
        elif trial.curve is not None and (wrong := _of_curve(trial.curve, file.tasks[trial.task].eval_episodes)):
            yield place, f"curve.parquet, {wrong}"
        elif trial.curve is not None and len(trial.curve) > 1:
            # No two trainings take the same time to the last bit.
            first = seen.setdefault((trial.task, *trial.curve["wall_s"]), trial)
            if first is not trial:
                yield (
                    place,
                    f"curve.parquet: it is that of {first.task}/{first.framework}/{first.seed}, so it was copied",
                )


def _of_curve(curve: pd.DataFrame, episodes: int) -> str | None:
    if curve.empty:
        return None
    for mean, returns in (("return_mean", "returns"), ("sampled_return_mean", "sampled_returns")):
        lengths = curve[returns].map(len)
        if (lengths != episodes).any():
            number = int(lengths[lengths != episodes].iloc[0])
            return f"{returns}: {number} episodes, study.json says {episodes}"
        stored, computed = curve[mean].to_numpy(np.float64), np.stack(curve[returns].to_list()).mean(axis=1)
        finite = np.isfinite(stored) & np.isfinite(computed)
        if not np.allclose(stored[finite], computed[finite], rtol=1e-6, atol=1e-9):
            return f"{mean}: it is not the mean of {returns}"
    return None


def foreign_trials(trials_folder: Path, trials: Sequence[TrialRecord]) -> list[str]:
    """Trials that lie in a study and were not asked for, as ``task/framework/seed``."""
    asked = {trial.folder for trial in trials}
    there = sorted(path.parent for path in trials_folder.glob("*/*/*/trial.json"))
    return [folder.relative_to(trials_folder).as_posix() for folder in there if folder not in asked]
