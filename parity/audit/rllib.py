"""`watch`: a ``PPOConfig`` whose training is watched."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.utils import force_list

from parity.audit import runner
from parity.audit.diary import LOG, Diary, OnError, TrainingStopped
from parity.audit.figures import IterationFigures
from parity.audit.learner import WatchedLearner, taken
from parity.errors import CannotStart, in_short


def watch(
    config: Any,
    *,
    folder: str | Path | None = None,
    on_error: OnError = "warn",
    declared: Mapping[str, str] | None = None,
) -> Any:
    """A copy of a ``PPOConfig`` whose training says what goes wrong in it, and since when.

    Module, environment, callbacks and learner stay the user's: a callback is added behind them, and the learner's class gets
    one in front that looks at what passes through it. A training that is watched ends with the same parameters.

    Args:
        config: any ``PPOConfig``, with remote env runners and learners too.
        folder: where ``watch.jsonl`` and TensorBoard's file go; left out, the algorithm's own folder.
        on_error: ``"stop"`` ends the training with `parity.audit.diary.TrainingStopped` at the first error.
        declared: code -> reason, of what is wanted as it is: told as info.

    Raises:
        CannotStart: it is a configuration of the old API stack.
    """
    if not config.enable_rl_module_and_learner:
        raise CannotStart(
            "parity.watch: this configuration is on RLlib's old API stack, which has no Learner to look at; compare it by "
            "`parity check --frameworks rllib-old-stack`, or move it (`parity translate --old-stack`)."
        )
    watched = config.copy(copy_frozen=False)
    kind = type("Watch", (WatchCallbacks,), {"folder": folder, "on_error": on_error, "declared": dict(declared or {})})
    own = [each for each in force_list(watched.callbacks_class) if each is not RLlibCallback]
    if any(issubclass(each, WatchCallbacks) for each in own):
        return watched
    watched.callbacks([*own, kind])
    watched.learners(learner_class=watched_class(watched.learner_class))
    return watched


@functools.cache
def watched_class(learner_class: type) -> type:
    """The class, looked at."""
    if issubclass(learner_class, WatchedLearner):
        return learner_class
    return type(f"Watched{learner_class.__name__}", (WatchedLearner, learner_class), {"only_looks": True})


class WatchCallbacks(RLlibCallback):
    """Collects what learners and env runners have seen after every iteration, and writes it down."""

    only_looks = True
    folder: str | Path | None = None
    on_error: OnError = "warn"
    declared: Mapping[str, str] = {}
    _diary: Diary | None = None
    _aside = False

    def on_environment_created(self, *, env_runner: Any, env: Any, **_: Any) -> None:
        try:
            runner.tap(env_runner, env)
        except Exception as error:
            LOG.warning("parity.watch: environments are not watched: %s", in_short(error))

    def on_algorithm_init(self, *, algorithm: Any, **_: Any) -> None:
        self._safely(self._open, algorithm)

    def on_train_result(self, *, algorithm: Any, result: Any, **_: Any) -> None:
        self._safely(self._look, algorithm, result)

    def _safely(self, look: Any, *given: Any) -> None:
        if self._aside:
            return
        try:
            look(*given)
        except TrainingStopped:
            raise
        except Exception as error:
            self._aside = True
            LOG.warning("parity.watch: PAR930 watching has stepped aside, the training goes on: %s", in_short(error))

    def _open(self, algorithm: Any) -> Diary:
        if self._diary is None:
            self._diary = Diary(Path(self.folder or _folder_of(algorithm)), self.on_error, self.declared)
            self._diary.open(
                f"{type(algorithm).__name__} of {algorithm.config.env} from iteration {algorithm.iteration + 1}"
            )
        return self._diary

    def _look(self, algorithm: Any, result: Any) -> None:
        learners = [call.get() for call in algorithm.learner_group.foreach_learner(taken)]
        runners = algorithm.env_runner_group.foreach_env_runner(runner.taken)
        figures = IterationFigures(
            iteration=int(result.get("training_iteration", algorithm.iteration)),
            steps=int(result.get("env_runners", {}).get("num_env_steps_sampled_lifetime", 0)),
            learners=[each for each in learners if each is not None],
            runners=[each for each in runners if each is not None],
            whole_episodes=algorithm.config.batch_mode == "complete_episodes",
        )
        self._open(algorithm).take(figures)


def _folder_of(algorithm: Any) -> str:
    """Where Tune keeps a trial's results, if that is on this machine: its ``logdir`` is thrown away. Else ``logdir``."""
    storage = getattr(algorithm, "_storage", None)
    if storage is not None and storage.trial_dir_name and storage.storage_filesystem.type_name == "local":
        return str(storage.trial_fs_path)
    return str(algorithm.logdir)
