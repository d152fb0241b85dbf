"""`parity bench` measures by turns in fresh processes, keeps every round, and says what it cannot say."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from typing import Any

import psutil
import pytest
from report_studies import bench_request

from parity.bench.command import _waiting
from parity.bench.sentence import sentence
from parity.results.bench import BenchFile, Round
from parity.results.summary import PhaseSeconds

TURNS = ("--rounds", "2", "--iterations", "2")


def bench(parity: Any, name: str) -> dict[str, Any]:
    return json.loads((parity.folder / "results" / name / "bench.json").read_text())


def test_frameworks_take_turns_and_who_is_first_does_too() -> None:
    request = bench_request("sb3", "rllib", rounds=3, details=False)
    order = [work.framework for work in _waiting(BenchFile(created="", request=request))]
    assert order == ["sb3", "rllib", "rllib", "sb3", "sb3", "rllib"]


def test_what_the_fast_path_left_out_is_said_once() -> None:
    path = "learning goes RLlib's own way: connector Halves in the LearnerConnectorPipeline"
    rounds = [
        Round(
            task="tiles", framework="rllib", round=number, env_steps_per_s=900.0, start_s=4.0, iterations=4, steps=8192,
            phases_s=PhaseSeconds(sample=0.5, returns=0.1, update=0.6, evaluate=0.0), peak_memory_mb=500,
            other_load=0.0, slow_paths=[path],
        )
        for number in range(2)
    ]  # fmt: skip
    file = BenchFile(created="", request=bench_request("rllib", rounds=2), measured=rounds)
    assert sentence(file).count(f"rllib: {path}") == 1


def test_two_rounds_are_measured_with_every_phase_and_decide_nothing(parity: Any) -> None:
    task = parity.write("my_task.py")
    outcome = parity("bench", "--task", task, *TURNS, "--name", "fast", "--json")
    assert outcome.returncode == 3, outcome.stderr
    document = json.loads(outcome.stdout)
    assert document == bench(parity, "fast")
    assert "fewer than 6 rounds" in document["sentence"]
    for framework in ("sb3", "rllib"):
        found = document["throughput"][framework]
        assert len(found["rounds"]) == 2 and min(found["rounds"]) > 0
        assert all(found["phases_s"][phase] > 0 for phase in ("sample", "returns", "update"))
    for each in document["measured"]:
        assert (each["iterations"], each["steps"]) == (2, 2 * 4 * 64), "the warm-up does not count"
        seconds = sum(each["phases_s"][phase] for phase in ("sample", "returns", "update"))
        assert each["env_steps_per_s"] == pytest.approx(4 * 64 / seconds, rel=0.2), (
            "phases are the whole of an iteration"
        )
    for each in document["profiled"]:
        times = {name: time["wall_s"] for name, time in each["phases"].items()}
        working = ("environment", "inference", "returns", "forward", "loss", "backward", "optimiser", "bookkeeping")
        assert all(times[phase] > 0 for phase in working), (each["framework"], times)
        assert sum(times.values()) == pytest.approx(4 * 64 / each["env_steps_per_s"], rel=0.1), "phases are the whole"
        assert each["evaluated_steps_per_s"] > 0
        assert not each["slow_paths"], "hooks leave the fast path as it is"
    assert document["limit"]["env_steps_per_s"] > max(
        rate["env_steps_per_s"] for rate in document["throughput"].values()
    )
    assert {row["name"] for row in document["fairness"]} >= {
        "n_envs",
        "batch_size",
        "processes",
        "device of learning",
        "torch threads",
    }
    assert not [each for each in document["findings"] if each["severity"] != "info"]
    ratio = document["ratio"]["rllib/sb3"]
    assert ratio["rounds"] == 2 and ratio["slower"] is None
    assert ratio["interval"][0] <= ratio["estimate"] <= ratio["interval"][1]


def _wait_for_a_round(parity: Any, process: subprocess.Popen[str], name: str) -> None:
    path = parity.folder / "results" / name / "bench.json"
    end = time.monotonic() + 300
    while not (path.exists() and bench(parity, name)["measured"]):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
def test_a_ray_that_dies_costs_a_bench_no_round(parity: Any) -> None:
    arguments = ("--frameworks", "sb3", "--rounds", "4", "--no-details", "--name", "killed")
    process = parity.start("bench", "--task", parity.write("my_task.py"), *arguments)
    _wait_for_a_round(parity, process, "killed")
    kept = bench(parity, "killed")["measured"]
    parts = psutil.Process(process.pid).children(recursive=True)
    (raylet,) = [part for part in parts if part.name() == "raylet"]
    raylet.kill()
    _, errors = process.communicate(timeout=300)
    assert "Starting Ray again, 1 of 3 times; what is done stays" in errors and "Traceback" not in errors
    whole = bench(parity, "killed")
    assert whole["measured"][: len(kept)] == kept and len(whole["measured"]) == 4
    assert (process.returncode, whole["reason"]) == (0, None), errors
    assert not psutil.wait_procs(parts, timeout=30)[1], "something is left"


@pytest.mark.slow
def test_ctrl_c_keeps_the_rounds_and_resume_measures_the_rest(parity: Any) -> None:
    task = parity.write("my_task.py")
    process = parity.start("bench", "--task", task, "--frameworks", "sb3", "--rounds", "3", "--name", "cut")
    _wait_for_a_round(parity, process, "cut")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "--resume" in errors.splitlines()[-1] and "Traceback" not in errors
    kept = bench(parity, "cut")
    assert kept["reason"] and 0 < len(kept["measured"]) < 3

    outcome = parity("bench", "--resume", "cut")
    assert outcome.returncode == 0, outcome.stderr
    whole = bench(parity, "cut")
    assert whole["measured"][: len(kept["measured"])] == kept["measured"]
    assert len(whole["measured"]) == 3 and whole["reason"] is None


def test_a_port_that_raises_is_invalid_and_named(parity: Any) -> None:
    raising = (
        "        self.steps += 1\n",
        "        self.steps += 1\n        Match.all_steps = getattr(Match, 'all_steps', 0) + 1\n"
        "        if Match.all_steps > 300:\n            raise RuntimeError('the simulator died')\n",
    )
    task = parity.write("my_task.py", raising)
    outcome = parity("bench", "--task", task, "--frameworks", "sb3", *TURNS, "--name", "dead")
    assert outcome.returncode == 1, outcome.stderr
    assert "INVALID: sb3 raised on match: RuntimeError: the simulator died" in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert "the simulator died" in (parity.folder / "results/dead/bench.log").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--resume", "nothing"), "--resume nothing: there is no bench.json"),
        (("--study", "nothing"), "There is no study nothing"),
        (("--study", "a", "--name", "b"), "--name b"),
        (("--device", "cuda"), "no GPU"),
        (("--rounds", "0"), "--rounds"),
    ],
)
def test_bad_input_is_a_sentence(parity: Any, arguments: tuple[str, ...], said: str) -> None:
    outcome = parity("bench", "--task", parity.write("my_task.py"), *arguments)
    assert outcome.returncode == 2, outcome.stderr
    assert said in outcome.stderr.splitlines()[-1] and "Traceback" not in outcome.stderr
