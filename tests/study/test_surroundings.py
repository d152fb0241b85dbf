"""A full or read-only disk, no home, an old locale, closed streams: what was computed is kept, or the loss is named."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from parity.system.streams import keep_streams

SMALL = ("steps=2048", "steps=768"), ("eval_every=1024", "eval_every=256"), ("eval_episodes=20", "eval_episodes=4")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a small disk, or changes it; skips where that is not allowed."""
    folder = tmp_path / "disk"

    def mount(options: str) -> Path:
        remount = ",remount" if folder.exists() else ""
        folder.mkdir(exist_ok=True)
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", options + remount, "tmpfs", folder], capture_output=True)
        if made.returncode:
            pytest.skip(f"no disk can be mounted: {made.stderr.decode()}")
        return folder

    yield mount
    subprocess.run(["umount", "-l", folder], capture_output=True, check=False)


def _run(parity: Any, *arguments: str, **changes: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        parity.command(*arguments),
        cwd=parity.folder,
        stderr=subprocess.PIPE,
        text=True,
        timeout=900,
        check=False,
        **changes,
    )


@pytest.fixture(scope="module")
def studied(shared_parity: Callable[[], Any]) -> tuple[Any, subprocess.CompletedProcess[str]]:
    """A study without a home, in an old locale, in a folder with a space and an umlaut, started with stdout closed."""
    parity = shared_parity()
    parity.folder /= "Übung 1"
    (parity.folder / "tmp").mkdir(parents=True)
    task = parity.write("my_task.py", *SMALL)
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "TMPDIR": str(parity.folder / "tmp")}
    command = ("run", "--task", task, "--seeds", "1", "--name", "a")
    return parity, _run(parity, *command, env=environment, preexec_fn=lambda: os.close(1))


@pytest.mark.slow
def test_a_study_needs_no_home_no_locale_and_no_stdout(studied: Any) -> None:
    parity, outcome = studied
    assert outcome.returncode == 3, outcome.stderr  # one seed decides nothing
    assert "Traceback" not in outcome.stderr
    assert parity.summary("a")["tasks"]["match"]["trials"][0]["status"] == "done"
    assert not list((parity.folder / "tmp").iterdir())


@pytest.mark.slow
def test_a_reader_that_has_enough_changes_no_exit_code(studied: Any) -> None:
    parity, _ = studied
    command = " ".join(f"'{part}'" for part in parity.command("report", "a", "--json"))
    piped = f"{command} 2>errors | head -1; echo ${{PIPESTATUS[0]}}"
    outcome = subprocess.run(["bash", "-c", piped], cwd=parity.folder, capture_output=True, text=True, timeout=300)
    assert outcome.stdout.splitlines() == ["{", "3"]
    assert "Traceback" not in (parity.folder / "errors").read_text()


@pytest.mark.slow
def test_a_study_that_cannot_be_written_to_is_judged_and_the_loss_is_named(studied: Any, disk: Any) -> None:
    parity, _ = studied
    folder = disk("size=60m")
    subprocess.run(["cp", "-r", parity.folder / "results/a", folder], check=True)
    disk("ro")
    outcome = _run(parity, "report", str(folder / "a"))
    assert outcome.returncode == 3
    assert "Read-only file system; the verdict and its report are not stored" in outcome.stderr
    assert "INCONCLUSIVE" in outcome.stderr and "Traceback" not in outcome.stderr


@pytest.mark.slow
def test_a_study_whose_disk_is_full_is_finished_when_there_is_room(parity: Any, disk: Any) -> None:
    task = parity.write("my_task.py", *SMALL)
    folder = disk("size=200k")
    outcome = _run(
        parity, "run", "--task", task, "--frameworks", "sb3", "--seeds", "3", "--name", "a", "--out", str(folder)
    )
    assert outcome.returncode == 130, outcome.stderr
    assert "No space left on device" in outcome.stderr.splitlines()[-1]
    assert "--resume" in outcome.stderr.splitlines()[-1] and "Traceback" not in outcome.stderr
    done = {path: path.stat().st_mtime_ns for path in folder.glob("a/trials/match/sb3/*/trial.json")}
    assert done, "no trial was kept"
    disk("size=60m")
    again = _run(parity, "run", "--resume", str(folder / "a"))
    assert again.returncode == 0, again.stderr
    assert all(path.stat().st_mtime_ns == then for path, then in done.items() if '"done"' in path.read_text())


def test_writing_where_nobody_reads_raises_nothing() -> None:
    code = "from parity.system.streams import keep_streams; keep_streams()\nfor _ in range(9999): print('x' * 99)\nprint('end')"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait() == 0


def test_streams_that_are_no_files_stay_what_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stdout
    keep_streams()
    assert sys.stdout is before
