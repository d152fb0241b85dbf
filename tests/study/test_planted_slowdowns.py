"""Ports that are slow for a known reason: `parity bench` names it, with what it costs there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from parity.bench.advice import findings
from parity.bench.measure import Work, measure
from parity.results.bench import BenchFile, BenchRequest
from parity.study.runner import opened_ray
from parity.system.subprocesses import run_in_subprocess
from parity.task.registry import resolve

PORTS = """
import copy
import dataclasses
import time

from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.env.multi_agent_env_runner import MultiAgentEnvRunner


class Sleeps(ConnectorV2):
    def __call__(self, *, batch, **kwargs):
        time.sleep(0.02)
        return batch


class CopiesTwice(MultiAgentEnvRunner):
    def sample(self, **kwargs):
        episodes = super().sample(**kwargs)
        for _ in range(2):
            episodes = [copy.deepcopy(episode) for episode in episodes]
        return episodes


class TwoThreads(RLlibCallback):
    def on_algorithm_init(self, **kwargs):
        torch.set_num_threads(2)


def variant(id, change):
    return dataclasses.replace(task, id=id, rllib_config=change)


sleeps = variant("sleeps", lambda config: config.env_runners(env_to_module_connector=lambda *_, **__: Sleeps()))
copies = variant("copies", lambda config: config.env_runners(env_runner_cls=CopiesTwice))
threads = variant("threads", lambda config: config.callbacks(TwoThreads))
on_cpu = variant("on-cpu", lambda config: config.learners(num_gpus_per_learner=0))
"""


def write_ports(parity: Any) -> Path:
    """The task of these tests and the ports above, in one file."""
    path: Path = parity.folder / parity.write("ports.py")
    path.write_text(path.read_text() + PORTS)
    return path


@pytest.fixture(scope="module")
def measured(shared_parity: Callable[[], Any]) -> dict[str, Any]:
    """One bench of all three, by task."""
    parity = shared_parity()
    write_ports(parity)
    tasks = [f"ports.py:{name}" for name in ("sleeps", "copies", "threads")]
    outcome = parity(
        "bench", "--task", *tasks, "--rounds", "1", "--iterations", "2", "--name", "one", "--json", timeout=1800
    )
    assert outcome.returncode == 3, outcome.stderr
    tasks_measured: dict[str, Any] = json.loads(outcome.stdout)["tasks"]
    return tasks_measured


def of(measured: dict[str, Any], task: str, code: str) -> list[dict[str, Any]]:
    return [each for each in measured[task]["findings"] if each["code"] == code]


@pytest.mark.slow
def test_a_connector_that_sleeps_is_named_with_the_seconds_and_the_gain(measured: dict[str, Any]) -> None:
    (waits,) = of(measured, "sleeps", "PAR915")
    assert waits["where"] == "connector Sleeps"
    seen = waits["evidence"]
    assert seen["wall_s"] >= 64 * 0.02 and seen["cpu_s"] < 0.1 * seen["wall_s"]
    (costs,) = of(measured, "sleeps", "PAR910")
    assert costs["where"] == "env_to_module_connector" and costs["evidence"]["gain"] > 1.5
    left = of(measured, "sleeps", "PAR914")
    assert "connector Sleeps" in left[0]["message"] and left[0]["evidence"]["gain"] > 1.5


@pytest.mark.slow
def test_an_env_runner_that_copies_twice_is_named_with_the_gain(measured: dict[str, Any]) -> None:
    (costs,) = of(measured, "copies", "PAR910")
    assert costs["where"] == "env runner CopiesTwice" and costs["evidence"]["gain"] > 1.1
    assert not of(measured, "copies", "PAR915"), "copying is work, not waiting"


@pytest.mark.slow
def test_two_threads_against_one_are_a_warning(measured: dict[str, Any]) -> None:
    (differs,) = [each for each in of(measured, "threads", "PAR912") if each["severity"] == "warning"]
    assert differs["where"] == "torch threads" and differs["evidence"] == {"sb3": 1, "rllib": 2}
    assert not [each for each in of(measured, "sleeps", "PAR912") if each["severity"] == "warning"]


@pytest.mark.slow
def test_a_module_that_stays_on_the_cpu_where_a_gpu_was_asked_for_is_named(shared_parity: Callable[[], Any]) -> None:
    """Without a GPU the port still trains, as it puts its learner on the CPU itself."""
    argument = f"{write_ports(shared_parity())}:on_cpu"
    request = BenchRequest(
        tasks=["on-cpu"], task_arguments=[argument], frameworks=["rllib"], rounds=1, iterations=1, warmup=1, device="cuda",
        threads=1,
    )  # fmt: skip
    ref = resolve(argument)
    with opened_ray([ref]) as address:
        round_ = run_in_subprocess(measure, ref, Work("on-cpu", "rllib", 0), request, address, about="the port")
    reported = findings(BenchFile(created="", request=request, measured=[round_]), "on-cpu", [])
    assert [(each.code, each.where, each.severity) for each in reported] == [("PAR911", "learner: agent", "error")]
