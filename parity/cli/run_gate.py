"""``parity gate`` and ``parity baseline accept``, from files to exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from parity.gate import waivers as waiver_files
from parity.gate.accept import accept, losses
from parity.gate.annotations import annotation_lines
from parity.gate.baseline import BASELINE_FILE, load, tasks_of
from parity.gate.bench import load_bench
from parity.gate.benchmark import benchmark_json
from parity.gate.circumstances import version_changes
from parity.gate.decide import decide
from parity.gate.throughput_claims import Source
from parity.report import write_report
from parity.report.gate_markdown import gate_markdown
from parity.results import study as files
from parity.results.gate import BENCHMARK_FILE, GATE_FILE, MARKDOWN_FILE, Gate, GatedSummary
from parity.results.summary import Summary
from parity.verdict.judged import judged


def gate(
    folder: Path,
    baseline: Path | None = None,
    require: Sequence[str] = (),
    waivers: Path | None = None,
    throughput: Source = "bench",
    as_json: bool = False,
) -> int:
    """Judges a stored study again, holds it against a baseline, writes the results into its folder. Returns the exit code.

    Raises:
        CannotStart: the study, the baseline or the waivers cannot be read.
    """
    path = baseline or Path(BASELINE_FILE)
    accepted = load(path)
    beside = path.parent / waiver_files.WAIVERS_FILE
    granted = waiver_files.load(waivers or beside) if waivers is not None or beside.is_file() else []
    study, summary = rejudge(folder)
    bench = load_bench(folder)
    tasks = tasks_of(study, summary, bench)
    required = list(dict.fromkeys([*study.file.request.require, *require]))
    decided = decide(accepted, study, summary, required, granted, throughput, datetime.now(UTC).date(), bench)
    (folder / files.SUMMARY_FILE).write_text(summary.to_json(), encoding="utf-8")
    (folder / GATE_FILE).write_text(decided.model_dump_json(indent=1) + "\n", encoding="utf-8")
    (folder / BENCHMARK_FILE).write_text(benchmark_json(summary, tasks), encoding="utf-8")
    markdown = gate_markdown(decided)
    (folder / MARKDOWN_FILE).write_text(markdown, encoding="utf-8")
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
    before = load(path) if path.exists() else None
    made = accept(study, summary, path, reason, by)
    for lost in losses(before, made):
        _say(f"{lost} was in the baseline and is not any more")
    few = [
        f"{framework} on {name}"
        for name, task in made.tasks.items()
        for framework, side in task.frameworks.items()
        if len(side.runs) < 2
    ]
    if few:
        _say(f"One seed decides nothing later: {', '.join(few)}; accept a study of more seeds")
    for change in version_changes(before.versions, made.versions) if before else []:
        _say(str(change))
    _say(f"{path}: {made.acceptance.study} is the baseline, accepted by {made.acceptance.by}: {made.acceptance.reason}")
    _say("Commit it: whoever reviews the change reviews the baseline.")
    if as_json:
        print(made.model_dump_json(indent=1))
    return 0


def rejudge(folder: Path) -> tuple[files.StudyRecord, Summary]:
    """A stored study and what its files say now, whatever its ``summary.json`` says.

    Raises:
        CannotStart: it cannot be read.
    """
    study = files.load_study(folder)
    return study, judged(study)


def _tell(gate: Gate, markdown: str, folder: Path) -> None:
    """On stderr, for people and for GitHub, which reads its commands there too; stdout is for the JSON document."""
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for line in annotation_lines(gate):
            _say(line)
    for use in gate.waivers:
        if use.state in ("unused", "no_such_claim", "not_yet_granted"):
            _say(f"Note: {use.message}")
    for claim in gate.having("not_compared"):
        # A rung without a counterpart in this port is no news.
        if claim.kind != "ladder":
            _say(f"Not compared: {claim.message}")
    _say(gate.sentence)
    _say(f"{gate.outcome}. Claim by claim: {folder / MARKDOWN_FILE}")
    summary_file = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary_file:
        try:
            with Path(summary_file).open("a", encoding="utf-8") as file:
                file.write(markdown)
        except OSError as error:
            # What was decided stands, whoever set this variable.
            _say(f"GITHUB_STEP_SUMMARY: {summary_file} cannot be written ({error.strerror})")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
