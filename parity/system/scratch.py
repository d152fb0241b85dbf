"""The temporary folder of one command. It goes when the command ends, however it ends, with every process that is left.

Everything below the command puts its temporary files there (``TMPDIR``), Ray's session included. A process of its own, the
janitor, waits for the command's end, also by SIGKILL. Where both are killed at once, the next command cleans up.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing import resource_tracker
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

# In the environment of whatever a command starts: the folder, by which its processes are known.
MARK = "PARITY_SCRATCH"
PREFIX = "parity-"
LOCK_FILE = ".lock"
# Of a socket's path Linux takes 107 bytes, macOS 103; below the folder Ray needs 68 of them.
LONGEST_PATH = 35
# To die, which takes a process with much memory a while.
LONGEST_S = 20.0


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """The folder of this command, which the outermost caller makes and removes."""
    if MARK in os.environ:
        yield Path(os.environ[MARK])
        return
    before = {name: os.environ.get(name) for name in (MARK, "TMPDIR")}, tempfile.tempdir
    folder, lock = locked_folder()
    janitor = subprocess.Popen(
        [sys.executable, "-c", f"from {__name__} import _janitor; _janitor()", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    if os.name == "posix":
        # Python's own, of which there is one in a process: it has to outlive this folder.
        resource_tracker.ensure_running()
    os.environ |= {MARK: str(folder), "TMPDIR": str(folder)}
    tempfile.tempdir = str(folder)
    try:
        yield folder
    finally:
        environment, tempfile.tempdir = before
        for name, value in environment.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        assert janitor.stdin is not None
        janitor.stdin.close()
        janitor.wait()
        lock.release(force=True)


def locked_folder() -> tuple[Path, FileLock]:
    """A new temporary folder. When its lock is let go of, also by a death, it counts as left and any command removes it."""
    parent = Path(tempfile.gettempdir())
    if len(str(parent)) > LONGEST_PATH - len(PREFIX) - 10:
        parent = Path("/tmp") if os.name == "posix" else parent
    _clean_up_after_killed(parent)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        lock = FileLock(folder / LOCK_FILE, timeout=0)
        with contextlib.suppress(Timeout):
            lock.acquire()
            if folder.is_dir():  # else another command took it for one that is left
                return folder, lock


def _clean_up_after_killed(parent: Path) -> None:
    for lock_file in parent.glob(f"{PREFIX}*/{LOCK_FILE}"):
        with contextlib.suppress(OSError, Timeout), FileLock(lock_file, timeout=0):
            remove(lock_file.parent)


def _janitor() -> None:
    """Waits until whoever started it is gone: then its end of the pipe is closed."""
    sys.stdin.read()
    remove(Path(sys.argv[1]))


def remove(folder: Path) -> None:
    """Kills the processes of an ended command, and removes its folder and what they left in shared memory."""
    shared: set[str] = set()
    end = time.monotonic() + LONGEST_S
    while (left := [each for each in psutil.process_iter() if _is_marked(each, folder)]) and time.monotonic() < end:
        shared.update(path for process in left for path in _shared_memory(process))
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        time.sleep(0.05)
    in_use = {path for process in psutil.process_iter() for path in _shared_memory(process)} if shared else set()
    for path in shared - in_use:
        with contextlib.suppress(OSError):
            os.unlink(path)
    shutil.rmtree(folder, ignore_errors=True)


def _is_marked(process: psutil.Process, folder: Path) -> bool:
    try:
        return process.environ().get(MARK) == str(folder) and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, OSError):  # gone, or another user's
        return False


def _shared_memory(process: psutil.Process) -> list[str]:
    """Files in shared memory that a process still has by their names."""
    try:
        maps = Path(f"/proc/{process.pid}/maps").read_text("utf-8", "replace")
    except OSError:  # gone, or no Linux
        return []
    places = (line.split(maxsplit=5)[-1] for line in maps.splitlines() if "/dev/shm/" in line)
    return [place for place in places if not place.endswith("(deleted)")]
