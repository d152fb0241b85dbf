"""What a bisection leaves in its folder: the document, a log, and a task file for each hybrid that the document names."""

from __future__ import annotations

import os
from pathlib import Path

from parity.bisect.parts import PortParts
from parity.errors import CannotStart
from parity.results.bisect import BisectDocument
from parity.task.registry import DEFAULT_NAME, TaskRef

DOCUMENT_FILE, LOG_FILE = "bisect.json", "bisect.log"
_TASK_FILE = '''"""{what}.

Written by `parity bisect --task {source}`.
"""

from parity.bisect.hybrid import hybrid

task = hybrid(
    {text!r},
    [
{parts}    ],
    near=__file__,
)
'''


def make_folder(out: Path, ref: TaskRef) -> Path:
    """Makes ``out/bisect-TASK`` with an empty log.

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


def write_task_files(folder: Path, ref: TaskRef, parts: PortParts, document: BisectDocument, mended: bool) -> None:
    """Writes a task file for each culprit, and the mended port if wanted; names files and commands in the document."""
    # An earlier bisection may have found something else.
    for old in folder.glob("*.py"):
        old.unlink()
    culprits = [*document.culprits, *document.then]
    settings = [entry for entry in document.culprits if parts.are_settings(entry.parts)]
    for entry in culprits:
        # All settings are in one file: their ladders say the same, and nobody runs them one by one.
        is_shared = entry in settings and len(settings) > 1
        shared = settings if is_shared else [entry]
        keys = [key for each in shared for key in each.parts]
        labels = ", ".join(label for each in shared for label in each.labels)
        name = "settings" if is_shared else "-".join(keys).replace(".", "-").replace("_", "-")[:80]
        path = folder / f"{name}.py"
        _write_task(path, ref, f"parity's reference port of {parts.task} with {labels}", keys)
        entry.file, entry.command = path.as_posix(), check_command(path)
    replaced = {key for entry in culprits for key in entry.parts}
    if replaced and mended:
        path = folder / "mended.py"
        what = f"The port of {parts.task} with the reference's {', '.join(sorted(replaced))}"
        _write_task(path, ref, what, sorted(parts.keys - replaced))
        document.mended = path.as_posix()


def check_command(path: Path) -> str:
    """The command that runs the ladder of a written task."""
    return f"parity check --task {path.as_posix()} --frameworks rllib"


def _write_task(path: Path, ref: TaskRef, what: str, keys: list[str]) -> None:
    text = ref.text
    if ref.is_file:
        # Relative to the file itself: the folder may be moved together with the port.
        text = f"{Path(os.path.relpath(ref.location, path.resolve().parent)).as_posix()}:{ref.name}"
    lines = "".join(f"        {key!r},\n" for key in keys)
    source = ref.source if ref.is_file else ref.text
    path.write_text(_TASK_FILE.format(what=what, source=source, text=text, parts=lines), encoding="utf-8")
