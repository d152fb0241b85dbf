"""Rounds as `parity bench` measures them, with what a test says of them."""

from __future__ import annotations

from typing import Any

from report_studies import bench_request

from parity.bench.judge import conclude
from parity.frameworks.phases import PHASES
from parity.results.bench import BenchFile, PhaseTime, Round
from parity.results.study import EffectiveConfig
from parity.results.summary import PhaseSeconds

RATES = {"sb3": 2800.0, "rllib": 2600.0, "limit": 4000.0}
CONDITIONS = {"torch threads": 1, "oneDNN": True}


def bench_round(framework: str, number: int = 0, rate: float | None = None, **others: Any) -> Round:
    fields: dict[str, Any] = {"module_devices": {"learner: agent": "cpu"}, "conditions": CONDITIONS} | others
    return Round(
        task="tiles", framework=framework, round=number, env_steps_per_s=rate or RATES[framework] + number, start_s=4.0,
        phases_s=PhaseSeconds(sample=0.3, returns=0.01, update=0.4, evaluate=float("nan")), iterations=4, steps=8192,
        peak_memory_mb=500, other_load=0.0, open_s=3.0, **fields,
    )  # fmt: skip


def phases(**seconds: tuple[float, float]) -> dict[str, PhaseTime]:
    """Wall-clock and CPU seconds of some phases; a name with ``__`` is a phase and a part of it."""
    times = {name: PhaseTime(wall_s=0.0, cpu_s=0.0) for name in PHASES}
    for name, (wall, cpu) in seconds.items():
        phase, _, part = name.partition("__")
        before = times[phase]
        parts = before.parts | ({part: PhaseTime(wall_s=wall, cpu_s=cpu)} if part else {})
        times[phase] = PhaseTime(wall_s=before.wall_s + wall, cpu_s=before.cpu_s + cpu, parts=parts)
    return times


def concluded(*rounds: Round, request: dict[str, Any] | None = None, **lists: list[Round]) -> BenchFile:
    """Six rounds of SB3 and RLlib, unless others are given, and what is said of them."""
    effective = EffectiveConfig(hyperparameters={"n_envs": 8, "batch_size": 256, "n_epochs": 4})
    file = BenchFile(
        created="2026-11-27T09:00:00Z",
        request=bench_request("sb3", "rllib", **request or {}),
        measured=list(rounds) or [bench_round(name, number) for name in ("sb3", "rllib") for number in range(6)],
        effective={"tiles": {"sb3": effective, "rllib": effective}},
        **lists,
    )
    conclude(file)
    return file
