"""Findings know what is true of the installed ray: the formula of value targets that 2.47.1 has is told from others."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import pytest
from captures import Collected

from parity.cli import run_check as command
from parity.cli.check import CheckOptions
from parity.errors import NotSupported
from parity.frameworks.rllib import versions
from parity.frameworks.rllib.exact import framework as exact_framework
from parity.ladder.run_rungs import run_rungs
from parity.results.capture import Capture, InstalledFormula
from parity.selftest.good import SORTER as LEARNER

M = LEARNER
AFFECTED = InstalledFormula(version="2.47.1", bootstraps_cut_chunks=False)


def upstream_2_47_1(
    values: np.ndarray,
    rewards: np.ndarray,
    terminateds: np.ndarray,
    truncateds: np.ndarray,
    gamma: float,
    lambda_: float,
) -> np.ndarray:
    """``compute_value_targets`` as ray 2.47.1 has it, on the rows of a whole batch, bootstrap rows included."""
    values = values * (1.0 - terminateds)
    extended = np.append(values, 0.0)
    intermediates = rewards + gamma * (1 - lambda_) * extended[1:]
    targets, last = [], 0.0
    for t in reversed(range(len(rewards))):
        last = intermediates[t] + (1.0 - terminateds[t]) * gamma * lambda_ * last
        targets.append(last)
        if truncateds[t]:
            last = values[t]
    return np.array(targets[::-1], dtype=np.float32)


def as_2_47_1(capture: Capture) -> Capture:
    """The same rollout with the targets and advantages that RLlib 2.47.1 would have put into the batch."""
    capture = copy.deepcopy(capture)
    returns, valid = capture.returns[M], capture.context.rows[M].valid
    # 2.47.1 marks the appended row as terminated, and as truncated where the chunk did not terminate.
    terminateds = np.where(valid, returns.terminateds, True).astype(float)
    truncateds = ~valid & ~np.append(False, terminateds[:-1].astype(bool))
    settings = capture.context.modules[M].settings
    assert settings is not None
    targets = upstream_2_47_1(
        returns.values, returns.rewards, terminateds, truncateds, settings["gamma"], settings["gae_lambda"]
    )
    advantages = targets - returns.values
    returns.value_targets = targets
    returns.advantages = (advantages - advantages.mean()) / max(1e-4, advantages.std())
    capture.installed_formula = AFFECTED
    return capture


def found(capture: Capture) -> dict[str, Any]:
    return {each.code: each for each in run_rungs(capture).raw_findings if each.severity == "error"}


def without_update(capture: Capture) -> Capture:
    """What comes before the update alone: the stored one was computed from other targets."""
    return dataclasses.replace(capture, loss={}, gradient={}, step={}, update={})


@pytest.mark.parametrize("name", ["one-agent", "two-learning-agents", "no-time-limit", "other-hyperparameters"])
def test_the_formula_of_2_47_1_is_named_and_everything_else_follows(name: str, collected: Collected) -> None:
    seen = found(without_update(as_2_47_1(collected(name, "rllib"))))
    assert seen["PAR407"].root is None
    assert seen["PAR404"].root is seen["PAR407"]
    assert seen["PAR405"].root is seen["PAR407"]
    assert seen["PAR407"].evidence["ray"] == "2.47.1"
    assert seen["PAR407"].evidence["chunks_without_bootstrap"] > 0


@pytest.mark.parametrize("name", ["one-agent", "no-time-limit", "other-hyperparameters", "turn-based"])
def test_the_installed_formula_is_not_named(name: str, collected: Collected) -> None:
    assert not {"PAR404", "PAR407"} & set(found(collected(name, "rllib")))


@pytest.mark.parametrize("change", ["gamma", "one target", "scaled"])
def test_other_targets_are_not_taken_for_it(change: str, collected: Collected) -> None:
    capture = as_2_47_1(collected("one-agent", "rllib"))
    targets, settings = capture.returns[M].value_targets, capture.context.modules[M].settings
    assert settings is not None
    if change == "gamma":
        settings["gamma"] *= 0.999
    elif change == "one target":
        targets[np.flatnonzero(capture.context.rows[M].valid)[0]] += 1e-2
    else:
        targets *= 1.01
    seen = found(without_update(capture))
    assert "PAR404" in seen and "PAR407" not in seen


def test_ends_stored_as_terminations_are_not_taken_for_it(collected: Collected) -> None:
    """Without lambda the targets are then the same; the right formula on the batch's own ends explains them as well."""
    capture = copy.deepcopy(collected("other-hyperparameters", "rllib"))
    valid, chunk = capture.context.rows[M].valid, capture.context.rows[M].chunk
    ends = np.zeros(len(valid), dtype=bool)
    ends[np.flatnonzero(valid)[np.append(chunk[1:] != chunk[:-1], True)]] = True
    capture.rollout[M].terminateds = capture.returns[M].terminateds = ends
    capture.returns[M].value_targets = as_2_47_1(capture).returns[M].value_targets
    seen = found(without_update(capture))
    assert "PAR304" in seen and "PAR404" in seen and "PAR407" not in seen


def test_where_ray_has_the_fix_the_port_is_told_to_look_at_itself(collected: Collected) -> None:
    capture = as_2_47_1(collected("one-agent", "rllib"))
    capture.installed_formula = collected("one-agent", "rllib").installed_formula
    seen = found(without_update(capture))["PAR407"]
    assert "has the fix" in seen.message and seen.fix is not None and "pip" not in seen.fix


def test_where_the_rollout_does_not_show_it_there_is_a_warning(collected: Collected) -> None:
    capture = copy.deepcopy(collected("one-agent", "rllib"))
    capture.installed_formula = AFFECTED
    seen = run_rungs(capture)
    assert seen and [each.severity for each in seen.raw_findings if each.code == "PAR407"] == ["warning"]


def test_the_installed_version_is_asked_and_not_assumed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert versions.bootstraps_cut_chunks()
    monkeypatch.setattr(versions, "compute_value_targets", upstream_2_47_1)
    assert not versions.bootstraps_cut_chunks()


def test_check_leaves_rllib_exact_out_of_its_defaults_and_says_so(
    collected: Collected, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(exact_framework, "refuse_exact", versions.refuse_exact)
    monkeypatch.setattr(versions, "RELEASE", (2, 47))
    monkeypatch.setattr(versions, "VERSION", "2.47.1")
    monkeypatch.setattr("parity.capture.rllib.capture_rllib", lambda *_: copy.deepcopy(collected("one-agent", "rllib")))
    # The process that collects would not see what is patched in this one.
    monkeypatch.setattr(command, "run_in_subprocess", lambda work, *arguments, **_: work(*arguments))
    command.run_check(CheckOptions(task="tiles"), as_json=True)
    out, err = capsys.readouterr()
    sentence = 'pip install "ray[rllib]==2.60.0"'
    assert sentence in " ".join(err.split()) and '"rllib-exact": "--frameworks rllib-exact needs ray 2.60' in out
    with pytest.raises(NotSupported, match=r"installed is 2\.47\.1"):
        command.run_check(CheckOptions(task="tiles", frameworks=["rllib-exact"]), as_json=False)


def test_a_package_of_another_version_is_not_called_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(_: Any) -> Any:
        raise ModuleNotFoundError("No module named 'ray.rllib.moved'", name="ray.rllib.moved")

    monkeypatch.setattr("importlib.metadata.EntryPoint.load", load)
    with pytest.raises(command.CannotStart, match=r"installed ray has no ray\.rllib\.moved"):
        command.frameworks.get("rllib")
