"""``bench.html``: what ``parity bench`` measured, beside ``bench.json``; one file that needs no network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from parity.bench.sentence import PHASE_WORDS, ratio_words
from parity.ladder.findings import RULES
from parity.report.content import evidence
from parity.report.interactive import stacked_bars, sweep_figure
from parity.report.page import rendered
from parity.results.bench import BenchFile, TaskBench
from parity.results.summary import Finding
from parity.results.writing import write_text
from parity.system.machine import words

BENCH_PAGE = "bench.html"


def write_bench_page(folder: Path, file: BenchFile) -> Path:
    """Writes the page of a bench that was judged."""
    path = folder / BENCH_PAGE
    write_text(path, bench_page(file, folder.name))
    return path


def bench_page(file: BenchFile, name: str) -> str:
    """The page; ``name``: the folder's."""
    by_task = file.by_task()
    figures = {task: made for task, bench in by_task.items() if (made := _figures(file, task, bench))}
    return rendered(
        "bench.html",
        figures,
        file=file,
        name=name,
        by_task=by_task,
        machine=words(file.machine),
        phases=PHASE_WORDS,
        ratio_words=ratio_words,
        evidence=_seen,
        rules=RULES,
    )


def _seen(finding: Finding) -> list[tuple[str, str]]:
    return [("seen", str((finding.model_extra or {}).get("message", finding.title))), *evidence(finding)]


def _figures(file: BenchFile, task: str, bench: TaskBench) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    bars = {
        framework: {phase: 1e6 * rate.phase_s(phase) / steps for phase in PHASE_WORDS}
        for framework, rate in bench.throughput.items()
        if rate.phases and (steps := _steps(file, task, framework))
    }
    if bars:
        figures["phases"] = stacked_bars("milliseconds per 1,000 environment steps", bars, PHASE_WORDS, "ms")
    for name in dict.fromkeys(point.name for point in bench.sweep):
        lines: dict[str, list[tuple[int, float, list[float]]]] = {}
        for point in sorted(bench.sweep, key=lambda point: point.value):
            if point.name == name:
                rounds = [1000 / rate for rate in point.rounds]
                lines.setdefault(point.framework, []).append((point.value, 1000 / point.env_steps_per_s, rounds))
        figures[f"sweep {name}"] = sweep_figure(name, lines)
    return figures


def _steps(file: BenchFile, task: str, framework: str) -> float:
    """Environment steps of one iteration."""
    rounds = [each for each in file.profiled if (each.task, each.framework) == (task, framework)]
    return rounds[0].steps / rounds[0].iterations if rounds else 0.0
