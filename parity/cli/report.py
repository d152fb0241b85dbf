"""``parity report`` and ``parity view``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from parity.cli.options import DEFAULT_OUT, Json, Out

Browser = Annotated[bool, Parameter(negative="--no-browser")]


def report(study: str | None = None, /, *, out: Out = None, json: Json = False) -> int:
    """Judge a stored study again and rebuild its summary and report.

    Parameters
    ----------
    study
        A study's folder, or its name under --out. Default: the newest.
    out
        Folder of studies. Default: results.
    json
        Print summary.json on stdout, and nothing else there.
    """
    from parity.cli.conclude import conclude
    from parity.results.study import find_study

    return conclude(find_study(study, Path(out or DEFAULT_OUT)), as_json=json)


def view(study: str | None = None, /, *, out: Out = None, port: int = 0, browser: Browser = True) -> int:
    """Open a study's report in a browser, or the list of all studies; served on this machine only.

    Parameters
    ----------
    study
        A study's folder, or its name under --out. Default: the list of all studies.
    out
        Folder of studies. Default: results.
    port
        Port on 127.0.0.1; 0 takes a free one.
    browser
        Open a browser.
    """
    from parity.report.server import serve

    return serve(Path(out or DEFAULT_OUT), study, port, browser)
