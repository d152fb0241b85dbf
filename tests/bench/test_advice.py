"""What rounds tell of a port's speed beside the ratio: the limit, conditions that differ, and what the time is lost to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bench_rounds import bench_round, concluded, phases

from parity.bench.advice import fairness
from parity.results.bench import load_bench_file
from parity.results.study import EffectiveConfig
from parity.results.summary import Finding


def codes(findings: list[Finding]) -> list[str]:
    return [each.code for each in findings]


def measured(**of_rllib: Any) -> list[Any]:
    return [bench_round("sb3", k) for k in range(6)] + [bench_round("rllib", k, **of_rllib) for k in range(6)]


def test_a_port_under_the_same_conditions_is_accused_of_nothing() -> None:
    even = phases(environment=(0.1, 0.09), inference=(0.2, 0.19), backward=(0.3, 0.29), bookkeeping=(0.1, 0.1))
    file = concluded(profiled=[bench_round(name, phases=even) for name in ("sb3", "rllib")])
    assert not file.findings and file.exit_code == 0
    assert not any(row.differs for row in file.fairness)


def test_the_limit_is_a_row_and_every_framework_a_share_of_it() -> None:
    file = concluded(limits=[bench_round("limit", number) for number in range(3)])
    assert file.limit is not None and "limit" not in file.throughput
    assert file.throughput["sb3"].of_limit == pytest.approx(2802.5 / 4001)
    assert "sb3 reaches 70% of the limit of tiles" in file.sentence


def test_rows_per_second_are_those_of_all_epochs() -> None:
    assert concluded().throughput["rllib"].rows_per_s == pytest.approx(2048 * 4 / 0.4)


def test_one_thread_against_two_is_a_warning_and_in_the_sentence() -> None:
    file = concluded(*measured(conditions={"torch threads": 2, "oneDNN": True}))
    (found,) = file.findings
    assert (found.code, found.severity, found.where) == ("PAR912", "warning", "torch threads")
    assert found.evidence == {"sb3": 1, "rllib": 2}
    assert "the frameworks differed in torch threads" in file.sentence
    assert [row.name for row in file.fairness if row.differs] == ["torch threads"]


def test_a_minibatch_longer_than_its_rollout_is_the_rollout_on_both_sides() -> None:
    file = concluded()
    for framework, size in (("sb3", 8192), ("rllib", 2048)):
        file.effective["tiles"][framework] = EffectiveConfig(
            hyperparameters={"n_envs": 8, "n_steps": 256, "batch_size": size}
        )
    assert not [row.name for row in fairness(file, "tiles") if row.differs]


def test_deterministic_algorithms_are_told_and_no_warning() -> None:
    on = {"torch threads": 1, "oneDNN": True, "deterministic algorithms": True}
    rounds = [
        bench_round("sb3", conditions=on | {"deterministic algorithms": False}),
        bench_round("rllib", conditions=on),
    ]
    assert [each.severity for each in concluded(*rounds).findings] == ["info"]


def test_a_gpu_that_was_asked_for_and_a_module_on_the_cpu_fail_the_bench() -> None:
    there = {"env runner: agent": "cpu", "learner: agent": "cuda:0"}
    on_gpu = [bench_round(name, k, module_devices=there) for name in ("sb3", "rllib") for k in range(6)]
    assert not concluded(*on_gpu, request={"device": "cuda"}).findings
    elsewhere = there | {"learner: agent": "cpu"}
    rounds = on_gpu[:6] + [bench_round("rllib", k, module_devices=elsewhere) for k in range(6)]
    file = concluded(*rounds, request={"device": "cuda"})
    assert codes(file.findings) == ["PAR911", "PAR912"] and file.exit_code == 1
    assert file.findings[0].where == "learner: agent"


def test_a_part_that_costs_time_in_every_pair_is_named_with_the_gain() -> None:
    part = "env runner CopiesTwice"
    pairs = [
        ("rllib", 0, 900.0, None),
        ("rllib", 0, 1890.0, part),
        ("rllib", 1, 1000.0, None),
        ("rllib", 1, 2100.0, part),
    ]
    exchanged = [bench_round(name, k, rate, without=without) for name, k, rate, without in pairs]
    (found,) = concluded(exchanged=exchanged).findings
    assert (found.code, found.where) == ("PAR910", part) and found.evidence["gain"] == pytest.approx(2.1)
    exchanged[3].env_steps_per_s = 1000.0
    assert not concluded(exchanged=exchanged).findings, "faster in one of two pairs is noise"


def test_why_the_fast_path_was_not_taken_is_said_with_what_it_costs() -> None:
    path = "sampling goes RLlib's own way: connector Idle in the EnvToModulePipeline"
    exchanged = [bench_round("rllib", 0, 900.0), bench_round("rllib", 0, 1800.0, without="env_to_module_connector")]
    findings = concluded(*measured(slow_paths=[path]), exchanged=exchanged).findings
    assert codes(findings) == ["PAR910", "PAR914"] and findings[1].severity == "info"
    assert path in findings[1].message and findings[1].evidence["gain"] == pytest.approx(2.0)


@pytest.mark.parametrize("usual", [1.0, 0.25])
def test_what_waits_is_named_however_busy_the_machine_is(usual: float) -> None:
    """Other programs slow all phases down alike: on a machine that gives a quarter of its time, only the sleep stands out."""
    times = phases(
        environment=(0.1 / usual, 0.1), inference=(0.2 / usual, 0.2), backward=(0.4 / usual, 0.4),
        bookkeeping__connector_Sleeps=(1.0 / usual, 0.01),
    )  # fmt: skip
    (found,) = concluded(profiled=[bench_round("rllib", phases=times)]).findings
    assert (found.code, found.where) == ("PAR915", "connector_Sleeps")
    busy = phases(environment=(0.1 / usual, 0.1), bookkeeping__connector_Computes=(1.0 / usual, 1.0))
    assert not concluded(profiled=[bench_round("rllib", phases=busy)]).findings


def test_copies_between_host_and_device_are_told_by_their_share() -> None:
    times = phases(transfer=(0.3, 0.3), backward=(0.5, 0.5))
    assert codes(concluded(profiled=[bench_round("rllib", phases=times)]).findings) == ["PAR916"]


def test_a_bench_of_an_older_version_opens(tmp_path: Path) -> None:
    document = json.loads(concluded().to_json())
    new = {
        "limit",
        "limit_reason",
        "fairness",
        "findings",
        "sweep",
        "effective",
        "profiled",
        "limits",
        "swept",
        "exchanged",
    }
    old = {name: value for name, value in document.items() if name not in new}
    for each in old["measured"]:
        for name in ("open_s", "at", "phases", "conditions", "module_devices", "replaceable", "gpu"):
            del each[name]
    del old["request"]["sweep"], old["request"]["details"]
    (tmp_path / "bench.json").write_text(json.dumps(old))
    assert load_bench_file(tmp_path / "bench.json").ratio["rllib/sb3"].rounds == 6


def test_a_port_in_which_several_agents_learn_has_a_limit_of_its_own() -> None:
    limits = [bench_round("limit", rate=4000.0), bench_round("limit of the port", rate=2600.0)]
    bench = concluded(*measured(learning_modules=2), limits=limits).by_task()["tiles"]
    assert bench.throughput["sb3"].of_limit == pytest.approx(0.70, abs=0.01)
    assert bench.throughput["rllib"].of_limit == pytest.approx(1.0, abs=0.01)
    alone = concluded(*measured(learning_modules=2), limits=limits[:1])
    assert alone.throughput["rllib"].of_limit is None, "SB3's limit is of less work"
