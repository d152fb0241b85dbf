"""Who may import what, held against the table in ``tests/rooms.py``."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from rooms import END, LOBBY, NAMES, ROOMS, ROOT, arrows, imports_of, modules, own_imports, room_of, with_picture

FRAMEWORKS = {"torch", "ray", "stable_baselines3", "sb3_contrib"}
HEAVY = FRAMEWORKS | {"pandas", "matplotlib", "plotly", "scipy", "gymnasium", "pyarrow"}
# In rooms that run things, what judges stands in files of these names.
JUDGE_FILES = {"judge", "claims", "search", "sentence"}
# They read what was written and compare it: next year, elsewhere, without a framework installed.
JUDGES = [
    module
    for module in modules()
    if module not in LOBBY
    for room in ROOMS
    if room.name == room_of(module)
    and (room.kind == "judges" or (room.kind == "runs" and module.split(".")[-1] in JUDGE_FILES))
]


def reached_from(module: str) -> dict[str, str]:
    """Every module that ``module`` imports, directly or through others of parity -> the one that imports it."""
    reached: dict[str, str] = {}
    waiting = [module]
    while waiting:
        current = waiting.pop()
        for name in imports_of(current):
            if name not in reached:
                reached[name] = current
                if name in modules():
                    waiting.append(name)
    return reached


def circles() -> list[list[str]]:
    """Groups of modules that import each other in a circle (Tarjan 1972, by way of paths: the tree is small)."""
    reach = {module: {name for name in reached_from(module) if name in modules()} for module in modules()}
    groups = {
        tuple(sorted({module} | {other for other in reach[module] if module in reach[other]})) for module in modules()
    }
    return [list(group) for group in groups if len(group) > 1 or group[0] in own_imports(group[0])]


def test_every_module_is_in_a_room_of_the_table() -> None:
    assert {room_of(module) for module in modules().keys() - LOBBY} == set(NAMES)


def test_imports_point_downwards_only() -> None:
    up = {pair: lines for pair, lines in arrows().items() if NAMES.index(pair[1]) < NAMES.index(pair[0])}
    assert not up, f"rooms that import one above them: {up}"


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert not circles()


def test_the_picture_in_architecture_is_made_from_the_table_and_the_imports() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert END in text and with_picture(text) == text, "python tests/rooms.py draws it anew"


def test_every_file_that_architecture_names_is_there() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    files = {
        path.relative_to(ROOT).as_posix() for top in ("parity", "envs", "tests") for path in (ROOT / top).rglob("*.*")
    }
    named = {name for name in re.findall(r"`([\w./-]+\.(?:py|toml|md))`", text)}
    lost = {name for name in named if not any(f"/{file}".endswith(f"/{name}") for file in files)}
    assert len(named) > 40 and not lost - {"NAME.py", "cli/NAME.py", "parity.toml"}


def test_what_is_imported_by_the_way_is_seen() -> None:
    assert "torch" in reached_from("parity.study.preflight") and "ray" in reached_from("parity.study.runner")
    assert "torch" not in reached_from("parity.frameworks.base")


@pytest.mark.parametrize("judge", JUDGES)
def test_a_judge_imports_no_framework(judge: str) -> None:
    bad = {name: by for name, by in reached_from(judge).items() if name.partition(".")[0] in FRAMEWORKS}
    assert not bad, f"{judge} reaches {bad}"


@pytest.mark.parametrize("judge", JUDGES)
def test_a_judge_imports_no_runner(judge: str) -> None:
    """Of the rooms that run things a judge may take the judging files, and what these need."""
    runners = {room.name for room in ROOMS if room.kind == "runs"}
    bad = {
        name: by
        for name, by in reached_from(judge).items()
        if name in modules() and name not in LOBBY and room_of(name) in ("frameworks", "capture", "study")
    }
    assert {"frameworks", "capture", "study"} <= runners and not bad, f"{judge} reaches {bad}"


def test_an_adapter_imports_no_judge() -> None:
    judging = {"report", "gate", "verdict", "ladder"}
    assert not {pair: lines for pair, lines in arrows().items() if pair[0] == "frameworks" and pair[1] in judging}


def imported_by(code: str, *arguments: str) -> set[str]:
    """Top-level packages that are loaded in a fresh process after ``code``."""
    ending = "\nimport json, sys\nprint('\\n' + json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", code + ending, *arguments], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_the_judges_loads_no_framework() -> None:
    loaded = imported_by("\n".join(f"import {module}" for module in JUDGES if not module.endswith("__main__")))
    assert "pandas" in loaded and not loaded & FRAMEWORKS


def test_no_help_page_loads_anything_heavy() -> None:
    """One process for all of them: the commands are those that the application itself lists."""
    code = (
        "from parity.cli import app, call\n"
        "names = [name for name in app if not name.startswith('-')]\n"
        "assert 'run' in names and 'report' in names, names\n"
        "assert call(['--help']) == 0 and call(['--version']) == 0\n"
        "assert all(call([name, '--help']) == 0 for name in names)\n"
    )
    loaded = imported_by(code)
    assert "cyclopts" in loaded and not loaded & HEAVY


def test_importing_parity_loads_nothing_heavy() -> None:
    assert not imported_by("import parity\nassert parity.__version__") & (HEAVY | {"pydantic", "numpy"})
    assert "gymnasium" in imported_by("from parity import Task")
