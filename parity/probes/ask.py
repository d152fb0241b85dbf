"""Trains a policy on a probe with a framework, asks it, and says which claims fail."""

from __future__ import annotations

import logging
from contextlib import closing

import numpy as np

from parity import frameworks
from parity.errors import CannotStart, in_short
from parity.frameworks.base import Session
from parity.frameworks.evaluation import SLOTS, evaluate
from parity.probes.claims import Answers, Failure, Probe
from parity.probes.judge import judge
from parity.task import Task


def failures(probe: Probe, framework: str, task: Task | None = None, seed: int = 0) -> list[Failure]:
    """Trains on a probe from one seed and returns the claims that then fail.

    What the port or the framework raises while it trains is such a failure.

    Args:
        task: the probe's task with something of a port in it (`parity.probes.transplant.with_port`); None for the probe's
            own, which every correct implementation solves.

    Raises:
        CannotStart: the framework cannot run this task at all.
        NotImplementedError: the framework tells no values and probabilities.
    """
    task = probe.task if task is None else task
    try:
        with closing(frameworks.get(framework).open(task, seed, device="cpu", threads=1)) as session:
            session.train(task.steps, lambda _: None)
            answers = _ask(probe, session, task.eval_episodes)
    except (CannotStart, NotImplementedError):
        raise
    except Exception as error:
        logging.getLogger(__name__).exception("training on %s raised", task.id)
        answers = Answers(raised=in_short(error))
    return judge(probe, answers)


def _ask(probe: Probe, session: Session, episodes: int) -> Answers:
    states = probe.states
    observations = [state.observation for state in states.values()]
    masks = np.stack([state.mask for state in states.values()])
    with closing(session.eval_runner(min(SLOTS, episodes))) as runner:
        values, probabilities = runner.values_and_probabilities(observations, masks)
        played = evaluate(runner, episodes, deterministic=True)
    counts = session.sampling_masks() + played.masks
    return Answers(
        values=dict(zip(states, values.tolist(), strict=True)),
        probabilities=dict(zip(states, probabilities, strict=True)),
        returns=played.returns,
        illegal=counts.violations + counts.empty,
    )
