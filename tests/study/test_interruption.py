"""A study that is killed, interrupted or crashed in part keeps what it has and says what is missing."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import OutOfMemoryError

from parity.results import study as files
from parity.study import runner
from parity.study.runner import fit
from parity.study.trial import TrialSpec
from parity.system.ray_session import RayDied
from parity.task.registry import TaskRef

# Slow enough to be caught in the middle.
LONG = ("steps=2048", "steps=60_000"), ("eval_every=1024", "eval_every=20_000")

HOLD = '''
import os
import time

import gymnasium


def wait_unless_first():
    """The first process that comes here goes on; others wait while the file ``hold`` is there, or end with their parent."""
    try:
        os.close(os.open("FOLDER/first", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        parent = os.getppid()
        while os.path.exists("FOLDER/hold"):
            time.sleep(0.1)
            if os.getppid() != parent:
                os._exit(1)


'''


def _wait_for(path: Path, process: subprocess.Popen[str], seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end, f"{path} did not appear"
        time.sleep(0.1)


def test_a_killed_study_is_finished_by_resume(parity: Any) -> None:
    hold = parity.folder / "hold"
    hold.touch()
    # Well into a trial: what looks at a task before a study plays fewer steps.
    waits = (
        "        self.steps += 1\n        Match.all_steps = getattr(Match, 'all_steps', 0) + 1\n"
        "        if Match.all_steps == 500:\n            wait_unless_first()\n"
    )
    task = parity.write(
        "my_task.py",
        ("import gymnasium\n", HOLD.replace("FOLDER", str(parity.folder))),
        ("        self.steps += 1\n", waits),
    )
    process = parity.start("run", "--task", task, "--frameworks", "sb3", "--seeds", "3", "--name", "cut")
    trials = parity.folder / "results/cut/trials/match/sb3"
    finished: list[Path] = []
    while not finished:
        _wait_for(trials, process)
        finished = list(trials.glob("*/trial.json"))
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = {path: path.stat().st_mtime_ns for path in trials.glob("*/trial.json")}
    assert 0 < len(done) < 3
    time.sleep(1)  # what waits sees that its parent has died
    hold.unlink()

    outcome = parity("run", "--resume", "cut")
    assert outcome.returncode == 0, outcome.stderr
    assert {path.parent.name for path in trials.glob("*/trial.json")} == {"0", "1", "2"}
    assert all(path.stat().st_mtime_ns == then for path, then in done.items()), "a finished trial was run again"
    assert parity.summary("cut")["tasks"]["match"]["learns"] == {"sb3": "LEARNS"}


def test_ctrl_c_exits_with_130_and_says_how_to_go_on(parity: Any) -> None:
    task = parity.write("my_task.py", *LONG)
    process = parity.start("run", "--task", task, "--frameworks", "sb3", "--seeds", "1", "--name", "cut")
    _wait_for(parity.folder / "results/cut/trials/match/sb3/0/curve.parquet", process)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "--resume" in errors.splitlines()[-1]
    assert "Traceback" not in errors


def test_a_crashed_trial_makes_the_study_invalid_and_is_named_with_its_log(parity: Any) -> None:
    raising = (
        "        self.steps += 1\n",
        "        self.steps += 1\n        Match.all_steps = getattr(Match, 'all_steps', 0) + 1\n"
        "        if Match.all_steps > 1500:\n            raise RuntimeError('the simulator died')\n",
    )
    task = parity.write("my_task.py", raising)
    outcome = parity("run", "--task", task, "--frameworks", "sb3", "--seeds", "1", "--name", "crash")
    assert outcome.returncode == 1, outcome.stderr
    summary = parity.summary("crash")
    assert summary["verdict"] == "INVALID"
    (trial,) = summary["tasks"]["match"]["trials"]
    assert trial["status"] == "crashed"
    assert "the simulator died" in trial["reason"]
    assert "match" in summary["sentence"]
    log = (parity.folder / "results/crash/trials/match/sb3/0/log").read_text()
    assert "Traceback" in log
    assert "the simulator died" in log
    assert "Traceback" not in outcome.stderr
    assert "match/sb3/0 crashed: RuntimeError: the simulator died (my_task.py, line " in outcome.stderr
    assert ", in step); log: results/crash/trials/match/sb3/0/log" in outcome.stderr


def test_a_changed_task_is_not_resumed(parity: Any) -> None:
    task = parity.write("my_task.py")
    assert parity("run", "--task", task, "--frameworks", "sb3", "--seeds", "1", "--name", "once").returncode == 3
    parity.write("my_task.py", ("learning_rate=0.02", "learning_rate=0.01"))
    outcome = parity("run", "--resume", "once")
    assert outcome.returncode == 2
    assert "changed its ppo" in outcome.stderr


@pytest.mark.parametrize(
    ("status", "ended"), [("done", True), ("crashed", True), ("interrupted", False), (None, False)]
)
def test_a_trial_that_had_time_to_say_that_it_was_interrupted_is_unfinished(
    tmp_path: Path, status: Any, ended: bool
) -> None:
    """On Ctrl-C Tune sometimes kills a trial and sometimes lets it write how it ended."""
    spec = TrialSpec(TaskRef("t", "t", "task", False), "t", "sb3", 0, 1, "cpu", 1, str(tmp_path))
    if status is not None:
        files.TrialMeta(task="t", framework="sb3", seed=0, status=status, started="").write(tmp_path / "trial.json")
    assert runner.has_ended(spec) is ended


class KilledForMemory:
    def fit(self) -> None:
        error = OutOfMemoryError(
            "2 worker(s) were killed due to the node running low on memory.\nTop memory users: ..."
        )
        raise RuntimeError(f"Caught unexpected exception: {error}") from error


def test_a_ray_that_kills_trials_for_memory_is_started_again() -> None:
    with pytest.raises(RayDied, match=r"Ray ended trials: .*low on memory"):
        fit(KilledForMemory())  # type: ignore[arg-type]
