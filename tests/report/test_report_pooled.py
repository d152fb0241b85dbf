"""A study of several tasks: the pooled verdict, its forest plot, and the figures that gate nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from report_studies import conclude, write_study

from parity.report import write_report
from parity.results import study as files
from parity.results.study import load_study

OPEN = {"sb3": [0.80, 1.05, 0.95, 1.10, 0.90], "rllib": [1.00, 0.85, 1.08, 0.78, 0.97]}
TASKS = ("tiles", "cliff", "taxi", "lake")


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four tasks, none of which decides alone; equivalence was required."""
    folder = tmp_path_factory.mktemp("results") / "several"
    request = files.Request(
        tasks=list(TASKS), frameworks=list(OPEN), seeds=list(range(5)), require=["equivalent", "not-worse"]
    )
    write_study(folder, dict.fromkeys(TASKS, OPEN), request=request)
    conclude(folder)
    return folder


@pytest.mark.parametrize("name", ["report.html", "report.md"])
def test_the_report_shows_every_task_and_all_together(several: Path, name: str) -> None:
    text = (several / name).read_text(encoding="utf-8")
    assert text.count("all together") >= 2
    together = text[text.index("All tasks together") :]
    assert all(task in together for task in TASKS)
    assert "EQUIVALENT" in together[:80]
    assert "over 4 tasks together rllib is EQUIVALENT" in text


@pytest.mark.parametrize("name", ["report.html", "report.md"])
def test_robustness_lines_say_that_they_do_not_gate(several: Path, name: str) -> None:
    text = (several / name).read_text(encoding="utf-8")
    # One table per task and one of all together.
    assert text.count("Other ways of looking") == len(TASKS) + 1
    assert text.count("gate nothing") == len(TASKS) + 1
    assert "20 of 20" in text


def test_the_forest_plot_has_a_line_per_task_and_metric_and_one_for_all(several: Path) -> None:
    root = ElementTree.fromstring((several / "figures" / "pooled.svg").read_text(encoding="utf-8"))
    labels = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    for metric in ("final score", "area under the curve"):
        assert [f"rllib, {metric}: {task}" in labels for task in (*TASKS, "together")] == [True] * 5
    assert "(figures/pooled.svg)" in (several / "report.md").read_text(encoding="utf-8")
    page = (several / "report.html").read_text(encoding="utf-8")
    assert page[page.index('id="pooled"') : page.index("<article")].count("<circle") == 10


def test_a_task_that_is_open_alone_fails_no_case_where_all_together_decide(several: Path) -> None:
    suites = ElementTree.parse(several / "junit.xml").getroot()
    assert (suites.get("failures"), suites.get("errors")) == ("0", "0")
    (pooled,) = [suite for suite in suites if suite.get("name") == "pooled.equivalence"]
    assert [case.get("name") for case in pooled] == ["rllib final", "rllib auc"]


def test_together_undecided_fails_where_equivalence_was_required_and_says_what_is_missing(tmp_path: Path) -> None:
    noisy = {"sb3": [0.4, 1.6, 1.0], "rllib": [1.5, 0.5, 0.9]}
    request = files.Request(tasks=["tiles", "cliff"], frameworks=list(noisy), seeds=[0, 1, 2], require=["equivalent"])
    folder = write_study(tmp_path / "open", {"tiles": noisy, "cliff": noisy}, request=request)
    summary = conclude(folder)
    assert summary.exit_code == 3
    assert ElementTree.parse(folder / "junit.xml").getroot().get("failures") == "2"
    assert "All tasks together: rllib, final score: the interval" in (folder / "report.md").read_text(encoding="utf-8")


def test_one_task_has_no_section_for_all_together(good_study: Path) -> None:
    for name in ("report.html", "report.md"):
        text = (good_study / name).read_text(encoding="utf-8")
        assert "All tasks together" not in text
        assert text.count("Other ways of looking") == 1
    assert not (good_study / "figures" / "pooled.svg").exists()


def test_a_summary_from_before_these_fields_is_shown_without_them(several: Path, tmp_path: Path) -> None:
    summary = conclude(several)
    old: dict[str, Any] = {name: task.model_copy(update={"robustness": {}}) for name, task in summary.tasks.items()}
    study = load_study(several)
    (tmp_path / "old").mkdir()
    write_report(
        study.__class__(tmp_path / "old", study.file, study.trials),
        summary.model_copy(update={"pooled": None, "tasks": old}),
    )
    text = (tmp_path / "old" / "report.html").read_text(encoding="utf-8")
    assert "Other ways of looking" not in text and "All tasks together" not in text
