"""report.html and report.md: what they say about good, broken and empty studies."""

from __future__ import annotations

import html
import re
import shutil
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from report_studies import change_curve, change_trial, conclude, write_study
from rich.console import Console

from parity.cli.ladder_table import print_findings
from parity.ladder.findings.rule import Rule
from parity.report import write_report
from parity.report.content import content
from parity.report.curves import TaskCurves
from parity.report.interactive import curves_data, script_json
from parity.report.junit import junit_xml
from parity.report.page import html_report
from parity.report.text import UNKNOWN
from parity.results import study as files
from parity.results.summary import Finding, RungResult, Summary, Verdict
from parity.verdict.judge import judge

HOSTILE = "RuntimeError: </script><script>alert(1)</script> <img src=x onerror=alert(2)> | `x` **all** masks\nempty"
Break = Callable[[Path], object]


class _Page(HTMLParser):
    """Visible text, and what a page would fetch or run."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.references, self.tags, self.handlers = "", [], [], []
        self._silent = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._silent += tag in ("script", "style")
        self.references += [value for name, value in attrs if name in ("src", "href") and value]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.text += data


def page_of(folder: Path) -> _Page:
    return _Page((folder / "report.html").read_text(encoding="utf-8"))


def markdown_of(folder: Path) -> str:
    return (folder / "report.md").read_text(encoding="utf-8")


def in_order(text: str, *words: str) -> bool:
    places = [text.find(word) for word in words]
    return -1 not in places and places == sorted(places)


def test_the_verdict_comes_first_and_everything_else_in_order(good_study: Path) -> None:
    summary = Summary.model_validate_json((good_study / "summary.json").read_text())
    sections = ["Learning curves", "Comparison with sb3", "Masks", "Findings", "Ladder", "Throughput", "Effective"]
    order = ["EQUIVALENT", summary.sentence, "LEARNS", *sections, "Trials", "What it ran on", "parity run --task tiles"]
    assert in_order(page_of(good_study).text, *order)
    assert in_order(markdown_of(good_study), *order)


def test_plotly_is_inlined_once_and_nothing_is_fetched(good_study: Path) -> None:
    page = (good_study / "report.html").read_text(encoding="utf-8")
    parsed = _Page(page)
    assert page.count("* plotly.js (basic - minified) v") == 1
    assert len(page.encode()) < 1_500_000
    assert not [reference for reference in parsed.references if re.match(r"(?!data:)[a-z]+:|//", reference)]
    policy = re.search('<meta http-equiv="Content-Security-Policy" content="(.+?)">', page)
    assert policy is not None and html.unescape(policy[1]).startswith("default-src 'none'; script-src 'sha256-")


def answers(folder: Path) -> dict[str, tuple[str, str, str]]:
    """The strip: word, colour and target by question."""
    study = files.load_study(folder)
    summary = Summary.model_validate_json((folder / files.SUMMARY_FILE).read_text())
    return {item.question: (item.word, item.tone, item.target) for item in content(study, summary).strip}


def test_the_strip_answers_five_questions_and_leads_to_their_sections(good_study: Path) -> None:
    given = answers(good_study)
    assert list(given) == ["verdict", "learns", "masks", "ladder", "speed"]
    assert given["verdict"][:2] == ("EQUIVALENT", "good") and given["learns"][:2] == ("LEARNS", "good")
    assert given["masks"][:2] == ("OBEYED", "good") and given["speed"][0].endswith(" of sb3")
    # Two rungs were climbed, and the claim rests on more: nothing that was not compared is called equal.
    assert given["ladder"][:2] == ("NOT COMPARED", "open")
    page = (good_study / "report.html").read_text(encoding="utf-8")
    assert all(f'id="{target}"' in page for _, _, target in given.values())


def test_the_strip_shows_the_gravest_answer(small_study: Path) -> None:
    masks = files.trial_folder(small_study, "tiles", "rllib", 1) / files.MASKS_FILE
    masks.write_text(masks.read_text().replace('"violations": 0', '"violations": 7'))
    rungs = {"forward": RungResult(rung=1, status="fail", max_abs=1.0), "returns": RungResult(rung=4, status="fail")}
    finding = Finding(
        code="PAR003", severity="error", title="no value function", task="tiles", framework="rllib", fix="x"
    )
    conclude(small_study, [finding], {"tiles": {"rllib": rungs}})
    given = answers(small_study)
    assert given["verdict"][:2] == ("INVALID", "bad") and given["ladder"][:2] == ("BREAKS AT FORWARD", "bad")
    assert given["masks"][1] == "bad" and "ILLEGAL" in given["masks"][0]
    # What is wrong stands before the curves, with what the catalogue knows of it folded below.
    assert in_order(page_of(small_study).text, "no value function", "how it comes about", "Learning curves")


def test_a_finding_leads_to_its_page_where_the_documentation_is_served(
    good_study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = files.load_study(good_study)
    summary = Summary.model_validate_json((good_study / files.SUMMARY_FILE).read_text())
    assert "findings/PAR605/" not in html_report(content(study, summary))
    monkeypatch.setenv("PARITY_DOCS", "https://docs.example/")
    page = "https://docs.example/findings/PAR605/"
    assert f'href="{page}"' in html_report(content(study, summary))
    terminal = Console(file=StringIO(), force_terminal=True, width=100)
    print_findings(terminal, summary.findings)
    assert page in terminal.file.getvalue()  # type: ignore[attr-defined]  # a link on the code
    assert page in junit_xml(summary, [], None)
    monkeypatch.setenv("PARITY_DOCS", "")
    monkeypatch.setattr(sys.modules[Rule.__module__], "_served_at", lambda: "https://said-in-pyproject.example/parity")
    assert "https://said-in-pyproject.example/parity/findings/PAR605/" in junit_xml(summary, [], None)


def test_links_of_a_report_lead_to_files_that_exist(good_study: Path) -> None:
    references = [r for r in page_of(good_study).references if not r.startswith(("data:", "#"))]
    pictures = re.findall(r"!\[(.+?)\]\((.+?)\)\n", markdown_of(good_study))
    assert sum(reference.endswith("/log") for reference in references) == 10
    assert len(pictures) == 5 and all(len(alt) > 40 for alt, _ in pictures)
    assert all((good_study / name).is_file() for name in references + [file for _, file in pictures])


def test_every_row_of_a_markdown_table_has_as_many_cells_as_its_head(small_study: Path) -> None:
    change_trial(files.trial_folder(small_study, "tiles", "rllib", 1), status="crashed", reason=HOSTILE)
    finding = Finding(code="PAR003", severity="error", title=HOSTILE, evidence={"a|b": "c|d"}, fix="a | b")
    conclude(small_study, [finding])
    tables = re.findall(r"(?:^\|.*\n)+", markdown_of(small_study), re.MULTILINE)
    assert len(tables) >= 7
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1, table


def test_differences_from_what_was_asked_are_marked_and_explained(good_study: Path) -> None:
    page = (good_study / "report.html").read_text(encoding="utf-8")
    marked = re.findall(r'<td class="differs">(.+?) <span class="mark"', page)
    assert marked == ["1e-08", "per train batch"]
    assert "rllib: first epoch unshuffled" in page_of(good_study).text
    assert "| adam_eps | 1e-05 | 1e-05 | **1e-08** | rllib: PPOTorchLearner" in markdown_of(good_study)


def test_a_crashed_and_a_missing_trial_are_named_before_any_figure(small_study: Path) -> None:
    crashed = files.trial_folder(small_study, "tiles", "rllib", 1)
    change_trial(crashed, status="crashed", reason="ValueError: the port raised")
    change_curve(crashed, lambda curve: curve.iloc[:3])
    shutil.rmtree(files.trial_folder(small_study, "tiles", "sb3", 2))
    conclude(small_study)
    reasons = ["INVALID", "sb3 seed 2 is missing", "rllib seed 1 crashed: ValueError: the port raised"]
    assert in_order(page_of(small_study).text, *reasons, "Learning curves", "Not in the figure: sb3 seed 2")
    assert in_order(markdown_of(small_study), *reasons, "Learning curves", "Not in the figure: sb3 seed 2")
    assert "[Log](trials/tiles/rllib/1/log)" in markdown_of(small_study)


def test_hostile_text_is_shown_and_never_becomes_markup(small_study: Path) -> None:
    change_trial(files.trial_folder(small_study, "tiles", "rllib", 1), status="crashed", reason=HOSTILE)
    conclude(small_study, [Finding(code="PAR003", severity="error", title=HOSTILE, where=HOSTILE, fix=HOSTILE)])
    page = page_of(small_study)
    assert "<script>alert(1)</script>" in page.text
    assert page.tags.count("script") == 3 and "img" not in page.tags and not page.handlers
    # Outside code spans, which show text as it is.
    markdown = re.sub(r"(`+).*?\1", "", markdown_of(small_study))
    assert "&lt;script&gt;alert" in markdown and not re.search(r"<\s*(script|img)", markdown)
    assert r"\*\*all\*\*" in markdown


def test_json_inside_a_script_cannot_end_the_script() -> None:
    assert "<" not in script_json({"text": "</script><!--"})


def _crash_all(study: Path) -> None:
    for trial in files.load_study(study).trials:
        change_trial(trial.folder, status="crashed", reason="RuntimeError: nothing works")
        (trial.folder / files.CURVE_FILE).unlink()
        (trial.folder / files.TIMING_FILE).unlink()
        (trial.folder / files.MASKS_FILE).unlink()


def _all_nan(study: Path) -> None:
    for trial in files.load_study(study).trials:
        change_curve(trial.folder, lambda curve: curve.assign(return_mean=np.nan, sampled_return_mean=np.inf))


@pytest.mark.parametrize(
    "damage",
    [_crash_all, _all_nan, lambda study: shutil.rmtree(study / "trials")],
    ids=["all crashed", "no finite return", "no trial"],
)
def test_a_study_without_a_single_curve_has_a_report_that_says_so(small_study: Path, damage: Break) -> None:
    damage(small_study)
    summary = conclude(small_study)
    assert summary.verdict is Verdict.INVALID
    page = page_of(small_study)
    assert in_order(page.text, "INVALID", "rllib seed 2", "Learning curves", "Comparison with sb3", "parity run")
    assert "No trial of tiles left a curve that could be drawn." in page.text or "seed 0" in page.text
    assert "rllib seed 2" in markdown_of(small_study)


def test_a_nan_in_one_curve_is_a_gap_and_its_seed_is_no_part_of_the_mean(small_study: Path) -> None:
    trial = files.trial_folder(small_study, "tiles", "rllib", 1)
    change_curve(trial, lambda curve: curve.assign(return_mean=curve["return_mean"].where(curve.index != 4)))
    summary = conclude(small_study)
    curves = TaskCurves.of(files.load_study(small_study), "tiles", summary.tasks["tiles"])
    mean = curves.mean("rllib", "deterministic")
    assert mean is not None and mean.runs == 2 and np.isfinite(mean.mean).all()
    seeds = {seed["label"]: seed for seed in curves_data(curves)["seeds"]}
    assert seeds["rllib seed 1 (incomplete)"]["deterministic"]["return"][4] is None
    assert "return_mean that is no finite number at step" in page_of(small_study).text


def test_a_port_without_sb3_says_that_there_is_nothing_to_compare(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "alone", {"rllib": [0.9, 0.8, 0.85]}, best=None)
    conclude(folder)
    assert "sb3 was not asked for" in page_of(folder).text
    assert "No sb3 was asked for" in markdown_of(folder) or "no sb3 was asked for" in markdown_of(folder)


def test_sb3_alone_has_its_scores(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "alone", {"sb3": [0.9, 0.8, 0.85]})
    conclude(folder)
    assert "no port was asked for beside sb3" in page_of(folder).text
    assert "Final score of sb3: 0.85" in page_of(folder).text


def test_several_tasks_have_a_section_each_under_one_verdict(tmp_path: Path) -> None:
    arms = {"sb3": [0.97, 0.9, 0.93], "rllib": [0.95, 0.93, 0.9]}
    folder = write_study(tmp_path / "two", {"tiles": arms, "other": arms | {"rllib": [0.02, 0.01, 0.03]}})
    conclude(folder)
    page = page_of(folder)
    assert in_order(page.text, "WORSE", "Task tiles EQUIVALENT", "Task other WORSE", "What it ran on")
    assert {"#task-tiles", "#task-other"} <= set(page.references)
    assert page.text.count("Learning curves") == 2
    assert in_order(markdown_of(folder), "## Task tiles: EQUIVALENT", "### Learning curves", "## Task other: WORSE")


def test_a_relative_score_is_said_to_be_relative(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "relative", {"sb3": [0.9, 0.8, 0.85], "rllib": [0.9, 0.85, 0.8]}, best=None)
    conclude(folder)
    for text in (page_of(folder).text, markdown_of(folder)):
        assert "such a score must not be compared across studies" in text


def test_an_undecided_comparison_says_how_many_seeds_are_missing(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "open", {"sb3": [0.97, 0.8, 0.6], "rllib": [0.9, 0.7, 0.99]})
    summary = conclude(folder)
    metric = summary.tasks["tiles"].metrics.final
    assert metric.verdict is Verdict.INCONCLUSIVE and metric.seeds_needed is not None
    assert f"{metric.seeds_needed} ({metric.seeds_needed - 3} more)" in page_of(folder).text
    assert f"{metric.seeds_needed} seeds per framework would probably decide (3 so far)" in markdown_of(folder)


def test_throughput_is_labelled_as_seen_in_passing_and_an_unknown_phase_stays_unknown(good_study: Path) -> None:
    for text in (page_of(good_study).text, markdown_of(good_study)):
        assert "Seen while trials shared the machine;" in text and "parity bench" in text
    row = next(
        line for line in markdown_of(good_study).splitlines() if re.match(r"\| rllib \| [\d,]+ \| 0\.\d\d \|", line)
    )
    assert row.split(" | ")[4] == UNKNOWN


def test_a_summary_with_the_contracts_fields_alone_has_a_report(small_study: Path) -> None:
    study = files.load_study(small_study)
    summary = judge(study)
    bare = {"comparisons": {}, "verdicts": {}, "reasons": [], "collapsed": {}, "steps": None}
    tasks = {name: task.model_copy(update=bare) for name, task in summary.tasks.items()}
    write_report(study, summary.model_copy(update={"tasks": tasks}))
    assert "area under the curve" in page_of(small_study).text


def test_a_stored_summary_gives_the_same_report(good_study: Path) -> None:
    written = {name: (good_study / name).read_text() for name in ("report.html", "report.md", "junit.xml")}
    write_report(
        files.load_study(good_study), Summary.model_validate_json((good_study / files.SUMMARY_FILE).read_text())
    )
    assert written == {name: (good_study / name).read_text() for name in written}
