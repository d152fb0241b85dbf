"""What a study says is shown, whoever wrote it, and does nothing: no control of a terminal, no line of a log, no heading."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from markdown_it import MarkdownIt
from report_studies import change_trial, write_study

from parity.cli import call
from parity.errors import LONGEST_READ
from parity.results.ladder import LADDER_FILE, LadderFile
from parity.results.study import StudyFile
from parity.results.summary import Finding

TAMPERED = (
    "\x1b[2J\x1b]0;owned\x07\x9b31m\u202e\n::error::owned\r##[error]owned\n\n# owned\n\n```\n# owned\n" + "x" * 100_000
)
FIGURES = dict.fromkeys(("steps", "train_s", "difference", "throughput", "ladder"), "f.svg")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that is judged, gated and shown, with such a text wherever one may stand; ``said`` is what was printed."""
    here = tmp_path_factory.mktemp("hostile")
    scores = {"sb3": [0.97, 0.95, 0.98], "rllib": [0.96, 0.98, 0.97]}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        patch.setenv("GITHUB_ACTIONS", "true")
        patch.setattr("parity.report.write_figures", lambda *_: FIGURES)
        write_study(here / "results/good", scores)
        assert call(["baseline", "accept", "good", "--reason", "because", "--by", "Ada"]) == 0
        study = write_study(
            here / "results/now", scores, command=TAMPERED, versions={"torch": TAMPERED}, machine={"cpu": TAMPERED}
        )
        change_trial(study / "trials/tiles/rllib/1", status="crashed", reason=TAMPERED * 50)
        file = StudyFile.model_validate_json((study / "study.json").read_text())
        task = file.tasks["tiles"]
        task.reference.source = task.source = task.mask = TAMPERED
        task.declared["lr"] = TAMPERED
        file.write(study / "study.json")
        ladder = LadderFile.model_validate_json((study / LADDER_FILE).read_text())
        finding = Finding(
            code="PAR001", severity="error", title=TAMPERED, task="tiles", framework="rllib", where=TAMPERED
        )
        finding = finding.model_copy(update={"evidence": {TAMPERED[:99]: TAMPERED}, "fix": TAMPERED})
        ladder.root["tiles"].findings.append(finding)
        ladder.root["tiles"].ladder["rllib"]["step"].reason = TAMPERED
        (study / LADDER_FILE).write_text(ladder.model_dump_json())
        with (here / "said").open("w") as said:
            patch.setattr("sys.stderr", said)
            assert call(["gate", "now"]) == 1
            assert call(["report", "now"]) == 1
    return here


def test_nothing_controls_a_terminal_or_forges_a_line_of_a_log(shown: Path) -> None:
    text = (shown / "said").read_text()
    assert all(c.isprintable() or c == "\n" for c in text)
    commands = [line for line in text.splitlines() if line.lstrip().startswith(("::", "##["))]
    assert commands and all(re.match(r"::(error|warning|notice) title=parity", line) for line in commands)
    assert max(map(len, text.splitlines())) < 5_000


@pytest.mark.parametrize("name", ["report.md", "gate.md", "junit.xml"])
def test_texts_hold_no_control_characters(shown: Path, name: str) -> None:
    text = (shown / "results/now" / name).read_text()
    assert "owned" in text and all(c.isprintable() or c == "\n" for c in text)


@pytest.mark.parametrize("name", ["report.md", "gate.md"])
def test_nothing_is_a_heading_or_markup_of_its_own(shown: Path, name: str) -> None:
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse((shown / "results/now" / name).read_text())
    headings = [after.content for token, after in pairwise(tokens) if token.type == "heading_open"]
    assert headings and not [heading for heading in headings if "owned" in heading]
    assert not [token for token in tokens if token.type == "html_block" and "owned" in token.content]


def test_an_exception_of_five_megabytes_is_cut(shown: Path) -> None:
    for name in ("report.html", "report.md", "gate.md", "junit.xml"):
        assert "x" * (LONGEST_READ + 100) not in (shown / "results/now" / name).read_text(), name
    ElementTree.parse(shown / "results/now/junit.xml")
