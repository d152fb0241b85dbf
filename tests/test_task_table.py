"""``parity tasks``: every task, its masks, its reference scores and how long it takes, also where a package is missing."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("torch")

from parity.cli import call
from parity.task import task_table
from parity.task.registry import BUILT_IN

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tasks_measured", ROOT / "benchmarks" / "tasks_measured.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_task_is_listed_with_what_a_reader_chooses_by(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["tasks", "--json"]) == 0
    rows = {row["id"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(rows) == list(BUILT_IN)
    for row in rows.values():
        assert {"id", "steps", "margin", "reference"} <= set(row)
        assert row["reference"]["best"] > row["reference"]["uniform_legal"] or row["id"] == "probe-one-action"
        assert row["reference"]["source"]
        assert (row["mask"] is None) == (row["action_space"] is None) == (row["unavailable"] is not None)
    assert (rows["tiles"]["mask"], rows["tiles"]["action_space"]) == ("obs:action_mask", "Discrete(16)")
    assert (rows["taxi"]["mask"], rows["taxi"]["action_space"]) == ("info:action_mask", "Discrete(6)")


def test_people_see_ids_and_reference_scores(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["tasks"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (taxi,) = [line for line in lines if line.split()[:1] == ["taxi"]]
    assert {"info:action_mask", "Discrete(6)", "-186.18", "7.93"} <= set(taxi.split())


def test_a_task_without_its_package_is_listed_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "sb3_contrib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sb3_contrib", None)
    monkeypatch.setattr(task_table, "BUILT_IN", {name: BUILT_IN[name] for name in ("taxi", "invalid-discrete")})
    assert call(["tasks", "--json"]) == 0
    taxi, without = json.loads(capsys.readouterr().out)
    assert taxi["unavailable"] is None
    assert without["unavailable"].endswith("pip install 'parity[sb3]'.")
    assert without["steps"] > 0 and without["reference"]["best"] == 100.0 and without["mask"] is None


def test_times_are_those_of_the_committed_studies(script: ModuleType) -> None:
    stored = json.loads(script.OUT.read_text())["tasks"]
    assert stored and set(stored) <= set(BUILT_IN)
    for name, entry in stored.items():
        assert set(entry["seconds"]) == {"sb3", "rllib"} and min(entry["seconds"].values()) > 0
        assert "cores of" in entry["machine"]
        entry.pop("note", None)
        assert script.measure(ROOT / "results" / entry["study"])[name] == entry


def test_what_speaks_against_a_time_is_said_with_the_machine(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = {"taxi": {"seconds": {"sb3": 1.0, "rllib": 2.0}, "machine": "2 cores of A", "note": "shared with others"}}
    monkeypatch.setattr(task_table, "_stored", lambda: known)
    monkeypatch.setattr(task_table, "BUILT_IN", {"taxi": BUILT_IN["taxi"]})
    assert call(["tasks"]) == 0
    assert "2 cores of A, shared with others" in capsys.readouterr().out


def test_a_time_is_the_median_of_finished_trials_and_none_without_all_of_them(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    record: Any = script.load_study(ROOT / "results" / "tiles")
    walls = sorted(trial.meta.wall_s for trial in record.trials if trial.framework == "sb3")
    monkeypatch.setattr(script, "load_study", lambda _: record)
    assert script.measure(Path("tiles"))["tiles"]["seconds"]["sb3"] == round(walls[len(walls) // 2], 1)
    record.trials[0].meta.status = "crashed"
    assert script.measure(Path("tiles")) == {}


def test_a_duration_is_told_in_the_unit_that_fits() -> None:
    from parity.cli.tasks import _duration

    assert [_duration(s) for s in (None, {"sb3": 12.3, "rllib": 20.0}, {"sb3": 45.7, "rllib": 97.7})] == [
        "?", "32 s", "2.4 min",
    ]  # fmt: skip


def test_the_study_of_all_tasks_leaves_out_none_but_those_it_says() -> None:
    text = (ROOT / "benchmarks" / "tasks_study.sh").read_text()
    studied = set(text[text.index("tasks=(") + 7 : text.index(")\n#")].split())
    assert studied <= set(BUILT_IN)
    assert {name for name in set(BUILT_IN) - studied if not name.startswith("probe-")} == {"tiles-100"}
