"""`parity run --sequential`: seeds are added in looks until the study is decided, and never judged between looks."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from report_studies import write_ladder

from parity.cli import call
from parity.results import study as files
from parity.study.options import RunOptions
from parity.study.trial import TrialSpec

NOISY = {"sb3": [0.70, 1.05, 0.95], "rllib": [1.00, 0.75, 1.08]}
SAME = {"sb3": [0.97, 0.95, 0.98], "rllib": [0.96, 0.98, 0.97]}


@pytest.mark.slow
def test_a_port_that_learns_as_well_stops_at_the_first_look(parity: Any) -> None:
    task = parity.write("my_task.py")
    outcome = parity("run", "--task", task, "--sequential", "--require", "equivalent", "--name", "early")
    assert outcome.returncode == 0, outcome.stderr
    summary = parity.summary("early")
    assert summary["seeds"] == [0, 1, 2]
    look = summary["sequential"]
    assert (look["look"], look["decided"], look["seeds_saved"], look["trials_saved"]) == (1, True, 7, 14)
    walls = [
        json.loads(path.read_text())["wall_s"] for path in parity.folder.glob("results/early/trials/*/*/*/trial.json")
    ]
    assert look["seconds_saved"] == pytest.approx(7 * sum(walls) / 3)
    assert "decided at interim analysis 1 of 4, at 3 seeds of at most 10, which saved 14 trials" in outcome.stderr
    assert summary["tasks"]["match"]["metrics"]["final"]["confidence"] == pytest.approx(0.9636)
    request = json.loads((parity.folder / "results/early/study.json").read_text())["request"]
    assert (request["seeds"], request["looks"]) == ([0, 1, 2], [3, 5, 8, 10])


class Trained:
    """In place of trials: writes what each would have left. ``runs`` are the labels of every call, in order."""

    def __init__(self, scores: dict[str, Sequence[float]]) -> None:
        self.scores, self.runs = scores, list[list[str]]()
        self.dies_in_run: int | None = None

    def __call__(self, study: files.StudyRecord, specs: list[TrialSpec], on_cluster: bool = False) -> None:
        self.runs.append([spec.label for spec in specs])
        for spec in specs:
            if self.dies_in_run == len(self.runs) and spec is specs[-1]:
                raise KeyboardInterrupt
            scores = self.scores[spec.framework]
            self._write(study, spec, scores[spec.seed % len(scores)])

    def _write(self, study: files.StudyRecord, spec: TrialSpec, score: float) -> None:
        folder, task = Path(spec.folder), study.file.tasks[spec.task]
        folder.mkdir(parents=True, exist_ok=True)
        assert task.reference.best is not None
        zero, span = task.reference.uniform_legal, task.reference.best - task.reference.uniform_legal
        noise = np.random.default_rng(spec.seed).normal(0, 0.1, 20)
        rows = [
            (at, list(zero + share * score * span + noise - noise.mean()))
            for at, share in ((0, 0.0), (spec.steps // 2, 0.5), (spec.steps, 1.0))
        ]
        means = {"return_mean": [float(np.mean(each)) for _, each in rows], "returns": [each for _, each in rows]}
        columns = {"steps": [at for at, _ in rows], **means, **{f"sampled_{name}": of for name, of in means.items()}}
        spread = {"return_std": 0.1, "sampled_return_std": 0.1, "length_mean": 16.0}
        spread |= {"wall_s": time.perf_counter(), "train_s": 1.0}
        pd.DataFrame(columns).assign(**spread).to_parquet(folder / files.CURVE_FILE)
        counts = {"decisions": 100, "violations": 0, "empty": 0}
        (folder / files.MASKS_FILE).write_text(json.dumps({"sampling": counts, "evaluation": counts}))
        files.TrialMeta(
            task=spec.task, framework=spec.framework, seed=spec.seed, status="done", started=files.now(), wall_s=30.0
        ).write(folder / files.TRIAL_FILE)


@pytest.fixture
def trained(parity: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Trained]:
    """``parity run`` in this process, with trials that write given scores without a ladder or a report."""
    monkeypatch.chdir(parity.folder)
    for runner in ("study.preflight", "system.ray_process"):
        apart = f"parity.{runner}.run_in_subprocess"
        monkeypatch.setattr(apart, lambda work, *arguments, **_: work(*arguments))
    monkeypatch.setattr("parity.study.runner.opened_ray", lambda *arguments: contextlib.nullcontext(""))
    monkeypatch.setattr(
        "parity.study.ladder.run_ladder", lambda folder, refs, names, *_: write_ladder(folder, list(refs), names[1:])
    )
    monkeypatch.setattr("parity.cli.conclude.write_report", lambda *arguments: None)
    parity.write("my_task.py")

    def instead(scores: dict[str, Sequence[float]]) -> Trained:
        fake = Trained(scores)
        monkeypatch.setattr("parity.study.runner.run_trials", fake)
        return fake

    return instead


RUN = ["run", "--task", "my_task.py", "--name", "s"]


def summary() -> dict[str, Any]:
    return json.loads(Path("results/s/summary.json").read_text())


def test_an_open_look_adds_the_seeds_of_the_next_and_trains_only_those(trained: Callable[..., Trained]) -> None:
    fake = trained(NOISY)
    assert call([*RUN, "--sequential", "--seed-start", "20"]) == 0
    seeds = [sorted({int(label.rpartition("/")[2]) for label in run}) for run in fake.runs]
    assert seeds == [[20, 21, 22], [23, 24], [25, 26, 27], [28, 29]]
    assert summary()["seeds"] == list(range(20, 30))
    assert summary()["sequential"]["look"] == 4 and not summary()["sequential"]["decided"]
    assert (
        "interim analysis 4 of 4, at 10 seeds, leaves it open: 10 seeds are all that was planned"
        in summary()["sentence"]
    )


def test_the_other_plan_looks_at_five_and_ten(trained: Callable[..., Trained]) -> None:
    fake = trained(NOISY)
    call([*RUN, "--looks", "5", "10", "--seeds", "10"])
    assert [len(run) for run in fake.runs] == [10, 10]


def test_an_interrupted_look_is_finished_by_resume_at_its_own_alpha(
    trained: Callable[..., Trained], capsys: Any
) -> None:
    fake = trained(NOISY)
    fake.dies_in_run = 2
    assert call([*RUN, "--sequential"]) == 130
    # Five seeds were asked for and one trial of theirs is missing: no verdict, at whatever alpha.
    assert call(["report", "s"]) == 1
    assert (summary()["verdict"], summary()["sequential"]["look"]) == ("INVALID", 2)
    fake.scores, fake.dies_in_run = SAME | {}, None
    fake.runs.clear()
    assert call(["run", "--resume", "s"]) == 0
    assert [len(run) for run in fake.runs[:2]] == [1, 6]
    assert summary()["sequential"]["look"] >= 3
    before = summary()
    fake.runs.clear()
    assert call(["run", "--resume", "s"]) == 0
    assert fake.runs == [] and summary() == before, "a decided study was trained on"


def test_a_study_that_was_stopped_between_two_looks_goes_on_with_the_next(
    trained: Callable[..., Trained], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = trained(NOISY)
    with monkeypatch.context() as patch:
        patch.setattr("parity.study.interim.add_seeds", lambda folder: False)
        call([*RUN, "--sequential"])
    assert (summary()["verdict"], [len(run) for run in fake.runs]) == ("INCONCLUSIVE", [6])
    call(["run", "--resume", "s"])
    assert [len(run) for run in fake.runs] == [6, 4, 6, 4]


def test_report_judges_a_sequential_study_as_its_run_did(trained: Callable[..., Trained]) -> None:
    trained(SAME)
    assert call([*RUN, "--sequential"]) == 0
    before = summary()
    Path("results/s/summary.json").unlink()
    assert call(["report", "s"]) == 0
    assert summary() == before and before["sequential"]["decided"]


def test_several_tasks_are_looked_at_together(trained: Callable[..., Trained], parity: Any) -> None:
    fake = trained(SAME)
    parity.write("other.py", ('id="match"', 'id="other"'))
    assert call(["run", "--task", "my_task.py", "other.py", "--name", "s", "--sequential"]) == 0
    assert [len(run) for run in fake.runs] == [12]
    assert summary()["sequential"]["trials_saved"] == 28


def test_looks_in_parity_toml_are_those_of_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("parity.toml").write_text('suite = "quick"\nsequential = true\n')
    options = RunOptions().resolved()
    assert (options.looks, options.seeds) == ([3, 5, 8, 10], 10)
    assert RunOptions(looks=[5, 10]).resolved().looks == [5, 10]
    # Whoever asks for looks on the command line need not know how many seeds the file asks for.
    Path("parity.toml").write_text('task = "tiles"\nseeds = 3\n')
    assert RunOptions(sequential=True).resolved().seeds == 10
    assert RunOptions().resolved().seeds == 3
    Path("parity.toml").write_text('suite = "quick"\nsequential = true\n')
    plain = RunOptions(sequential=False).resolved()
    assert (plain.looks, plain.seeds) == (None, 3)
