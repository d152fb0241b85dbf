"""docs/speed.md's table and picture are made of committed rounds."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from bench_rounds import bench_round, concluded, phases

ROOT = Path(__file__).parents[2]


@pytest.fixture
def script() -> Any:
    spec = importlib.util.spec_from_file_location("bench_table", ROOT / "benchmarks" / "bench_table.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_row_is_a_multiple_of_sb3_in_its_own_bench(script: Any, tmp_path: Path) -> None:
    profiled = [bench_round("rllib", phases=phases(environment=(0.2048, 0.2)))]
    concluded(limits=[bench_round("limit")], profiled=profiled).write(folder(tmp_path, "tiles"))
    slow_hour = [bench_round("sb3", k, 1400.0) for k in range(2)] + [
        bench_round("rllib:stock", k, 140.0) for k in range(2)
    ]
    request = {"frameworks": ["sb3", "rllib:stock"]}
    stock = concluded(*slow_hour)
    stock.request = stock.request.model_copy(update=request)
    stock.write(folder(tmp_path, "tiles-stock"))
    text = script.block(tmp_path, "speed.svg")
    assert "| tiles | 2,802 | 0.10 (0.10 to 0.10) | - | 0.93" in text and "| 1.43 |" in text
    assert "| tiles | rllib | 100.0 |" in text, "milliseconds of the environment per 1,000 steps"
    script.draw(tmp_path, tmp_path / "speed.svg")
    assert "Stable-Baselines3" in (tmp_path / "speed.svg").read_text()


def test_the_page_holds_what_the_committed_rounds_say(script: Any) -> None:
    page = (ROOT / "docs" / "speed.md").read_text(encoding="utf-8")
    stands = page[page.index(script.BEGIN) + len(script.BEGIN) + 1 : page.index(script.END)]
    assert stands == script.block(ROOT / "results" / "bench", "../results/bench/speed.svg")


def folder(root: Path, name: str) -> Path:
    (root / name).mkdir()
    return root / name / "bench.json"
