"""Real ports, taken apart by ladders: the guilty part is named, and what is written reproduces it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from worker_functions import CrashOrHang

from parity.bisect.hybrid import HybridBuilder, hybrid
from parity.bisect.jobs import FindParts, JudgeHybrid, judge
from parity.bisect.ladder_outcome import no_ladder
from parity.bisect.parts import PortParts
from parity.bisect.search import SearchResult, find_culprits
from parity.bisect.sentence import sentence
from parity.bisect.worker_pool import DIED, HUNG, WorkerPool
from parity.cli import call
from parity.task import registry as tasks
from parity.task.registry import TaskRef

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from bisect_planted import PLANTED, bisect_here

PORTS = Path(__file__).parent / "bisect_ports.py"


def parts_of(name: str) -> PortParts:
    return FindParts(name).run(port(name))


def bisected(name: str) -> tuple[PortParts, SearchResult]:
    """In this process, as a worker does it."""
    parts = parts_of(name)
    return parts, find_culprits(parts, lambda hybrids: [JudgeHybrid(keys).run(port(name)) for keys in hybrids])


def port(name: str) -> TaskRef:
    return tasks.resolve(f"{PORTS}:{name}")


def culprits(result: SearchResult) -> list[list[str]]:
    return [sorted(culprit.keys) for culprit in result.culprits]


@pytest.mark.parametrize("name", ["good", "as_configuration", pytest.param("both_sides_whole", marks=pytest.mark.slow)])
def test_nothing_breaks_in_a_good_port_and_in_a_finished_configuration_of_it(name: str) -> None:
    parts, result = bisected(name)
    assert result.reference.holds and result.port.holds, result.port
    assert sentence(parts, result).startswith("Nothing breaks")


def test_parts_are_those_that_differ_from_the_reference_port() -> None:
    module = {"module.network", "module.mask", "module.value"}
    common = module | {"multi_agent_env", "other_modules.watcher"}
    assert parts_of("good").keys == common
    parts = parts_of("configuration_with_two_faults")
    assert parts.keys >= common | {"lr", "policies"}
    (lr,) = parts.of(["lr"])
    assert (lr.yours, lr.reference) == ("0.5", "0.001")
    assert not {"clip_param", "gamma"} & parts.keys


@pytest.mark.slow
def test_the_environment_of_a_dict_is_named() -> None:
    _, result = bisected("as_dict_with_a_generous_table")
    assert culprits(result) == [["multi_agent_env"]]
    assert result.culprits[0].alone.rung == 0 and result.rest is not None and result.rest.holds


def test_two_faults_of_a_finished_configuration_are_named_and_reproduced(tmp_path: Path, capfd: Any) -> None:
    """The whole command: processes, document, sentence, and a task file that holds exactly that hybrid."""
    argument = f"{PORTS}:configuration_with_two_faults"
    assert call(["bisect", "--task", argument, "--out", str(tmp_path), "--workers", "1", "--json"]) == 1
    printed = capfd.readouterr()
    document = json.loads(printed.out)
    assert [each["parts"] for each in document["culprits"]] == [["module.value"], ["lr"]]
    assert document["sentence"].startswith(
        "With the value function of your module (DetachedValues) the ladder breaks at rung"
    )
    assert "lr 0.5 (reference: 0.001)" in document["sentence"] and "parity check --task" in printed.err
    stored = json.loads((tmp_path / "bisect-bisect_ports-configuration_with_two_faults" / "bisect.json").read_text())
    assert stored == document
    again = judge(lambda: tasks.load(tasks.resolve(document["culprits"][0]["file"])))
    assert not again.holds and document["culprits"][0]["codes"] == again.codes
    mended = judge(lambda: tasks.load(tasks.resolve(document["mended"])))
    assert mended.holds


@pytest.mark.slow
def test_a_network_is_taken_from_the_sb3_side_where_there_is_no_shared_one() -> None:
    parts, result = bisected("both_sides_whole_without_a_mask")
    assert culprits(result) == [["module.mask"]]
    assert any("the policy network of your sb3_model" in note for note in parts.fixed)


def test_all_parts_of_the_user_and_none_are_the_users_port_and_the_reference() -> None:
    task = tasks.load(port("good"))
    builder = HybridBuilder(task)
    assert builder.hybrid(builder.parts.keys) is task
    reference = builder.hybrid([])
    assert reference.rllib_module is None and reference.multi_agent_env is not task.multi_agent_env


def test_a_part_that_the_port_does_not_have_is_refused() -> None:
    with pytest.raises(Exception, match=r"has no part nonsense; it has module\.mask"):
        hybrid(f"{PORTS}:good", ["nonsense"])


def test_a_configuration_that_raises_is_blamed_before_anything_is_exchanged(caplog: pytest.LogCaptureFixture) -> None:
    error = parts_of("raising_configuration").build_error
    assert error is not None and error.startswith(
        "your rllib_config raises ZeroDivisionError: no learners (bisect_ports.py, "
    )
    assert error.endswith(", in _raises); without it the port is built")
    assert "in _raises" in caplog.text


def test_a_crash_or_a_hang_costs_its_own_job_only(tmp_path: Path) -> None:
    jobs = [CrashOrHang(what) for what in ("crash", "fine", "hang", "well")]
    done: list[int] = []
    with WorkerPool(port("good"), str(tmp_path / "log"), processes=1) as pool:
        results = pool.run(jobs, lambda index, _: done.append(index), longest_s=10.0)
    assert results == [DIED, "done", HUNG, "done"]
    assert sorted(done) == [0, 1, 2, 3]


@pytest.mark.parametrize("code", [DIED, HUNG])
def test_the_hybrid_of_a_lost_process_breaks(code: str) -> None:
    outcome = JudgeHybrid(frozenset()).lost(code, "no end", 3.0)
    assert outcome == no_ladder(code, "no end", 3.0) and not outcome.holds and outcome.codes == [code]


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
