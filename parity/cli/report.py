"""``parity report`` and ``parity view``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from parity.cli.options import Count, Json, Studies, Study
from parity.system.options import DEFAULT_OUT

Browser = Annotated[bool, Parameter(negative="--no-browser")]


def report(study: Study = None, /, *, out: Studies = DEFAULT_OUT, json: Json = False) -> int:
    """Judge a stored study again and rebuild its summary and report; or a stored bench and its page.

    Parameters
    ----------
    json
        Print summary.json, or bench.json, on stdout, and nothing else there.
    """
    from parity.cli.conclude import conclude
    from parity.results.bench import BENCH_FILE, find_bench, load_bench_file
    from parity.results.study import STUDY_FILE, find_study

    bench = find_bench(study, out) if study is not None else None
    if bench is not None and not (bench / STUDY_FILE).is_file():
        from parity.bench.command import finish
        from parity.report.bench_page import write_bench_page

        return finish(bench, load_bench_file(bench / BENCH_FILE), json, write_bench_page)
    return conclude(find_study(study, out), as_json=json)


def view(study: str | None = None, /, *, out: Studies = DEFAULT_OUT, port: Count = 0, browser: Browser = True) -> int:
    """Open the report of a study or bench in a browser, or the list of all; served on this machine only.

    Parameters
    ----------
    study
        A study's or bench's folder, or its name under --out. Default: the list of all.
    port
        Port on 127.0.0.1; 0 takes a free one.
    browser
        Open a browser.
    """
    from parity.report.server import serve

    return serve(out, study, port or 0, browser)
