"""Everything that can be known before training, in a process of its own: the driver itself imports no framework.

Task files, environments, networks and configurations are tried here, so that bad input ends in one sentence before
anything is computed.
"""

from __future__ import annotations

import dataclasses
from importlib import metadata
from typing import Any

from parity.errors import CannotStart, one_line
from parity.results.study import EffectiveConfig, ReferenceScores, TaskRecord
from parity.system.subprocesses import run_in_subprocess
from parity.task import registry as tasks


@dataclasses.dataclass(frozen=True)
class Question:
    refs: list[tasks.TaskRef]
    frameworks: list[str]
    steps: int | None
    device: str
    threads: int


@dataclasses.dataclass(frozen=True)
class Answer:
    """Attributes: ``tasks``: task id -> what a study stores of it; ``versions``, ``gpu`` of this machine."""

    device: str
    tasks: dict[str, TaskRecord]
    versions: dict[str, str]
    gpu: str | None


def inspect(question: Question) -> Answer:
    """Answers in a fresh process.

    Raises:
        CannotStart: a task, framework, option or device cannot be used.
    """
    return run_in_subprocess(_inspect, question, about=f"--task {', '.join(ref.text for ref in question.refs)}")


def _inspect(question: Question) -> Answer:
    from parity import frameworks
    from parity.frameworks.device import resolve_device

    adapters = {name: frameworks.get(name) for name in question.frameworks}
    device = resolve_device(question.device)
    records: dict[str, TaskRecord] = {}
    for ref in question.refs:
        task = tasks.load(ref)
        if task.id in records:
            raise CannotStart(f'Two tasks have the id "{task.id}"; give one of them another id.')
        reference = _reference(task)
        effective = {name: _effective(adapter, task, device, question.threads) for name, adapter in adapters.items()}
        records[task.id] = TaskRecord(
            source="built-in" if ref.text in tasks.BUILT_IN else ref.source,
            steps=question.steps or task.steps,
            eval_every=task.eval_every,
            eval_episodes=task.eval_episodes,
            margin=task.margin,
            mask=task.mask,
            learning_agent=task.learning_agent,
            declared=task.declared,
            reference=reference,
            ppo=dataclasses.asdict(task.ppo),
            frameworks=effective,
        )
    return Answer(device, records, _versions(adapters.values()), _gpu())


def _effective(adapter: Any, task: Any, device: str, threads: int) -> EffectiveConfig:
    try:
        effective = adapter.effective(task, device, threads)
    except CannotStart:
        raise
    except Exception as error:
        # A port that raises is a result of the study: its trials will say the same, with the traceback in their logs.
        return EffectiveConfig(
            hyperparameters={}, native={"error": f"{type(error).__name__}: {one_line(error)}"}, threads=threads
        )
    return EffectiveConfig.model_validate(dataclasses.asdict(effective))


def _reference(task: Any) -> ReferenceScores:
    from parity.frameworks.reference_scores import UNIFORM_EPISODES, uniform_legal_returns

    if task.reference is not None:
        if task.reference.get("best") == task.reference["uniform_legal"]:
            raise CannotStart(
                f"Task {task.id}: by its reference uniform legal play returns the best there is, "
                f"{task.reference['best']:g}, so a run has nothing to measure; `parity check` compares the numbers."
            )
        # One episode all the same: an environment that cannot be played must not reach the trials.
        uniform_legal_returns(task, episodes=1)
        return ReferenceScores(
            uniform_legal=task.reference["uniform_legal"],
            best=task.reference.get("best"),
            source=task.reference.get("source", ""),
        )
    returns = uniform_legal_returns(task)
    return ReferenceScores(
        uniform_legal=float(returns.mean()),
        best=None,
        source=f"uniform legal play measured over {UNIFORM_EPISODES} episodes; best: this study's SB3 mean",
        uniform_legal_returns=returns.tolist(),
    )


def _versions(adapters: Any) -> dict[str, str]:
    wanted = {"gymnasium", "numpy", "torch"}.union(*(adapter.packages for adapter in adapters))
    return {name: version for name in sorted(wanted) if (version := _version(name)) is not None}


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:  # installed under another name, or without metadata
        return None


def _gpu() -> str | None:
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
