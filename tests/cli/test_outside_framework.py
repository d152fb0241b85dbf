"""A framework that another distribution registers is run by its name; parity knows nothing of it before."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

TASK = """
from parity.testing.toy_envs import maze_task

task = maze_task(reference={"uniform_legal": 1.9, "best": 4.5, "source": "by hand"}, eval_every=64)
"""

# An adapter of a few lines: MaskablePPO under another name, which is all that this test needs.
ADAPTER = """
from parity.frameworks.sb3 import Sb3


class Tiny(Sb3):
    name = "tiny"
    packages = ("parity-tiny",)
"""

Parity = Callable[..., object]


def install(site: Path, name: str, entry: str, **modules: str) -> str:
    """Writes a distribution as an installer leaves it: its modules, and a dist-info with the entry point."""
    site.mkdir(exist_ok=True)
    for module, text in modules.items():
        (site / f"{module}.py").write_text(text, encoding="utf-8")
    info = site / f"parity_{name}-0.3.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: parity-{name}\nVersion: 0.3.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[parity.frameworks]\n{name} = {entry}\n", encoding="utf-8")
    return str(site)


def test_a_framework_of_another_distribution_is_trained_and_judged_beside_sb3(
    parity_apart: Parity, tmp_path: Path
) -> None:
    site = install(tmp_path / "site", "tiny", "parity_tiny:Tiny", parity_tiny=ADAPTER)
    (tmp_path / "maze_port.py").write_text(TASK, encoding="utf-8")
    options = ("--task", "maze_port.py", "--frameworks", "sb3", "tiny", "--seeds", "1", "--name", "outside")
    outcome = parity_apart("run", *options, PYTHONPATH=site)
    assert outcome.code == 1, outcome.err  # type: ignore[attr-defined]  # 64 steps are too few to learn anything
    study = tmp_path / "results" / "outside"
    summary = json.loads((study / "summary.json").read_text())
    (judged,) = summary["tasks"].values()
    assert judged["metrics"]["final"]["tiny"] == judged["metrics"]["final"]["sb3"], (
        "the same algorithm, seed and numbers"
    )
    assert {trial["framework"]: trial["status"] for trial in judged["trials"]} == {"sb3": "done", "tiny": "done"}
    # It collects no numbers: each rung says so, none is left out and none counts as a pass.
    rungs = judged["ladder"]["tiny"].values()
    assert len(rungs) == 10
    assert {(rung["status"], rung["reason"]) for rung in rungs} == {
        ("not_applicable", "tiny collects no numbers (entry-point group parity.capture)")
    }
    assert json.loads((study / "study.json").read_text())["versions"]["parity-tiny"] == "0.3.0"
    assert "tiny" in (study / "report.md").read_text()


@pytest.mark.parametrize("command", ["run", "check"])
def test_an_adapter_whose_framework_is_missing_is_one_sentence(
    parity_apart: Parity, tmp_path: Path, command: str
) -> None:
    site = install(tmp_path / "site", "lost", "parity_lost:Lost", parity_lost="import a_framework_nobody_has.ppo\n")
    outcome = parity_apart(command, "--frameworks", "sb3", "lost", PYTHONPATH=site)
    assert outcome.sentence == (  # type: ignore[attr-defined]
        "--frameworks lost needs the package a_framework_nobody_has, which is not installed: install parity-lost with what "
        "it depends on."
    )


def test_a_name_that_nobody_registers_is_one_sentence(parity_apart: Parity) -> None:
    sentence = parity_apart("run", "--frameworks", "sb3", "tianshou").sentence  # type: ignore[attr-defined]
    assert sentence.startswith("--frameworks tianshou: no such framework; registered are sb3, rllib")
    assert sentence.endswith("; another one comes with the package that brings its adapter.")
