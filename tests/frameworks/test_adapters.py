"""What every framework adapter promises (`parity.frameworks.base`), for each that comes with parity."""

from __future__ import annotations

import pytest

from parity import frameworks
from parity.testing import FrameworkConformance, refusal
from parity.testing.toy_envs import Maze, maze_task

pytestmark = pytest.mark.usefixtures("ray_started")


class TestSb3(FrameworkConformance):
    framework = "sb3"

    def test_one_environment_for_all_is_refused(self) -> None:
        """SB3 would refuse it with a page of text."""
        shared = Maze()
        assert "returns the same Maze at every call" in refusal(self.framework, maze_task(env=lambda: shared))


class TestRllib(FrameworkConformance):
    framework = "rllib"


class TestRllibExact(FrameworkConformance):
    framework = "rllib-exact"


class TestRllibOldStack(FrameworkConformance):
    framework = "rllib-old-stack"


def test_each_framework_of_parity_is_tested_here() -> None:
    tested = {each.framework for each in (TestSb3, TestRllib, TestRllibExact, TestRllibOldStack)}
    own = {entry.name for entry in frameworks._entries().values() if entry.dist is None or entry.dist.name == "parity"}
    assert tested == own
