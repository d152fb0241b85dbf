"""What ends a study: it is judged, reported, and its verdict said."""

from __future__ import annotations

from pathlib import Path

from parity.cli.github import add_to_summary, annotate_findings, summary_is_wanted
from parity.errors import REFUSED_BY_THE_SYSTEM, ExitCode
from parity.report import write_report
from parity.report.content import content
from parity.report.job_summary import job_summary
from parity.results.study import LOG_FILE, SUMMARY_FILE, load_study
from parity.results.writing import write_text
from parity.system.console import say
from parity.verdict.judge import judge_stored


def conclude(folder: Path, as_json: bool, place: str | None = None) -> int:
    """Judges what lies in a study's folder, writes summary and report, says the verdict. Returns the exit code.

    ``place``: where people find the folder, if not there.
    """
    study = load_study(folder)
    summary = judge_stored(study)
    code, is_stored = summary.exit_code, True
    try:
        write_text(folder / SUMMARY_FILE, summary.to_json())
        write_report(study, summary)
    except OSError as error:
        if error.errno not in REFUSED_BY_THE_SYSTEM:
            raise
        say(f"{error.filename}: {error.strerror}; the verdict and its report are not stored")
        code = code or ExitCode.CANNOT_START  # 0 says that they are
        is_stored = False
    if as_json:
        print(summary.to_json(), end="")
    for trial in study.trials:
        if trial.meta is not None and trial.meta.status == "crashed":
            name = f"{trial.task}/{trial.framework}/{trial.seed}"
            say(f"{name} crashed: {trial.meta.reason}; log: {trial.folder / LOG_FILE}")
    for finding in summary.findings:
        if finding.severity == "error":
            say(f"{finding.code} {finding.title} [{finding.framework}], {finding.where}; fix: {finding.fix}")
    annotate_findings(summary.findings)
    if summary_is_wanted():
        add_to_summary(job_summary(content(study, summary)))
    say(summary.sentence)
    say(f"{summary.verdict}. Report: {place or folder}/report.html" if is_stored else f"{summary.verdict}.")
    return code
