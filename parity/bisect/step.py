"""The steps from a probe to the whole port, as plain data, and what was found on the way."""

from __future__ import annotations

import dataclasses

from parity.bisect.verdict import Verdict


@dataclasses.dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        key: its name.
        words: what stands there, for "breaks at".
        probe: id of the probe; None for a ladder.
    """

    key: str
    words: str
    probe: str | None = None


@dataclasses.dataclass(frozen=True)
class Reached:
    """A step that was taken, or could not be.

    Attributes:
        verdict: of its ladder; None for a probe, or where the step is not applicable.
        failures: claims of a probe that do not hold.
        reason: why the step is not applicable; None where it was taken.
    """

    step: Step
    verdict: Verdict | None
    failures: tuple[str, ...] = ()
    reason: str | None = None
    seconds: float = 0.0

    @property
    def status(self) -> str:
        """``holds``, ``breaks`` or ``not applicable``."""
        if self.reason is not None:
            return "not applicable"
        holds = not self.failures if self.verdict is None else self.verdict.holds
        return "holds" if holds else "breaks"


WORDS = {
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


def steps(probes: list[str]) -> list[Step]:
    """All steps, the simplest first."""
    return [Step(name, f"the probe {name}", name) for name in probes] + [
        Step(key, words) for key, words in WORDS.items()
    ]


def climbed(task: str, reached: list[Reached]) -> str:
    """The answer of a climb in a sentence."""
    broken = next((each for each in reached if each.status == "breaks"), None)
    held = [each.step.words for each in reached if each.status == "holds"]
    if broken is None:
        return f"Nothing breaks on the way up: {task} holds from the first probe to the whole port."
    why = broken.failures[0] if broken.verdict is None else f"rung {broken.verdict.rung}: {broken.verdict.reason}"
    before = f"; the step before, {held[-1]}, holds" if held else ""
    return f"The first step that breaks is {broken.step.words} ({why}){before}."
