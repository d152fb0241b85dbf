"""Real ports, taken apart by ladders: the guilty part is named, and what is written reproduces it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from worker_functions import crash_or_hang

from parity.bisect.mixture import Dissected, mixture
from parity.bisect.part import Anatomy
from parity.bisect.search import Outcome, interpolate
from parity.bisect.sentence import sentence
from parity.bisect.verdict import DIED, HUNG
from parity.bisect.workers import Workers, climb_mixture, climb_task, dissect
from parity.cli import call
from parity.task import registry as tasks
from parity.task.registry import TaskRef

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from bisect_planted import PLANTED, bisect_here

PORTS = Path(__file__).parent / "bisect_ports.py"


def bisected(ref: TaskRef) -> tuple[Anatomy, Outcome]:
    """In this process, as a worker does it."""
    anatomy = dissect(ref)
    return anatomy, interpolate(anatomy, lambda wanted: [climb_mixture(ref, keys) for keys in wanted])


def port(name: str) -> TaskRef:
    return tasks.resolve(f"{PORTS}:{name}")


def culprits(outcome: Outcome) -> list[list[str]]:
    return [sorted(culprit.keys) for culprit in outcome.culprits]


@pytest.mark.parametrize("name", ["good", "as_configuration", pytest.param("both_sides_whole", marks=pytest.mark.slow)])
def test_nothing_breaks_in_a_good_port_and_in_a_finished_configuration_of_it(name: str) -> None:
    anatomy, outcome = bisected(port(name))
    assert outcome.reference.holds and outcome.port.holds, outcome.port
    assert sentence(anatomy, outcome).startswith("Nothing breaks")


def test_parts_are_those_that_differ_from_the_reference_port() -> None:
    module = {"module.network", "module.mask", "module.value"}
    common = module | {"multi_agent_env", "other_modules.watcher"}
    assert dissect(port("good")).keys == common
    found = dissect(port("configuration_with_two_faults"))
    assert found.keys >= common | {"lr", "policies"}
    assert (found.part("lr").yours, found.part("lr").reference) == ("0.5", "0.001")
    assert not {"clip_param", "gamma"} & found.keys


@pytest.mark.slow
def test_the_environment_of_a_dict_is_named() -> None:
    _, outcome = bisected(port("as_dict_with_a_generous_table"))
    assert culprits(outcome) == [["multi_agent_env"]]
    assert outcome.culprits[0].alone.rung == 0 and outcome.rest is not None and outcome.rest.holds


def test_two_faults_of_a_finished_configuration_are_named_and_reproduced(tmp_path: Path, capfd: Any) -> None:
    """The whole command: processes, document, sentence, and a task file that holds exactly that mixture."""
    argument = f"{PORTS}:configuration_with_two_faults"
    assert call(["bisect", "--task", argument, "--out", str(tmp_path), "--workers", "1", "--json"]) == 1
    printed = capfd.readouterr()
    found = json.loads(printed.out)
    assert [each["parts"] for each in found["culprits"]] == [["module.value"], ["lr"]]
    assert found["sentence"].startswith(
        "With the value function of your module (DetachedValues) the ladder breaks at rung"
    )
    assert "lr 0.5 (reference: 0.001)" in found["sentence"] and "parity check --task" in printed.err
    stored = json.loads((tmp_path / "bisect-bisect_ports-configuration_with_two_faults" / "bisect.json").read_text())
    assert stored == found
    again = climb_task(lambda: tasks.load(tasks.resolve(found["culprits"][0]["file"])))
    assert not again.holds and list(found["culprits"][0]["codes"]) == [e.code for e in again.errors if e.is_root]
    mended = climb_task(lambda: tasks.load(tasks.resolve(found["mended"])))
    assert mended.holds


@pytest.mark.slow
def test_a_network_is_taken_from_the_sb3_side_where_there_is_no_shared_one() -> None:
    anatomy, outcome = bisected(port("both_sides_whole_without_a_mask"))
    assert culprits(outcome) == [["module.mask"]]
    assert any("the policy network of your sb3_model" in note for note in anatomy.fixed)


def test_all_parts_of_the_user_and_none_are_the_users_port_and_the_reference() -> None:
    task = tasks.load(port("good"))
    found = Dissected(task)
    assert found.mixture(found.anatomy.keys) is task
    reference = found.mixture([])
    assert reference.rllib_module is None and reference.multi_agent_env is not task.multi_agent_env


def test_a_part_that_the_port_does_not_have_is_refused() -> None:
    with pytest.raises(Exception, match=r"has no part nonsense; it has module\.mask"):
        mixture(f"{PORTS}:good", ["nonsense"])


def test_a_configuration_that_raises_is_blamed_before_anything_is_exchanged() -> None:
    anatomy = dissect(port("raising_configuration"))
    assert anatomy.unbuilt == ("your rllib_config raises ZeroDivisionError: no learners; without it the port is built")
    assert "_raises" in anatomy.traceback


def test_a_crash_or_a_hang_costs_its_own_mixture_only(tmp_path: Path) -> None:
    done: list[str] = []
    with Workers(port("good"), str(tmp_path / "log"), processes=1, longest_s=10.0) as workers:
        found = workers.run(crash_or_hang, ["crash", "fine", "hang", "well"], lambda what, _: done.append(what))
    assert [verdict.holds for verdict in found] == [False, True, False, True]
    assert found[0].errors[0].code == DIED and found[2].errors[0].code == HUNG
    assert sorted(done) == ["crash", "fine", "hang", "well"]


# The table of results/bisect; the fast tests have one port of each form.
@pytest.mark.slow
@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_port_is_traced_to_its_part(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    found = bisect_here(name, *PLANTED[name])
    assert found.found == found.expected, found.sentence
    assert found.rest_holds


def test_the_committed_table_is_of_these_ports_and_has_no_miss() -> None:
    stored = json.loads((Path(__file__).parents[2] / "results" / "bisect" / "planted.json").read_text())
    assert {each["name"]: each["expected"] for each in stored["ports"]} == {
        name: [list(keys) for keys in expected] for name, (_, *expected) in PLANTED.items()
    }
    assert all(each["found"] == each["expected"] and each["rest_holds"] for each in stored["ports"])
    assert len(stored["ports"]) >= 8
