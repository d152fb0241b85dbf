"""What ports raised while their numbers were collected, written down."""

from __future__ import annotations

from pathlib import Path

from parity.errors import CannotStart, in_words
from parity.ladder.run_rungs import RUNGS, rung_of
from parity.results.capture import Capture, Raised


def write_log(out: Path, task_id: str, collected: dict[str, Capture | None]) -> tuple[str | None, list[str]]:
    """Tracebacks of what the ports raised, and a sentence for each framework, one for those that raised the same.

    Returns the file's name.
    """
    raised: list[tuple[str, str, Raised]] = [
        (name, part, error)
        for name, capture in collected.items()
        if capture is not None
        for part, error in capture.context.raised.items()
    ]
    if not raised:
        return None, []
    path = out / f"check-{task_id}.log"
    try:
        out.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(f"{name}, {part}:\n{error.traceback}" for name, part, error in raised))
    except OSError as error:
        raise CannotStart(f"--out {out}: cannot write there ({error.strerror}); choose another folder.") from error
    firsts = {name: (part, error) for name, part, error in reversed(raised)}
    stopped: dict[str, list[str]] = {}
    for name, (part, first) in reversed(firsts.items()):
        rung = rung_of(part)[0]
        stopped.setdefault(f"stopped at rung {list(RUNGS).index(rung)} ({rung}): {first}.", []).append(name)
    return str(path), [f"{in_words(names)} {what} Traceback: {path}" for what, names in stopped.items()]
