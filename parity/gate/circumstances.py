"""Versions, machine and configuration of a study beside those of its baseline: what has changed is said first."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from parity.results.gate import Change, show
from parity.results.study import StudyRecord, TaskRecord

# What of a machine is kept: figures for speed belong to it.
MACHINE_FIELDS = ("cpu", "cores", "memory_gb", "gpu", "os")
# In this order: what decides most about the numbers.
FIRST = ("ray", "stable-baselines3", "sb3-contrib", "torch", "gymnasium", "python", "parity", "study schema")


def versions_of(study: StudyRecord) -> dict[str, str]:
    """Versions of packages and of Python, and that of the study's own schema."""
    python = study.file.machine.get("python")
    return {
        **study.file.versions,
        "parity": study.file.parity_version,
        **({"python": str(python)} if python else {}),
        "study schema": str(study.file.schema_version),
    }


def machine_of(study: StudyRecord) -> dict[str, Any]:
    return {name: study.file.machine.get(name) for name in MACHINE_FIELDS}


def configuration_of(record: TaskRecord, framework: str) -> dict[str, Any]:
    """Hyperparameters by ``PPOParams``' names, the framework's own fields as ``native.<name>``, and where it runs."""
    config = record.frameworks[framework]
    return {
        **config.hyperparameters,
        **{f"native.{name}": value for name, value in config.native.items()},
        **{f"device of {component}": device for component, device in config.devices.items()},
        "torch threads": config.threads,
        "processes": config.processes,
    }


def version_changes(baseline: Mapping[str, str], study: Mapping[str, str]) -> list[Change]:
    names = [*FIRST, *sorted({*baseline, *study} - {*FIRST})]
    return changes({name: baseline.get(name) for name in names}, {name: study.get(name) for name in names})


def changes(baseline: Mapping[str, Any], study: Mapping[str, Any], prefix: str = "") -> list[Change]:
    """What differs, by name, in the order of the baseline and then of the study."""
    return [
        Change(what=f"{prefix}{name}", baseline=show(baseline.get(name)), study=show(study.get(name)))
        for name in dict.fromkeys([*baseline, *study])
        if not same(baseline.get(name), study.get(name))
    ]


def same(a: Any, b: Any) -> bool:
    """Equal as JSON: ``study.json`` and a baseline were both read from it."""
    return json.dumps(a, sort_keys=True, default=str) == json.dumps(b, sort_keys=True, default=str) or (
        isinstance(a, int | float) and isinstance(b, int | float) and not isinstance(a, bool) and a == b
    )
