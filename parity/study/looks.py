"""A study that adds seeds in looks: judged at each, and asked for the seeds of the next one where it stays open."""

from __future__ import annotations

import sys
from pathlib import Path

from parity.results import study as files
from parity.verdict.judge import look_of
from parity.verdict.judged import judged
from parity.verdict.sequential import decided, next_look


def add_look(folder: Path) -> bool:
    """Whether the study goes on: ``study.json`` then asks for the seeds of the next look as well.

    False for a study without looks. One verdict stops it as a whole, since tasks are pooled with equally many seeds.
    """
    study = files.load_study(folder)
    look = look_of(study)
    if look is None:
        return False
    following = next_look(look.seeds, look.looks)
    if following is None or decided(judged(study).verdict, look):
        return False
    first = study.file.request.seeds[0]
    seeds = list(range(first, first + following.seeds))
    request = study.file.request.model_copy(update={"seeds": seeds})
    # A run that is killed here must find the old file or the new one.
    written = folder / f"{files.STUDY_FILE}.next"
    study.file.model_copy(update={"request": request}).write(written)
    written.replace(folder / files.STUDY_FILE)
    print(
        f"Look {look.number} of {len(look.looks)}, {look.seeds} seeds: undecided; going on to {following.seeds}",
        file=sys.stderr,
        flush=True,
    )
    return True
