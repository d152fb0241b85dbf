"""``parity check`` on tiny and degenerate environments: one action, constant rewards, episodes of one step, pairs."""

from __future__ import annotations

import pytest

pytest.importorskip("ray.rllib")

from parity import probes
from parity.capture import collect
from parity.ladder.run_rungs import run_rungs

# Zero-variance advantages, truncation at every step, and an action that is never legal beside a second learner.
FAST = ("probe-one-action", "probe-time-limit", "probe-cooperative")


@pytest.mark.parametrize(
    ("name", "framework"),
    [
        pytest.param(name, framework, marks=[] if name in FAST else [pytest.mark.slow], id=f"{name}-{framework}")
        for name in probes.names()
        for framework in ("rllib", "rllib-exact")
    ],
)
def test_the_ladder_holds(name: str, framework: str) -> None:
    capture = collect(probes.get(name).task, framework, "cpu")
    assert capture is not None
    result = run_rungs(capture)
    assert result, {rung: (each.status, each.reason) for rung, each in result.rungs.items()}
