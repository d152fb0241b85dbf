"""Training a policy on a probe with a framework, asking it, and which claims fail: what ``parity bisect`` climbs on."""

from __future__ import annotations

import numpy as np

from parity import frameworks
from parity.errors import CannotStart, one_line
from parity.frameworks.base import Session
from parity.frameworks.evaluation import SLOTS, evaluate
from parity.probes.claims import Answers, Failure, Probe
from parity.probes.judge import judge
from parity.task import Task


def failures(probe: Probe, framework: str, task: Task | None = None, seed: int = 0) -> list[Failure]:
    """Trains on a probe from one seed and returns the claims that then fail.

    Args:
        probe: what is asked.
        framework: name of an adapter.
        task: the probe's task with something of a port in it (`parity.probes.transplant.with_port`); None for the probe's
            own, which every correct implementation solves.
        seed: of the trial.

    Raises:
        CannotStart: the framework cannot run this task at all.
        NotImplementedError: the framework tells no values and probabilities.
    """
    return judge(probe, answers(probe, framework, task, seed))


def answers(probe: Probe, framework: str, task: Task | None = None, seed: int = 0) -> Answers:
    """As `failures`, unjudged. What the port or the framework raises while it trains is an answer too."""
    task = probe.task if task is None else task
    try:
        session = frameworks.get(framework).open(task, seed, device="cpu", threads=1)
        try:
            session.train(task.steps, lambda _: None)
            return _ask(probe, session, task.eval_episodes)
        finally:
            session.close()
    except (CannotStart, NotImplementedError):
        raise
    except Exception as error:
        return Answers(raised=f"{type(error).__name__}: {one_line(error)}")


def _ask(probe: Probe, session: Session, episodes: int) -> Answers:
    states = probe.states
    stage = session.eval_runner(min(SLOTS, episodes))
    try:
        values, probabilities = stage.values_and_probabilities(
            [state.observation for state in states.values()], np.stack([state.mask for state in states.values()])
        )
        played = evaluate(stage, episodes, deterministic=True)
    finally:
        stage.close()
    counts = session.sampling_masks() + played.masks
    return Answers(
        values=dict(zip(states, values.tolist(), strict=True)),
        probabilities=dict(zip(states, probabilities, strict=True)),
        returns=played.returns,
        illegal=counts.violations + counts.empty,
    )
