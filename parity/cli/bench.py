"""``parity bench``."""

from __future__ import annotations

from parity.bench.options import BenchOptions
from parity.cli.options import AllOf, Json, default_tasks

NOTHING_GIVEN = BenchOptions()


def bench(*, options: AllOf[BenchOptions] = NOTHING_GIVEN, resume: str | None = None, json: Json = False) -> int:
    """Measure throughput: the frameworks train by turns, each time in a fresh process, on a machine that does nothing else.

    Parameters
    ----------
    resume
        Finish what was interrupted in this folder instead.
    json
        Print bench.json on stdout, and nothing else there.
    """
    from parity.bench.command import run_bench
    from parity.errors import CannotStart
    from parity.report.bench_page import write_bench_page

    if options.study is not None and options.name is not None:
        raise CannotStart(
            f"--name {options.name}: bench.json goes into --study {options.study}; leave one of them out."
        )
    if options.task is None and resume is None:
        options = options.model_copy(update={"task": default_tasks()})
    return run_bench(options, resume, json, write_bench_page)
