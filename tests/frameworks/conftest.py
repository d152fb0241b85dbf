"""A Ray of one core for the tests whose `Algorithm` needs it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def ray_started() -> Iterator[None]:
    before = dict(os.environ)
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # Env runners of a port look for what its task file imports where `parity run` says that it lies.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=128 * 2**20, log_to_driver=False)
    yield
    ray.shutdown()
    os.environ.clear()
    os.environ.update(before)
