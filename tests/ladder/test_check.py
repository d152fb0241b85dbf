"""``parity check`` and ``parity rules`` from the command line, in this process."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import pytest
from captures import Collected
from rich.console import Console

from parity.cli import call
from parity.cli.ladder_table import print_parameter_map
from parity.errors import ExitCode
from parity.ladder.run_rungs import RUNGS, run_rungs
from parity.results.capture_file import load, save
from parity.selftest.good import SORTER as LEARNER


@pytest.fixture
def stored(collected: Collected, tmp_path: Path) -> Any:
    """Writes a port's numbers as ``--save`` does."""

    def write(name: str, framework: str = "rllib") -> str:
        capture = collected(name, framework)
        context = dataclasses.replace(capture.context, task=name, framework=framework, device="cpu")
        path = tmp_path / f"{name}.zip"
        save(dataclasses.replace(capture, context=context), path)
        return str(path)

    return write


def document(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return json.loads(capsys.readouterr().out)


def test_a_good_port_exits_0_with_every_rung(stored: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["check", "--load", stored("one-agent"), "--json"]) == 0
    found = document(capsys)
    assert found["schema_version"] == 1
    assert found["exit_code"] == 0
    assert found["frameworks"] == ["rllib"]
    assert list(found["ladder"]["rllib"]) == list(RUNGS)
    for result in found["ladder"]["rllib"].values():
        assert {"rung", "status", "max_abs", "max_rel", "tolerance_needed", "where", "reason"} <= set(result)


def test_a_broken_port_exits_1_and_its_finding_is_the_contracts(
    stored: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["check", "--load", stored("zeros-as-advantages"), "--json"]) == 1
    found = document(capsys)
    assert found["exit_code"] == 1
    first = found["findings"][0]
    assert {"code", "severity", "title", "task", "framework", "where", "evidence", "fix", "consequences"} <= set(first)
    assert (first["code"], first["framework"], first["task"]) == ("PAR003", "rllib", "zeros-as-advantages")


def test_people_read_the_ladder_on_stderr_alone(stored: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["check", "--load", stored("zeros-as-advantages")]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.index("PAR003") < err.index("PAR401")
    assert "fix: class SorterWithoutApi(TorchRLModule, ValueFunctionAPI)" in err
    assert "update" in err


def test_the_trace_has_an_episode_of_each_agent(stored: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["check", "--load", stored("two-learning-agents"), "--trace", "--json"]) == 0
    episodes = document(capsys)["trace"]["rllib"]
    assert len(episodes) == 2
    for step in episodes[0]["steps"]:
        assert sum(step["legal"].values()) == pytest.approx(1.0, abs=1e-5)
        assert str(step["action"]) in step["legal"]
        assert step["p_illegal"] == 0
    assert episodes[0]["agent"] == LEARNER


def test_saved_numbers_are_judged_as_those_just_collected(
    stored: Any, collected: Collected, capsys: pytest.CaptureFixture[str]
) -> None:
    from parity.ladder.run_rungs import run_rungs

    call(["check", "--load", stored("one-agent"), "--json"])
    rungs = document(capsys)["ladder"]["rllib"]
    assert {n: r["status"] for n, r in rungs.items()} == {
        n: r.status for n, r in run_rungs(collected("one-agent", "rllib")).rungs.items()
    }


def test_check_runs_a_task_file_without_ray_cluster_and_saves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    # Another test of this process may have one running.
    monkeypatch.setattr(ray, "init", lambda *_, **__: pytest.fail("parity check started Ray"))
    monkeypatch.chdir(tmp_path)
    task = tmp_path / "mine.py"
    task.write_text("from parity.selftest.planted import one_agent as task\n")
    code = call(["check", "--task", str(task), "--frameworks", "rllib", "--save", str(tmp_path / "n.zip"), "--json"])
    assert code == 0
    assert document(capsys)["task"] == "sorting"
    assert load(tmp_path / "n.zip").context.framework == "rllib"
    assert not (tmp_path / "results").exists()


def test_a_port_that_raises_leaves_its_traceback_in_a_log(
    stored: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["check", "--load", stored("values-raise"), "--out", str(tmp_path / "logs"), "--json"]) == 1
    out, err = capsys.readouterr()
    log = tmp_path / "logs" / "check-values-raise.log"
    assert json.loads(out)["log"] == str(log)
    assert "RuntimeError: no values today" in log.read_text()
    assert "Traceback (most recent call last)" not in err
    assert "rllib stopped at rung 3 (rollout): RuntimeError: no values today" in " ".join(err.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--task", "no-such-task"], "no-such-task"),
        (["--frameworks", "tianshou"], "tianshou"),
        (["--frameworks", "sb3"], "compare"),
        (["--load", "absent.zip"], "absent.zip"),
        (["--device", "tpu"], "tpu"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["check", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err and "Traceback" not in err and err.count("\n") == 1


def test_rules_are_listed_and_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["rules", "--json"]) == 0
    listed = document(capsys)
    assert {"code", "title", "severity", "explanation", "fix"} <= set(listed[0])
    assert call(["rules", "PAR003"]) == 0
    assert "ValueFunctionAPI" in capsys.readouterr().out
    assert call(["rules", "PAR999"]) == 2


def test_nan_is_a_string_in_the_document(stored: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["check", "--load", stored("gradient-nan"), "--json"]) == 1
    assert document(capsys)["ladder"]["rllib"]["gradient"]["max_abs"] == "NaN"


def test_networks_that_could_not_be_paired_are_not_compared_and_nothing_is_called_equal(
    stored: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["check", "--load", stored("separate-encoders"), "--json"]) == ExitCode.UNDECIDED
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert (told["compared"], told["exit_code"]) == (False, 3)
    (rungs,) = told["not_compared"].values()
    assert set(rungs) == {"forward"} and "parameters" in rungs["forward"]
    assert "what sb3 computes" not in err and "is not compared (forward:" in " ".join(err.split())
    assert "parameter_map={" not in err, "no map makes networks of other shapes one"


def test_a_map_to_paste_has_each_of_the_ports_parameters_once() -> None:
    out = Console(file=io.StringIO(), width=200)
    print_parameter_map(out, {"rllib": {"pi.weight": ["a.weight", "b.weight"], "vf.weight": ["a.weight", "b.weight"]}})
    text = out.file.getvalue()  # type: ignore[attr-defined]
    assert '"pi.weight": "a.weight",' in text and '"vf.weight": "b.weight",' in text


def test_what_was_compared_is_said_to_be(stored: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["check", "--load", stored("one-agent"), "--json"]) == 0
    told = document(capsys)
    assert told["compared"] is True and "not_compared" not in told


def test_declaring_a_finding_is_no_comparison(collected: Collected) -> None:
    """A port that differs and is declared holds; one that was not compared is so whatever is declared."""
    judged = run_rungs(collected("separate-encoders", "rllib"), declared={"PAR026": "another network, on purpose"})
    assert judged and set(judged.not_compared) == {"forward"}
