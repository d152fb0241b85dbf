"""A study is what it says: what is damaged, copied or missing makes it INVALID and is named, and leads out of no folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from report_studies import change_curve, change_trial, write_study

from parity.errors import CannotStart
from parity.results import study as files
from parity.results.ladder import LADDER_FILE
from parity.results.writing import write_text
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


def delete_after_the_end(study: Path) -> None:
    sign(study / TRIAL)
    (study / TRIAL / "timing.parquet").unlink()


def in_ladder(change: Callable[[dict], object]) -> Damage:
    return lambda study: edit_json(study / LADDER_FILE, change)


DAMAGES: dict[str, tuple[Damage, str]] = {
    "no ladder": (lambda study: (study / LADDER_FILE).unlink(), "ladder.json does not have it"),
    "an empty ladder": (lambda study: (study / LADDER_FILE).write_text("{}"), "ladder.json does not have it"),
    "a rung is missing": (in_ladder(lambda tasks: tasks["tiles"]["ladder"]["rllib"].pop("step")), "(step)"),
    "a trial of sb3 in its place": (replace_by_sb3, "it is of tiles/sb3/1"),
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
