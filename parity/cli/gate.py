"""``parity gate`` and ``parity baseline accept``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from parity.cli.options import DEFAULT_OUT, Json, Out, Requirements


def gate(
    study: str | None = None,
    /,
    *,
    baseline: str | None = None,
    require: Requirements = None,
    waivers: str | None = None,
    throughput: Literal["bench", "observed"] = "bench",
    out: Out = None,
    json: Json = False,
) -> int:
    """Hold a stored study against itself and against an accepted baseline: may this go out?

    Exit code 0: every claim holds, or is waived. 1: one fails. 3: one is undecided that has to be decided. Writes gate.json,
    gate.md, junit.xml and benchmark.json (for github-action-benchmark) into the study's folder, and says it in its report.

    Parameters
    ----------
    study
        A study's folder, or its name under --out. Default: the newest.
    baseline
        The file that `parity baseline accept` writes. Default: parity-baseline.json in the current folder.
    require
        Exit 3 where this could not be decided, against sb3 and against the baseline. Learning is always required.
    waivers
        Claims that may fail until a date, in TOML or JSON. Default: parity-waivers.toml beside the baseline, if it is there.
    throughput
        bench: compare bench.json where baseline and study have one. observed: also what was seen while trials shared the
        machine (six seeds are the least that can tell).
    out
        Folder of studies. Default: results.
    json
        Print summary.json with the field gate on stdout, and nothing else there.
    """
    from parity.cli.run_gate import gate as gate_study
    from parity.results.study import find_study

    return gate_study(
        find_study(study, Path(out or DEFAULT_OUT)),
        Path(baseline) if baseline is not None else None,
        require or (),
        Path(waivers) if waivers is not None else None,
        throughput,
        as_json=json,
    )


def accept(
    study: str | None = None,
    /,
    *,
    reason: str,
    by: str | None = None,
    baseline: str | None = None,
    out: Out = None,
    json: Json = False,
) -> int:
    """Make a stored study the baseline that later ones are held against. Its raw values go into a file to be reviewed.

    A study that is INVALID, or in which a framework does not learn, becomes no baseline.

    Parameters
    ----------
    study
        A study's folder, or its name under --out. Default: the newest.
    reason
        Why: it stands in the file, and in every report that is gated with it.
    by
        Who accepts it. Default: git config user.name, else the user's name.
    baseline
        The file to write; what it holds now goes into its history. Default: parity-baseline.json in the current folder.
    out
        Folder of studies. Default: results.
    json
        Print the baseline on stdout, and nothing else there.
    """
    from parity.cli.run_gate import accept_baseline
    from parity.results.study import find_study

    return accept_baseline(
        find_study(study, Path(out or DEFAULT_OUT)),
        reason,
        by,
        Path(baseline) if baseline is not None else None,
        as_json=json,
    )
