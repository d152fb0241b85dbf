"""One of every form that parity stores, whole, and the commands that read each."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from gate.gate_studies import write_bench
from report_studies import change_trial, write_study

from parity.capture import collect
from parity.results import study as files
from parity.results.capture_file import save
from parity.testing.toy_envs import maze_task

SCORES = {"sb3": [0.97, 0.95, 0.98], "rllib": [0.96, 0.98, 0.97]}
STUDY = Path("results/now")
TRIAL = STUDY / "trials/tiles/rllib/1"
REPORT, GATE, ACCEPT = (
    ("report", "now"),
    ("gate", "now"),
    ("baseline", "accept", "now", "--reason", "because", "--by", "Ada"),
)
PAGE = ("view", "now")
WAIVERS = """
[[waiver]]
claim = "tiles.rllib.learning.final"
reason = "ray shuffles otherwise"
by = "Ada"
granted = 2026-11-20
expires = 2027-01-20
"""


@dataclasses.dataclass(frozen=True)
class Form:
    """A stored file, below the folder that `write_all` makes.

    Attributes:
        kind: how it is written, and so how it is damaged.
        commands: those that read it.
        signed: whether ``trial.json`` has its digest, so that a study with another is INVALID.
    """

    path: Path
    kind: Literal["json", "toml", "table", "capture"]
    commands: tuple[tuple[str, ...], ...]
    signed: bool = False


FORMS = {
    "study": Form(
        STUDY / "study.json", "json", (REPORT, GATE, PAGE, ("plan", "--from", "now"), ("run", "--resume", "now"))
    ),
    "trial": Form(TRIAL / "trial.json", "json", (REPORT, GATE, PAGE)),
    "curve": Form(TRIAL / "curve.parquet", "table", (REPORT, GATE, PAGE), signed=True),
    "timing": Form(TRIAL / "timing.parquet", "table", (REPORT, GATE, PAGE), signed=True),
    "masks": Form(TRIAL / "masks.json", "json", (REPORT, GATE, PAGE), signed=True),
    "ladder": Form(STUDY / "ladder.json", "json", (REPORT, GATE, PAGE)),
    "summary": Form(STUDY / "summary.json", "json", (PAGE,)),
    "gate": Form(STUDY / "gate.json", "json", (REPORT, PAGE)),
    "bench": Form(STUDY / "bench.json", "json", (REPORT, GATE, ACCEPT, ("bench", "--resume", "now"))),
    "baseline": Form(Path("parity-baseline.json"), "json", (GATE, ACCEPT)),
    "waivers": Form(Path("parity-waivers.toml"), "toml", (GATE,)),
    "capture": Form(Path("capture.zip"), "capture", (("check", "--load", "capture.zip"),)),
    "parity.toml": Form(Path("parity.toml"), "toml", (("run",), ("check",))),
}


def write_all(folder: Path) -> Path:
    """A study of two frameworks and three seeds, judged, gated and measured, and what is kept beside studies."""
    study = write_study(folder / STUDY, SCORES)
    for trial in study.glob("trials/*/*/*"):
        change_trial(trial, digests=files.digests(trial))
    write_bench(study, [610.0, 615.0, 612.0])
    capture = collect(maze_task(), "rllib", "cpu")
    assert capture is not None
    save(capture, folder / "capture.zip")
    (folder / "parity-waivers.toml").write_text(WAIVERS)
    (folder / "parity.toml").write_text(
        'task = ["nowhere.py"]\nseeds = 3\nframeworks = ["sb3", "rllib"]\nsteps = 4096\n'
    )
    return folder
