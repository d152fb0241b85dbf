"""benchmarks/gpu.sh does everything in calls that end in time; tried on the CPU, as small as it gets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.py"


@pytest.mark.slow
def test_a_dry_run_on_the_cpu_leaves_all_raw_data_in_as_many_calls_as_it_takes(parity: Any) -> None:
    task = parity.write("my_task.py")
    command = [sys.executable, str(SCRIPT), "--task", task, "--dry-run", "--out", "gpu", "--minutes", "4"]
    for _ in range(15):
        outcome = subprocess.run(command, cwd=parity.folder, capture_output=True, text=True, timeout=330, check=False)
        assert outcome.returncode == 0, outcome.stdout + outcome.stderr
        if "all is done" in outcome.stdout:
            break
    out = parity.folder / "gpu"
    assert set(json.loads((out / "steps.json").read_text()).values()) <= {0, 3}
    for name, part in (("captured-update", "rows"), ("side-by-side", "points")):
        assert json.loads((out / f"{name}.json").read_text())[part]
    bench = json.loads((out / "my_task-cpu" / "bench.json").read_text())
    assert set(bench["throughput"]) == {"sb3", "rllib", "rllib-exact"} and bench["limit"]["env_steps_per_s"] > 0
    sizes = json.loads((out / "my_task-cpu-batch-size" / "bench.json").read_text())["sweep"]
    assert {(point["framework"], point["value"]) for point in sizes} == {
        (n, v) for n in ("sb3", "rllib") for v in (64, 128)
    }
    runners = json.loads((out / "my_task-cpu-env-runners" / "bench.json").read_text())["sweep"]
    assert [(point["name"], point["value"]) for point in runners] == [("env_runners", 0), ("env_runners", 1)]
    assert "forward" in (out / "my_task-cpu-ladder.json").read_text()
    assert (out / "my_task-cpu-study" / "summary.json").is_file()


def test_a_call_without_time_begins_nothing_and_says_what_is_left(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--out", str(tmp_path / "gpu"), "--minutes", "0.1"]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ, timeout=60)
    assert outcome.returncode == 0
    assert "to be done by further calls: captured-update, side-by-side, tiles-cuda-ladder" in outcome.stdout
