"""`bench.html`: what was measured, readable without a network, and harmless whatever a bench says."""

from __future__ import annotations

import sys
import threading
import urllib.request
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))
from bench_rounds import bench_round, concluded, phases

from parity.cli import call
from parity.report.bench_page import bench_page, write_bench_page
from parity.report.server import make_server
from parity.results.bench import BenchFile

NASTY = "learning goes RLlib's own way: </script><script>alert(1)</script>"


@pytest.fixture(scope="module")
def file() -> BenchFile:
    rounds = [bench_round("sb3", k) for k in range(6)] + [bench_round("rllib", k, slow_paths=[NASTY]) for k in range(6)]
    times = phases(environment__Maze=(0.1, 0.1), backward=(0.4, 0.4), bookkeeping__connector_Sleeps=(0.9, 0.01))
    swept = [bench_round(name, 0, 100.0 * n, at={"n_envs": n}) for name in ("sb3", "rllib") for n in (8, 16)]
    swept.append(bench_round("rllib", 0, 90.0, at={"env_runners": 0}))
    limits, profiled = [bench_round("limit")], [bench_round("rllib", phases=times)]
    return concluded(*rounds, limits=limits, profiled=profiled, swept=swept)


def test_the_page_has_every_part(file: BenchFile) -> None:
    page = bench_page(file, "one")
    for part in (
        "of the limit",
        "Cost against n_envs",
        "Cost against env_runners",
        "PAR915",
        "Conditions",
        "connector_Sleeps",
    ):
        assert part in page, part
    assert '"sweep n_envs"' in page and '"phases"' in page


def test_nothing_that_a_bench_says_can_run_or_fetch(file: BenchFile) -> None:
    page = bench_page(file, "<img src=x>")
    assert "<script>alert" not in page and "<img" not in page
    assert "default-src &#39;none&#39;" in page and "https:" not in page[: page.index("<body>")]


def test_view_lists_it_and_opens_it_and_report_makes_it_anew(
    file: BenchFile, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "a bench"
    folder.mkdir()
    file.write(folder / "bench.json")
    write_bench_page(folder, file)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "bench.json").write_text("{")
    with make_server(tmp_path) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        root = f"http://127.0.0.1:{server.server_address[1]}/"
        listed = urllib.request.urlopen(root).read().decode()
        assert "a%20bench/bench.html" in listed and "measure again" in listed
        opened = urllib.request.urlopen(f"{root}a%20bench").read().decode()
        assert "Cost against n_envs" in opened
        server.shutdown()
    (folder / "bench.html").unlink()
    assert call(["report", str(folder)]) == 0
    assert (folder / "bench.html").is_file() and "of the limit of tiles" in capfd.readouterr().err
