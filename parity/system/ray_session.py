"""Connects a command to Ray: one of its own on this machine, or a running cluster."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import secrets
import socket
import threading
from collections.abc import Iterator
from typing import Any

from parity.errors import CannotStart, one_line
from parity.system.console import say
from parity.system.machine import cores
from parity.system.scratch import MARK
from parity.system.signals import sigterm_as_ctrl_c

# The processes of a trial exchange little; Ray's default would reserve a third of the machine's memory.
OBJECT_STORE_BYTES = 128 * 2**20

# Exit code of a process whose Ray died, see `ended_with_ray`.
RAY_DIED = 86
LOOK_EVERY_S, LONGEST_SILENCE_S = 1.0, 30.0


class RayDied(CannotStart):
    """A Ray of parity's own did not come up: something killed a part of it, or it had not the time."""


def connect(address: str | None, cpus: float, folders: set[str], runtime_env: dict[str, Any] | None = None) -> str:
    """Starts a local Ray, or joins the one at ``address``, unless this process already has one.

    Args:
        cpus: that the largest job asks for.
        folders: of task files and what they import; the processes that a local Ray starts import from there too.
        runtime_env: what those of a cluster get instead.

    Returns:
        The address at which another process can join it.

    Raises:
        CannotStart: no cluster answers at ``address``.
        RayDied: a local one does not start.
    """
    import ray

    if not ray.is_initialized():
        _let_ray_be_silent()
        _join(address, runtime_env) if address is not None else _start(cpus, folders)
        sigterm_as_ctrl_c()
    return address or ray.get_runtime_context().gcs_address


def _join(address: str, runtime_env: dict[str, Any] | None) -> None:
    import ray

    _let_loopback_be_loopback()
    try:
        ray.init(address=address, runtime_env=runtime_env, logging_level=logging.ERROR, log_to_driver=False)
    except Exception as error:
        raise CannotStart(f"{named(address)}: no Ray cluster answers there ({one_line(error)}).") from error


def named(address: str) -> str:
    """An address and who gave it, as a sentence begins with it."""
    if address == os.environ.get("RAY_ADDRESS"):
        return f"RAY_ADDRESS={address} (unset it for a Ray of parity's own)"
    return f"--address {address}"


def _start(cpus: float, folders: set[str]) -> None:
    import ray

    # RLlib keeps agents in sets. Without a fixed hash seed their order would differ from process to process, and so would
    # the result of a trial with several learning agents.
    os.environ.setdefault("PYTHONHASHSEED", "0")
    os.environ["PYTHONPATH"] = os.pathsep.join([*sorted(folders), *filter(None, [os.environ.get("PYTHONPATH")])])
    # Ray would leave a token that everybody can read in the home directory, or fail where that cannot be written to.
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    _let_the_token_be_read_again()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    _let_loopback_be_loopback()
    try:
        ray.init(
            address="local",  # whatever RAY_ADDRESS says, and beside a cluster of this machine
            # A port with more processes than this machine has cores still runs: slower, not never.
            num_cpus=max(cores(), math.ceil(cpus)),
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            logging_level=logging.ERROR,
            log_to_driver=False,
            _node_ip_address="127.0.0.1",
            # A folder in it, as Ray lets everybody into its own.
            _temp_dir=f"{os.environ[MARK]}/r" if MARK in os.environ else None,
        )
    except Exception as error:
        raise RayDied(
            f"Ray did not start on this machine ({one_line(error)}); try again, with fewer programs beside it."
        ) from error


def _let_the_token_be_read_again() -> None:
    """A process that had another Ray before remembers its token, and the Ray that starts now would refuse it."""
    from ray import _raylet

    raylet: Any = _raylet  # its stub does not name all that is in it
    raylet.AuthenticationTokenLoader.instance().reset_cache()


def _let_ray_be_silent() -> None:
    """What dies is told in parity's words: Ray prints its log files (worker.py:2482, ray 2.60.0), whatever `init` is asked."""
    from ray._private import worker

    worker.print_to_stdstream = lambda *_, **__: None


def _let_loopback_be_loopback() -> None:
    """Ray's processes listen on loopback alone where their node is there, and otherwise on every interface.

    `ray.init` would replace 127.0.0.1 by an address that others reach (services.py:786, ray 2.60.0).
    """
    from ray._private import services

    services.resolve_ip_for_localhost = lambda host: host


@contextlib.contextmanager
def ended_with_ray() -> Iterator[None]:
    """Ends this process with `RAY_DIED` as soon as its Ray does not answer any more.

    Whoever waits for Ray then would wait for ever, or be ended by it with a native stack trace.
    """
    over = threading.Event()
    watch = threading.Thread(target=_watch, args=(over,), daemon=True)
    watch.start()
    try:
        yield
    finally:
        over.set()
        watch.join()


def _watch(over: threading.Event) -> None:
    while not over.wait(LOOK_EVERY_S):
        end_if_it_died()


def end_if_it_died() -> None:
    """Ends this process with `RAY_DIED` if its Ray does not answer: what failed just now may have failed of that."""
    from ray._private.worker import global_worker

    node = global_worker.node
    if node is None:
        return
    host, _, port = node.gcs_address.rpartition(":")
    for name, family, place in (
        ("raylet", socket.AF_UNIX, node.raylet_socket_name),
        ("GCS", socket.AF_INET, (host, int(port))),
    ):
        with socket.socket(family) as caller:
            caller.settimeout(LONGEST_SILENCE_S)
            try:
                caller.connect(place)
            except OSError as error:
                say(f"Ray died: its {name} does not answer ({one_line(error)})")
                os._exit(RAY_DIED)
