"""Connects a command to Ray: one of its own on this machine, or a running cluster."""

from __future__ import annotations

import logging
import math
import os

from parity.errors import CannotStart, one_line
from parity.system.machine import cores
from parity.system.signals import sigterm_as_ctrl_c

# The processes of a trial exchange little; Ray's default would reserve a third of the machine's memory.
OBJECT_STORE_BYTES = 128 * 2**20


def connect(address: str | None, cpus: float, folders: set[str]) -> str:
    """Starts a local Ray, or joins the one at ``address``, unless this process already has one.

    Args:
        cpus: that the largest job asks for.
        folders: of task files and what they import; the processes that Ray starts import from there too.

    Returns:
        The address at which another process can join it.

    Raises:
        CannotStart: no cluster answers at ``address``.
    """
    import ray

    if not ray.is_initialized():
        _join(address) if address is not None else _start(cpus, folders)
        sigterm_as_ctrl_c()
    return address or ray.get_runtime_context().gcs_address


def _join(address: str) -> None:
    import ray

    try:
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
    except Exception as error:
        raise CannotStart(f"--address {address}: no Ray cluster answers there ({one_line(error)}).") from error


def _start(cpus: float, folders: set[str]) -> None:
    import ray

    # RLlib keeps agents in sets. Without a fixed hash seed their order would differ from process to process, and so would
    # the result of a trial with several learning agents.
    os.environ.setdefault("PYTHONHASHSEED", "0")
    os.environ["PYTHONPATH"] = os.pathsep.join([*sorted(folders), *filter(None, [os.environ.get("PYTHONPATH")])])
    ray.init(
        # A port with more processes than this machine has cores still runs: slower, not never.
        num_cpus=max(cores(), math.ceil(cpus)),
        include_dashboard=False,
        object_store_memory=OBJECT_STORE_BYTES,
        logging_level=logging.ERROR,
        log_to_driver=False,
    )
