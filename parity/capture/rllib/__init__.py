"""The ladder's numbers of a port on RLlib: of its rollout and update, and of SB3's on the same rows."""

from __future__ import annotations

import dataclasses

from parity.capture.lockstep_common import Length
from parity.capture.rllib.collect import collect
from parity.capture.rllib.lockstep import lockstep as run_lockstep
from parity.frameworks.rllib import Rllib
from parity.results.capture import Numbers
from parity.task import PPOParams, Task


def capture_rllib(
    framework: Rllib, task: Task, device: str, lockstep: int | None = None, full: bool = False
) -> Numbers:
    """See `parity.capture.Collector`."""
    numbers = collect(task, framework.port(task, seed=0, device=device), full=full)
    # Rung 9 has env runner and learner in this process; it needs no Algorithm.
    if numbers.facts["raised"].keys() <= {"algorithm"}:
        length = Length.short(task) if lockstep is None else Length.whole(task, lockstep)
        found = run_lockstep(task, framework.port(task, seed=0, device=device), length, device=device)
        numbers.arrays |= found.arrays
        numbers.facts["lockstep"] = found.facts["lockstep"]
        numbers.facts["raised"] |= found.facts.get("raised", {})
    numbers.facts["framework"] = framework.name
    # A brought sb3_model trains with its own hyperparameters.
    trained = dataclasses.replace(task, ppo=PPOParams(**numbers.facts["config"]["task"]))
    numbers.facts["untranslated"] = [dataclasses.asdict(each) for each in framework.untranslated(trained)]
    return numbers
