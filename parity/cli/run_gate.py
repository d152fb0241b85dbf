"""``parity gate`` and ``parity baseline accept``, from files to exit code."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from parity.cli.github import add_to_summary, annotate
from parity.gate.accept import accept, losses
from parity.gate.annotations import annotation_lines
from parity.gate.benchmark import benchmark_json
from parity.gate.changes import version_changes
from parity.gate.decision import decide
from parity.gate.snapshot import load_rounds, tasks_of
from parity.gate.throughput_claims import ThroughputSource
from parity.report import write_report
from parity.report.markdown import gate_markdown
from parity.results.baseline import BASELINE_FILE, load_baseline
from parity.results.gate import BENCHMARK_FILE, GATE_FILE, MARKDOWN_FILE, Gate, GatedSummary
from parity.results.study import SUMMARY_FILE, StudyRecord, load_study
from parity.results.summary import Summary
from parity.results.waivers import WAIVERS_FILE, load_waivers
from parity.results.writing import write_text
from parity.system.console import say
from parity.verdict.judge import judge_stored


def gate(
    folder: Path,
    baseline: Path | None = None,
    require: Sequence[str] = (),
    waivers: Path | None = None,
    throughput: ThroughputSource = "bench",
    as_json: bool = False,
) -> int:
    """Judges a stored study again, holds it against a baseline, writes the results into its folder. Returns the exit code.

    Raises:
        CannotStart: the study, the baseline or the waivers cannot be read.
    """
    path = baseline or Path(BASELINE_FILE)
    accepted = load_baseline(path)
    usual = path.parent / WAIVERS_FILE
    granted = load_waivers(waivers or usual) if waivers is not None or usual.is_file() else []
    study, summary = rejudge(folder)
    bench = load_rounds(folder)
    tasks = tasks_of(study, summary, bench)
    required = list(dict.fromkeys([*study.file.request.require, *require]))
    decided = decide(accepted, study, summary, required, granted, throughput, datetime.now(UTC).date(), bench)
    write_text(folder / SUMMARY_FILE, summary.to_json())
    write_text(folder / GATE_FILE, decided.to_json())
    write_text(folder / BENCHMARK_FILE, benchmark_json(summary, tasks))
    markdown = gate_markdown(decided)
    write_text(folder / MARKDOWN_FILE, markdown)
    write_report(study, summary)
    _tell(decided, markdown, folder)
    if as_json:
        document = GatedSummary.model_validate({**summary.model_dump(), "gate": decided})
        print(document.to_json(), end="")
    return decided.exit_code


def accept_baseline(folder: Path, reason: str, by: str | None, baseline: Path | None, as_json: bool) -> int:
    """Makes a stored study the baseline. Returns the exit code.

    Raises:
        CannotStart: the study becomes no baseline, see ``parity.gate.accept``.
    """
    path = baseline or Path(BASELINE_FILE)
    study, summary = rejudge(folder)
    before = load_baseline(path) if path.exists() else None
    made = accept(study, summary, path, reason, by)
    for lost in losses(before, made):
        say(f"{lost} was in the baseline and is not any more")
    few = [
        f"{framework} on {name}"
        for name, task in made.tasks.items()
        for framework, side in task.frameworks.items()
        if len(side.runs) < 2
    ]
    if few:
        say(f"One seed decides nothing later: {', '.join(few)}; accept a study of more seeds")
    for change in version_changes(before.versions, made.versions) if before else []:
        say(str(change))
    say(f"{path}: {made.acceptance.study} is the baseline, accepted by {made.acceptance.by}: {made.acceptance.reason}")
    say("Commit it: whoever reviews the change reviews the baseline.")
    if as_json:
        print(made.to_json(), end="")
    return 0


def rejudge(folder: Path) -> tuple[StudyRecord, Summary]:
    """A stored study and what its files say now, whatever its ``summary.json`` says.

    Raises:
        CannotStart: it cannot be read.
    """
    study = load_study(folder)
    return study, judge_stored(study)


def _tell(gate: Gate, markdown: str, folder: Path) -> None:
    """On stderr, for people and for GitHub, which reads its commands there too; stdout is for the JSON document."""
    annotate(annotation_lines(gate))
    for use in gate.waivers:
        if use.state in ("unused", "no_such_claim", "not_yet_granted"):
            say(f"Note: {use.message}")
    for claim in gate.having("not_compared"):
        # A rung without a counterpart in this port is no news.
        if claim.kind != "ladder":
            say(f"Not compared: {claim.message}")
    say(gate.sentence)
    say(f"{gate.outcome}. Claim by claim: {folder / MARKDOWN_FILE}")
    add_to_summary(markdown)
