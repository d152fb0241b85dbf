"""Judges rounds: medians, the ratio of every port to SB3, and whether it is slower. Nothing runs here."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from parity.bench.sentence import sentence
from parity.errors import ExitCode
from parity.results.bench import BenchFile, Ratio, Round, TaskBench, Throughput
from parity.results.summary import SB3, PhaseSeconds
from parity.verdict.statistics import WIDE_CONFIDENCE
from parity.verdict.throughput import judge_speed, throughput_ratio


def conclude(file: BenchFile) -> None:
    """Fills in throughput, ratios, exit code and sentence from the rounds."""
    benches = {task: _of_task(file, task) for task in file.request.tasks}
    if len(benches) == 1:
        (file.task, only), *_ = benches.items()
        file.throughput, file.ratio = only.throughput, only.ratio
    else:
        file.tasks = benches
    compared = [ratio for bench in benches.values() for ratio in bench.ratio.values()]
    if file.reason is not None:
        file.exit_code = ExitCode.DOES_NOT_HOLD
    else:
        open_ = any(ratio.slower is None for ratio in compared)
        file.exit_code = ExitCode.UNDECIDED if open_ else ExitCode.HOLDS
    file.sentence = sentence(file)


def _of_task(file: BenchFile, task: str) -> TaskBench:
    rounds = {
        name: sorted((r for r in file.measured if (r.task, r.framework) == (task, name)), key=lambda r: r.round)
        for name in file.request.frameworks
    }
    return TaskBench(
        throughput={name: _throughput(each, file.request.threads) for name, each in rounds.items() if each},
        ratio={
            f"{name}/{SB3}": _ratio(each, rounds[SB3])
            for name, each in rounds.items()
            if name != SB3 and each and rounds.get(SB3)
        },
    )


def _throughput(rounds: Sequence[Round], threads: int) -> Throughput:
    def median(of: Callable[[Round], Any]) -> float:
        return statistics.median(of(each) for each in rounds)

    phases = {
        name: statistics.median(getattr(each.phases_s, name) for each in rounds)
        for name in ("sample", "returns", "update")
    }
    return Throughput(
        env_steps_per_s=median(lambda r: r.env_steps_per_s),
        rounds=[each.env_steps_per_s for each in rounds],
        phases_s=PhaseSeconds(**phases, evaluate=float("nan")),
        start_s=median(lambda r: r.start_s),
        device=", ".join(sorted({device for each in rounds for device in each.devices.values()})),
        threads=threads,
        peak_memory_mb=max(each.peak_memory_mb for each in rounds),
    )


def _ratio(port: Sequence[Round], reference: Sequence[Round]) -> Ratio:
    rates = {each.round: each.env_steps_per_s for each in reference}
    pairs = [(each.env_steps_per_s, rates[each.round]) for each in port if each.round in rates]
    a, b = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    ratio, speed = throughput_ratio(a, b), judge_speed(baseline=b, study=a)
    return Ratio(
        estimate=ratio.estimate,
        interval=(ratio.low, ratio.high) if len(pairs) > 1 else None,
        confidence=WIDE_CONFIDENCE,
        rounds=len(pairs),
        slower=speed.slower,
        p_slower=speed.p,
    )
