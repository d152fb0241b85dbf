"""Kills running studies at random moments, in turn their drivers, their parts and all at once, and resumes them.

Each is ended twice by what ends it, and resumed; the third time a part of it dies, which it has to survive by itself. Every
study has to reach the verdict, the curves and the parameters of one that nobody disturbed, with no trial lost or done
twice, and leave no process, no temporary file and nothing in shared memory behind.

    python benchmarks/kill_campaign.py --studies 0 1 2 3 --out results/kills
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import dataclasses
import json
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil

from parity.results import study as files
from parity.results.ladder import LADDER_FILE
from parity.system.scratch import MARK

TASK = Path(__file__).parents[1] / "tests/match_task.py"
SMALLER = {"steps=2048": "steps=1280", "eval_every=1024": "eval_every=512", "eval_episodes=20": "eval_episodes=5"}
ASKED = ("--task", "task.py", "--seeds", "2", "--frameworks", "sb3", "rllib")
# What is killed: the signal, and which processes of the study get it. None for the driver, which is found without a name.
KINDS: dict[str, tuple[signal.Signals, str | None]] = {
    "Ctrl-C": (signal.SIGINT, None),
    "SIGTERM": (signal.SIGTERM, None),
    "driver": (signal.SIGKILL, None),
    "everything": (signal.SIGKILL, ""),
    "raylet": (signal.SIGKILL, "raylet"),
    "GCS": (signal.SIGKILL, "gcs_server"),
    "trial": (signal.SIGKILL, "ray::ResourceTrainable.train"),  # Tune's name for any
}
FATAL = ("Ctrl-C", "SIGTERM", "driver", "everything")
# The driver goes on by itself where one of these dies.
SURVIVED = ("raylet", "GCS", "trial")
KILLS = 3  # of each study
LONGEST_S = 1800.0


@dataclasses.dataclass
class Kill:
    """One kill, and what came of it."""

    study: int
    kind: str
    after: str  # the last line that the study had said
    delay_s: float
    ended: int | None = None  # how the study ended
    came_late: bool = False  # the study ended by itself before: no kill, and none that is counted
    wrong: list[str] = dataclasses.field(default_factory=list)


class Study:
    """`parity run`, running in ``folder``; ``lines`` are what it has said."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.lines: list[str] = []
        home, temporary = folder / "home", folder / "t"
        home.mkdir(exist_ok=True)
        temporary.mkdir(exist_ok=True)
        self.temporary = temporary
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from parity.cli import main; main()", "run", *arguments],
            cwd=folder,
            env=os.environ | {"HOME": str(home), "TMPDIR": str(temporary)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # A shell's background job ignores SIGINT and hands that down.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        atexit.register(self.process.kill)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip())

    def parts(self) -> list[psutil.Process]:
        """The processes of the study but its driver, wherever they are in the tree."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                marked = process.environ().get(MARK, "").startswith(str(self.temporary))
                if marked and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def waits_for(self, holds: Callable[[], Any], seconds: float = LONGEST_S) -> bool:
        """Whether something came true before the study ended."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            if holds():
                return True
            time.sleep(0.02)
        return False

    def end(self) -> int | None:
        """Its exit code; None where it hangs."""
        try:
            code = self.process.wait(LONGEST_S)
        except subprocess.TimeoutExpired:
            for process in [*self.parts(), psutil.Process(self.process.pid)]:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            return None
        self._reader.join(30)
        return code

    def left_behind(self, but: set[str]) -> list[str]:
        """What is still there a while after its end; ``but``: what was in shared memory before."""

        def left() -> list[str]:
            shared = {path.name for path in Path("/dev/shm").iterdir()} - but - _mapped()
            home = [str(path) for path in (self.temporary.parent / "home").rglob("*") if not _is_cache(path)]
            processes = [f"process {' '.join(process.cmdline())[:60]}" for process in self.parts()]
            return [*processes, *map(str, self.temporary.iterdir()), *home, *(f"/dev/shm/{name}" for name in shared)]

        end = time.monotonic() + 60
        while (found := left()) and time.monotonic() < end:
            time.sleep(0.2)
        return found


def _is_cache(path: Path) -> bool:
    """Matplotlib's fonts, and the key of parity's snapshots: meant to stay."""
    return path.is_dir() or "matplotlib" in path.parts or path.parts[-2:] == ("parity", "key")


def _mapped() -> set[str]:
    """Names in shared memory that some process of this machine uses, so another program's."""
    names = set()
    for process in psutil.process_iter():
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{process.pid}/maps").read_text("utf-8", "replace").splitlines()
            names |= {line.rpartition("/dev/shm/")[2] for line in lines if "/dev/shm/" in line}
    return names


def killed(study: Study, kill: Kill, rng: random.Random) -> bool:
    """Kills at the moment that ``kill`` names; False where the study ended before."""
    if not study.waits_for(lambda: any(kill.after in line for line in study.lines)):
        return False
    time.sleep(kill.delay_s)
    which, name = KINDS[kill.kind]
    if name is None:
        if study.process.poll() is not None:
            return False
        # A terminal's Ctrl-C reaches the foreground's whole group.
        (os.killpg if which == signal.SIGINT else os.kill)(study.process.pid, which)
        return True

    def targets() -> list[psutil.Process]:
        parts = study.parts()
        return parts if not name else [each for each in parts if _name(each).startswith(name)]

    if not study.waits_for(targets):
        return False
    found = [*targets(), psutil.Process(study.process.pid)] if not name else [rng.choice(targets())]
    # All at once: nobody is left to clean up after another. The janitor has no mark, and is the driver's child.
    if not name:
        found += psutil.Process(study.process.pid).children(recursive=True)
    for process in found:
        with contextlib.suppress(psutil.Error):
            process.suspend()
    for process in found:
        with contextlib.suppress(psutil.Error):
            process.send_signal(which)
    return True


def _name(process: psutil.Process) -> str:
    try:
        return process.cmdline()[0].rpartition("/")[2] if process.cmdline() else process.name()
    except psutil.Error:
        return ""


def outcome(folder: Path) -> dict[str, Any]:
    """What has to be the same in every study: verdict, and of each trial its curve, masks and parameters."""
    study = files.load_study(folder)
    summary = json.loads((folder / files.SUMMARY_FILE).read_text())
    found: dict[str, Any] = {"verdict": summary["verdict"], "sentence": summary["sentence"]}
    for trial in study.trials:
        name = f"{trial.framework}/{trial.seed}"
        assert trial.meta is not None, f"{name} is missing"
        found[name] = [trial.meta.status, trial.damage, trial.meta.steps, trial.masks]
        if trial.meta.status == "done":
            assert trial.curve is not None and trial.timing is not None
            found[name] += [_numbers(trial.curve), trial.timing["steps"].tolist(), *_parameters(trial.folder)]
    return found


def _numbers(curve: pd.DataFrame) -> list[Any]:
    return [np.asarray(value).tolist() for name, column in curve.items() for value in column if name[-2:] != "_s"]


def _parameters(trial: Path) -> Iterator[Any]:
    """Of a checkpoint, by the tensors' bytes."""
    import torch

    model = trial / files.CHECKPOINT / "model.zip"
    if model.is_file():
        with zipfile.ZipFile(model) as archive:
            for name in ("policy.pth", "policy.optimizer.pth"):
                yield _bytes(torch.load(BytesIO(archive.read(name))))
    else:
        for path in sorted((trial / files.CHECKPOINT / "learner_group").rglob("*state.pkl")):
            yield _bytes(pickle.loads(path.read_bytes()))


def _bytes(state: Any) -> Any:
    import torch

    if isinstance(state, dict):
        return [[str(name), _bytes(value)] for name, value in state.items()]
    if isinstance(state, list | tuple):
        return [_bytes(value) for value in state]
    if isinstance(state, torch.Tensor | np.ndarray):
        return np.asarray(state).tobytes().hex()
    return repr(state) if isinstance(state, int | float | str | None) else type(state).__name__


def done_trials(folder: Path) -> dict[str, int]:
    """When each trial that is done said so."""
    found = {}
    for path in folder.glob(f"{files.TRIALS}/*/*/*/{files.TRIAL_FILE}"):
        if json.loads(path.read_text())["status"] == "done":
            found[str(path)] = path.stat().st_mtime_ns
    return found


def begin(work: Path, number: int, rng: random.Random) -> list[str]:
    """Lays out what a study begins with, and returns the arguments that start it.

    Every third is new; the others go on where one had come to when it had compared numbers and finished some trials.
    """
    if number % 3 == 0:
        return [*ASKED, "--name", f"s{number}"]
    folder = work / "results" / f"s{number}"
    shutil.copytree(work / "results/base", folder)
    trials = sorted(folder.glob(f"{files.TRIALS}/*/*/*"))
    for trial in rng.sample(trials, rng.randint(1, 2)):
        shutil.rmtree(trial)
    (folder / files.SUMMARY_FILE).unlink()
    return ["--resume", f"s{number}"]


def moment(kind: str, is_compared: bool, rng: random.Random) -> tuple[str, float]:
    """After which kind of line, and how long after it; such that what is killed is there then, or comes."""
    said = ["Looking", "Study", "started", " 512 of", *([] if kind == "trial" else [" 1024 of"])]
    after = rng.choice(said if is_compared else ["Comparing", *said])
    return after, round(rng.uniform(0, 4), 2)


def campaign(numbers: list[int], seed: int, work: Path, out: Path, base: Path | None) -> list[Kill]:
    text = TASK.read_text("utf-8")
    for asked, smaller in SMALLER.items():
        text = text.replace(asked, smaller)
    (work / "task.py").write_text(text)
    if base is None:
        Study(work, *ASKED, "--name", "base").end()
    else:
        shutil.copytree(base, work / "results/base")
    code = json.loads((work / "results/base" / files.SUMMARY_FILE).read_text())["exit_code"]
    expected = outcome(work / "results/base")
    out.mkdir(parents=True, exist_ok=True)
    stored = out / "kills.json"
    known = [Kill(**each) for each in json.loads(stored.read_text("utf-8"))] if stored.is_file() else []
    known = [kill for kill in known if kill.study not in numbers]
    done: list[Kill] = []
    for number in numbers:
        rng = random.Random(f"{seed} {number}")
        kinds = [FATAL[number % len(FATAL)], rng.choice(FATAL), SURVIVED[number % len(SURVIVED)]]
        for kill in one(number, kinds, work, expected, code, rng):
            done.append(kill)
            print(row(kill), flush=True)
            both = sorted(known + done, key=lambda each: each.study)
            stored.write_text(json.dumps([dataclasses.asdict(each) for each in both], indent=1) + "\n", "utf-8")
            (out / "kills.md").write_text(page(both, expected["verdict"]), "utf-8")
    return done


def row(kill: Kill) -> str:
    wrong = "; ".join(kill.wrong) or ("it had ended before: no kill" if kill.came_late else "nothing")
    return f"| {kill.study} | {kill.kind} | {kill.after.strip()} | {kill.delay_s} | {kill.ended} | {wrong} |"


def page(kills: list[Kill], verdict: str) -> str:
    """Of a study that was not resumed to its end nobody knows what it would have come to."""
    counted = [kill for kill in kills if not kill.came_late]
    whole = [kill for kill in counted if sum(each.study == kill.study for each in kills) == KILLS]
    right = sum(not kill.wrong for kill in whole)
    lines = [
        "# Kill campaign",
        "",
        f"{right} of {len(whole)} kills in studies that were finished: the same verdict ({verdict}), curves, masks and "
        f"parameters as undisturbed, and nothing left behind; {len(counted) - len(whole)} more in studies that were not "
        "finished. Written by `python benchmarks/kill_campaign.py`.",
        "",
        "| study | killed | after | + s | ended with | wrong |",
        "|-|-|-|-|-|-|",
        *map(row, kills),
        "",
    ]
    return "\n".join(lines)


def one(
    number: int,
    kinds: list[str],
    work: Path,
    expected: dict[str, Any],
    code: int | None,
    rng: random.Random,
) -> Iterator[Kill]:
    arguments = begin(work, number, rng)
    folder = work / "results" / f"s{number}"
    shared = {path.name for path in Path("/dev/shm").iterdir()}
    said: list[str] = []
    all_right = True
    for kind in kinds:
        is_begun, is_compared = (folder / files.STUDY_FILE).is_file(), (folder / LADDER_FILE).is_file()
        before = done_trials(folder)
        kill = Kill(number, kind, *moment(kind, is_compared, rng))
        study = Study(work, *(["--resume", folder.name] if is_begun else arguments))
        was_killed = killed(study, kill, rng)
        kill.ended = study.end()
        said += [f"--- {kind}", *study.lines]
        kill.came_late = not was_killed
        _judge_end(kill, study, code)
        after = done_trials(folder)
        kill.wrong += [f"done twice: {path}" for path in before if before[path] != after.get(path)]
        if kind != "everything":  # then it is for the next one to clean up
            kill.wrong += [f"left: {each}" for each in study.left_behind(shared)]
        if kind == kinds[-1]:
            try:
                reached = outcome(folder)
                kill.wrong += [f"{name} differs" for name in expected if reached.get(name) != expected[name]]
            except Exception as error:
                kill.wrong.append(f"{type(error).__name__}: {error}")
        all_right = all_right and not kill.wrong
        if not all_right:
            print(*said, sep="\n")
        yield kill
    if all_right:
        shutil.rmtree(folder)


def _judge_end(kill: Kill, study: Study, code: int | None) -> None:
    ends = {signal.SIGKILL: -9, signal.SIGINT: 130, signal.SIGTERM: 130}
    expected = code if kill.kind in SURVIVED or kill.came_late else ends[KINDS[kill.kind][0]]
    if kill.ended != expected:
        kill.wrong.append("it hung" if kill.ended is None else f"ended with {kill.ended}, not {expected}")
    if bad := [line for line in study.lines if "Traceback" in line or "***" in line or "SIGSEGV" in line]:
        kill.wrong.append(f"said: {bad[0]}")
    last = study.lines[-1] if study.lines else ""
    if kill.ended == 130 and "interrupted" not in last:
        kill.wrong.append(f"said last: {last}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--studies", type=int, nargs="+", default=list(range(10)), help="numbers; others are kept as they are"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--base", type=Path, help="the undisturbed study of an earlier campaign, to save it")
    parser.add_argument("--out", type=Path, default=Path("results/kills"))
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the study ends too then
    with tempfile.TemporaryDirectory(prefix="k") as work:
        begun = time.monotonic()
        kills = campaign(options.studies, options.seed, Path(work), options.out, options.base)
        print(f"{time.monotonic() - begun:.0f} s")
        wrong = [kill for kill in kills if kill.wrong]
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
