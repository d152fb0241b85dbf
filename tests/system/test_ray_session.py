"""A Ray of parity's own is seen by nobody else, and leaves nothing."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path

import psutil
import pytest

from parity.system.ray_session import OBJECT_STORE_BYTES, connect
from parity.system.scratch import MARK
from parity.system.subprocesses import run_in_subprocess


def _look() -> tuple[list[str], str, int]:
    connect(None, 1, set())
    processes = psutil.Process().children(recursive=True)
    folder = os.environ[MARK]
    sockets = [place for each in [psutil.Process(), *processes] for place in each.net_connections("inet")]
    return [place.laddr.ip for place in sockets if place.status == psutil.CONN_LISTEN], folder, os.stat(folder).st_mode


def test_ray_listens_on_loopback_alone_and_leaves_neither_token_nor_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where another cluster is named, which is `parity run`'s to follow."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_ADDRESS", "192.0.2.1:6379")
    listening, folder, mode = run_in_subprocess(_look, about="a test", timeout=300)
    assert listening and mode & 0o077 == 0
    for place in map(ipaddress.ip_address, listening):
        assert (getattr(place, "ipv4_mapped", None) or place).is_loopback, listening
    assert not list(tmp_path.rglob("*")), "something lies in the home directory"
    assert not Path(folder).exists()


def _after_another() -> str:
    """Where parity's Ray is, in a process whose own was started and ended before."""
    import ray

    ray.init(num_cpus=1, include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES, log_to_driver=False)
    ray.shutdown()
    return connect(None, 1, set())


def test_a_process_that_had_a_ray_of_its_own_gets_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert run_in_subprocess(_after_another, about="a test", timeout=300).startswith("127.0.0.1:")
