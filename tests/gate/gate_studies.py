"""What the gate's tests share: scores, the outcome of a call, and changes to stored files."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from report_studies import bench_request

from parity.results import study as files
from parity.results.bench import BenchFile, Round
from parity.results.summary import PhaseSeconds

GOOD = {"sb3": [0.97, 0.99, 0.93, 1.0, 0.95], "rllib": [0.92, 0.97, 0.86, 0.98, 0.9]}
OTHER_RUNS = {"sb3": [0.95, 0.98, 0.96, 0.97, 0.94], "rllib": [0.95, 0.9, 0.93, 0.96, 0.88]}
# It still learns, and is within half of SB3; but it is not what it was.
SLUMPED = {"sb3": [0.95, 0.98, 0.96, 0.97, 0.94], "rllib": [0.62, 0.66, 0.6, 0.7, 0.64]}


@dataclass(frozen=True)
class Gated:
    """One call of ``parity gate``."""

    code: int
    out: str
    err: str
    study: Path

    @property
    def document(self) -> dict[str, Any]:
        return json.loads((self.study / "gate.json").read_text())

    @property
    def sentence(self) -> str:
        """What is said on the terminal, which is what stands in the document and in every report."""
        said = self.document["sentence"]
        assert said in self.err.splitlines()
        assert self.code == self.document["exit_code"]
        return said

    @property
    def claims(self) -> dict[str, dict[str, Any]]:
        return {claim["id"]: claim for claim in self.document["claims"]}

    def having(self, *statuses: str) -> set[str]:
        return {id_ for id_, claim in self.claims.items() if claim["status"] in statuses}


def change_json(path: Path, change: Callable[[Any], Any]) -> None:
    stored = json.loads(path.read_text())
    change(stored)
    path.write_text(json.dumps(stored))


def trial(study: Path, framework: str, seed: int) -> Path:
    return files.trial_folder(study, "tiles", framework, seed)


def write_bench(study: Path, rllib: list[float], sb3: list[float] | None = None, task: str = "tiles") -> None:
    """``bench.json`` as `parity bench --study` leaves it there, with these steps per second of every round."""
    rates = {"sb3": sb3 or [1900.0 + 3 * number for number in range(len(rllib))], "rllib": rllib}
    request = bench_request(*rates, rounds=len(rllib), task=task)
    measured = [
        Round(
            task=task, framework=name, round=number, env_steps_per_s=rate, start_s=4.0, iterations=4, steps=8192,
            phases_s=PhaseSeconds(sample=0.5, returns=0.1, update=0.6, evaluate=math.nan), peak_memory_mb=500,
            other_load=0.0,
        )
        for name, of in rates.items()
        for number, rate in enumerate(of)
    ]  # fmt: skip
    machine = json.loads((study / "study.json").read_text())["machine"]
    file = BenchFile(created="2026-11-22T10:00:00Z", request=request, machine=machine, measured=measured)
    (study / "bench.json").write_text(file.to_json())
