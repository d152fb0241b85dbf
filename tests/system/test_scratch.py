"""Whatever ends a command, its temporary folder, its processes and its shared memory go with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from parity.system.scratch import MARK, scratch

# A process that leaves the group of its driver, with a file in shared memory under its own name.
STRAY = """
import mmap, os, sys, time
os.setsid()
path = f"/dev/shm/parity-test-{os.getpid()}"
with open(path, "wb+") as file:
    file.truncate(4096)
    memory = mmap.mmap(file.fileno(), 4096)
    print(os.getpid(), flush=True)
    time.sleep(600)
"""
DRIVER = f"""
import subprocess, sys, time
from parity.system.scratch import scratch
if __name__ == "__main__":
    with scratch() as folder:
        stray = subprocess.Popen([sys.executable, "-c", {STRAY!r}], stdout=subprocess.PIPE, text=True)
        print(folder, stray.stdout.readline(), flush=True)
        time.sleep(600)
"""


@pytest.fixture
def short_tmp(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pytest's own is too long for Ray's sockets."""
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.delenv(MARK, raising=False)
    return Path("/tmp")


def _started() -> tuple[subprocess.Popen[str], Path, int]:
    driver = subprocess.Popen([sys.executable, "-c", DRIVER], stdout=subprocess.PIPE, text=True)
    assert driver.stdout is not None
    folder, stray = driver.stdout.readline().split()
    return driver, Path(folder), int(stray)


def _is_all_gone(folder: Path, stray: int) -> bool:
    return not folder.exists() and not _is_alive(stray) and not Path(f"/dev/shm/parity-test-{stray}").exists()


def _is_alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def _until(holds: Callable[[], bool], seconds: float = 60.0) -> bool:
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.05)
    return holds()


def test_a_command_that_is_killed_leaves_nothing(short_tmp: Path) -> None:
    driver, folder, stray = _started()
    assert folder.parent == short_tmp and folder.stat().st_mode & 0o077 == 0
    driver.kill()
    driver.wait()
    assert _until(lambda: _is_all_gone(folder, stray))


def test_what_was_killed_with_its_janitor_is_cleaned_up_by_the_next_command(short_tmp: Path) -> None:
    driver, folder, stray = _started()
    janitors = [child for child in psutil.Process(driver.pid).children() if "_janitor" in " ".join(child.cmdline())]
    for process in [*janitors, driver]:
        os.kill(process.pid, signal.SIGKILL)
    driver.wait()
    assert folder.exists() and _is_alive(stray)
    with scratch():
        assert _is_all_gone(folder, stray)


def test_a_command_that_runs_is_left_alone_by_others(short_tmp: Path) -> None:
    with scratch() as first:
        environment = {name: value for name, value in os.environ.items() if name not in (MARK, "TMPDIR")}
        code = "from parity.system.scratch import scratch\nwith scratch() as folder: print(folder)"
        other = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        assert first.is_dir() and not Path(other.stdout.strip()).exists()
    assert not first.exists()
