"""A tap passes calls on and tells its readers; all else of the environment shows through it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from parity.frameworks.rllib.env_tap import Call, EnvReader, EnvTap, MaskAudit

MASKED = {"a": {"action_mask": np.array([1, 0], np.int8)}}


class Counter:
    """Counts its steps; raises at the second one."""

    level = 1

    def __init__(self) -> None:
        self.steps = 0

    @property
    def unwrapped(self) -> Counter:
        return self

    def get_action_space(self, agent: str) -> spaces.Space:
        return spaces.Discrete(2)

    def reset(self, *, seed: int | None = None) -> Any:
        return MASKED, {}

    def step(self, action_dict: dict[str, Any]) -> Any:
        self.steps += 1
        if self.steps == 2:
            raise ValueError("twice")
        return {}, {}, {}, {}, {}


class Log(EnvReader):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def before(self, call: Call) -> None:
        self.lines.append(f"{call.method} {call.seed if call.method == 'reset' else call.actions}")

    def after(self, call: Call) -> None:
        self.lines.append(f"returned {len(call.result)}")


def test_readers_are_told_of_each_call_and_not_of_a_result_that_never_came() -> None:
    log = Log()
    env = EnvTap(Counter(), log)
    env.reset(seed=3)
    env.step({"a": 0})
    with pytest.raises(ValueError, match="twice"):
        env.step(action_dict={"a": 1})
    assert log.lines == ["reset 3", "returned 2", "step {'a': 0}", "returned 5", "step {'a': 1}"]


def test_the_environment_shows_through_and_can_be_written_to() -> None:
    inner = Counter()
    env = EnvTap(inner)
    env.level = 4
    assert inner.level == 4 and env.level == 4
    assert type(env.unwrapped) is Counter
    with pytest.raises(AttributeError, match="'Counter' object has no attribute 'missing'"):
        _ = env.missing


def test_actions_are_counted_against_the_mask_that_was_shown_before() -> None:
    inner = Counter()
    audit = MaskAudit(inner)
    env = EnvTap(inner, audit)
    env.reset()
    env.step({"a": 1, "b": 0})
    assert (audit.counts.decisions, audit.counts.violations) == (1, 1)
