"""What callbacks do from a later sample on is seen where many short samples are taken."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from cases import strict_env

from parity.capture.rllib.later_samples import _other_rewards, has_own, later_samples
from parity.frameworks.rllib.config import build_port
from parity.ladder.run_rungs import run_rungs
from parity.results.capture import Capture, Contract, LaterSamples


def sampled(callbacks: Any) -> LaterSamples:
    torch.set_num_threads(1)
    port = build_port(strict_env.task(strict_env.finished().callbacks(callbacks)), 0, "cpu")
    assert has_own(port.config)
    return later_samples(port)


def codes(samples: LaterSamples) -> set[str]:
    result = run_rungs(Capture(contract=Contract(later=samples)))
    return {each.code for each in result.findings("", "") if each.code in ("PAR049", "PAR064")}


@pytest.mark.parametrize(
    ("callbacks", "code", "part", "where"),
    [
        (strict_env.Doubles, "PAR064", "rewards", "sample 11: "),
        (strict_env.Levels, "PAR049", "plays_otherwise", "rewards, call "),
    ],
)
def test_what_changes_at_the_nth_sample_is_named(callbacks: Any, code: str, part: str, where: str) -> None:
    samples = sampled(callbacks)
    assert str(getattr(samples, part)).startswith(where)
    assert codes(samples) == {code}


def test_a_callback_that_counts_changes_nothing() -> None:
    samples = sampled(strict_env.OnlyCounts)
    assert samples.rewards is samples.plays_otherwise is None and not codes(samples)


@pytest.mark.parametrize(
    ("off", "told"),
    [
        ([0.0] * 6, None),
        ([0, 0, 0, 1, -1, 0], None),  # kept back for an agent's next turn, and handed over then
        ([0, 0, 0, 5, 5, 5], "sample 4: "),
        ([5, 5, 5, 5, 5, 5], None),  # rung 3 sees it
    ],
)
def test_rewards_that_are_kept_back_for_a_turn_are_no_others(off: list[float], told: str | None) -> None:
    where = _other_rewards(np.ones(6), np.ones(6) + off, held_back=2.0)
    assert where is None if told is None else str(where).startswith(told)


def test_ports_without_callbacks_while_sampling_are_not_sampled_again() -> None:
    assert not has_own(build_port(strict_env.unchecked, 0, "cpu").config)
