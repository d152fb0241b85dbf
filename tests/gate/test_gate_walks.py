"""What a release is held on, walked on the command line: each with its exit code, its sentence and its JUnit file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from gate_studies import OTHER_RUNS, SLUMPED, Gated, change_json, trial, write_bench
from junitparser import Error, Failure, JUnitXml, Skipped
from report_studies import change_curve

Accept = Callable[..., Path]
Gate = Callable[..., Gated]

SLUMP = {"tiles.rllib.learning.final", "tiles.rllib.learning.auc", "tiles.rllib.comparison"}


def outcomes(study: Path) -> dict[str, type]:
    """Outcome of every case of junit.xml that did not simply pass."""
    read = JUnitXml.fromfile(str(study / "junit.xml"))
    cases = [(f"{suite.name} {case.name}", case) for suite in read for case in suite]
    assert read.tests == len(cases) == len(dict(cases)), "every case once"
    return {name: type(case.result[0]) for name, case in cases if case.result}


def waive(*claims: str, days: int = 30, granted: int = -5, file: str = "parity-waivers.toml") -> None:
    today = datetime.now(UTC).date()
    tables = [
        f'[[waiver]]\nclaim = "{claim}"\nreason = "known, see issue 12"\nby = "Grace"\n'
        f"granted = {today + timedelta(granted)}\nexpires = {today + timedelta(days)}\n"
        for claim in claims
    ]
    Path(file).write_text("\n".join(tables))


def test_a_study_as_good_as_the_baseline_passes(accept: Accept, gate: Gate) -> None:
    accept()
    gated = gate(OTHER_RUNS)
    assert gated.code == 0
    assert "claims hold against the baseline that Ada accepted on 20" in gated.sentence
    assert not gated.having("fail", "undecided", "waived")
    assert {"tiles.rllib.learning.final", "tiles.sb3.learning.auc", "tiles.definition"} <= gated.having("pass")
    found = outcomes(gated.study)
    assert not {Failure, Error} & set(found.values()), found
    for file in ("gate.md", "report.md", "report.html"):
        assert gated.sentence in (gated.study / file).read_text(), file


def test_a_learning_regression_fails(accept: Accept, gate: Gate) -> None:
    accept()
    gated = gate(SLUMPED)
    assert gated.code == 1
    assert "rllib on tiles against its own baseline, final score: WORSE, -0.28 (90 % interval -0.3" in gated.sentence
    assert gated.having("fail") == SLUMP, "sb3 is what it was"
    assert outcomes(gated.study)["gate.learning tiles.rllib.learning.final"] is Failure


def test_a_port_that_no_longer_learns_fails_and_the_baseline_is_remembered(accept: Accept, gate: Gate) -> None:
    accept()
    gated = gate({"sb3": OTHER_RUNS["sb3"], "rllib": [0.03, 0.01, 0.02, 0.0, 0.05]})
    assert gated.code == 1
    assert "rllib does not learn tiles, where it learned in the baseline: 0 of 5 seeds learned" in gated.sentence


def test_a_throughput_regression_fails(accept: Accept, gate: Gate) -> None:
    accept(change=lambda study: write_bench(study, [640.0, 650, 655, 645, 652, 648]))
    gated = gate(OTHER_RUNS, change=lambda study: write_bench(study, [540.0, 550, 555, 545, 552, 548]))
    assert gated.code == 1
    assert "throughput of rllib over sb3 on tiles is 1.18 times lower than in the baseline (p 0.0011" in gated.sentence
    assert gated.having("fail") == {"tiles.rllib.throughput.over-sb3", "tiles.rllib.throughput.rate"}
    assert outcomes(gated.study)["gate.throughput tiles.rllib.throughput.over-sb3"] is Failure


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda study: (study / "bench.json").unlink(),
            "throughput on tiles is in the baseline; measure it: parity bench",
        ),
        (
            lambda study: change_json(study / "bench.json", lambda stored: stored["request"].update(threads=2)),
            "throughput on tiles was measured otherwise than in the baseline (threads 1 -> 2)",
        ),
    ],
    ids=["not at all", "with more threads"],
)
def test_what_was_measured_once_has_to_be_measured_again(
    change: Callable[[Path], None], words: str, accept: Accept, gate: Gate
) -> None:
    fast = [640.0, 650, 655, 645, 652, 648]
    accept(change=lambda study: write_bench(study, fast))
    gated = gate(OTHER_RUNS, change=lambda study: (write_bench(study, fast), change(study)))
    assert gated.code == 1 and words in gated.sentence
    assert gated.having("fail") == {"tiles.throughput"}


def test_a_bench_that_was_interrupted_cannot_start(accept: Accept, gate: Gate) -> None:
    accept()

    def interrupt(study: Path) -> None:
        write_bench(study, [640.0])
        change_json(study / "bench.json", lambda stored: stored.update(reason="it was interrupted"))

    gated = gate(OTHER_RUNS, change=interrupt)
    assert gated.code == 2 and "bench.json: reason: it was interrupted; finish it with `parity bench" in gated.err


def test_without_a_bench_what_was_observed_can_be_gated_on_request(accept: Accept, gate: Gate) -> None:
    six = {name: [*values, values[0] - 0.01] for name, values in OTHER_RUNS.items()}
    accept(six)

    def slow_down(study: Path) -> None:
        for seed in range(6):
            change_curve(trial(study, "rllib", seed), lambda curve: curve.assign(train_s=1.5 * curve["train_s"]))

    gated = gate(six, change=slow_down)
    assert gated.code == 0, "it gates nothing unless it is asked for"
    gated = gate(None, "--throughput", "observed")
    assert gated.code == 1
    assert "observed while trials shared the machine is 1.5" in gated.sentence
    assert gated.having("fail") == {"tiles.rllib.observed-throughput.over-sb3"}


def test_a_missing_trial_fails_and_is_named_and_cannot_be_waived(accept: Accept, gate: Gate) -> None:
    accept()
    waive("tiles.rllib.trials.3")
    gated = gate(OTHER_RUNS, change=lambda study: shutil.rmtree(trial(study, "rllib", 3)))
    assert gated.code == 1
    assert "tiles is INVALID: rllib seed 3 is missing: it left no trial.json" in gated.sentence
    assert "the waiver of tiles.rllib.trials.3 (Grace: known, see issue 12) waives nothing" in gated.sentence
    assert {"tiles.valid", "tiles.rllib.trials.3"} <= gated.having("fail")
    assert gated.having("not_compared") == {"tiles.rllib.learning", "tiles.rllib.comparison"}
    assert outcomes(gated.study)["tiles.trials rllib seed 3"] is Error


def test_a_waiver_in_force_passes_and_stands_in_everything_that_used_it(accept: Accept, gate: Gate) -> None:
    accept()
    waive("tiles.rllib.learning.*", "tiles.rllib.comparison")
    gated = gate(SLUMPED)
    assert gated.code == 0
    assert gated.having("waived") == SLUMP and not gated.having("fail")
    assert "3 waived: the waiver of tiles.rllib.learning.* (Grace: known, see issue 12) covers" in gated.sentence
    found = outcomes(gated.study)
    assert not {Failure, Error} & set(found.values()), found
    assert found["gate.learning tiles.rllib.learning.final"] is Skipped
    # The study's own case says WORSE, and is covered by the waiver of the comparison.
    assert found["tiles.equivalence rllib final"] is Skipped
    for file in ("gate.md", "report.md", "report.html", "junit.xml", "gate.json"):
        text = (gated.study / file).read_text()
        assert "known, see issue 12" in text and "Grace" in text, file


def test_an_expired_waiver_waives_nothing_and_is_named(accept: Accept, gate: Gate) -> None:
    accept()
    waive("tiles.rllib.learning.*", "tiles.rllib.comparison", days=-1, granted=-20)
    gated = gate(SLUMPED)
    yesterday = datetime.now(UTC).date() - timedelta(1)
    assert gated.code == 1
    assert gated.having("fail") == SLUMP
    assert (
        f"the waiver of tiles.rllib.comparison (Grace: known, see issue 12) expired on {yesterday} and waives nothing"
        in gated.sentence
    )


@pytest.mark.parametrize("days", [0, 30])
def test_a_waiver_holds_through_its_last_day(days: int, accept: Accept, gate: Gate) -> None:
    accept()
    waive("tiles.rllib.learning.*", "tiles.rllib.comparison", days=days)
    assert gate(SLUMPED).code == 0


def test_another_machine_is_said_and_only_ratios_are_compared(accept: Accept, gate: Gate) -> None:
    fast = [640.0, 650, 655, 645, 652, 648]
    accept(change=lambda study: write_bench(study, fast))

    def half_as_fast(study: Path, cpu: str = "Another processor") -> None:
        change_json(study / "study.json", lambda stored: stored["machine"].update(cpu=cpu))
        write_bench(study, [rate / 2 for rate in fast], [(1900.0 + 3 * round_) / 2 for round_ in range(6)])

    gated = gate(OTHER_RUNS, change=half_as_fast)
    assert gated.code == 0
    assert "other machine than the baseline's (cpu A processor -> Another processor)" in gated.sentence
    assert gated.claims["tiles.rllib.throughput.over-sb3"]["status"] == "pass", "half as fast, and so is sb3"
    rates = {"tiles.sb3.throughput.rate", "tiles.rllib.throughput.rate"}
    assert gated.having("not_compared") == rates
    assert all("not compared: other machine" in gated.claims[id_]["message"] for id_ in rates)
    assert {outcomes(gated.study)[f"gate.throughput {id_}"] for id_ in rates} == {Skipped}
    gated = gate(change=lambda study: half_as_fast(study, "A processor"))
    assert gated.code == 1 and gated.having("fail") == rates, "on the same machine it is a regression of both"


CORRUPT: dict[str, tuple[Callable[[Path], object], str]] = {
    "no JSON": (lambda path: path.write_text('{"tasks": '), "parity-baseline.json cannot be read: it is no JSON"),
    "binary": (lambda path: path.write_bytes(b"\xff\xfe\x00"), "parity-baseline.json cannot be read: it is no JSON"),
    "empty": (lambda path: path.write_text("{}"), "parity-baseline.json cannot be read: acceptance: Field required"),
    "a list": (lambda path: path.write_text("[]"), "parity-baseline.json cannot be read: the file: Input should be"),
    "unknown field": (
        lambda path: change_json(path, lambda stored: stored.update(tassks={})),
        "parity-baseline.json cannot be read: tassks: Extra inputs are not permitted",
    ),
    "schema": (
        lambda path: change_json(path, lambda stored: stored.update(schema_version=2)),
        "parity-baseline.json cannot be read: schema_version: this parity reads 1, and not 2",
    ),
    "a score": (
        lambda path: change_json(
            path, lambda stored: stored["tasks"]["tiles"]["frameworks"]["rllib"]["runs"][2].update(final="good")
        ),
        "parity-baseline.json cannot be read: tasks.tiles.frameworks.rllib.runs.2.final: Input should be a valid number",
    ),
    "gone": (lambda path: path.unlink(), "--baseline parity-baseline.json: there is no such file"),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "--baseline parity-baseline.json: there is no such file"),
}


@pytest.mark.parametrize("damage", CORRUPT)
def test_a_corrupt_baseline_cannot_start(damage: str, accept: Accept, gate: Gate) -> None:
    accept()
    change, begins = CORRUPT[damage]
    change(Path("parity-baseline.json"))
    gated = gate(OTHER_RUNS)
    assert gated.code == 2 and gated.out == ""
    (line,) = gated.err.splitlines()
    assert line.startswith(f"parity: {begins}") and line.endswith(".")
    assert "parity baseline accept" in line or "accept a baseline anew" in line, "the remedy"
    assert not (gated.study / "gate.json").exists()
