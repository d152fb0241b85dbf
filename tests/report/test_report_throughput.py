"""What `parity bench --study` measured stands in the report, above what was seen in passing."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_studies import bench_request, conclude, write_study

from parity.errors import CannotStart
from parity.results.bench import BenchFile, Ratio

SEEN = "Seen while trials shared the machine"


def bench(folder: Path, reason: str | None = None) -> None:
    ratio = Ratio(estimate=0.461, interval=(0.452, 0.471), confidence=0.95, rounds=6, slower=True, p_slower=0.001)
    file = BenchFile(
        created="", request=bench_request("sb3", "rllib"), task="tiles", ratio={"rllib/sb3": ratio}, reason=reason
    )
    (folder / "bench.json").write_text(file.to_json())


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write_study(tmp_path / "one", {"sb3": [0.9, 0.95, 1.0], "rllib": [0.9, 0.96, 0.99]})


@pytest.mark.parametrize("name", ["report.html", "report.md"])
def test_the_measured_ratio_comes_before_what_was_seen_in_passing(study: Path, name: str) -> None:
    bench(study)
    conclude(study)
    text = (study / name).read_text(encoding="utf-8")
    measured = text.index("rllib makes 0.461 times the environment steps per second of sb3 on tiles (95 % interval")
    assert measured < text.index(SEEN)
    assert "slower" in text[measured : text.index(SEEN)] and "parity bench</code> measures" not in text


def test_without_one_the_report_says_how_to_measure(study: Path) -> None:
    conclude(study)
    text = (study / "report.md").read_text(encoding="utf-8")
    assert "Throughput, seen in passing" in text and f"{SEEN}; `parity bench` measures throughput." in text


def test_a_bench_that_did_not_end_is_no_figure(study: Path) -> None:
    bench(study, reason="rllib raised on tiles: KeyError: 'obs'")
    conclude(study)
    text = (study / "report.md").read_text(encoding="utf-8")
    assert "not to its end: rllib raised on tiles" in text and "0.461" not in text


def test_a_corrupt_one_is_a_sentence(study: Path) -> None:
    (study / "bench.json").write_text("{")
    with pytest.raises(CannotStart, match=r"bench.json cannot be read: .*measure again"):
        conclude(study)
