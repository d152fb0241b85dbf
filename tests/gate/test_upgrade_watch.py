"""What has changed between baseline and study is said first, and what can no longer be compared is not."""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gate_studies import OTHER_RUNS, Gated, change_json

Accept = Callable[..., Path]
Gate = Callable[..., Gated]


def upgraded(study: Path) -> None:
    def change(stored: dict[str, Any]) -> None:
        stored["versions"] |= {"ray": "2.61.0", "numpy": "2.5.0"}
        stored["machine"]["python"] = "3.12"
        stored["tasks"]["tiles"]["frameworks"]["rllib"]["native"] |= {"field_007": 70, "new_field": True}

    change_json(study / "study.json", change)


def test_changed_versions_come_first_in_sentence_markdown_and_log(
    accept: Accept, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept()
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    gated = gate(OTHER_RUNS, change=upgraded)
    first = "ray 2.60.0 -> 2.61.0, python 3.11 -> 3.12, numpy none -> 2.5.0 since the baseline; "
    assert gated.code == 0 and gated.sentence.startswith(first)
    _, _, said, _, head, _, row, *_ = html.unescape((gated.study / "gate.md").read_text()).splitlines()
    assert said.startswith(f"**{first}")
    assert (head, row) == ("| version of | baseline | study |", "| ray | 2.60.0 | 2.61.0 |")
    assert gated.err.startswith("::notice title=parity gate%3A versions::ray 2.60.0 -> 2.61.0\n")


def test_what_a_framework_really_runs_is_shown_where_it_changed_and_decides_nothing(accept: Accept, gate: Gate) -> None:
    accept()
    gated = gate(OTHER_RUNS, change=upgraded)
    assert [(each["what"], each["baseline"], each["study"]) for each in gated.document["configuration"]] == [
        ("tiles.rllib: native.field_007", "7", "70"),
        ("tiles.rllib: native.new_field", None, "True"),
    ]
    assert "tiles.rllib: native.field_007" in (gated.study / "gate.md").read_text()
    assert gated.code == 0


def test_a_baseline_of_the_same_study_has_nothing_to_say_first(accept: Accept, gate: Gate) -> None:
    accept()
    gated = gate(OTHER_RUNS)
    document = gated.document
    assert (document["versions"], document["machine"], document["configuration"]) == ([], [], [])


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "steps": (lambda task: task.update(steps=65_535), "steps 65536 -> 65535"),
    "ppo": (lambda task: task["ppo"].update(gamma=0.95), "ppo.gamma 0.99 -> 0.95"),
    "margin": (lambda task: task.update(margin=0.3), "margin 0.15 -> 0.3"),
    "evaluations": (lambda task: task.update(eval_every=4_096), "eval_every 8192 -> 4096"),
    "reference": (lambda task: task["reference"].update(best=0.9), "best 0.69 -> 0.9"),
    "uniform": (lambda task: task["reference"].update(uniform_legal=0.2), "uniform_legal 0.31 -> 0.2"),
    "mask": (lambda task: task.update(mask="method:legal"), "mask obs:action_mask -> method:legal"),
}


@pytest.mark.parametrize("changed", CHANGES)
def test_a_task_that_changed_is_not_compared_and_the_remedy_is_said(changed: str, accept: Accept, gate: Gate) -> None:
    accept()
    change, words = CHANGES[changed]
    gated = gate(
        OTHER_RUNS, change=lambda study: change_json(study / "study.json", lambda s: change(s["tasks"]["tiles"]))
    )
    assert gated.code == 1
    assert f"tiles is another task since the baseline ({words})" in gated.sentence
    assert "`parity baseline accept`" in gated.sentence
    assert gated.having("fail") == {"tiles.definition"}
    assert {"tiles.sb3.learning", "tiles.rllib.learning"} <= gated.having("not_compared")


def test_a_task_or_framework_that_is_gone_fails_and_a_new_one_is_said(accept: Accept, gate: Gate) -> None:
    accept({"tiles": OTHER_RUNS, "old": OTHER_RUNS})
    gated = gate({"tiles": {"sb3": OTHER_RUNS["sb3"], "rllib-exact": OTHER_RUNS["rllib"]}})
    assert gated.code == 1
    assert gated.having("fail") == {"tiles.rllib.present", "old.sb3.present", "old.rllib.present"}
    assert "rllib on tiles is in the baseline and not in the study" in gated.sentence
    assert "tiles.rllib-exact.present" in gated.having("not_compared")
    assert "Not compared: rllib-exact on tiles is not in the baseline" in gated.err
