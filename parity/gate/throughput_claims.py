"""Throughput against the baseline, as claims: ratios on any machine, steps per second on the same one only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from parity.gate.baseline import TaskBaseline
from parity.gate.circumstances import changes
from parity.results.gate import Claim, Status
from parity.verdict.runs import SB3
from parity.verdict.throughput import FACTOR_SLOWER, judge_speed

# Measured by ``parity bench``; or also what was seen while trials shared the machine.
Source = Literal["bench", "observed"]


def bench(name: str, then: TaskBaseline, now: TaskBaseline) -> Iterator[Claim]:
    """Ratios on any machine; steps per second on the same one only."""
    a, b = then.bench, now.bench
    if a is None and b is None:
        return
    if a is None or b is None:
        # Measured once and not any more is no pass.
        status: Status = "not_compared" if a is None else "fail"
        words = (
            "is not in the baseline"
            if a is None
            else f"is in the baseline; measure it: parity bench --task {name} --study STUDY"
        )
        yield Claim(
            id=f"{name}.throughput",
            kind="throughput",
            status=status,
            message=f"throughput on {name} {words}",
            task=name,
        )
        return
    asked = changes(a.asked, b.asked)
    if asked:
        words = f"was measured otherwise than in the baseline ({', '.join(map(str, asked))}); measure it as it was"
        yield Claim(
            id=f"{name}.throughput",
            kind="throughput",
            status="fail",
            message=f"throughput on {name} {words}",
            task=name,
        )
        return
    for port in dict.fromkeys([*a.ports, *b.ports]):
        what = f"throughput of {port} over {SB3} on {name}"
        yield _speed_claim(
            f"{name}.{port}.throughput.over-{SB3}", "throughput", what, name, port, a.ratios(port), b.ratios(port)
        )
    for framework in dict.fromkeys([*a.rounds, *b.rounds]):
        what, id_ = f"throughput of {framework} on {name}, in steps per second,", f"{name}.{framework}.throughput.rate"
        if a.machine != b.machine:
            message = f"{what} is not compared: other machine"
            yield Claim(
                id=id_, kind="throughput", status="not_compared", message=message, task=name, framework=framework
            )
        else:
            rates = (a.rounds.get(framework, []), b.rounds.get(framework, []))
            yield _speed_claim(id_, "throughput", what.rstrip(","), name, framework, *rates)


def observed(name: str, then: TaskBaseline, now: TaskBaseline) -> Iterator[Claim]:
    """Ratios of runs of the same seed, seen while trials shared the machine: only where they were asked for."""
    for framework in dict.fromkeys([*then.frameworks, *now.frameworks]):
        if framework != SB3 and SB3 in then.frameworks and SB3 in now.frameworks:
            yield _speed_claim(
                f"{name}.{framework}.observed-throughput.over-{SB3}",
                "observed-throughput",
                f"throughput of {framework} over {SB3} on {name}, observed while trials shared the machine",
                name,
                framework,
                _seed_ratios(then, framework),
                _seed_ratios(now, framework),
            )


def _seed_ratios(task: TaskBaseline, framework: str) -> list[float]:
    sb3 = {run.seed: run.env_steps_per_s for run in task.frameworks[SB3].runs}
    runs = task.frameworks[framework].runs if framework in task.frameworks else []
    return [run.env_steps_per_s / base for run in runs if run.env_steps_per_s and (base := sb3.get(run.seed))]


def _speed_claim(
    id_: str, kind: str, what: str, task: str, framework: str, then: Sequence[float], now: Sequence[float]
) -> Claim:
    speed = judge_speed(list(then), list(now))
    if not now and then:
        status, message = "fail", f"{what}: the baseline has it and the study does not"
    elif speed.slower is None:
        status, message = ("open" if then and now else "not_compared"), f"{what} is not decided: {speed.reason}"
    elif speed.slower:
        status, message = (
            "fail",
            f"{what} is {speed.factor:.2f} times lower than in the baseline (p {speed.p:.2g}, limit {FACTOR_SLOWER:g})",
        )
    else:
        status, message = "pass", f"{what}: {speed.study:.3g}, in the baseline {speed.baseline:.3g}"
    return Claim.model_validate(
        {
            "id": id_,
            "kind": kind,
            "status": status,
            "message": message,
            "task": task,
            "framework": framework,
            "figures": speed.figures,
        }
    )
