"""The ladder against the baseline: what held holds again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gate_studies import OTHER_RUNS, Gated

from parity.results.ladder import RUNGS

Rung = dict[str, Any]
HELD: Rung = {"status": "pass", "tolerance_needed": 0.01}


def with_ladder(**rungs: Rung | None) -> Callable[[Path], Any]:
    """Writes ``ladder.json``: rung 1 is ``forward``, unless said otherwise, and rung 7 ``step``."""
    held = {name: HELD | {"rung": i} for i, name in enumerate(RUNGS)}
    found = held | {"step": {"status": "explained", "tolerance_needed": 0.1, "reason": "epsilon"}} | rungs
    numbers = {name: RUNGS.index(name) if name in RUNGS else len(RUNGS) for name in found}
    stored = {name: {**rung, "rung": numbers[name]} for name, rung in found.items() if rung is not None}
    document = {"tiles": {"ladder": {"rllib": stored}, "findings": []}}
    return lambda study: (study / "ladder.json").write_text(json.dumps(document))


def forget_forward(baseline: Path) -> None:
    """A parity that had no such rung wrote this baseline."""
    text = json.loads(baseline.read_text())
    del text["tasks"]["tiles"]["frameworks"]["rllib"]["ladder"]["forward"]
    baseline.write_text(json.dumps(text))


CASES: dict[str, tuple[Rung | None, Rung | None, str, str]] = {
    "held": (HELD, HELD, "pass", "holds: pass"),
    "failed": (HELD, {"status": "fail", "reason": "logits"}, "fail", "failed (logits); in the baseline: pass"),
    "invalid": (HELD, {"status": "invalid"}, "fail", "should have run and did not; in the baseline: pass"),
    "missing": (
        HELD,
        None,
        "fail",
        "should have run and did not (ladder.json does not have it; delete the file and run again with --resume); "
        "in the baseline: pass",
    ),
    "not compared": (HELD, {"status": "not_applicable"}, "fail", "is not compared any more; in the baseline: pass"),
    "never compared": (
        {"status": "not_applicable"},
        {"status": "not_applicable"},
        "not_compared",
        "has no counterpart in this port",
    ),
    "grown": (
        {"status": "explained", "tolerance_needed": 0.5},
        {"status": "explained", "tolerance_needed": 3.0},
        "fail",
        "needs 3 times the tolerance, where the baseline needed 0.5",
    ),
    "grown within": (HELD, {"status": "pass", "tolerance_needed": 0.9}, "pass", "holds: pass"),
    "explained since": (HELD, {"status": "explained"}, "pass", "holds: explained; in the baseline: pass"),
    "new": (None, HELD, "pass", "holds: pass"),
    "failed and new": (None, {"status": "fail", "reason": "logits"}, "fail", "failed (logits)"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_rung(case: str, accept: Callable[..., Path], gate: Callable[..., Gated]) -> None:
    then, now, status, words = CASES[case]
    accept(change=with_ladder(forward=then or HELD))
    if then is None:
        forget_forward(Path("parity-baseline.json"))
    gated = gate(OTHER_RUNS, change=with_ladder(forward=now))
    claim = gated.claims["tiles.rllib.ladder.forward"]
    assert (claim["status"], claim["message"]) == (status, f"rung forward of rllib on tiles {words}")
    assert gated.code == (status == "fail")
    # A failed rung makes the study INVALID; one that is missing does too; one that has grown may be waived for a time.
    assert claim["waivable"] is (case not in ("failed", "invalid", "missing", "failed and new"))
