"""What a baseline keeps of ``bench.json``: the rates of every round, by what was asked and on which machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from parity.errors import CannotStart
from parity.gate.circumstances import MACHINE_FIELDS
from parity.results.bench import BENCH_FILE, BenchFile, load_bench_file
from parity.results.summary import Number
from parity.verdict.runs import SB3


class Bench(BaseModel):
    """One task. ``rounds``: environment steps per second of every round, by framework; rounds of one place are a pair."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="strings")

    rounds: dict[str, list[Number]]
    asked: dict[str, Any]
    machine: dict[str, Any]

    @property
    def ports(self) -> list[str]:
        """Frameworks that can be compared with SB3."""
        return [name for name in self.rounds if name != SB3] if SB3 in self.rounds else []

    def ratios(self, port: str) -> list[float]:
        """Rate of the port over that of SB3, round by round; empty where it was not measured."""
        pairs = zip(self.rounds.get(port, []), self.rounds.get(SB3, []), strict=False)
        return [a / b for a, b in pairs if b > 0]


def load_bench(study: Path) -> dict[str, Bench]:
    """``bench.json`` of a study, by task; empty where there is none.

    Raises:
        CannotStart: it cannot be read, or was not measured to its end.
    """
    path = study / BENCH_FILE
    if not path.is_file():
        return {}
    file = load_bench_file(path)
    if file.reason is not None:
        raise CannotStart(
            f"{path}: reason: {file.reason}; finish it with `parity bench --resume {study}`, or delete it."
        )
    return {task: _kept(file, task) for task in file.request.tasks}


def _kept(file: BenchFile, task: str) -> Bench:
    """A round in which a framework is missing is no round: pairs stay pairs."""
    rates: dict[str, dict[int, float]] = {name: {} for name in file.request.frameworks}
    for each in file.measured:
        if each.task == task and each.framework in rates:
            rates[each.framework][each.round] = each.env_steps_per_s
    common = sorted(set.intersection(*(set(of) for of in rates.values())))
    return Bench(
        rounds={name: [of[round_] for round_ in common] for name, of in rates.items()},
        asked={name: getattr(file.request, name) for name in ("iterations", "warmup", "device", "threads")},
        machine={name: file.machine.get(name) for name in MACHINE_FIELDS},
    )
