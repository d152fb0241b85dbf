"""Runs the ladder of a study before anything trains; numbers are collected in a separate process."""

from __future__ import annotations

import json
from pathlib import Path

from parity import frameworks
from parity.capture import collect
from parity.errors import ExitCode
from parity.ladder.findings.raw_finding import as_findings, settle
from parity.ladder.judge import judge
from parity.ladder.log import write_log
from parity.ladder.rung_input import RungReport
from parity.ladder.rungs.callbacks import callbacks
from parity.results.capture import AlgorithmRun, Capture
from parity.results.ladder import LADDER_FILE, LadderFile, has_own_ladder
from parity.results.reading import read_json
from parity.results.study import load_study, write_ladder
from parity.system.console import say
from parity.system.ray_session import connect, end_if_it_died
from parity.system.subprocesses import run_in_subprocess
from parity.task.registry import TaskRef, folders_of, load


def run_ladder(folder: Path, refs: dict[str, TaskRef], names: list[str], address: str | None, timeout: float) -> bool:
    """Compares every framework but the reference with it, on every task; stores it and returns whether nothing differs.

    ``names``: the study's frameworks, without the reference among which nothing is compared; ``address``: of the ports' Ray,
    None for one of their own; ``timeout``: seconds for each task.
    """
    others = [name for name in names if name != frameworks.REFERENCE]
    if frameworks.REFERENCE not in names or not others:
        return True
    collected = run_in_subprocess(
        _collect_all, refs, others, address, about=f"The ladder of {', '.join(refs)}", timeout=timeout * len(refs)
    )
    if address is not None:
        end_if_it_died()  # else what it failed of would count as the port's
    documents = {}
    for task, captures in collected.items():
        documents[task], _ = judge(task, captures)
        documents[task].log, _ = write_log(folder, task, captures)
    stored = {task: json.loads(document.to_json()) for task, document in documents.items()}
    write_ladder(folder, json.dumps(stored, indent=1) + "\n")
    for task, document in documents.items():
        for name, rungs in document.not_compared.items():
            say(
                f"{task}: {name} is not compared with {frameworks.REFERENCE} ({', '.join(rungs)}); `parity check` says why"
            )
    return all(document.exit_code != ExitCode.DOES_NOT_HOLD for document in documents.values())


def add_callback_changes(folder: Path) -> None:
    """What callbacks changed in later iterations than the ladder has, as findings beside its own; once for each framework."""
    path, study = folder / LADDER_FILE, load_study(folder)
    if not has_own_ladder(folder, study.file.ladder_digest):
        return
    stored = read_json(path, LadderFile, "delete it and run again with --resume")
    for trial in study.trials:
        if trial.meta is None or not trial.meta.callbacks:
            continue
        task, framework = trial.task, trial.framework
        told = {(each.where or "").partition(",")[0] for each in stored.root[task].findings if each.code == "PAR059"}
        new = [change for change in trial.meta.callbacks if change.callback not in told]
        report = RungReport(0)
        callbacks(report, AlgorithmRun(callbacks=new))
        raw = settle(report.findings, study.file.tasks[task].declared)
        stored.root[task].findings += as_findings(raw, task, framework)
    write_ladder(folder, stored.model_dump_json(indent=1) + "\n")


def _collect_all(
    refs: dict[str, TaskRef], names: list[str], address: str | None
) -> dict[str, dict[str, Capture | None]]:
    connect(address, 0, folders_of(refs.values()))
    return {task: _collect(ref, names) for task, ref in refs.items()}


def _collect(ref: TaskRef, names: list[str]) -> dict[str, Capture | None]:
    import warnings

    import torch

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    task = load(ref)
    # On the CPU, wherever the trials run: there the tolerances are tightest.
    return {name: collect(task, name, "cpu", full=True) for name in names}
