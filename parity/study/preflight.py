"""What can be known before training, found out in a process of its own: the driver itself imports no framework.

Task files, environments, networks and configurations are tried here, so that bad input ends in one sentence before
anything is computed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import os
import socket
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from parity import __version__, frameworks
from parity.errors import CannotStart, in_short, one_line
from parity.frameworks.base import Framework
from parity.results.study import EffectiveConfig, ReferenceScores, TaskRecord
from parity.system import machine
from parity.system.console import say
from parity.system.ray_session import named
from parity.system.subprocesses import run_in_subprocess
from parity.task import Task
from parity.task import registry as tasks
from parity.task.registry import TaskRef


@dataclasses.dataclass(frozen=True)
class Preflight:
    """What a study or a bench would run: ``tasks`` and ``refs`` by task id, versions of parity and of the packages behind."""

    device: str
    tasks: dict[str, TaskRecord]
    refs: dict[str, TaskRef]
    versions: dict[str, str]
    machine: dict[str, Any]


def inspect(
    arguments: list[str],
    names: list[str],
    steps: int | None,
    device: str,
    threads: int,
    timeout: float,
    out: Path | None = None,
    variants: bool = False,
) -> Preflight:
    """Tries the tasks, as ``--task`` names them, on the frameworks called ``names``, in a fresh process.

    Args:
        steps: environment steps of a trial; None for every task's own.
        timeout: seconds for each task.
        out: a folder that has to be writable.
        variants: whether a name may be ``NAME:VARIANT``.

    Raises:
        CannotStart: a task, framework, option, device or folder cannot be used.
    """
    refs = [tasks.resolve(text) for text in arguments]
    frameworks.check_names(names, variants)
    if out is not None:
        _check_writable(out)
    say("Looking at the task and the frameworks")
    about = f"--task {', '.join(arguments)}"
    work = (refs, names, steps, device, threads)
    return run_in_subprocess(_inspect, *work, about=about, timeout=timeout * len(refs))


def _inspect(refs: list[TaskRef], names: list[str], steps: int | None, device: str, threads: int) -> Preflight:
    from parity.frameworks.device import resolve_device

    adapters = {name: frameworks.get(name) for name in names}
    device = resolve_device(device)
    records: dict[str, TaskRecord] = {}
    for ref in refs:
        task = tasks.load(ref)
        if task.id in records:
            raise CannotStart(f'Two tasks have the id "{task.id}"; give one of them another id.')
        records[task.id] = TaskRecord(
            source="built-in" if ref.text in tasks.BUILT_IN else ref.source,
            steps=steps or task.steps,
            eval_every=task.eval_every,
            eval_episodes=task.eval_episodes,
            margin=task.margin,
            mask=task.mask,
            learning_agent=task.learning_agent,
            declared=task.declared,
            reference=_reference(task),
            ppo=dataclasses.asdict(task.ppo),
            frameworks={name: _effective(adapter, task, device, threads) for name, adapter in adapters.items()},
        )
    located = dict(zip(records, refs, strict=True))
    return Preflight(device, records, located, _versions(adapters.values()), machine.describe(_gpu()))


def _effective(adapter: Framework, task: Task, device: str, threads: int) -> EffectiveConfig:
    try:
        effective = adapter.effective(task, device, threads)
    except CannotStart:
        raise
    except (Exception, SystemExit, GeneratorExit) as error:
        # A port that raises is a result of the study: its trials will say the same, with the traceback in their logs.
        return EffectiveConfig(hyperparameters={}, native={"error": in_short(error)}, threads=threads)
    return EffectiveConfig.model_validate(dataclasses.asdict(effective))


def _reference(task: Task) -> ReferenceScores:
    from parity.frameworks.reference_scores import UNIFORM_EPISODES, uniform_legal_returns

    if task.reference is not None:
        if task.reference.get("best") == task.reference["uniform_legal"]:
            raise CannotStart(
                f"Task {task.id}: by its reference uniform legal play returns the best there is, "
                f"{task.reference['best']:g}, so a run has nothing to measure; `parity check` compares the numbers."
            )
        # One episode nevertheless: an environment that cannot be played must not reach the trials.
        uniform_legal_returns(task, episodes=1)
        return ReferenceScores.model_validate(task.reference)
    returns = uniform_legal_returns(task)
    return ReferenceScores(
        uniform_legal=float(returns.mean()),
        best=None,
        source=f"uniform legal play measured over {UNIFORM_EPISODES} episodes; best: this study's SB3 mean",
        uniform_legal_returns=returns.tolist(),
    )


def _versions(adapters: Iterable[Framework]) -> dict[str, str]:
    versions = {"parity": __version__}
    for name in sorted({"gymnasium", "numpy", "torch"}.union(*(adapter.packages for adapter in adapters))):
        with contextlib.suppress(metadata.PackageNotFoundError):  # installed under another name, or without metadata
            versions[name] = metadata.version(name)
    return versions


def _gpu() -> str | None:
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else None


def check_scheduler(address: str | None) -> None:
    """Checks for Ray, and for a cluster at ``address``, where Ray itself would look for a minute.

    Raises:
        CannotStart: Ray is not installed, or nothing answers there.
    """
    try:
        installed = importlib.util.find_spec("ray") is not None
    except ImportError:
        installed = False
    if not installed:
        raise CannotStart("parity run schedules its trials with Ray, which is not installed: pip install 'ray[tune]'.")
    if (address or "").startswith("ray://"):
        raise CannotStart(
            f"{named(str(address))}: a study is driven from a node of its cluster; start it there, as with `ray job submit`, "
            "and leave out ray://."
        )
    host, colon, port = (address or "").rpartition(":")
    if colon and port.isdigit():
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
        except (OSError, OverflowError) as error:
            raise CannotStart(f"{named(str(address))}: nothing answers there ({one_line(error)}).") from error


def _check_writable(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        trial_file = out / f".parity-{os.getpid()}"
        trial_file.touch()
        trial_file.unlink()
    except OSError as error:
        raise CannotStart(f"--out {out}: cannot write there ({error.strerror}); choose another folder.") from error
