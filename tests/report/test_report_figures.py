"""Curves, intervals, phases and the SVGs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from report_studies import conclude, curve, write_study
from scipy import stats

from parity.report.curves import SeedCurve, mean_curve
from parity.report.rungs import ladder_words, rung_points
from parity.report.throughput import phase_times
from parity.results import study as files
from parity.results.study import TrialRecord
from parity.results.summary import RungResult


def seeds(framework: str = "sb3", scores: tuple[float, ...] = (0.9, 0.8, 1.0)) -> list[SeedCurve]:
    return [SeedCurve(framework, seed, True, curve(framework, seed, score)) for seed, score in enumerate(scores)]


@pytest.mark.parametrize("policy", ["deterministic", "sampled"])
def test_the_interval_is_students_t_over_seeds_at_95_percent(policy: str) -> None:
    runs = seeds()
    mean = mean_curve(runs, policy)
    assert mean is not None and mean.runs == 3
    values = np.array([run.returns(policy) for run in runs])
    np.testing.assert_allclose(mean.mean, values.mean(axis=0))
    for at in range(1, values.shape[1]):
        expected = stats.ttest_1samp(values[:, at], 0).confidence_interval(0.95)
        np.testing.assert_allclose([mean.low[at], mean.high[at]], [expected.low, expected.high])


def test_one_seed_has_no_interval() -> None:
    mean = mean_curve(seeds(scores=(0.9,)), "deterministic")
    assert mean is not None and np.isnan(mean.low).all() and np.isfinite(mean.mean).all()


def test_seeds_that_were_evaluated_a_few_steps_apart_are_averaged_at_the_mean_step() -> None:
    tables = [
        pd.DataFrame({"steps": steps, "train_s": 0.0, "return_mean": np.multiply(steps, 2.0)})
        for steps in ([0, 100, 203], [0, 104, 201])
    ]
    mean = mean_curve([SeedCurve("rllib", seed, True, table) for seed, table in enumerate(tables)], "deterministic")
    assert mean is not None
    np.testing.assert_allclose(mean.steps, [0, 102, 202])
    np.testing.assert_allclose(mean.mean[:2], [0, 204])
    assert mean.mean[2] == pytest.approx(404, abs=1)


def test_phases_add_up_to_the_training_time_and_what_is_not_known_is_no_zero() -> None:
    table = pd.DataFrame({"steps": [0, 1000, 2000], "train_s": [0.0, 5.0, 10.0]})
    timing = pd.DataFrame({"steps": [1000, 2000], "sample_s": [2.0, 2.0], "returns_s": np.nan, "update_s": [1.0, 3.0]})
    trial = TrialRecord("tiles", "rllib", 0, Path(), curve=table, timing=timing.assign(evaluate_s=[0.0, 1.0]))
    times = phase_times("rllib", [trial])
    assert times is not None and np.isnan(times.seconds.pop("returns"))
    assert times.seconds == pytest.approx({"sample": 2.0, "update": 2.0, "rest": 1.0, "evaluate": 0.5})


def test_the_same_study_gives_the_same_svg_bytes_in_another_process(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "study", {"sb3": [0.9, 0.8, 0.95], "rllib": [0.9, 0.85, 0.8]})
    conclude(folder)
    first = {path.name: path.read_bytes() for path in (folder / "figures").iterdir()}
    again = (
        "import sys; from pathlib import Path; from parity.results.study import load_study; "
        "from parity.verdict.judge import judge; from parity.report import write_report; "
        "study = load_study(Path(sys.argv[1])); write_report(study, judge(study))"
    )
    subprocess.run([sys.executable, "-c", again, str(folder)], check=True)
    assert {path.name: path.read_bytes() for path in (folder / "figures").iterdir()} == first
    assert sorted(first) == [f"tiles-{name}.svg" for name in ("difference", "seconds", "steps", "throughput")]


def test_an_svg_has_its_text_as_text_and_a_title_and_no_date(good_study: Path) -> None:
    text = (good_study / "figures" / "tiles-steps.svg").read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    words = " ".join(element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text"))
    assert "environment steps" in words and "best known: 0.69" in words and "sb3, 5 seeds" in words
    title = root.find("{http://www.w3.org/2000/svg}title")
    assert title is not None and "Learning curves of tiles" in str(title.text)
    assert "dc:date" not in text


def test_a_report_imports_no_framework() -> None:
    code = (
        "import sys, parity.report.server; print({'torch', 'ray', 'stable_baselines3', 'gymnasium'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "set()"


def test_a_trial_that_is_not_complete_is_drawn_dotted_in_the_svg(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "study", {"sb3": [0.9, 0.8, 0.95], "rllib": [0.9, 0.85, 0.8]})
    conclude(folder)
    complete = (folder / "figures" / "tiles-steps.svg").read_text().count("stroke-dasharray")
    path = files.trial_folder(folder, "tiles", "rllib", 1) / files.CURVE_FILE
    pd.read_parquet(path).iloc[:4].to_parquet(path)
    conclude(folder)
    assert (folder / "figures" / "tiles-steps.svg").read_text().count("stroke-dasharray") == complete + 1


def rung(number: int, status: str, needed: float | None, reason: str | None = None) -> RungResult:
    return RungResult(rung=number, status=status, max_abs=needed, max_rel=None, tolerance_needed=needed, reason=reason)


def test_the_picture_of_the_ladder_shows_where_numbers_part() -> None:
    points = rung_points(
        {
            "contract": rung(0, "pass", 0.0),
            "forward": rung(1, "pass", 0.3),
            "returns": rung(4, "fail", 250.0, "PAR402"),
            "gradient": rung(6, "fail", None, "PAR602"),
            "update": rung(8, "invalid", None, "update raised ValueError"),
            "lockstep": rung(9, "not_applicable", None, "parts by design"),
        }
    )
    assert [point.rung for point in points] == [0, 1, 4, 6, 8]
    assert [point.holds for point in points] == [True, True, False, False, False]
    assert points[1].used == 0.3 < 1 < points[2].used == 250.0
    # Broken without a size, or never run: above every size.
    assert points[3].used == points[4].used > points[2].used
    words = ladder_words({"rllib": {"forward": rung(1, "pass", 0.3), "returns": rung(4, "fail", 250.0)}})
    assert "rllib: rungs that hold use at most 0.3 of their tolerance; broken: 4 returns" in words


def test_a_climbed_ladder_is_drawn_on_the_page_and_beside_it(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "climbed", {"sb3": [0.9], "rllib": [0.9]})
    conclude(folder, ladder={"tiles": {"rllib": {"forward": rung(1, "pass", 0.0), "returns": rung(4, "fail", 9.0)}}})
    assert 'data-figure="ladder"' in (folder / "report.html").read_text(encoding="utf-8")
    drawn = (folder / "figures" / "tiles-ladder.svg").read_text(encoding="utf-8")
    assert "4 returns" in drawn
    assert "(figures/tiles-ladder.svg)" in (folder / "report.md").read_text(encoding="utf-8")
