"""``parity check`` from options to exit code: collect, judge, print."""

from __future__ import annotations

import dataclasses
import logging
import traceback
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parity import frameworks
from parity.system.subprocesses import apart
from parity.system.console import console
from parity.errors import CannotStart, ExitCode, NotSupported, one_line
from parity.ladder.run_rungs import RUNGS, Climb, climb, rung_of
from parity.results.check import CheckDocument
from parity.ladder.evidence import Evidence
from parity.results.capture import Numbers
from parity.ladder.rungs.algorithm import seen
from parity.ladder.rungs.control import control
from parity.ladder.tolerances import tolerance
from parity.ladder.trace import trace
from parity.results.summary import RungResult

if TYPE_CHECKING:
    from parity.task import Task

DEFAULT_FRAMEWORKS = ("rllib", "rllib-exact")


@dataclasses.dataclass(frozen=True)
class Request:
    """What ``parity check`` was asked.

    Attributes:
        task: as ``--task`` says it.
        frameworks: those compared with SB3; None for the default ones that are registered.
        device: "cpu", "cuda" or "auto".
        save, load: a file of collected numbers; with several frameworks, the framework's name goes into the file's.
        out: folder of the log.
        trace: whether to print one episode per agent.
        lockstep: whole iterations of rung 9; None runs a few short ones.
        full: whether to run through the frameworks' own training loops too, with all processes of the port.
        as_json: whether to print the document on stdout.
    """

    task: str
    frameworks: list[str] | None = None
    device: str = "cpu"
    save: Path | None = None
    load: Path | None = None
    out: Path = Path("results")
    trace: bool = False
    lockstep: int | None = None
    full: bool = False
    as_json: bool = False


def run_check(request: Request) -> int:
    """Checks one task and prints what was found. Returns the exit code.

    Raises:
        CannotStart: bad input.
    """
    names = _names(request.frameworks)
    left_out: dict[str, str] = {}
    if request.load is not None:
        task_id, collected, device = _stored(request, names)
    else:
        task_id, collected, device, left_out = apart(_collected, request, names, about=f"--task {request.task}")
    document, climbs = judge(task_id, collected, device)
    document.left_out = left_out
    _show(request, document, climbs, collected)
    return document.exit_code


def judge(
    task_id: str, collected: dict[str, Numbers | None], device: str = "cpu"
) -> tuple[CheckDocument, dict[str, Climb]]:
    """The document of a task from each framework's numbers; None stands for a framework that collects none."""
    climbs = {name: climb(numbers, tolerance=tolerance(device)) for name, numbers in collected.items() if numbers}
    ladder = {name: climbs[name].rungs if name in climbs else _no_numbers(name) for name in collected}
    holds = all(climbs.values())
    document = CheckDocument(
        task=task_id,
        frameworks=list(collected),
        ladder=ladder,
        findings=[finding for name, each in climbs.items() for finding in each.findings(task_id, name)],
        exit_code=ExitCode.HOLDS if holds else ExitCode.DOES_NOT_HOLD,
        device=device,
        algorithm=_asked(seen, collected, device),
        control=_asked(control, collected, device),
    )
    return document, climbs


def _asked(
    question: Callable[[Evidence], dict[str, Any] | None], collected: dict[str, Numbers | None], device: str
) -> dict[str, dict[str, Any]]:
    """What ``question`` says of each framework's numbers, where it says anything."""
    answers = {name: question(Evidence(numbers, tolerance(device))) for name, numbers in collected.items() if numbers}
    return {name: answer for name, answer in answers.items() if answer is not None}


def _no_numbers(name: str) -> dict[str, RungResult]:
    reason = f"{name} collects no numbers (Framework.collect)"
    return {rung: RungResult(rung=i, status="not_applicable", reason=reason) for i, rung in enumerate(RUNGS)}


def _names(wanted: list[str] | None) -> list[str]:
    if wanted is None:
        registered = frameworks.names()
        return [name for name in DEFAULT_FRAMEWORKS if name in registered]
    frameworks.check_names(wanted)
    if len(set(wanted)) != len(wanted):
        raise CannotStart(f"--frameworks {' '.join(wanted)}: a name stands twice.")
    names = [name for name in wanted if name != frameworks.REFERENCE]
    if not names:
        raise CannotStart(f"--frameworks {frameworks.REFERENCE}: name a framework to compare with it.")
    return names


def collect(task: Task, name: str, device: str, lockstep: int | None = None, full: bool = False) -> Numbers | None:
    """A framework's numbers; what the port raises before there are any is noted like everything else that it raises.

    ``lockstep`` and ``full`` as for `Framework.collect`.

    Raises:
        CannotStart: the task cannot be run by this framework.
    """
    try:
        framework = frameworks.get(name)
        # After the import, which sets it; deprecations inside RLlib are not the reader's.
        logging.getLogger("ray.rllib").setLevel(logging.ERROR)
        return framework.collect(task, device, lockstep, full)
    except NotImplementedError:
        return None
    except CannotStart:
        raise
    except Exception as error:
        raised = {"type": type(error).__name__, "message": one_line(error), "traceback": traceback.format_exc()}
        facts = {"raised": {"build": raised}, "learning_module": "", "learning_agent": "", "framework": name}
        return Numbers(facts=facts | {"declared": dict(task.declared)})


def _collected(request: Request, names: list[str]) -> tuple[str, dict[str, Numbers | None], str, dict[str, str]]:
    """In a process of its own: the task's id, each framework's numbers, the device, and who cannot run and why."""
    from parity.task import registry as tasks

    reference = tasks.resolve(request.task)
    _quieten()
    import torch

    from parity.frameworks.device import exact_arithmetic, resolve_device

    device = resolve_device(request.device)
    if device == "cuda":
        exact_arithmetic()
    # The differences are of single operations: threads only change the order of sums.
    torch.set_num_threads(1)
    task = tasks.load(reference)
    found: dict[str, Numbers | None] = {}
    left_out: dict[str, str] = {}
    for name in names:
        try:
            numbers = collect(task, name, device, request.lockstep, request.full)
        except NotSupported as error:
            # Nobody asked for it by name.
            if request.frameworks is not None:
                raise
            left_out[name] = str(error)
            continue
        if numbers is not None:
            numbers.facts |= {"task": task.id, "framework": name, "device": device}
            if request.save is not None:
                _save(numbers, _file(request.save, name, len(names) > 1))
        found[name] = numbers
    if not found:
        raise CannotStart(next(iter(left_out.values())))
    return task.id, found, device, left_out


def _quieten() -> None:
    """Warnings of the frameworks about themselves are no findings, and stderr is for people."""
    warnings.simplefilter("ignore")


def _save(numbers: Numbers, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        numbers.save(path)
    except OSError as error:
        raise CannotStart(f"--save {path}: cannot write there ({error.strerror}); choose another file.") from error


def _file(path: Path, name: str, several: bool) -> Path:
    return path.with_name(f"{path.stem}.{name}{path.suffix}") if several else path


def _stored(request: Request, names: list[str]) -> tuple[str, dict[str, Numbers | None], str]:
    """Numbers from ``--load``; the frameworks are those that were saved."""
    assert request.load is not None
    path = request.load
    several = [_file(path, name, True) for name in names]
    files = [path] if path.exists() else [file for file in several if file.exists()]
    if not files:
        raise CannotStart(f"--load {path}: there is no such file; write one with `parity check --save {path}`.")
    found: dict[str, Numbers | None] = {}
    for file in files:
        numbers = Numbers.load(file)
        if "framework" not in numbers.facts or "task" not in numbers.facts:
            raise CannotStart(f"--load {file}: it does not say which task and framework it is of.")
        found[numbers.facts["framework"]] = numbers
    first = next(iter(found.values()))
    assert first is not None
    return first.facts["task"], found, first.facts.get("device", "cpu")


def _show(
    request: Request, document: CheckDocument, climbs: dict[str, Climb], collected: dict[str, Numbers | None]
) -> None:
    from parity.cli import ladder_table as table

    out = console()
    document.log, stops = write_log(request.out, document.task, collected)
    episodes = {name: trace(numbers) for name, numbers in collected.items() if numbers} if request.trace else {}
    if request.trace:
        document.trace = episodes
    for name in document.frameworks:
        table.print_ladder(out, name, document.ladder[name])
        table.print_algorithm(out, document.algorithm.get(name))
        table.print_control(out, document.control.get(name))
    table.print_findings(out, document.findings)
    for name, each in episodes.items():
        table.print_trace(out, name, each)
    for sentence in (*stops, *document.left_out.values()):
        # A pip extra in brackets is no markup.
        out.print(sentence, markup=False)
    broken = [name for name in document.frameworks if name in climbs and not climbs[name]]
    out.print(_verdict(document, broken))
    if request.as_json:
        print(document.to_json())


def _verdict(document: CheckDocument, broken: Iterable[str]) -> str:
    broken = list(broken)
    if not broken:
        computes = "computes" if len(document.frameworks) == 1 else "compute"
        return f"{document.task}: {' and '.join(document.frameworks)} {computes} what sb3 computes, or the ladder says why not."
    roots = [f.code for f in document.findings if f.severity == "error"]
    hold = "does not hold" if len(broken) == 1 else "do not hold"
    return f"{document.task}: {' and '.join(broken)} {hold} ({', '.join(dict.fromkeys(roots)) or 'see above'})."


def write_log(out: Path, task_id: str, collected: dict[str, Numbers | None]) -> tuple[str | None, list[str]]:
    """Tracebacks of what the ports raised, and one sentence for each framework. Returns the file's name."""
    raised: list[tuple[str, str, dict[str, Any]]] = [
        (name, part, error)
        for name, numbers in collected.items()
        if numbers
        for part, error in numbers.facts.get("raised", {}).items()
    ]
    if not raised:
        return None, []
    path = out / f"check-{task_id}.log"
    try:
        out.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(f"{name}, {part}:\n{error['traceback']}" for name, part, error in raised))
    except OSError as error:
        raise CannotStart(f"--out {out}: cannot write there ({error.strerror}); choose another folder.") from error
    firsts = {name: (part, error) for name, part, error in reversed(raised)}
    return str(path), [
        f"{name} stopped at rung {list(RUNGS).index(rung_of(part)[0])} ({rung_of(part)[0]}): {error['type']}: "
        f"{error['message'][:200]}. Traceback: {path}"
        for name, (part, error) in firsts.items()
    ]
