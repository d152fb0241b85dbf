from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def tiles_reference() -> ModuleType:
    """benchmarks/tiles_reference.py as a module: its policies are what the reference scores were computed with."""
    spec = importlib.util.spec_from_file_location("tiles_reference", ROOT / "benchmarks" / "tiles_reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
