"""What a study ran on: hardware, system and the state of the repository. No paths, no host names."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

import psutil


def describe(gpu: str | None) -> dict[str, Any]:
    return {
        "cpu": _cpu(),
        "cores": cores(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "gpu": gpu,
        "os": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peak_memory_mb() -> float:
    """Peak resident memory of this process, in MiB; a framework's further processes are not in it."""
    try:
        import resource
    except ImportError:  # Windows
        return psutil.Process(os.getpid()).memory_info().peak_wset / 2**20
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes / 1024


def words(described: dict[str, Any]) -> str:
    """A machine in words, to tell machines apart whose times are compared: "2 cores of PROCESSOR, GPU"."""
    processor = f"{described.get('cores', '?')} cores of {described.get('cpu', 'an unknown processor')}"
    return ", ".join(filter(None, [processor, described.get("gpu")]))


def git_state(folder: Path) -> dict[str, Any] | None:
    """The commit that ``folder`` stands on and whether tracked files differ from it; None outside a repository."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return None


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    names = re.search(r"^model name\s*:\s*(.*)", info.read_text("utf-8"), re.MULTILINE) if info.is_file() else None
    return names[1].strip() if names else platform.processor() or platform.machine()
