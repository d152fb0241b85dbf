"""What makes a trial unfit to be judged. A trial is never dropped in silence: its study is INVALID and names it."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from parity.results.study import TrialRecord

_MEASURED = ("return_mean", "sampled_return_mean")
_EPISODES = ("returns", "sampled_returns")


def curve_problem(curve: pd.DataFrame | None, horizon: int) -> str | None:
    """Why a curve cannot be judged, as the end of a sentence about its trial; None where it can.

    A curve has its first evaluation at step 0, rising ``steps``, its last at ``horizon`` or beyond, and only finite
    returns, episode by episode.
    """
    if curve is None or curve.empty:
        return "has no curve"
    missing = [column for column in ("steps", *_MEASURED, *_EPISODES) if column not in curve]
    if missing:
        return f"has a curve without {', '.join(missing)}"
    steps = curve["steps"].to_numpy()
    for column in _MEASURED:
        finite = np.isfinite(curve[column].to_numpy(np.float64))
        if not finite.all():
            return f"has a {column} that is no finite number at step {steps[~finite][0]}"
    for column in _EPISODES:
        rows = [np.asarray(returns, np.float64) for returns in curve[column]]
        if not all(map(len, rows)) or not np.isfinite(np.concatenate(rows)).all():
            bad = next(i for i, returns in enumerate(rows) if len(returns) == 0 or not np.isfinite(returns).all())
            return f"has {column} that are empty or no finite numbers at step {steps[bad]}"
    if steps[0] != 0 or (np.diff(steps) <= 0).any():
        return "has a curve whose steps do not rise from 0"
    if steps[-1] < horizon:
        return f"has a curve that ends at step {steps[-1]} of {horizon}"
    return None


# What the ladder accepts as declared, a study accepts too: count of masks.json -> findings that declare it.
DECLARED = {"violations": {"PAR201", "PAR302"}, "empty": {"PAR005"}}


def mask_problem(masks: dict | None, declared: Collection[str] = ()) -> str | None:
    """Why the mask counts of a trial forbid judging it; None where nothing illegal happened and something was checked.

    ``masks`` is ``masks.json``: ``decisions``, ``violations`` and ``empty`` under ``sampling`` and ``evaluation``.
    ``declared`` are the codes that the task declares.
    """
    if masks is None:
        return "has no mask counts"
    phases = {phase: masks.get(phase, {}) for phase in ("sampling", "evaluation")}
    for phase, counts in phases.items():
        for key, what in (("violations", "illegal action"), ("empty", "empty mask")):
            number = counts.get(key, 0)
            if number and DECLARED[key].isdisjoint(declared):
                plural = "" if number == 1 else "s"
                return f"has {number} {what}{plural} in {counts.get('decisions', 0)} decisions at {phase}"
    if not any(counts.get("decisions", 0) for counts in phases.values()):
        return "has no decision that was checked against its mask"
    return None


def status_problem(trial: TrialRecord | None) -> str | None:
    """Why a trial did not end as it should: missing, damaged, crashed or interrupted; None where it is done."""
    if trial is not None and trial.damage is not None:
        return f"is damaged: {trial.damage}; --resume runs it again"
    if trial is None or trial.meta is None:
        return "is missing: it left no trial.json"
    if trial.meta.status == "done":
        return None
    reason = f": {trial.meta.reason.rstrip('.')}" if trial.meta.reason else ""
    return f"{'was interrupted' if trial.meta.status == 'interrupted' else 'crashed'}{reason}"
