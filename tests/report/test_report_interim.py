"""The report of a sequential study says which interim analysis it rests on, at what confidence, and what it saved."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from report_studies import conclude, write_study

from parity.results import study as files

SAME = {"sb3": [0.97, 0.95, 0.98], "rllib": [0.96, 0.98, 0.97]}
NOISY = {"sb3": [0.70, 1.05, 0.95], "rllib": [1.00, 0.75, 1.08]}


def written(folder: Path, scores: dict[str, list[float]], tasks: tuple[str, ...] = ("tiles",)) -> Path:
    request = files.Request(tasks=list(tasks), frameworks=list(scores), seeds=[0, 1, 2], looks=[3, 5, 8, 10])
    write_study(folder, dict.fromkeys(tasks, scores), request=request)
    conclude(folder)
    return folder


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("results") / "stopped", SAME, ("tiles", "cliff"))


@pytest.mark.parametrize("name", ["report.html", "report.md"])
def test_the_verdict_page_says_the_look_and_what_was_saved(stopped: Path, name: str) -> None:
    text = (stopped / name).read_text(encoding="utf-8")
    head = text[: text.index("does it learn?" if name.endswith("html") else "learns?")]
    assert (
        "at 3, 5, 8 and 10 per framework; this is interim analysis 1 of 4. Each tests at 1.82 %, with 96.4 % interval"
        in head
    )
    assert "saved 7 seeds per framework and task, 28 trials, about 36 min" in head
    assert "96.4 % interval" in text[len(head) :] and "90 % interval" not in text


def test_figures_and_junit_say_the_confidence_of_the_look(stopped: Path) -> None:
    for name in ("pooled.svg", "tiles-difference.svg"):
        root = ElementTree.fromstring((stopped / "figures" / name).read_text(encoding="utf-8"))
        words = [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]
        assert any("96.4 % interval" in text for text in words), name
    assert "96.4 % interval" in (stopped / "junit.xml").read_text(encoding="utf-8")


def test_an_open_look_says_that_nothing_is_decided_yet(tmp_path: Path) -> None:
    text = (written(tmp_path / "open", NOISY) / "report.md").read_text(encoding="utf-8")
    assert "It decided nothing. The next is at 5 seeds." in text
    assert "saved" not in text
