"""How long a trial of each task takes and how much runs vary, from stored studies into envs/measured.json.

`parity tasks` and `parity plan` show it. The deviation is that of a run's normalised score within its framework.

The median over a framework's seeds of the wall-clock time of a finished trial, evaluation included. As many trials ran side
by side as the machine has cores, so the figures are for orientation. What other studies have measured of tasks that are in
none of these stays.

Usage: python benchmarks/tasks_measured.py results/tasks [results/tiles ...] [--tasks taxi ...] [--note TEXT]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import median
from typing import Any

from parity.plan.standard_deviation import of_runs
from parity.results.study import load_study
from parity.system import machine
from parity.task.registry import BUILT_IN
from parity.task.task_table import MEASURED_FILE
from parity.verdict.task_runs import TaskRuns

OUT = Path(__file__).parents[1] / "envs" / MEASURED_FILE
FRAMEWORKS = ("sb3", "rllib")


def measure(folder: Path) -> dict[str, dict[str, Any]]:
    """Built-in tasks of a study whose trials have all ended, at the task's own number of steps."""
    study = load_study(folder)
    if study.file.request.steps is not None:
        raise SystemExit(f"{folder}: it was run with --steps {study.file.request.steps}")
    found: dict[str, dict[str, Any]] = {}
    for task in study.file.request.tasks:
        seconds: dict[str, float] = {}
        for framework in FRAMEWORKS:
            metas = [t.meta for t in study.trials if (t.task, t.framework) == (task, framework)]
            done = [meta.wall_s for meta in metas if meta is not None and meta.status == "done"]
            if done and len(done) == len(metas):
                seconds[framework] = round(median(done), 1)
        if task in BUILT_IN and set(seconds) == set(FRAMEWORKS):
            found[task] = {
                "seconds": seconds,
                "machine": machine.words(study.file.machine),
                "study": study.file.study,
                "created": study.file.created,
                "deviation": _deviation(TaskRuns.of(study, task)),
            }
    return found


def _deviation(runs: TaskRuns) -> dict[str, float | int]:
    found, counted = of_runs(runs)
    return {metric: round(value, 4) for metric, value in found.items()} | {"runs": counted}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", type=Path, nargs="+")
    parser.add_argument("--tasks", nargs="+", choices=list(BUILT_IN), help="only these")
    parser.add_argument("--note", help="what speaks against the times")
    arguments = parser.parse_args()
    tasks = json.loads(OUT.read_text(encoding="utf-8"))["tasks"] if OUT.is_file() else {}
    for folder in arguments.studies:
        for name, entry in measure(folder).items():
            if arguments.tasks is None or name in arguments.tasks:
                tasks[name] = entry | ({"note": arguments.note} if arguments.note else {})
    ordered = {name: tasks[name] for name in BUILT_IN if name in tasks}
    document = {"script": "benchmarks/tasks_measured.py", "tasks": ordered}
    OUT.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    for name, entry in ordered.items():
        print(f"{name}: {entry['seconds']} on {entry['machine']} ({entry['study']})")


if __name__ == "__main__":
    main()
