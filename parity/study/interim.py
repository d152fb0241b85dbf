"""Interim analyses of a sequential study: it is judged at each, and seeds are added where it stays undecided."""

from __future__ import annotations

from pathlib import Path

from parity.results import study as files
from parity.system.console import say
from parity.verdict.judge import interim_analysis_of, judge_stored
from parity.verdict.sequential import decided, next_analysis


def add_seeds(folder: Path) -> bool:
    """Whether the study goes on: ``study.json`` then asks for the seeds of the next interim analysis as well.

    False for a study that is not sequential. One verdict stops it as a whole, since tasks are pooled with equally many
    seeds.
    """
    study = files.load_study(folder)
    current = interim_analysis_of(study)
    if current is None:
        return False
    following = next_analysis(current.seeds, current.looks)
    if following is None or decided(judge_stored(study).verdict, current):
        return False
    first = study.file.request.seeds[0]
    request = study.file.request.model_copy(update={"seeds": list(range(first, first + following.seeds))})
    study.file.model_copy(update={"request": request}).write(folder / files.STUDY_FILE)
    at = f"Interim analysis {current.number} of {len(current.looks)}, {current.seeds} seeds"
    say(f"{at}: undecided; going on to {following.seeds}")
    return True
