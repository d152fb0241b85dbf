"""Code of users runs in processes that cannot end the driver, hang it, or outlive it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from parity.errors import CannotStart, one_line
from parity.system.subprocesses import run_in_subprocess


class Unpicklable(Exception):
    def __init__(self, first: str, second: str) -> None:
        super().__init__(first + second)


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("no")


def leave(code: int) -> None:
    sys.exit(code)


def raise_unpicklable() -> None:
    raise Unpicklable("one ", "two")


def hang(pid_file: str) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(pid_file).write_text(f"{os.getpid()} {child.pid}")
    time.sleep(600)


def leave_a_process_and_a_thread(pid_file: str) -> int:
    import threading

    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(pid_file).write_text(str(child.pid))
    threading.Thread(target=time.sleep, args=(1.0,)).start()
    return 7


@pytest.mark.parametrize("code", [0, 1])
def test_sys_exit_in_a_users_code_is_a_sentence_and_not_the_drivers_end(code: int) -> None:
    with pytest.raises(CannotStart, match=rf"test_subprocesses.py, line \d+, raised SystemExit\({code}\)"):
        run_in_subprocess(leave, code, about="x")


def test_an_exception_that_cannot_be_sent_arrives_by_its_sentence() -> None:
    with pytest.raises(RuntimeError, match="Unpicklable: one two"):
        run_in_subprocess(raise_unpicklable, about="x")


def test_an_exception_whose_message_raises_has_a_sentence() -> None:
    assert "cannot be read" in one_line(Mute())


def test_a_message_is_one_line_of_bounded_length_without_control_characters() -> None:
    line = one_line(ValueError("a\x1b[31m\n" + "b" * 10**6))
    assert len(line) < 600 and line.isprintable()


def test_what_hangs_is_ended_with_what_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    with pytest.raises(CannotStart, match="--timeout"):
        run_in_subprocess(hang, str(pids), about="x", timeout=8.0)
    assert all(_is_gone(int(pid)) for pid in pids.read_text().split())


def test_what_a_process_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    assert run_in_subprocess(leave_a_process_and_a_thread, str(pid), about="x") == 7
    assert _is_gone(int(pid.read_text()))


def test_a_process_ends_with_a_driver_that_is_killed(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = (
        "from test_subprocesses import hang; from parity.system.subprocesses import run_in_subprocess\n"
        f"if __name__ == '__main__': run_in_subprocess(hang, {str(pids)!r}, about='x')"
    )
    driver = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parent)
    _until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    assert all(_is_gone(int(pid)) for pid in pids.read_text().split())


def _is_gone(pid: int) -> bool:
    def ended() -> bool:
        return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE

    return _until(ended)


def _until(holds, seconds: float = 60.0) -> bool:
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.05)
    return bool(holds())
