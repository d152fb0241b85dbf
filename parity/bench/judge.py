"""Judges rounds: medians, the ratio of every port to SB3, and whether it is slower. Nothing runs here."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from parity.bench.advice import fairness, findings
from parity.bench.sentence import LIMIT, LIMIT_OF_PORT, sentence
from parity.errors import ExitCode
from parity.results.bench import BenchFile, Ratio, Round, SweepPoint, TaskBench, Throughput
from parity.results.summary import SB3, PhaseSeconds
from parity.verdict.statistics import WIDE_CONFIDENCE
from parity.verdict.throughput import judge_speed, throughput_ratio


def conclude(file: BenchFile) -> None:
    """Fills in throughput, ratios, exit code and sentence from the rounds."""
    benches = {task: _of_task(file, task) for task in file.request.tasks}
    if len(benches) == 1:
        (file.task, only), *_ = benches.items()
        for field in TaskBench.model_fields:
            setattr(file, field, getattr(only, field))
    else:
        file.tasks = benches
    has_error = any(each.severity == "error" for bench in benches.values() for each in bench.findings)
    compared = [ratio for bench in benches.values() for ratio in bench.ratio.values()]
    if file.reason is not None or has_error:
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
    limit, limit_of_port = (
        _throughput(limits, file, task) if (limits := [r for r in file.limits if (r.task, r.framework) == of]) else None
        for of in ((task, LIMIT), (task, LIMIT_OF_PORT))
    )
    throughput = {name: _throughput(each, file, task) for name, each in rounds.items() if each}
    for name, each in throughput.items():
        own = limit_of_port if rounds[name][0].learning_modules > 1 else limit
        each.of_limit = None if own is None else each.env_steps_per_s / own.env_steps_per_s
    conditions = fairness(file, task)
    return TaskBench(
        throughput=throughput,
        ratio={
            f"{name}/{SB3}": _ratio(each, rounds[SB3])
            for name, each in rounds.items()
            if name != SB3 and each and rounds.get(SB3)
        },
        limit=limit,
        limit_of_port=limit_of_port,
        limit_reason=file.without_limit.get(task),
        fairness=conditions,
        findings=findings(file, task, conditions),
        sweep=_sweep(file, task),
    )


def _throughput(rounds: Sequence[Round], file: BenchFile, task: str) -> Throughput:
    def median(of: Callable[[Round], Any]) -> float:
        return statistics.median(of(each) for each in rounds)

    phases = {
        name: statistics.median(getattr(each.phases_s, name) for each in rounds)
        for name in ("sample", "returns", "update")
    }
    framework = rounds[0].framework
    profiled = next((r for r in file.profiled if (r.task, r.framework) == (task, framework)), None)
    opened = [each.open_s for each in rounds if each.open_s is not None]
    return Throughput(
        env_steps_per_s=median(lambda r: r.env_steps_per_s),
        rounds=[each.env_steps_per_s for each in rounds],
        phases_s=PhaseSeconds(**phases, evaluate=float("nan")),
        start_s=median(lambda r: r.start_s),
        open_s=statistics.median(opened) if opened else None,
        device=", ".join(sorted({device for each in rounds for device in each.devices.values()}))
        or file.request.device,
        threads=file.request.threads,
        peak_memory_mb=max(each.peak_memory_mb for each in rounds),
        rows_per_s=_rows_per_s(file, task, framework, rounds, phases["update"]),
        phases={} if profiled is None else profiled.phases,
        evaluated_steps_per_s=None if profiled is None else profiled.evaluated_steps_per_s,
        gpu=next((each.gpu for each in rounds if each.gpu is not None), None),
    )


def _rows_per_s(file: BenchFile, task: str, framework: str, rounds: Sequence[Round], update_s: float) -> float | None:
    """The epochs of the limit are those of the first framework, as both are the task's."""
    effective = file.effective.get(task, {})
    config = effective.get(framework) or next(iter(effective.values()), None)
    epochs = file.request.at.get("n_epochs", config.hyperparameters.get("n_epochs") if config is not None else None)
    if not isinstance(epochs, int) or not update_s > 0:
        return None
    return statistics.median(each.steps / each.iterations for each in rounds) * epochs / update_s


def _sweep(file: BenchFile, task: str) -> list[SweepPoint]:
    points: dict[tuple[str, int, str], list[float]] = {}
    for each in file.swept:
        if each.task == task:
            ((name, value),) = each.at.items()
            points.setdefault((name, value, each.framework), []).append(each.env_steps_per_s)
    return [
        SweepPoint(name=name, value=value, framework=framework, rounds=rates, env_steps_per_s=statistics.median(rates))
        for (name, value, framework), rates in points.items()
    ]


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
