"""The effective configuration of every framework beside what the task asked for, differences marked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from parity.report import text
from parity.results.study import TaskRecord


@dataclass(frozen=True)
class Cell:
    text: str
    differs: bool


@dataclass(frozen=True)
class ConfigRow:
    """One setting: what was asked, what each framework does, and why that is not the same where it is not."""

    name: str
    asked: str
    cells: dict[str, Cell]
    notes: list[str]

    @property
    def differs(self) -> bool:
        return any(cell.differs for cell in self.cells.values())


def config_rows(task: TaskRecord, frameworks: list[str]) -> list[ConfigRow]:
    """Hyperparameters by ``PPOParams``' names, then what only a framework has. A cell differs from what was asked."""
    configs = {name: task.frameworks[name] for name in frameworks if name in task.frameworks}
    names = dict.fromkeys([*task.ppo, *(key for config in configs.values() for key in config.hyperparameters)])
    rows = []
    for name in names:
        cells = {}
        for framework, config in configs.items():
            if name not in config.hyperparameters:
                cells[framework] = Cell(text.UNKNOWN, False)
                continue
            value = config.hyperparameters[name]
            cells[framework] = Cell(text.setting(value), name not in task.ppo or not _same(value, task.ppo[name]))
        notes = [
            f"{framework}: {entry.reason}"
            for framework, config in configs.items()
            for entry in config.untranslated
            if entry.field == name
        ]
        if name in task.declared:
            notes.append(f"declared: {task.declared[name]}")
        rows.append(ConfigRow(name, text.setting(task.ppo[name]) if name in task.ppo else text.UNKNOWN, cells, notes))
    # Whatever a framework says that it cannot take has a row, even under a name that the task does not know.
    for framework, config in configs.items():
        for entry in config.untranslated:
            if entry.field not in names:
                note = f"{framework}: {entry.reason}"
                rows.append(ConfigRow(entry.field, text.setting(entry.value), {}, [note]))
    return rows


def runtime_rows(task: TaskRecord, frameworks: list[str]) -> list[ConfigRow]:
    """Devices, threads and processes; a row differs where the frameworks do."""
    configs = {name: task.frameworks[name] for name in frameworks if name in task.frameworks}
    components = dict.fromkeys(component for config in configs.values() for component in config.devices)
    rows = [
        _beside(f"device of {component}", {name: config.devices.get(component) for name, config in configs.items()})
        for component in components
    ]
    rows.append(_beside("torch threads", {name: config.threads for name, config in configs.items()}))
    rows.append(_beside("processes", {name: config.processes for name, config in configs.items()}))
    return rows


def _beside(name: str, values: Mapping[str, Any]) -> ConfigRow:
    present = [value for value in values.values() if value is not None]
    differ = any(value != present[0] for value in present)
    cells = {
        framework: Cell(text.UNKNOWN if value is None else str(value), differ and value is not None)
        for framework, value in values.items()
    }
    return ConfigRow(name, "", cells, [])


def _same(value: Any, asked: Any) -> bool:
    if isinstance(value, bool) or isinstance(asked, bool):
        return value is asked
    return bool(value == asked)
