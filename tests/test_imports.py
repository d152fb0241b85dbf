"""Who may import what: judges no framework, help pages nothing heavy."""

from __future__ import annotations

import ast
import importlib.util
import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import parity

ROOT = Path(parity.__file__).parent
FRAMEWORKS = {"torch", "ray", "stable_baselines3", "sb3_contrib"}
HEAVY = FRAMEWORKS | {"pandas", "matplotlib", "plotly", "scipy", "gymnasium", "pyarrow"}

# They read what runners have written and compare it: next year, elsewhere, without a framework installed.
JUDGES = [
    "parity.verdict",
    "parity.report",
    "parity.gate",
    "parity.results.summary",
    "parity.probes.claims",
    "parity.probes.judge",
    "parity.results.study",
    "parity.frameworks.evaluation",
    "parity.task.masks",
    "parity.bench.judge",
    "parity.bench.sentence",
    "parity.bisect.search",
    "parity.bisect.sentence",
    "parity.bisect.document",
    "parity.bisect.short_training",
    "parity.bisect.steps",
    "parity.results.bisect",
    "parity.frameworks.reference_scores",
    "parity.task",
    "parity.task.registry",
    "parity.errors",
    "parity.plan",
    "parity.task.suites",
]


def modules_of(name: str) -> list[str]:
    """The module, or a package and everything in it."""
    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.origin is not None
    origin = Path(spec.origin)
    if origin.name != "__init__.py":
        return [name]
    inner = [path.relative_to(ROOT.parent).with_suffix("") for path in sorted(origin.parent.rglob("*.py"))]
    return [".".join(path.parts).removesuffix(".__init__") for path in inner]


@cache
def imports_of(module: str) -> frozenset[str]:
    """Modules that importing ``module`` imports, and functions in it: everything but ``if TYPE_CHECKING``."""
    spec = importlib.util.find_spec(module)
    assert spec is not None and spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    hidden = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        for statement in block.body
        for node in ast.walk(statement)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{module}: relative import"
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names if is_module(node.module, alias.name))
    return frozenset(found)


def is_module(package: str, name: str) -> bool:
    return package.startswith("parity") and (
        (ROOT.parent / Path(*package.split(".")) / f"{name}.py").is_file()
        or (ROOT.parent / Path(*package.split(".")) / name / "__init__.py").is_file()
    )


def reached_from(module: str) -> dict[str, str]:
    """Every module that ``module`` imports, directly or through other modules of parity -> the one that imports it."""
    reached: dict[str, str] = {}
    waiting = [module]
    while waiting:
        current = waiting.pop()
        for name in imports_of(current):
            if name not in reached:
                reached[name] = current
                if name.partition(".")[0] == "parity":
                    waiting.append(name)
    return reached


def test_what_is_imported_by_the_way_is_seen() -> None:
    assert "torch" in reached_from("parity.study.preflight") and "ray" in reached_from("parity.study.runner")
    assert "torch" not in reached_from("parity.frameworks.base")


@pytest.mark.parametrize("judge", JUDGES)
def test_a_judge_imports_no_framework(judge: str) -> None:
    for module in modules_of(judge):
        bad = {name: by for name, by in reached_from(module).items() if name.partition(".")[0] in FRAMEWORKS}
        assert not bad, f"{module} reaches {bad}"


@pytest.mark.parametrize("judge", [name for name in JUDGES if name not in ("parity.task.registry",)])
def test_a_judge_imports_no_runner(judge: str) -> None:
    runners = ("parity.frameworks.sb3", "parity.frameworks.rllib", "parity.study.runner", "parity.study.trial")
    for module in modules_of(judge):
        bad = {name: by for name, by in reached_from(module).items() if name.startswith(runners)}
        assert not bad, f"{module} reaches {bad}"


@pytest.mark.parametrize("framework", ["parity.frameworks.sb3", "parity.frameworks.rllib"])
def test_a_framework_imports_no_judge(framework: str) -> None:
    for module in modules_of(framework):
        bad = {
            name: by
            for name, by in reached_from(module).items()
            if name.startswith(("parity.verdict", "parity.report"))
        }
        assert not bad, f"{module} reaches {bad}"


def imported_by(code: str, *arguments: str) -> set[str]:
    """Top-level packages that are loaded in a fresh process after ``code``."""
    ending = "\nimport json, sys\nprint('\\n' + json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", code + ending, *arguments], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_the_judges_loads_no_framework() -> None:
    modules = [module for judge in JUDGES for module in modules_of(judge)]
    loaded = imported_by("\n".join(f"import {module}" for module in modules))
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
