"""Collects a task's numbers for ``parity check``: what runs in a process of its own, which imports nothing that judges."""

from __future__ import annotations

import dataclasses
import gc
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from parity.errors import CannotStart, NotSupported

if TYPE_CHECKING:
    from parity.capture.checkpoint import Checkpoint
    from parity.results.capture import Capture

# New objects until Python looks for cycles among them. PyTorch's and Ray's modules are hundreds of thousands of objects that
# stay: at the default of 700, a tenth of a check goes into looking at them.
OBJECTS_UNTIL_COLLECTION = 50_000


@dataclasses.dataclass(frozen=True)
class Wanted:
    """The options of ``parity check`` that say what is collected: ``CheckOptions`` would bring the command line's packages."""

    task: str | None
    frameworks: list[str] | None
    device: str
    save: Path | None
    checkpoint: Path | None
    sb3_checkpoint: Path | None
    trust_checkpoint: bool
    lockstep: int | None
    old_against_new: bool
    full: bool


def collected(options: Wanted, names: list[str]) -> tuple[str, dict[str, Capture | None], str, dict[str, str]]:
    """In a process of its own: the task's id, each framework's numbers, the device, and who cannot run and why."""
    from parity.capture import against_old_stack, collect
    from parity.task import registry as tasks

    gc.set_threshold(OBJECTS_UNTIL_COLLECTION)
    assert options.task is not None
    reference = tasks.resolve(options.task)
    # What frameworks warn of about themselves is no finding.
    warnings.simplefilter("ignore")
    import torch

    from parity.frameworks.device import exact_arithmetic, resolve_device

    device = resolve_device(options.device)
    if device == "cuda":
        exact_arithmetic()
    # The differences are of single operations: threads only change the order of sums.
    torch.set_num_threads(1)
    task = tasks.load(reference)
    checkpoint = _checkpoint(options)
    collected: dict[str, Capture | None] = {}
    left_out: dict[str, str] = {}
    for name in names:
        try:
            capture = (
                against_old_stack(task)
                if options.old_against_new
                else collect(task, name, device, options.lockstep, options.full, checkpoint)
            )
        except NotSupported as error:
            # Nobody asked for it by name.
            if options.frameworks is not None:
                raise
            left_out[name] = str(error)
            continue
        if capture is not None:
            # By the name that was asked for: adapters may share a collector.
            capture.context.framework = name
            if not capture.control:
                capture.context.device = device
            if options.save is not None:
                _save(capture, file_of(options.save, name, len(names) > 1))
        collected[name] = capture
    if not collected:
        raise CannotStart(next(iter(left_out.values())))
    return task.id, collected, device, left_out


def _checkpoint(options: Wanted) -> Checkpoint | None:
    from parity.capture.checkpoint import Checkpoint, rllib_weights, sb3_weights

    if options.checkpoint is not None and options.sb3_checkpoint is not None:
        raise CannotStart("--checkpoint and --sb3-checkpoint: both sides get the same weights; give one of them.")
    if options.checkpoint is not None:
        return Checkpoint(port=rllib_weights(options.checkpoint, options.trust_checkpoint))
    return None if options.sb3_checkpoint is None else Checkpoint(sb3=sb3_weights(options.sb3_checkpoint))


def _save(capture: Capture, path: Path) -> None:
    from parity.results import capture_file

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        capture_file.save(capture, path)
    except OSError as error:
        raise CannotStart(f"--save {path}: cannot write there ({error.strerror}); choose another file.") from error


def file_of(path: Path, name: str, several: bool) -> Path:
    return path.with_name(f"{path.stem}.{name}{path.suffix}") if several else path
