"""The steps of ``--climb``, from a probe to the whole port, as plain data, and the sentence about them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from parity.results.bisect import StepEntry

# Key of each step that is judged by the ladder -> what stands there, for "the first step that breaks is …".
LADDER_STEPS = {
    "toy": "a toy, tiles, with your settings and classes",
    "all-legal": "your task with every action legal, as one vector without images",
    "masked": "your task with its masks",
    "dictionary": "your task with dictionary observations",
    "images": "your task with its images",
    "module": "your module",
    "connectors": "your connectors",
    "alone": "your MultiAgentEnv with the learning agent alone",
    "one-action-agent": "your MultiAgentEnv with agents that have one action",
    "whole": "your whole port, every agent as it is",
    "settings": "your whole port with its hyperparameters against the task's",
}


@dataclasses.dataclass(frozen=True)
class Step:
    """One step; where it ``is_probe``, a policy is trained on the probe ``key`` and asked, instead of a ladder."""

    key: str
    words: str
    is_probe: bool = False


def all_steps(probes: Sequence[str]) -> list[Step]:
    """All steps, the simplest first."""
    of_probes = [Step(name, f"the probe {name}", is_probe=True) for name in probes]
    return of_probes + [Step(key, words) for key, words in LADDER_STEPS.items()]


def steps_sentence(task: str, steps: Sequence[StepEntry]) -> str:
    """The answer of ``--climb``: the first step that breaks, and the last before it that holds."""
    broken = next((step for step in steps if step.status == "breaks"), None)
    if broken is None:
        return f"Nothing breaks on the way up: {task} holds from the first probe to the whole port."
    held = [step.words for step in steps if step.status == "holds"]
    why = broken.failures[0] if broken.failures else f"rung {broken.rung}: {broken.reason}"
    before = f"; the step before, {held[-1]}, holds" if held else ""
    return f"The first step that breaks is {broken.words} ({why}){before}."
