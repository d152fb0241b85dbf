"""The verdict on a stored study: what lies in its folder, judged again."""

from __future__ import annotations

from parity.results.ladder import load_ladder
from parity.results.study import StudyRecord
from parity.results.summary import Summary
from parity.verdict.judge import judge


def judged(study: StudyRecord) -> Summary:
    """The verdict on what lies in a study's folder, its ladder included."""
    ladder, findings = load_ladder(study.folder)
    return judge(study, ladder=ladder, findings=findings)
