"""docs/speed.md's table and picture, made of the rounds that `benchmarks/bench_tables.sh` measured.

Usage: python benchmarks/bench_table.py results/bench [--page docs/speed.md]
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from parity.bench.judge import conclude
from parity.bench.sentence import PHASE_WORDS
from parity.report.svg import SVG_STYLE, write_svg
from parity.results.bench import BENCH_FILE, BenchFile, TaskBench, load_bench_file
from parity.results.summary import SB3
from parity.system.machine import words

BEGIN, END = "<!-- begin: made by benchmarks/bench_table.py -->", "<!-- end -->"
COLUMNS = {
    "rllib:stock": ("RLlib, its defaults", "#9aa1a8", "s"),
    "rllib:tuned": ("RLlib, its fastest options", "#e0761b", "D"),
    "rllib": ("rllib", "#3a83d6", "o"),
    "rllib-exact": ("rllib-exact", "#1f9e78", "^"),
    "limit": ("limit", "#1c2126", "|"),
    "limit of the port": ("limit, several learn", "#b565c8", "|"),
}
# Ratio to SB3, and its interval where there is one.
Figures = dict[str, tuple[float, tuple[float, float] | None]]


def benches(folder: Path) -> Iterator[tuple[BenchFile, str, TaskBench]]:
    """Every finished bench in the folder, judged anew."""
    for path in sorted(folder.glob(f"*/{BENCH_FILE}")):
        file = load_bench_file(path)
        conclude(file)
        if file.reason is None:
            for task, bench in file.by_task().items():
                yield file, task, bench


def ratios(folder: Path) -> dict[str, Figures]:
    """By task and row. Each ratio is to SB3 of the same bench, so that a slower hour of the machine cancels out."""
    rows: dict[str, Figures] = {}
    for _, task, bench in benches(folder):
        figures = rows.setdefault(task, {})
        figures |= {pair.partition("/")[0]: (ratio.estimate, ratio.interval) for pair, ratio in bench.ratio.items()}
        if bench.limit is not None and SB3 in bench.throughput:
            figures["limit"] = (bench.limit.env_steps_per_s / bench.throughput[SB3].env_steps_per_s, None)
            if bench.limit_of_port is not None:
                figures["limit of the port"] = (
                    bench.limit_of_port.env_steps_per_s / bench.throughput[SB3].env_steps_per_s,
                    None,
                )
            figures[SB3] = (bench.throughput[SB3].env_steps_per_s, None)
    return rows


def block(folder: Path, picture: str) -> str:
    """What stands between the marks."""
    rows = ratios(folder)
    if not rows:
        return "Nothing has been measured yet.\n"
    files = [file for file, _, _ in benches(folder)]
    busy = statistics.median(each.other_load for file in files for each in file.measured)
    lines = [
        f"On {words(files[0].machine)}, {files[0].request.threads} torch thread, parity {files[0].parity_version}, ray "
        f"{files[0].versions.get('ray', '?')}, {max(file.created for file in files)[:10]}; before a round other programs kept "
        f"{busy:.1f} cores busy (median). SB3 in environment steps per second, all others as a multiple of it, with the 95 % "
        "interval:",
        "",
        f"| task | SB3 | {' | '.join(label for label, _, _ in COLUMNS.values())} |",
        "|---|" + "---|" * (len(COLUMNS) + 1),
    ]
    for task, figures in rows.items():
        sb3 = f"{figures[SB3][0]:,.0f}" if SB3 in figures else "-"
        lines.append(f"| {task} | {sb3} | {' | '.join(_cell(figures, name) for name in COLUMNS)} |")
    return "\n".join([*lines, "", f"![Speed of each row over SB3's, by task]({picture})", "", *phases(folder)]) + "\n"


def _cell(figures: Figures, name: str) -> str:
    if name not in figures:
        return "-"
    ratio, interval = figures[name]
    return f"{ratio:.2f}" + (f" ({interval[0]:.2f} to {interval[1]:.2f})" if interval is not None else "")


def phases(folder: Path) -> Iterator[str]:
    """Milliseconds by phase of every framework, for each task."""
    yield "Where the time goes, in milliseconds per 1,000 environment steps, in a round of its own (its hooks cost time):"
    yield ""
    rates = [rate for *_, bench in benches(folder) for rate in bench.throughput.values()]
    shown = [phase for phase in PHASE_WORDS if phase != "graph" or any(rate.phase_s(phase) for rate in rates)]
    yield f"| task | framework | {' | '.join(PHASE_WORDS[each] for each in shown)} |"
    yield "|---|---|" + "---|" * len(shown)
    for file, task, bench in benches(folder):
        for framework, rate in bench.throughput.items():
            steps = next((each.steps / each.iterations for each in file.measured if each.framework == framework), 0)
            if rate.phases and steps:
                cells = [f"{1e6 * rate.phase_s(phase) / steps:.1f}" for phase in shown]
                yield f"| {task} | {framework} | {' | '.join(cells)} |"


def draw(folder: Path, path: Path) -> None:
    rows = ratios(folder)
    with mpl.rc_context(SVG_STYLE):
        figure = Figure(figsize=(8, 1.2 + 0.75 * len(rows)), layout="constrained")
        axes = figure.add_subplot()
        axes.axvline(1, color="#b3261e", linewidth=1.2)
        for place, (name, (label, colour, marker)) in enumerate(COLUMNS.items()):
            points = [(task, *figures[name]) for task, figures in rows.items() if name in figures]
            heights = [list(rows).index(task) + 0.12 * (place - 2) for task, _, _ in points]
            values = [ratio for _, ratio, _ in points]
            axes.plot(values, heights, marker, color=colour, label=label, markersize=10 if marker == "|" else 6)
            for height, (_, _, interval) in zip(heights, points, strict=True):
                if interval is not None and name != "rllib:stock":
                    axes.plot(interval, [height, height], color=colour, linewidth=1.4)
        axes.set_yticks(range(len(rows)), list(rows))
        axes.invert_yaxis()
        axes.set_xscale("log")
        ticks = [0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.set_xlabel("environment steps per second, as a multiple of Stable-Baselines3's")
        figure.legend(loc="outside upper center", ncols=len(COLUMNS), frameon=False)
        write_svg(figure, path, "Speed of each row over SB3's, by task")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--page", type=Path, default=Path("docs/speed.md"))
    arguments = parser.parse_args()
    picture = arguments.folder / "speed.svg"
    if ratios(arguments.folder):
        draw(arguments.folder, picture)
    text = arguments.page.read_text(encoding="utf-8")
    before, after = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    relative = Path("..") / picture
    arguments.page.write_text(f"{before}\n{block(arguments.folder, relative.as_posix())}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
