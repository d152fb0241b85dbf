"""SB3 against SB3: how often does parity's verdict accuse runs of the same code? Judges splits of a stored study.

All splits of a task's runs into two halves are judged (of 20 runs there are 184,756, each half once as the port), and a
sample of pairs of smaller arms, by the functions that judge a study. Writes aa.json and aa.md beside the study.

Usage: python benchmarks/aa_splits.py results/aa
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from parity.results.study import load_study
from parity.results.summary import PRIMARY, SB3, Verdict
from parity.verdict.simulation import primary_verdicts, rates
from parity.verdict.statistics import collapsed
from parity.verdict.task_runs import TaskRuns

SMALLER_ARMS = (3, 5)
SAMPLED = 200_000
AT_ONCE = 20_000


def halves(n: int) -> np.ndarray:
    """Every choice of half of ``n`` runs, then the other half: int ``[splits, n]``."""
    firsts = np.array(list(itertools.combinations(range(n), n // 2)))
    others = np.ones((len(firsts), n), bool)
    np.put_along_axis(others, firsts, False, axis=1)
    return np.hstack([firsts, np.nonzero(others)[1].reshape(len(firsts), -1)])


def sampled(n: int, arm: int) -> np.ndarray:
    """Random disjoint pairs of arms of ``arm`` runs: int ``[splits, 2 * arm]``."""
    return np.random.default_rng(arm).permuted(np.tile(np.arange(n), (SAMPLED, 1)), axis=1)[:, : 2 * arm]


def judged(scores: np.ndarray, splits: np.ndarray, margin: float) -> dict[Verdict, float]:
    """Rates of verdicts; ``scores`` ``[metrics, tasks, n]``, the first half of every split is the reference."""
    return rates(np.concatenate([_verdicts(scores, part, margin) for part in _parts(splits)]))


def _verdicts(scores: np.ndarray, splits: np.ndarray, margin: float) -> np.ndarray:
    arm = splits.shape[1] // 2
    runs = np.moveaxis(scores[..., splits], 2, 0)  # [splits, metrics, tasks, 2 * arm]
    reference, port = runs[..., :arm], runs[..., arm:]
    verdicts = primary_verdicts(reference, port, margin)
    final = PRIMARY.index("final")
    extra = [collapsed(side[:, final]).sum(axis=-1) for side in (port, reference)]
    return np.where(((extra[0] - extra[1]) > 1).any(axis=-1), Verdict.WORSE, verdicts)


def _parts(splits: np.ndarray) -> Iterator[np.ndarray]:
    return (splits[start : start + AT_ONCE] for start in range(0, len(splits), AT_ONCE))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    folder = parser.parse_args().study
    study = load_study(folder)
    tasks = {name: TaskRuns.of(study, name) for name in study.file.request.tasks}
    for name, runs in tasks.items():
        if problems := runs.problems([SB3]):
            raise SystemExit(f"{folder}: {name}: {problems[0]}")
    seeds = len(study.file.request.seeds)
    rows = []
    for names in [*([name] for name in tasks), list(tasks)]:
        scores = np.array([[tasks[name].scores(SB3, metric) for name in names] for metric in PRIMARY])
        margin = min(tasks[name].margin for name in names)
        for splits in (halves(seeds), *(sampled(seeds, arm) for arm in SMALLER_ARMS)):
            rows.append(
                {
                    "tasks": names,
                    "seeds_per_arm": splits.shape[1] // 2,
                    "splits": len(splits),
                    "all_splits": splits.shape[1] == seeds,
                    "margin": margin,
                    "deviation": dict(zip(PRIMARY, scores.std(axis=-1, ddof=1).mean(axis=1).round(4), strict=True)),
                    "rates": judged(scores, splits, margin),
                }
            )
    document = {"study": study.file.study, "versions": study.file.versions, "machine": study.file.machine, "rows": rows}
    (folder / "aa.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    (folder / "aa.md").write_text(table(rows, seeds), encoding="utf-8")
    print(table(rows, seeds))


def table(rows: Sequence[dict], seeds: int) -> str:
    lines = [
        "# SB3 against SB3",
        "",
        f"{seeds} runs of each task, split into two arms, the second judged as a port of the first. Smaller arms than half "
        f"are {SAMPLED:,} random pairs. Made by `benchmarks/aa_study.sh`; raw curves are in `trials/`.",
        "",
        "| tasks | seeds per arm | splits | deviation, final / AUC | WORSE | BETTER | EQUIVALENT | INCONCLUSIVE |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [
            ", ".join(row["tasks"]),
            row["seeds_per_arm"],
            f"{row['splits']:,}" + (" (all)" if row["all_splits"] else ""),
            " / ".join(f"{value:.3f}" for value in row["deviation"].values()),
            *(
                f"{100 * row['rates'][verdict]:.1f} %"
                for verdict in (Verdict.WORSE, Verdict.BETTER, Verdict.EQUIVALENT, Verdict.INCONCLUSIVE)
            ),
        ]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
