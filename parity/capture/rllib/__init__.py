"""Collects what the ladder compares of a port on RLlib: its rollout and update, and SB3's on the same rows."""

from __future__ import annotations

import dataclasses

from parity.capture.lockstep_common import Length
from parity.capture.rllib.collect import collect
from parity.capture.rllib.lockstep import lockstep as run_lockstep
from parity.frameworks.rllib import Rllib
from parity.results.capture import Capture
from parity.task import PPOParams, Task


def capture_rllib(
    framework: Rllib, task: Task, device: str, lockstep: int | None = None, full: bool = False
) -> Capture:
    """See `parity.capture.Collector`."""
    capture = collect(task, framework.port(task, seed=0, device=device), full=full, checkpoint=framework.checkpoint)
    context = capture.context
    if framework.checkpoint is not None:
        context.notes.append("rungs 0 to 8 are of the checkpoint's weights; rung 9 starts from initial ones")
    # Rung 9 has env runner and learner in this process; it needs no Algorithm.
    if context.raised.keys() <= {"algorithm"}:
        length = Length.short(task) if lockstep is None else Length.whole(task, lockstep)
        port = framework.port(task, seed=0, device=device)
        capture.lockstep = run_lockstep(context, task, port, length, device=device)
    context.framework = framework.name
    assert context.configuration is not None
    # A brought sb3_model trains with its own hyperparameters.
    trained = dataclasses.replace(task, ppo=PPOParams(**context.configuration.task))
    context.configuration.untranslated = [dataclasses.asdict(each) for each in framework.untranslated(trained)]
    return capture
