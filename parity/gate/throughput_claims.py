"""Throughput against the baseline, as claims: ratios on any machine, steps per second on the same one only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from parity.gate.changes import changes, claim
from parity.results.baseline import TaskBaseline
from parity.results.gate import Claim, Status
from parity.results.summary import SB3
from parity.verdict.throughput import FACTOR_SLOWER, judge_speed

# Measured by ``parity bench``; or also what was seen while trials shared the machine.
ThroughputSource = Literal["bench", "observed"]


def measured_speed(name: str, then: TaskBaseline, now: TaskBaseline) -> Iterator[Claim]:
    """What ``parity bench`` measured. A task that was measured for the baseline has to be measured again, in the same way."""
    a, b = then.bench, now.bench
    if a is None and b is None:
        return
    if a is None:
        yield claim(name, None, "throughput", "not_compared", f"throughput on {name} is not in the baseline")
        return
    if b is None:
        remedy = f"measure it: parity bench --task {name} --study STUDY"
        yield claim(name, None, "throughput", "fail", f"throughput on {name} is in the baseline; {remedy}")
        return
    asked = ", ".join(map(str, changes(a.asked, b.asked)))
    if asked:
        words = f"was measured otherwise than in the baseline ({asked}); measure it as it was"
        yield claim(name, None, "throughput", "fail", f"throughput on {name} {words}")
        return
    for port in dict.fromkeys([*a.ports, *b.ports]):
        what = f"throughput of {port} over {SB3} on {name}"
        yield _speed_claim(name, port, f"throughput.over-{SB3}", what, a.ratios(port), b.ratios(port))
    for framework in dict.fromkeys([*a.rounds, *b.rounds]):
        what = f"throughput of {framework} on {name}, in steps per second"
        if a.machine != b.machine:
            message = f"{what}, is not compared: other machine"
            yield claim(name, framework, "throughput.rate", "not_compared", message)
        else:
            rates = a.rounds.get(framework, []), b.rounds.get(framework, [])
            yield _speed_claim(name, framework, "throughput.rate", what, *rates)


def observed_speed(name: str, then: TaskBaseline, now: TaskBaseline) -> Iterator[Claim]:
    """Ratios of runs of the same seed, seen while trials shared the machine: only where they were asked for."""
    for framework in dict.fromkeys([*then.frameworks, *now.frameworks]):
        if framework != SB3 and SB3 in then.frameworks and SB3 in now.frameworks:
            what = f"throughput of {framework} over {SB3} on {name}, observed while trials shared the machine"
            ratios = _seed_ratios(then, framework), _seed_ratios(now, framework)
            yield _speed_claim(name, framework, f"observed-throughput.over-{SB3}", what, *ratios)


def _seed_ratios(task: TaskBaseline, framework: str) -> list[float]:
    sb3 = {run.seed: run.env_steps_per_s for run in task.frameworks[SB3].runs}
    runs = task.frameworks[framework].runs if framework in task.frameworks else []
    return [run.env_steps_per_s / base for run in runs if run.env_steps_per_s and (base := sb3.get(run.seed))]


def _speed_claim(
    task: str, framework: str, id_end: str, what: str, then: Sequence[float], now: Sequence[float]
) -> Claim:
    speed = judge_speed(then, now)
    status: Status
    if then and not now:
        status, words = "fail", ": the baseline has it and the study does not"
    elif speed.slower is None:
        status, words = "open" if then and now else "not_compared", f" is not decided: {speed.reason}"
    elif speed.slower:
        times = f"{speed.factor:.2f} times lower than in the baseline (p {speed.p:.2g}, limit {FACTOR_SLOWER:g})"
        status, words = "fail", f" is {times}"
    else:
        status, words = "pass", f": {speed.study:.3g}, in the baseline {speed.baseline:.3g}"
    return claim(task, framework, id_end, status, what + words, figures=speed.figures)
