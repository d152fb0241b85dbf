"""What a bisection leaves behind: a folder with its document, its log, and a task file for each mixture that it names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from parity.bisect.document import BisectDocument, CulpritEntry
from parity.bisect.part import Anatomy
from parity.bisect.search import Outcome
from parity.bisect.verdict import Verdict
from parity.errors import CannotStart
from parity.task.registry import DEFAULT_NAME, TaskRef

DOCUMENT_FILE, LOG_FILE = "bisect.json", "bisect.log"


def folder_of(out: Path, ref: TaskRef) -> Path:
    """``out/bisect-TASK``, made.

    Raises:
        CannotStart: it cannot be made or written.
    """
    # A file may define several tasks.
    name = Path(ref.location).stem + (f"-{ref.name}" if ref.name != DEFAULT_NAME else "")
    folder = out / f"bisect-{name if ref.is_file else ref.text.replace(':', '-')}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / LOG_FILE).write_text("", encoding="utf-8")
    except OSError as error:
        raise CannotStart(f"--out {out}: cannot write there ({error.strerror}); choose another folder.") from error
    return folder


def write(folder: Path, ref: TaskRef, anatomy: Anatomy, outcome: Outcome | None, found: BisectDocument) -> None:
    """Writes the task files, names them and their commands in the document, and stores that."""
    # Of an earlier bisection: what is no longer found must not lie beside what is.
    for old in folder.glob("*.py"):
        old.unlink()
    entries = [*found.culprits, *found.then]
    settings = [entry for entry in found.culprits if _is_setting(anatomy, entry)]
    for entry in entries:
        # Numbers in one file: their ladders all say the same, and nobody runs them one by one.
        shared = settings if entry in settings and len(settings) > 1 else [entry]
        parts = [part for each in shared for part in each.parts]
        path = folder / f"{'settings' if len(shared) > 1 else _name(parts)}.py"
        labels = [label for each in shared for label in each.labels]
        _write_task(path, ref, f"parity's reference port of {anatomy.task} with {', '.join(labels)}", parts)
        entry.file = path.as_posix()
        entry.command = command(path)
    replaced = frozenset(part for entry in (*found.culprits, *found.then) for part in entry.parts)
    if replaced and outcome is not None and outcome.rest is not None and outcome.rest.holds:
        path = folder / "mended.py"
        what = f"The port of {anatomy.task} with the reference's {', '.join(sorted(replaced))}"
        _write_task(path, ref, what, sorted(anatomy.keys - replaced))
        found.mended = path.as_posix()
    tried = outcome.tried if outcome is not None else ()
    store(folder, found, [verdict for _, verdict in tried], anatomy.traceback)


def store(folder: Path, found: BisectDocument, verdicts: Sequence[Verdict], traceback: str = "") -> None:
    """Stores the document, and in the log what the port raised."""
    tracebacks = [f"{part}:\n{text}" for verdict in verdicts for part, text in verdict.tracebacks]
    tracebacks += [traceback] if traceback else []
    if tracebacks:
        with (folder / LOG_FILE).open("a", encoding="utf-8") as log:
            log.write("\n".join(tracebacks))
    found.log = (folder / LOG_FILE).as_posix()
    (folder / DOCUMENT_FILE).write_text(found.to_json() + "\n", encoding="utf-8")


def _is_setting(anatomy: Anatomy, entry: CulpritEntry) -> bool:
    return all(anatomy.part(key).kind == "setting" for key in entry.parts)


def command(path: Path) -> str:
    """The command that climbs a written task's ladder."""
    return f"parity check --task {path.as_posix()} --frameworks rllib"


def _name(parts: list[str]) -> str:
    return "-".join(parts).replace(".", "-").replace("_", "-")[:80]


def _write_task(path: Path, ref: TaskRef, what: str, parts: list[str]) -> None:
    text = ref.text
    if ref.is_file:
        # Counted from the file itself: the folder may be moved together with the port.
        text = Path(os.path.relpath(ref.location, path.resolve().parent)).as_posix()
        text += f":{ref.name}"
    lines = [
        f'"""{what}.',
        "",
        f"Written by `parity bisect --task {ref.source if ref.is_file else ref.text}`.",
        '"""',
        "",
        "from parity.bisect.mixture import mixture",
        "",
        "task = mixture(",
        f"    {text!r},",
        "    [",
        *[f"        {part!r}," for part in parts],
        "    ],",
        "    beside=__file__,",
        ")",
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
