"""A study on a cluster: task files go to its nodes by Ray's runtime environment, and what trials write comes back.

A node may see the study's folder, as on a shared file system; then its trials write there. Else they write into a temporary
folder, and an actor on the driver's node puts copies into the study.
"""

from __future__ import annotations

import contextlib
import dataclasses
import filecmp
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from parity.errors import CannotStart
from parity.results import study as files
from parity.results.writing import replacing
from parity.study.trial import TrialSpec
from parity.system.scratch import MARK
from parity.task.registry import TaskRef, folders_of

# By which a process finds the folder that Ray unpacked for it: it is on Python's path.
MARK_FILE = ".parity-task-files"
# Of task files and what lies beside them. Ray would take five times as much, to every node.
MOST_MB = 100
BRING_EVERY_S = 2.0
_LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "results", "*.parquet", "*.egg-info")


def packed(refs: Iterable[TaskRef], into: Path) -> dict[str, Any]:
    """Copies the tasks' folders into one, and returns Ray's runtime environment with it.

    Raises:
        CannotStart: they are too large, or two of them have different files of one name.
    """
    for folder in map(Path, sorted(folders_of(refs))):
        size = 0
        for source in _files_in(folder):
            target = into / source.relative_to(folder)
            size += source.stat().st_size
            if size > MOST_MB * 2**20:
                raise CannotStart(
                    f"--address: {folder} goes to every node and has more than {MOST_MB} MiB; put the task file and what it "
                    "imports into a folder of their own."
                )
            if target.exists() and not filecmp.cmp(source, target, shallow=False):
                raise CannotStart(
                    f"--address: two tasks have different files {target.relative_to(into)} beside them; rename one."
                )
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    (into / MARK_FILE).touch()
    return {"working_dir": str(into), "env_vars": {"PYTHONHASHSEED": os.environ.get("PYTHONHASHSEED", "0")}}


def _files_in(folder: Path) -> Iterator[Path]:
    for at, folders, names in os.walk(folder):
        left_out = set(_LEFT_OUT(at, [*folders, *names]))
        left_out |= {
            name for name in folders if Path(at, name, "pyvenv.cfg").exists()
        }  # an environment of Python's own
        left_out |= {name for name in folders if str(Path(at, name)) == os.environ.get(MARK)}  # what is packed just now
        folders[:] = [name for name in folders if name not in left_out]
        yield from (Path(at, name) for name in names if name not in left_out)


def unpacked(ref: TaskRef) -> TaskRef:
    """The task where this process finds it: as it is, or in what Ray brought."""
    for entry in sys.path:
        if Path(entry, MARK_FILE).is_file():
            location = str(Path(entry, Path(ref.location).name)) if ref.is_file else ref.location
            return dataclasses.replace(ref, location=location, python_path=ref.python_path and entry)
    return ref


class FileKeeper:
    """Reads and writes files of a study, as an actor on the node that has it."""

    def __init__(self, study: Path) -> None:
        self._study = study

    def put(self, relative: str, data: bytes) -> None:
        path = self._inside(relative)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_bytes(data)

    def get(self, folder: str) -> dict[str, bytes]:
        """Everything in a trial's folder, by its path in there."""
        root = self._inside(folder)
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    def remove(self, relative: str) -> None:
        self._inside(relative).unlink(missing_ok=True)

    def _inside(self, relative: str) -> Path:
        path = (self._study / relative).resolve()
        if not path.is_relative_to((self._study / files.TRIALS).resolve()):
            raise ValueError(f"{relative} is no trial's")
        return path


def file_keeper(study: Path) -> Any:
    """The actor, on this node."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(FileKeeper).options(num_cpus=0, scheduling_strategy=here).remote(study.resolve())


@contextlib.contextmanager
def reachable(spec: TrialSpec, study: str, keeper: Any) -> Iterator[tuple[TrialSpec, Callable[[bool], None]]]:
    """A trial whose folder this process can write to, and a function that brings its files to the study, at once or in time.

    Args:
        study: the driver's ``study.json``, whole, by which its folder is known on a shared file system.
        keeper: a handle of `file_keeper`; None where trials run on the driver's machine.
    """
    folder = Path(spec.folder)
    whole = files.study_of(folder)
    if keeper is None or _is_same(whole / files.STUDY_FILE, study):
        yield spec, lambda at_once: None
        return
    with tempfile.TemporaryDirectory() as temporary:
        courier = _Courier(Path(temporary, "trial"), str(folder.relative_to(whole)), keeper)
        yield dataclasses.replace(spec, folder=str(courier.local)), courier.bring
        courier.bring(at_once=True)


class _Courier:
    """Copies a trial's folder here, and brings back what is new in it."""

    def __init__(self, local: Path, relative: str, keeper: Any) -> None:
        self.local, self._relative, self._keeper = local, relative, keeper
        self._there: dict[str, int] = {}
        self._last = time.monotonic()
        for name, data in ray.get(keeper.get.remote(relative)).items():
            (local / name).parent.mkdir(parents=True, exist_ok=True)
            (local / name).write_bytes(data)
            self._there[name] = (local / name).stat().st_mtime_ns

    def bring(self, at_once: bool = False) -> None:
        if not at_once and time.monotonic() - self._last < BRING_EVERY_S:
            return
        self._last = time.monotonic()
        # What says that a trial has ended comes after what it says.
        for path in sorted(self.local.rglob("*"), key=lambda path: path.name == files.TRIAL_FILE):
            name = str(path.relative_to(self.local))
            if path.is_file() and self._there.get(name) != (changed := path.stat().st_mtime_ns):
                ray.get(self._keeper.put.remote(f"{self._relative}/{name}", path.read_bytes()))
                self._there[name] = changed
        for name in [name for name in self._there if not (self.local / name).exists()]:
            ray.get(self._keeper.remove.remote(f"{self._relative}/{name}"))
            del self._there[name]


def _is_same(path: Path, text: str) -> bool:
    try:
        return path.read_text("utf-8") == text
    except OSError:
        return False
