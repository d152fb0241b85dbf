"""``parity gate`` and ``parity baseline accept``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from parity.cli.options import Json, Requirements, Studies, Study
from parity.system.options import DEFAULT_OUT


def gate(
    study: Study = None,
    /,
    *,
    baseline: Path | None = None,
    require: Requirements = None,
    waivers: Path | None = None,
    throughput: Literal["bench", "observed"] = "bench",
    out: Studies = DEFAULT_OUT,
    json: Json = False,
) -> int:
    """Hold a stored study against itself and against an accepted baseline: may this go out?

    Exit code 0: every claim holds, or is waived. 1: one fails. 3: one is undecided that has to be decided. Writes gate.json,
    gate.md, junit.xml and benchmark.json (for github-action-benchmark) into the study's folder, and says it in its report.

    Parameters
    ----------
    baseline
        The file that `parity baseline accept` writes. Default: parity-baseline.json in the current folder.
    require
        Exit 3 where this could not be decided, against sb3 and against the baseline. Learning is always required.
    waivers
        Claims that may fail until a date, in TOML or JSON. Default: parity-waivers.toml beside the baseline, if it is there.
    throughput
        bench: compare bench.json where baseline and study have one. observed: also what was seen while trials shared the
        machine (six seeds are the least that can tell).
    json
        Print summary.json with the field gate on stdout, and nothing else there.
    """
    from parity.cli.run_gate import gate as gate_study
    from parity.results.study import find_study

    return gate_study(find_study(study, out), baseline, require or (), waivers, throughput, as_json=json)


def accept(
    study: Study = None,
    /,
    *,
    reason: str,
    by: str | None = None,
    baseline: Path | None = None,
    out: Studies = DEFAULT_OUT,
    json: Json = False,
) -> int:
    """Make a stored study the baseline that later ones are held against. Its raw values go into a file to be reviewed.

    A study that is INVALID, or in which a framework does not learn, becomes no baseline.

    Parameters
    ----------
    reason
        Why: it stands in the file, and in every report that is gated with it.
    by
        Who accepts it. Default: git config user.name, else the user's name.
    baseline
        The file to write; what it holds now goes into its history. Default: parity-baseline.json in the current folder.
    json
        Print the baseline on stdout, and nothing else there.
    """
    from parity.cli.run_gate import accept_baseline
    from parity.results.study import find_study

    return accept_baseline(find_study(study, out), reason, by, baseline, as_json=json)
