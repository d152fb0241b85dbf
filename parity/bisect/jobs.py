"""What worker processes do on a task. Frameworks are imported by the jobs themselves, so that the driver needs none."""

from __future__ import annotations

import dataclasses
import functools
import logging
import time
import traceback
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any

from parity.bisect.ladder_outcome import FIRST_NOISY_RUNG, REFUSED, LadderOutcome, no_ladder, summarise
from parity.bisect.parts import PortParts
from parity.bisect.search import Keys
from parity.bisect.short_training import Run
from parity.bisect.steps import Step
from parity.errors import CannotStart, in_short
from parity.results.bisect import StepEntry
from parity.task.registry import TaskRef, load

if TYPE_CHECKING:
    from parity.bisect.hybrid import HybridBuilder
    from parity.task import Task

FRAMEWORK = "rllib"
# The standard error of the mean is then a seventh of the spread of single episodes: less than half the reference's gain.
EPISODES = 50
# Handlers are those of the process: in a worker, the log.
_log = logging.getLogger("parity.bisect")


@dataclasses.dataclass(frozen=True)
class FindParts:
    """Finds the parts of the port, or which field of the task raises while the port is built. ``text``: the task's ``--task``.

    ``run`` raises:
        CannotStart: the task cannot be loaded, or its environment cannot be played, whatever the port does.
    """

    text: str

    def run(self, ref: TaskRef) -> PortParts:
        from parity.bisect.hybrid import build_error
        from parity.frameworks.reference_scores import uniform_legal_returns

        task = load(ref)
        uniform_legal_returns(task, episodes=1)
        try:
            parts = builder(ref).parts
        except CannotStart:
            raise
        except Exception as error:
            _log.error(traceback.format_exc())
            return PortParts(task.id, (), build_error=build_error(task, error))
        if not parts.parts and not (task.rllib_old_model is None and task.rllib_old_config is None):
            raise CannotStart(
                f"--task {self.text}: its port is on RLlib's old API stack alone, of which no parts are exchanged; compare it "
                "by `parity check --frameworks rllib-old-stack`, or bring what it became (rllib_module, rllib_config)."
            )
        return parts

    def lost(self, code: str, reason: str, seconds: float = 0.0) -> PortParts:
        raise CannotStart(f"--task {self.text}: the process that loads it {code} ({reason}).")


@dataclasses.dataclass(frozen=True)
class JudgeHybrid:
    """Runs the ladder of the hybrid with these parts of the user's."""

    keys: Keys

    def run(self, ref: TaskRef) -> LadderOutcome:
        return judge(lambda: builder(ref).hybrid(self.keys))

    def lost(self, code: str, reason: str, seconds: float = 0.0) -> LadderOutcome:
        return no_ladder(code, reason, seconds)


@dataclasses.dataclass(frozen=True)
class TakeStep:
    """Takes one step of ``--climb``."""

    step: Step

    def run(self, ref: TaskRef) -> StepEntry:
        from parity.bisect.step_tasks import NotApplicable, probe_failures, task_of_step

        begin = time.perf_counter()
        if self.step.is_probe:
            failures = probe_failures(builder(ref), self.step.key)
            status = "breaks" if failures else "holds"
            return self._entry(status, failures=failures, seconds=_since(begin))
        try:
            task = task_of_step(builder(ref), self.step.key)
        except NotApplicable as reason:
            return self._entry("not applicable", reason=str(reason))
        return self._of_ladder(judge(lambda: task), _since(begin))

    def lost(self, code: str, reason: str, seconds: float = 0.0) -> StepEntry:
        return self._of_ladder(no_ladder(code, reason), seconds)

    def _of_ladder(self, outcome: LadderOutcome, seconds: float = 0.0) -> StepEntry:
        if outcome.holds:
            return self._entry("holds", seconds=seconds)
        return self._entry("breaks", reason=outcome.reason, rung=outcome.rung, codes=outcome.codes, seconds=seconds)

    def _entry(self, status: Any, **fields: Any) -> StepEntry:
        return StepEntry(step=self.step.key, words=self.step.words, status=status, **fields)


@dataclasses.dataclass(frozen=True)
class TrainHybrid:
    """Trains the hybrid with these parts of the user's for so many environment steps, and evaluates it."""

    keys: Keys
    seed: int
    steps: int

    def run(self, ref: TaskRef) -> Run:
        from parity import frameworks
        from parity.frameworks.evaluation import SLOTS, evaluate

        try:
            task = builder(ref).hybrid(self.keys)
            with closing(frameworks.get(FRAMEWORK).open(task, self.seed, "cpu", threads=1)) as session:
                session.train(self.steps, lambda _: None)
                with closing(session.eval_runner(min(SLOTS, EPISODES))) as runner:
                    end = float(evaluate(runner, EPISODES, deterministic=True).returns.mean())
        except Exception as error:
            return Run(self.keys, raised=in_short(error))
        return Run(self.keys, end)

    def lost(self, code: str, reason: str, seconds: float = 0.0) -> Run:
        return Run(self.keys, raised=reason)


@dataclasses.dataclass(frozen=True)
class UniformLegalReturn:
    """The mean return of play that is uniform over legal actions: the task's, or measured."""

    def run(self, ref: TaskRef) -> float:
        from parity.frameworks.reference_scores import uniform_legal_returns

        task = builder(ref).task
        return task.reference["uniform_legal"] if task.reference else float(uniform_legal_returns(task).mean())

    def lost(self, code: str, reason: str, seconds: float = 0.0) -> float:
        raise RuntimeError(reason)


@functools.cache
def builder(ref: TaskRef) -> HybridBuilder:
    """Finds the parts of the port once per process."""
    import warnings

    task = load(ref)
    import torch

    from parity.bisect.hybrid import HybridBuilder

    warnings.simplefilter("ignore")
    logging.getLogger("ray.rllib").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    return HybridBuilder(task)


def judge(make: Callable[[], Task]) -> LadderOutcome:
    """The outcome of a task's ladder, whatever ran before in this process.

    Where only computed numbers differ, it is run once more on another rollout, and only errors that both show count:
    Adam divides small gradients by themselves, so that float noise alone can pass the tolerance of a step now and then.
    """
    first = _run_ladder(make, 0)
    if first.holds or any(error.rung < FIRST_NOISY_RUNG for error in first.root_errors):
        return first
    second = _run_ladder(make, 1)
    if second.holds or not first.roots & second.identities:
        return LadderOutcome(True, seconds=first.seconds + second.seconds)
    return first


def _run_ladder(make: Callable[[], Task], draw: int) -> LadderOutcome:
    from parity.capture import collect
    from parity.frameworks.randomness import seeded
    from parity.ladder.run_rungs import run_rungs

    begin = time.perf_counter()
    try:
        with seeded(0, draw):
            capture = collect(make(), FRAMEWORK, "cpu")
    except CannotStart as error:
        return no_ladder(REFUSED, str(error), time.perf_counter() - begin)
    assert capture is not None
    result = run_rungs(capture)
    if not result:
        for part, raised in capture.context.raised.items():
            _log.error("%s:\n%s", part, raised.traceback)
    return summarise(result, time.perf_counter() - begin)


def _since(begin: float) -> float:
    return round(time.perf_counter() - begin, 2)
