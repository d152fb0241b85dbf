"""``parity report`` and ``parity view``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from parity.cli.options import Json, Studies, Study
from parity.system.options import DEFAULT_OUT

Browser = Annotated[bool, Parameter(negative="--no-browser")]


def report(study: Study = None, /, *, out: Studies = DEFAULT_OUT, json: Json = False) -> int:
    """Judge a stored study again and rebuild its summary and report.

    Parameters
    ----------
    json
        Print summary.json on stdout, and nothing else there.
    """
    from parity.cli.conclude import conclude
    from parity.results.study import find_study

    return conclude(find_study(study, out), as_json=json)


def view(study: str | None = None, /, *, out: Studies = DEFAULT_OUT, port: int = 0, browser: Browser = True) -> int:
    """Open a study's report in a browser, or the list of all studies; served on this machine only.

    Parameters
    ----------
    study
        A study's folder, or its name under --out. Default: the list of all studies.
    port
        Port on 127.0.0.1; 0 takes a free one.
    browser
        Open a browser.
    """
    from parity.report.server import serve

    return serve(out, study, port, browser)
