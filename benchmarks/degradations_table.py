"""What parity says of ports with a known mistake: the ladder, and beside it the verdict that the curves alone give.

Judges stored studies again, once without their ladder. The first study gets degradations.json and degradations.md; ports of
the others stand in the same table, judged on the tasks of the first.

Usage: python benchmarks/degradations_table.py results/degradations [results/parity ...]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from parity.results.ladder import load_ladder
from parity.results.study import load_study
from parity.results.summary import SB3, Finding, MetricComparison, Summary, Verdict
from parity.verdict.judge import judge
from parity.verdict.port_comparison import gravest


def rows_of(folder: Path, tasks: list[str]) -> list[dict[str, Any]]:
    """One row for each port of a study, on these tasks of it."""
    study = load_study(folder)
    study.file.request.tasks = tasks
    ladder, findings = load_ladder(folder)
    findings = [finding for finding in findings if finding.task in tasks]
    whole, curves = judge(study, ladder, findings), judge(study)
    return [_row(port, whole, curves, findings) for port in whole.frameworks if port != SB3]


def _row(port: str, whole: Summary, curves: Summary, findings: list[Finding]) -> dict[str, Any]:
    together, by_task = curves.pooled, curves.tasks
    assert together is not None, "a suite has several tasks"
    alone = [summary.verdicts[port] for summary in by_task.values()]
    errors = {f.code: f for f in findings if f.framework == port and f.severity == "error"}
    return {
        "port": port,
        "study": whole.study,
        "seeds": len(whole.seeds),
        "findings": [f"{code} {finding.title}" for code, finding in errors.items()],
        "verdict": whole.pooled.verdicts[port] if whole.pooled else None,
        "curves_alone": {
            # A task that is decided by itself is not outweighed by the others.
            "verdict": gravest([together.verdicts[port], *(v for v in alone if v is not Verdict.INCONCLUSIVE)]),
            "pooled": together.verdicts[port],
            "metrics": {
                name: {"difference": m.difference, "interval": m.interval, "verdict": m.verdict}
                for name, m in together.comparisons[port].primary.items()
            },
            "tasks": {task: summary.verdicts[port] for task, summary in by_task.items()},
            "final": {
                task: {"sb3": _score(s.comparisons[port].final, SB3), port: _score(s.comparisons[port].final, port)}
                for task, s in by_task.items()
            },
            "learns": {task: summary.learns[port] for task, summary in by_task.items()},
        },
    }


def _score(metric: MetricComparison, framework: str) -> float | None:
    return metric.scores.get(framework)


def table(rows: list[dict[str, Any]]) -> str:
    tasks = list(rows[0]["curves_alone"]["tasks"])
    lines = [
        "# Ports with one mistake each",
        "",
        f"{rows[0]['seeds']} seeds of {', '.join(tasks)}. *Ladder*: error findings, before anything was trained.",
        "*Curves alone*: the verdict of the same study without its ladder, then that of all tasks together, whose difference",
        "from SB3 in normalised score follows with its 90 % interval. Made by `benchmarks/degradations_study.sh`.",
        "",
        "| port | ladder | curves alone | final | AUC | " + " | ".join(tasks) + " |",
        "|---|---|---|---|---|" + "---|" * len(tasks),
    ]
    for row in rows:
        curves = row["curves_alone"]
        cells = [
            row["port"],
            "; ".join(row["findings"]) or "holds",
            f"**{curves['verdict']}** (together {curves['pooled']})",
            *(_difference(metric) for metric in curves["metrics"].values()),
            *(
                f"{curves['tasks'][task]}, {curves['learns'][task]}: {_two(curves['final'][task][row['port']])} "
                f"(SB3 {_two(curves['final'][task][SB3])})"
                for task in tasks
            ),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _difference(metric: dict[str, Any]) -> str:
    if metric["interval"] is None:
        return "no interval"
    low, high = metric["interval"]
    return f"{metric['difference']:+.2f} ({low:+.2f} to {high:+.2f}), {metric['verdict']}"


def _two(score: float | None) -> str:
    return "none" if score is None else f"{score:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", type=Path, nargs="+")
    folders = parser.parse_args().studies
    tasks = load_study(folders[0]).file.request.tasks
    rows = [row for folder in reversed(folders) for row in rows_of(folder, tasks)]
    (folders[0] / "degradations.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    (folders[0] / "degradations.md").write_text(table(rows), encoding="utf-8")
    print(table(rows))


if __name__ == "__main__":
    main()
