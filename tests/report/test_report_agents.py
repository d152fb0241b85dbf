"""Agents beside the learning one: a curve of each in the report, where there is one, and nothing else changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from report_studies import change_curve, conclude

from parity.report.curves import TaskCurves
from parity.results import study as files


def with_agent(study: Path, agent: str) -> None:
    """``rllib``'s trials get a second agent, which earns 10 more than the learning agent."""

    def add(table: pd.DataFrame) -> pd.DataFrame:
        columns = {
            files.agent_column(agent, f"{prefix}return_{figure}"): table[f"{prefix}return_{figure}"] + shift
            for prefix in ("", "sampled_")
            for figure, shift in (("mean", 10.0), ("std", 0.0))
        }
        return table.assign(**columns)

    for seed in range(3):
        change_curve(files.trial_folder(study, "tiles", "rllib", seed), add)


def test_another_agents_curve_is_its_own(small_study: Path) -> None:
    with_agent(small_study, "res_selector")
    curves = TaskCurves.of(files.load_study(small_study), "tiles", conclude(small_study).tasks["tiles"])
    assert curves.agents == ["res_selector"]
    theirs = curves.of_agent("res_selector")
    assert {curve.framework for curve in theirs.seeds} == {"rllib"}
    for policy in ("deterministic", "sampled"):
        ours, others = curves.mean("rllib", policy), theirs.mean("rllib", policy)
        assert ours is not None and others is not None
        np.testing.assert_allclose(others.mean - ours.mean, 10.0)
    assert theirs.mean("sb3", "deterministic") is None
    assert np.isnan(theirs.score(np.ones(2))).all(), "its returns have no anchors"


def test_the_report_has_a_figure_of_each_agent_with_a_curve(small_study: Path) -> None:
    """An agent's id may hold what no file name, and no HTML, may."""
    with_agent(small_study, "res/<selector>")
    conclude(small_study)
    assert (small_study / "figures" / "tiles-agent-0.svg").is_file()
    assert "return of res/&lt;selector&gt;" in (small_study / "figures" / "tiles-agent-0.svg").read_text()
    markdown, page = ((small_study / name).read_text() for name in ("report.md", "report.html"))
    assert "figures/tiles-agent-0.svg" in markdown and "decides no verdict" in markdown
    assert 'data-figure="agent res/&lt;selector&gt;"' in page and '"res/\\u003cselector>"' in page


def test_verdict_and_report_without_other_agents_are_as_before(small_study: Path) -> None:
    before = conclude(small_study)
    assert not list((small_study / "figures").glob("*agent*"))
    assert 'data-figure="agent' not in (small_study / "report.html").read_text()
    with_agent(small_study, "res_selector")
    assert conclude(small_study).tasks["tiles"] == before.tasks["tiles"]
