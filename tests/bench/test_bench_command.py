"""What stands beside the headline does not spoil it: a failure there is said, one of the rounds themselves ends the bench."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench_rounds import concluded

from parity.bench.command import _is_taken
from parity.bench.measure import Work
from parity.errors import CannotStart
from parity.report.bench_page import bench_page

BROKEN = RuntimeError("it knows no <other> part")


@pytest.mark.parametrize(
    "work",
    [
        Work("tiles", "rllib", 0, phases=True),
        Work("tiles", "rllib", 0, at={"n_envs": 32}),
        Work("tiles", "rllib", 0, exchange=True, without="env runner Mine"),
    ],
)
def test_a_failure_beside_the_headline_is_said(work: Work, tmp_path: Path) -> None:
    file = concluded()
    assert _is_taken(BROKEN, work, file, tmp_path) and file.reason is None
    assert "it knows no <other> part" in file.not_measured[0]
    assert "it knows no &lt;other&gt; part" in bench_page(file, "one")


def test_a_task_without_a_limit_says_why(tmp_path: Path) -> None:
    file = concluded()
    assert _is_taken(CannotStart("Task tiles has no network."), Work("tiles", "limit", 0), file, tmp_path)
    assert "no network" in file.without_limit["tiles"] and not file.not_measured


def test_a_round_of_the_headline_that_raises_ends_it(tmp_path: Path) -> None:
    file = concluded()
    assert not _is_taken(BROKEN, Work("tiles", "rllib", 0), file, tmp_path)
    assert file.reason is not None and (tmp_path / "bench.log").is_file()
    with pytest.raises(CannotStart):
        _is_taken(CannotStart("no"), Work("tiles", "rllib", 0), file, tmp_path)
