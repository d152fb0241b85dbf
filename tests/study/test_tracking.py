"""`parity run --track`: runs hold what trials stored, and nothing that a tracker does costs the study anything."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_studies import change_trial, write_study

from parity.errors import CannotStart
from parity.results import study as files
from parity.study import tracking as tracking_module
from parity.study.options import RunOptions
from parity.study.tracking import check_tracker, run_of, tracking, unsent
from parity.system.subprocesses import running_beside

SCORES = {"sb3": [0.9], "rllib": [0.8]}


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two trials, one of which crashed, in the folder where trackers put what they keep."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tracking_module, "PATIENCE_S", 600.0)  # a machine may be busy
    folder = write_study(tmp_path / "study", SCORES)
    change_trial(files.trial_folder(folder, "tiles", "rllib", 0), status="crashed", reason="out of memory")
    return folder


def stored(study: Path, framework: str) -> files.TrialRecord:
    return files.load_trial(study, "tiles", framework, 0)


def test_a_run_has_the_evaluations_the_phases_and_what_really_ran(study: Path) -> None:
    trial = stored(study, "rllib")
    run = run_of(study, trial)
    assert run.name == "tiles/rllib/0" and run.reason == "out of memory"
    assert run.config["adam_eps"] == 1e-8 and run.config["seed"] == 0  # RLlib's, not the one that was asked for
    assert list(run.rows) == sorted(run.rows)
    assert trial.curve is not None and trial.timing is not None
    for row in trial.curve.to_dict("records"):
        assert run.rows[row["steps"]]["evaluation/return_mean"] == row["return_mean"]
    last = trial.timing.to_dict("records")[-1]
    assert run.rows[last["steps"]]["time/update_s"] == last["update_s"]
    assert "time/returns_s" not in run.rows[last["steps"]], "RLlib has no such phase: NaN is no figure"


def test_an_interrupted_trial_waits_until_it_has_ended(study: Path) -> None:
    folder = files.trial_folder(study, "tiles", "rllib", 0)
    change_trial(folder, status="interrupted")
    assert [trial.framework for trial in unsent(study, "wandb")] == ["sb3"]
    change_trial(folder, status="done")
    assert [trial.framework for trial in unsent(study, "wandb")] == ["rllib", "sb3"]


def _hangs(over: Event) -> None:
    time.sleep(600)


def _dies(over: Event) -> None:
    raise SystemExit(7)


@pytest.mark.parametrize(
    ("work", "sentence"),
    [(_hangs, "--track x: not finished 0.5 s after the end, and ended"), (_dies, "--track x: the process ")],
)
def test_a_tracker_that_hangs_or_dies_is_a_sentence(
    capfd: pytest.CaptureFixture[str], work: Callable[..., None], sentence: str
) -> None:
    with running_beside(work, about="--track x", patience_s=0.5 if work is _hangs else 600):
        pass
    assert sentence in capfd.readouterr().err


def test_a_tracker_that_refuses_a_run_is_a_sentence_and_is_sent_the_rest_later(
    study: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from contextlib import contextmanager
    from threading import Event as Over

    sent = []

    @contextmanager
    def refusing() -> Iterator[Callable[[Any], None]]:
        def send(run: Any) -> None:
            if sent:
                raise ConnectionError("no key")
            sent.append(run.name)

        yield send

    over = Over()
    over.set()
    monkeypatch.setattr("os.nice", lambda _: 0)  # it would be this process
    monkeypatch.setitem(tracking_module.TRACKERS, "wandb", refusing)
    tracking_module._send_as_they_end(over, study, "wandb")  # type: ignore[arg-type]
    said = capfd.readouterr().err
    assert "--track wandb: ConnectionError: no key" in said and "`parity run --resume STUDY --track wandb`" in said
    assert [f"tiles/{trial.framework}/0" for trial in unsent(study, "wandb")] == sorted(
        {"tiles/rllib/0", "tiles/sb3/0"} - set(sent)
    )
    assert files.load_study(study).trials[0].damage is None


def test_a_library_that_is_missing_is_one_sentence_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wandb").mkdir()  # what W&B left here, from another environment
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    with pytest.raises(CannotStart, match=r"^--track wandb needs the package wandb, .*'parity\[wandb\]'\.$"):
        check_tracker("wandb")
    assert RunOptions().track is None


def history(file: Path) -> list[dict[str, str]]:
    """What a W&B offline run has logged: records of a LevelDB log behind a header of seven bytes, each a protobuf message."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, whole, rows = file.read_bytes(), 7, b"", []
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:  # too short for a header: the next block
            at += 32768 - at % 32768
            continue
        length, kind = struct.unpack_from("<HB", data, at + 4)
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record = Record.FromString(whole)
            whole = b""
            if record.WhichOneof("record_type") == "history":
                items = record.history.item
                rows.append({item.key or "/".join(item.nested_key): item.value_json for item in items})
    return rows


@pytest.mark.slow
def test_wandb_holds_the_curves_offline(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed: pip install 'parity[wandb]'")
    monkeypatch.setenv("WANDB_MODE", "offline")
    with tracking(study, "wandb"):
        pass
    for framework in SCORES:
        run = run_of(study, stored(study, framework))
        (file,) = tmp_path.glob(f"wandb/offline-run-*/run-{run.id}.wandb")
        logged = {int(row["_step"]): row for row in history(file)}
        assert logged.keys() == run.rows.keys()
        for steps, metrics in run.rows.items():
            assert {name: float(logged[steps][name]) for name in metrics} == metrics
    assert not list(unsent(study, "wandb"))
    with tracking(study, "wandb"):
        pass
    assert len(list(tmp_path.glob("wandb/offline-run-*"))) == len(SCORES), "nothing is sent twice"


@pytest.mark.slow
def test_mlflow_holds_the_curves_in_its_local_store(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed: pip install 'parity[mlflow]'")
    store = f"sqlite:///{study.parent}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    with tracking(study, "mlflow"):
        pass
    client = mlflow.MlflowClient(store)
    (experiment,) = [each for each in client.search_experiments() if each.name == "parity"]
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert {name: run.info.status for name, run in runs.items()} == {
        "tiles/sb3/0": "FINISHED",
        "tiles/rllib/0": "FAILED",
    }
    for framework in SCORES:
        run, trial = runs[f"tiles/{framework}/0"], stored(study, framework)
        assert run.data.params["learning_rate"] == "0.001"
        points = client.get_metric_history(run.info.run_id, "evaluation/return_mean")
        assert trial.curve is not None
        assert [point.step for point in points] == trial.curve["steps"].tolist()
        np.testing.assert_array_equal([point.value for point in points], trial.curve["return_mean"])
