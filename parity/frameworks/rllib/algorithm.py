"""Reserves what an ``Algorithm`` will need, and cleans up after it."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from ray.rllib.utils import actor_manager
from ray.tune.trainable import trainable

from parity.frameworks.rllib.env_tap import MaskAudit, tap_sub_environments
from parity.task.masks import MaskCounts

# An Algorithm outside of Tune makes itself a folder, by default in the home directory, and leaves it there, empty
# (trainable.py:666, ray 2.60.0).
trainable.DEFAULT_STORAGE_PATH = tempfile.gettempdir()


def bundles_of(config: Any) -> list[dict[str, float]]:
    """The resource bundles that RLlib asks Tune for, in RLlib's order: it finds its processes' bundles by their index."""
    request = config.algo_class.default_resource_request(config.copy(copy_frozen=False).to_dict())
    return [{name: float(amount) for name, amount in bundle.items()} for bundle in request.bundles]


def build(config: Any) -> Any:
    """The configuration's ``Algorithm``.

    Raises:
        Exception: what an env runner's process raised as it was made, where one did. RLlib by itself goes on without that
            process, and stops later at a list that is empty (env_runner_group.py:314-323, ray 2.60.0).
    """
    try:
        with (
            contextlib.nullcontext()
            if config.torch_compile_learner or config.torch_compile_worker
            else without_compiler()
        ):
            return config.copy(copy_frozen=False).build_algo()
    except Exception:
        if not config.num_env_runners or not (config.restart_failed_env_runners or config.ignore_env_runner_failures):
            raise
    return without_restarts(config).build_algo()


# What PyTorch's optimizers tell its compiler of, at their first call, to be left alone by it.
_TOLD = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")


@contextlib.contextmanager
def without_compiler() -> Iterator[None]:
    """Keeps PyTorch 2.13 from importing its compiler, which nothing here is compiled by; that takes 1.3 s of a process.

    ``torch.use_deterministic_algorithms`` (RLlib's, for a ``seed``) imports it to set an option of it, and each method of
    ``_TOLD`` at its first call. Where it has been imported already, nothing is changed.
    """
    given = torch.use_deterministic_algorithms
    if "torch._dynamo" not in sys.modules:
        for method in _TOLD:
            plain = getattr(getattr(torch.optim.Optimizer, method), "__wrapped__", None)
            if plain is not None:
                plain.__dynamo_disable = plain  # torch/_compile.py asks for it
        torch.use_deterministic_algorithms = _without_its_option
    try:
        yield
    finally:
        torch.use_deterministic_algorithms = given


def _without_its_option(mode: bool, *, warn_only: bool = False) -> None:
    torch._C._set_deterministic_algorithms(mode, warn_only=warn_only)


def without_restarts(config: Any) -> Any:
    """A copy in which what an env runner raises is raised here, and not logged and tried again."""
    config = config.copy(copy_frozen=False)
    config.restart_failed_env_runners = config.ignore_env_runner_failures = False
    return config


def raise_what_it_raises(runner: Any) -> None:
    """Lets an exception in an env runner's process reach whoever called it, from now on.

    RLlib ends the process instead, and leaves the exception in that process's log (actor_manager.py:186-208, ray 2.60.0).
    """
    if runner.worker_index:
        actor_manager.sys = _InsteadOfSys  # type: ignore[attr-defined]


class _InsteadOfSys:
    @staticmethod
    def exit(_: int) -> None:
        raise


def stop(algorithm: Any) -> None:
    """Ends an algorithm's processes."""
    folder = Path(algorithm.logdir)
    algorithm.stop()
    with contextlib.suppress(OSError):
        folder.rmdir()


def audit(runner: Any, key: str, kind: type[MaskAudit] = MaskAudit) -> None:
    """Has an env runner check every action against the masks that its environments show; `mask_counts` asks for the counts."""
    if runner.env is None:
        return
    # On the runner: it may be in another process, which is asked for its counts later.
    runner._parity_audits = []

    def reader(_: int, env: Any) -> list[MaskAudit]:
        runner._parity_audits.append(kind(env, key))
        return runner._parity_audits[-1:]

    tap_sub_environments(runner, reader)


def mask_counts(runner: Any) -> MaskCounts:
    """What an env runner has counted since `audit`."""
    return sum((audit.counts for audit in getattr(runner, "_parity_audits", [])), start=MaskCounts())
