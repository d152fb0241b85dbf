"""A study is what it says: what is damaged, copied or missing makes it INVALID and is named, and leads out of no folder."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from report_studies import change_curve, change_trial, write_study

from parity.errors import CannotStart
from parity.results import study as files
from parity.results.ladder import LADDER_FILE
from parity.results.waivers import load_waivers
from parity.results.watch import read_events
from parity.results.writing import write_text
from parity.study.options import RunOptions
from parity.verdict.judge import judge_stored

SAME = {"sb3": [0.97, 0.95, 0.98], "rllib": [0.96, 0.98, 0.97]}
TRIAL = Path("trials/tiles/rllib/1")
Damage = Callable[[Path], object]


def edit_json(path: Path, change: Callable[[dict], object]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def sign(folder: Path) -> None:
    """As the trial's own end does."""
    change_trial(folder, digests=files.digests(folder))


def replace_by_sb3(study: Path) -> None:
    shutil.rmtree(study / TRIAL)
    shutil.copytree(study / "trials/tiles/sb3/1", study / TRIAL)


def edit_after_the_end(study: Path) -> None:
    sign(study / TRIAL)
    change_curve(study / TRIAL, lambda curve: curve.assign(return_mean=curve["return_mean"] + 0.1))


def copy_of_sb3_as_its_own(study: Path) -> None:
    replace_by_sb3(study)
    change_trial(study / TRIAL, framework="rllib")


def no_digests(study: Path) -> None:
    for trial in study.glob("trials/*/*/*"):
        sign(trial)
    change_trial(study / TRIAL, digests={})


def in_table(name: str, **columns: object) -> Damage:
    def change(study: Path) -> None:
        table = pd.read_parquet(study / TRIAL / name)
        table.assign(**columns).to_parquet(study / TRIAL / name)

    return change


def delete_after_the_end(study: Path) -> None:
    sign(study / TRIAL)
    (study / TRIAL / "timing.parquet").unlink()


def in_ladder(change: Callable[[dict], object]) -> Damage:
    return lambda study: edit_json(study / LADDER_FILE, change)


def exchange_ladder(study: Path) -> None:
    """By one that holds as much."""
    text = (study / LADDER_FILE).read_text()
    files.write_ladder(study, text)
    assert judge_stored(files.load_study(study)).verdict == "EQUIVALENT"
    (study / LADDER_FILE).write_text(text.replace('"pass"', '"explained"', 1))


DAMAGES: dict[str, tuple[Damage, str]] = {
    "no ladder": (lambda study: (study / LADDER_FILE).unlink(), "ladder.json does not have it"),
    "an empty ladder": (lambda study: (study / LADDER_FILE).write_text("{}"), "ladder.json does not have it"),
    "a rung is missing": (in_ladder(lambda tasks: tasks["tiles"]["ladder"]["rllib"].pop("step")), "(step)"),
    "the ladder of another study": (exchange_ladder, "ladder.json is not what the study wrote"),
    "a trial of sb3 in its place": (replace_by_sb3, "it is of tiles/sb3/1"),
    "a trial of sb3 that says that it is its own": (
        copy_of_sb3_as_its_own,
        "it is that of tiles/sb3/1, so it was copied",
    ),
    "one without digests": (no_digests, "trial.json: it has no digests, as those of the other trials have"),
    "a trial that nobody asked for": (
        lambda study: shutil.copytree(study / TRIAL, study / "trials/tiles/rllib/7"),
        "trials/tiles/rllib/7 is there and was not asked for",
    ),
    "a clock that goes back": (
        in_table("curve.parquet", wall_s=lambda t: t["wall_s"].to_numpy()[::-1]),
        "curve.parquet, wall_s: its values do not stay or rise",
    ),
    "an endless time": (
        in_table("timing.parquet", update_s=float("inf")),
        "timing.parquet, update_s: not all are finite",
    ),
    "a time below zero": (in_table("timing.parquet", sample_s=-1.0), "timing.parquet, sample_s: -1 is below 0"),
    "iterations that repeat": (
        in_table("timing.parquet", iteration=1),
        "timing.parquet, iteration: its values do not rise",
    ),
    "too few episodes": (
        in_table("curve.parquet", returns=lambda t: t["returns"].map(lambda each: each[:-1])),
        "curve.parquet, returns: 99 episodes, study.json says 100",
    ),
    "a mean of other episodes": (
        in_table("curve.parquet", return_mean=lambda t: t["return_mean"] + 0.1),
        "curve.parquet, return_mean: it is not the mean of returns",
    ),
    "changed after its end": (edit_after_the_end, "curve.parquet: it is not what the trial wrote"),
    "deleted after its end": (delete_after_the_end, "timing.parquet: it is not what the trial wrote"),
    "an empty trial.json": (lambda study: (study / TRIAL / "trial.json").write_text(""), "trial.json: it is no JSON"),
    "no Parquet": (lambda study: (study / TRIAL / "curve.parquet").write_text("x"), "curve.parquet: "),
    "a column of words": (
        lambda study: change_curve(study / TRIAL, lambda curve: curve.assign(return_mean="high")),
        "curve.parquet, return_mean: not numbers",
    ),
    "episodes that are no lists": (
        lambda study: change_curve(study / TRIAL, lambda curve: curve.assign(returns=1.0)),
        "curve.parquet, returns: not lists of numbers",
    ),
    "a column is missing": (
        lambda study: pd.DataFrame({"steps": [1]}).to_parquet(study / TRIAL / "timing.parquet"),
        "timing.parquet: there is no column iteration",
    ),
    "masks of one phase": (
        lambda study: edit_json(study / TRIAL / "masks.json", lambda masks: masks.pop("sampling")),
        "masks.json: ",
    ),
    "masks that are words": (
        lambda study: edit_json(study / TRIAL / "masks.json", lambda masks: masks["sampling"].update(decisions="many")),
        "masks.json: sampling.decisions",
    ),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_makes_a_study_invalid_and_is_named(kind: str, tmp_path: Path) -> None:
    study = write_study(tmp_path / "s", SAME)
    damage, words = DAMAGES[kind]
    damage(study)
    summary = judge_stored(files.load_study(study))
    assert (summary.verdict, summary.exit_code) == ("INVALID", 1)
    assert any(words in reason for reason in summary.tasks["tiles"].reasons), summary.tasks["tiles"].reasons


REQUESTS = {
    "a seed that stands twice": ({"seeds": [0, 0, 1]}, "request.seeds: a number stands twice"),
    "no seeds": ({"seeds": []}, "request.seeds: "),
    "a task that is not described": ({"tasks": ["taxi"]}, "tasks: request.tasks has taxi, which is not described"),
    "too many": ({"seeds": list(range(10_001))}, "request: 20002 trials, more than the 20000 that a study may have"),
}


@pytest.mark.parametrize("kind", REQUESTS)
def test_a_request_that_cannot_be_is_one_sentence(kind: str, tmp_path: Path) -> None:
    study = write_study(tmp_path / "s", SAME)
    changes, words = REQUESTS[kind]
    edit_json(study / "study.json", lambda file: file["request"].update(changes))
    with pytest.raises(CannotStart) as refused:
        files.load_study(study)
    assert words in str(refused.value)


def test_a_study_of_a_later_version_says_why_it_is_not_opened(tmp_path: Path) -> None:
    study = write_study(tmp_path / "s", SAME)
    edit_json(study / "study.json", lambda file: file.update(schema_version=2))
    with pytest.raises(
        CannotStart, match=r"study.json cannot be read: schema_version: this parity reads 1, and not 2; "
    ):
        files.load_study(study)


STORED = Path(__file__).parents[2] / "results"


@pytest.mark.parametrize("study", sorted(path.parent.name for path in STORED.glob("*/study.json")))
def test_a_study_of_an_earlier_version_is_judged_as_it_was(study: str) -> None:
    """They have neither digests nor all fields that are written today."""
    stored = json.loads((STORED / study / "summary.json").read_text())
    record = files.load_study(STORED / study)
    assert [trial.damage for trial in record.trials if trial.damage] == record.foreign == []
    assert judge_stored(record).verdict == stored["verdict"]


def test_a_study_whose_trials_are_signed_is_judged(tmp_path: Path) -> None:
    study = write_study(tmp_path / "s", SAME)
    for trial in study.glob("trials/*/*/*"):
        sign(trial)
    assert judge_stored(files.load_study(study)).verdict != "INVALID"


@pytest.mark.parametrize("field", ["tasks", "frameworks"])
def test_no_name_in_a_study_leads_out_of_its_folder(field: str, tmp_path: Path) -> None:
    study = write_study(tmp_path / "s", SAME)
    edit_json(study / "study.json", lambda file: file["request"].update({field: ["../../../outside"]}))
    with pytest.raises(CannotStart, match=rf"study.json cannot be read: request.{field}.0"):
        files.load_study(study)


def test_nobody_waits_for_a_pipe_in_the_place_of_a_document(tmp_path: Path) -> None:
    study = write_study(tmp_path / "s", SAME)
    (study / "study.json").unlink()
    os.mkfifo(study / "study.json")
    assert files.list_studies(tmp_path) == [study]
    with pytest.raises(CannotStart, match="is not a study"):
        files.load_study(study)


def test_what_is_too_large_for_a_document_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("parity.toml", "waivers.toml", "watch.jsonl"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(2**33)
    for read in (
        lambda: load_waivers(Path("waivers.toml")),
        lambda: read_events(Path("watch.jsonl")),
        RunOptions().resolved,
    ):
        with pytest.raises(CannotStart, match="8589934592 bytes, more than a document"):
            read()


def test_a_file_that_cannot_be_written_whole_keeps_its_old_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "baseline.json"
    write_text(file, "old")

    def full(self: Path, text: str, **_: object) -> None:
        self.open("w").write(text[:1])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match=r"No space left on device.*baseline.json"):
        write_text(file, "new")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]
