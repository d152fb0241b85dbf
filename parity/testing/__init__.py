"""For an adapter's own tests: small masked environments, and the promises of ``parity.frameworks.base`` as tests.

Needs pytest. ``docs/frameworks.md`` shows an adapter that is tested with it.
"""

from parity.testing.conformance import FrameworkConformance, effective, opened, refusal
from parity.testing.toy_envs import Maze, maze_task

__all__ = ["FrameworkConformance", "Maze", "effective", "maze_task", "opened", "refusal"]
