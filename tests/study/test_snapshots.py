"""A trial that is interrupted goes on from its snapshot, and ends with the numbers of one that nobody interrupted."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from parity import frameworks
from parity.frameworks.snapshot import CannotBeKept, pack, unpack
from parity.results import study as files
from parity.study.limits import limited
from parity.study.snapshots import SNAPSHOT_FILE, own_key, read_snapshot, write_snapshot
from parity.study.trial import TrialSpec, run_trial
from parity.task.registry import resolve

SMALL = ("steps=2048", "steps=1024"), ("eval_every=1024", "eval_every=512"), ("eval_episodes=20", "eval_episodes=4")


@pytest.fixture
def spec(parity: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., TrialSpec]:
    monkeypatch.chdir(parity.folder)
    ref = resolve(parity.write("kept_task.py", *SMALL))

    def of(framework: str, name: str) -> TrialSpec:
        return TrialSpec(ref, "match", framework, 3, 1024, "cpu", 1, str(parity.folder / name), key=bytes(32))

    return of


def _stop_after(steps: int) -> Callable[[int, float], None]:
    def on_progress(done: int, _: float) -> None:
        if done >= steps:
            raise KeyboardInterrupt

    return on_progress


def _outcome(folder: Path) -> list[Any]:
    """All that a trial leaves but times."""
    meta = files.TrialMeta.model_validate_json((folder / files.TRIAL_FILE).read_text())
    curve = pd.read_parquet(folder / files.CURVE_FILE).drop(columns=["wall_s", "train_s"])
    timing = pd.read_parquet(folder / files.TIMING_FILE)[["iteration", "steps"]]
    masks = (folder / files.MASKS_FILE).read_text()
    return [meta.status, meta.steps, meta.initial_weights, masks, curve.to_json(), timing.to_json()]


@pytest.mark.usefixtures("ray_started")
@pytest.mark.parametrize("framework", ["sb3", "rllib", "rllib-exact", "rllib-old-stack"])
def test_a_resumed_trial_has_the_parameters_of_an_uninterrupted_one(
    spec: Callable[..., TrialSpec], framework: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[dict[str, torch.Tensor]] = []
    session_class = type(frameworks.get(framework)).open

    def open_and_watch(self: Any, *arguments: Any) -> Any:
        session = session_class(self, *arguments)
        monkeypatch.setattr(type(session), "save", lambda self, _: saved.append({**self.weights()}))
        return session

    monkeypatch.setattr(type(frameworks.get(framework)), "open", open_and_watch)
    whole, cut = spec(framework, "whole"), spec(framework, "cut")
    run_trial(whole, lambda *_: None)
    with pytest.raises(KeyboardInterrupt):
        run_trial(cut, _stop_after(768))  # an iteration after the snapshot
    folder = Path(cut.folder)
    assert (folder / SNAPSHOT_FILE).is_file()
    assert files.TrialMeta.model_validate_json((folder / files.TRIAL_FILE).read_text()).status == "interrupted"
    begun: list[int] = []
    run_trial(cut, lambda steps, _: begun.append(steps))
    assert begun == [512, 768, 1024], "it began anew"
    assert _outcome(folder) == _outcome(Path(whole.folder))
    clocks = pd.read_parquet(folder / files.CURVE_FILE)
    assert clocks["wall_s"].is_monotonic_increasing and clocks["train_s"].is_monotonic_increasing
    first, second = saved
    assert all(torch.equal(first[name], second[name]) for name in first) and first.keys() == second.keys()
    assert not (folder / SNAPSHOT_FILE).exists()


@pytest.mark.parametrize(("share", "kept_at"), [(1e9, [256, 512, 768]), (1e-9, [256])])
def test_a_trial_is_kept_more_seldom_where_that_takes_more_than_its_share(
    spec: Callable[..., TrialSpec], parity: Any, monkeypatch: pytest.MonkeyPatch, share: float, kept_at: list[int]
) -> None:
    parity.write("kept_task.py", SMALL[0], ("eval_every=1024", "eval_every=256"), SMALL[2])
    monkeypatch.setattr("parity.study.trial._SHARE_OF_KEEPING", share)
    steps = [0]
    kept: list[int] = []
    monkeypatch.setattr("parity.study.trial.write_snapshot", lambda *_: kept.append(steps[-1] + 256))
    run_trial(spec("sb3", "kept"), lambda done, _: steps.append(done))
    assert kept == kept_at


def test_a_session_that_cannot_be_kept_says_why_and_its_trial_begins_anew(
    spec: Callable[..., TrialSpec], parity: Any
) -> None:
    parity.write(
        "kept_task.py",
        *SMALL,
        ("        self.steps = 0\n", "        self.steps, self.stream = 0, (n for n in (1, 2))\n"),
    )
    trial = spec("sb3", "cut")
    with pytest.raises(KeyboardInterrupt):
        run_trial(trial, _stop_after(768))
    assert "cannot be kept (TypeError: cannot pickle 'generator' object" in (Path(trial.folder) / "log").read_text()
    assert read_snapshot(Path(trial.folder), trial.key) is None


def test_a_snapshot_that_was_signed_with_another_key_is_not_read(tmp_path: Path) -> None:
    write_snapshot(tmp_path, b"data", bytes(32))
    assert read_snapshot(tmp_path, bytes(32)) == b"data"
    assert read_snapshot(tmp_path, b"x" * 32) is None
    stored = (tmp_path / SNAPSHOT_FILE).read_bytes()
    (tmp_path / SNAPSHOT_FILE).write_bytes(stored[:-1] + b"!")
    assert read_snapshot(tmp_path, bytes(32)) is None


def test_the_key_is_ones_own_and_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    key = own_key()
    assert key is not None and key == own_key()
    assert (tmp_path / "parity/key").stat().st_mode & 0o077 == 0
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "parity/key"))
    assert own_key() is None


def test_memory_that_is_shared_stays_shared() -> None:
    whole, board = torch.zeros(6), np.zeros((2, 3))
    parts, row = [whole[:3], whole[3:]], board[1]
    whole, parts, board, row = unpack(pack((whole, parts, board, row), {}))
    whole += 1
    board += 1
    assert parts[1].tolist() == [1, 1, 1] and row.tolist() == [1, 1, 1]


def test_what_is_no_snapshot_is_refused_in_words() -> None:
    with pytest.raises(CannotBeKept, match="UnpicklingError"):
        unpack(b"no pickle")


@pytest.mark.parametrize(
    ("seconds", "memory", "said"), [(0.1, None, "longer than 0.1 s"), (600.0, 1.0, "MiB of memory")]
)
def test_a_limit_that_is_passed_ends_the_process_and_is_named(
    monkeypatch: pytest.MonkeyPatch, seconds: float, memory: float | None, said: str
) -> None:
    reasons: list[str] = []
    ended: list[int] = []
    monkeypatch.setattr("parity.study.limits.LOOK_EVERY_S", 0.01)
    monkeypatch.setattr("parity.study.limits.os._exit", ended.append)
    with limited(seconds, memory, reasons.append):
        end = time.monotonic() + 60
        while not ended and time.monotonic() < end:
            time.sleep(0.01)
    assert ended and said in reasons[0]
