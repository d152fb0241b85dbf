"""A baseline is accepted on purpose: by somebody, for a reason, from a study that can bear it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from gate_studies import GOOD, OTHER_RUNS, Gated, trial, write_bench
from report_studies import write_study

from parity.cli import call
from parity.results.baseline import Baseline, load_baseline


@pytest.fixture
def refused(here: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The one sentence of a `parity baseline accept` that is refused; nothing is written."""

    def run(*arguments: str) -> str:
        before = Path("parity-baseline.json").read_bytes() if Path("parity-baseline.json").exists() else None
        capfd.readouterr()
        assert call(["baseline", "accept", *arguments]) == 2
        (line,) = capfd.readouterr().err.splitlines()
        after = Path("parity-baseline.json").read_bytes() if Path("parity-baseline.json").exists() else None
        assert after == before
        return line.removeprefix("parity: ")

    return run


def test_a_baseline_has_the_raw_values_and_says_who_when_and_on_what(accept: Callable[..., Path]) -> None:
    accept(change=lambda study: write_bench(study, [640.0, 650, 655, 645, 652, 648]))
    made = load_baseline(Path("parity-baseline.json"))
    assert (made.acceptance.by, made.acceptance.reason, made.acceptance.study) == (
        "Ada",
        "the first release",
        "accepted",
    )
    assert made.acceptance.commit == "4f2c9d1e" and made.acceptance.dirty is False
    assert made.versions["ray"] == "2.60.0" and made.versions["python"] == "3.11"
    assert made.machine == {"cpu": "A processor", "cores": 2, "memory_gb": 7.8, "gpu": None, "os": "Linux"}
    tiles = made.tasks["tiles"]
    assert tiles.definition.margin == 0.15 and tiles.definition.ppo["n_epochs"] == 4
    runs = tiles.frameworks["rllib"].runs
    assert [run.seed for run in runs] == [0, 1, 2, 3, 4] and all(run.learned for run in runs)
    scores = [(run.final - 0.31) / (0.69 - 0.31) for run in runs]
    assert scores == pytest.approx(GOOD["rllib"]), "returns, of which scores are made later"
    assert all(run.env_steps_per_s == pytest.approx(625, rel=0.06) for run in runs)
    assert tiles.bench is not None and tiles.bench.ratios("rllib")[0] == pytest.approx(640 / 1900)


def test_neither_paths_nor_host_names_are_in_it(accept: Callable[..., Path], here: Path) -> None:
    study = accept(source=str(here), command=f"parity run --task {here}/port.py")
    text = Path("parity-baseline.json").read_text()
    assert str(here) not in text and str(study) not in text and "command" not in text


def test_the_file_reads_back_as_it_was_written(accept: Callable[..., Path]) -> None:
    accept()
    path = Path("parity-baseline.json")
    first = path.read_text()
    load_baseline(path).write(path)
    assert path.read_text() == first
    assert Baseline.model_validate_json(first) == load_baseline(path)


def test_what_is_replaced_goes_into_the_history(accept: Callable[..., Path], here: Path) -> None:
    accept()
    write_study(here / "results" / "second", OTHER_RUNS)
    assert call(["baseline", "accept", "second", "--reason", "ray 2.61", "--by", "Grace"]) == 0
    made = load_baseline(Path("parity-baseline.json"))
    assert (made.acceptance.by, made.acceptance.study) == ("Grace", "second")
    assert [(each.by, each.study, each.reason) for each in made.history] == [("Ada", "accepted", "the first release")]


def test_what_is_no_longer_in_it_is_said(
    accept: Callable[..., Path], here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    accept({"tiles": GOOD, "old": GOOD})
    write_study(here / "results" / "second", {"sb3": GOOD["sb3"]})
    assert call(["baseline", "accept", "second", "--reason", "only sb3", "--by", "Ada", "--json"]) == 0
    said = capfd.readouterr()
    assert "old was in the baseline and is not any more" in said.err
    assert "rllib on tiles was in the baseline and is not any more" in said.err
    assert list(json.loads(said.out)["tasks"]) == ["tiles"]


def test_an_accepted_change_is_the_new_measure(accept: Callable[..., Path], gate: Callable[..., Gated]) -> None:
    accept()
    gated = gate({"sb3": [0.64, 0.65, 0.6, 0.66, 0.63], "rllib": [0.62, 0.66, 0.6, 0.65, 0.64]})
    assert gated.code == 1, "both are worse than they were"
    accepted = call(["baseline", "accept", "now", "--reason", "a smaller network, on purpose", "--by", "Ada"])
    assert accepted == 0
    again = gate()
    same = {id_ for id_, claim in again.claims.items() if "every run is the same" in claim["message"]}
    assert again.code == 0 and len(same) == 4
    assert "a smaller network, on purpose" in (again.study / "gate.md").read_text()


@pytest.mark.parametrize(
    ("configured", "user", "expected"), [("Git Name", "login", "Git Name"), ("", "login", "login")]
)
def test_who_accepts_is_the_name_given_else_gits_else_the_users(
    configured: str, user: str, expected: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(here / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("USER", user)
    if configured:
        subprocess.run(["git", "config", "--global", "user.name", configured], check=True)
    write_study(here / "results" / "one", GOOD)
    assert call(["baseline", "accept", "one", "--reason", "r"]) == 0
    assert load_baseline(Path("parity-baseline.json")).acceptance.by == expected


def test_what_cannot_be_a_baseline_is_refused_with_its_reason(here: Path, refused: Callable[..., str]) -> None:
    study = write_study(here / "results" / "one", GOOD)
    assert refused("one", "--reason", "  ", "--by", "Ada").startswith("--reason is empty")
    assert refused("one", "--reason", "r", "--by", " ").startswith("Nobody is named")
    shutil.rmtree(trial(study, "rllib", 1))
    assert refused("one", "--reason", "r", "--by", "Ada") == (
        "results/one is INVALID and becomes no baseline: rllib seed 1 is missing: it left no trial.json; "
        "mend it and run it again; the baseline is as it was."
    )
    write_study(here / "results" / "two", {"sb3": GOOD["sb3"], "rllib": [0.01, 0.0, 0.02, 0.03, 0.01]})
    assert "becomes no baseline: rllib does not learn tiles" in refused("two", "--reason", "r", "--by", "Ada")
    assert refused("three", "--reason", "r").startswith("There is no study three")
    assert "--reason" in refused("one"), "a reason is required"


def test_a_broken_baseline_is_not_overwritten(here: Path, refused: Callable[..., str]) -> None:
    write_study(here / "results" / "one", GOOD)
    Path("parity-baseline.json").write_text("{")
    assert refused("one", "--reason", "r", "--by", "Ada").startswith(
        "parity-baseline.json cannot be read: it is no JSON"
    )


def test_a_folder_that_is_not_there_is_a_sentence(here: Path, refused: Callable[..., str]) -> None:
    write_study(here / "results" / "one", GOOD)
    sentence = refused("one", "--reason", "r", "--by", "Ada", "--baseline", "nowhere/baseline.json")
    assert (
        sentence
        == "--baseline nowhere/baseline.json: cannot write there (No such file or directory); choose another file."
    )
