"""What pyproject.toml lists by hand agrees with what is there."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_every_package_is_in_the_wheel() -> None:
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    found = set()
    for top, name in (("parity", "parity"), ("envs", "parity_envs")):
        for path in (ROOT / top).rglob("*.py"):
            found.add(".".join([name, *path.parent.relative_to(ROOT / top).parts]))
    assert listed == found


def test_every_tested_version_is_pinned() -> None:
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line)
    for name, version in {
        "torch": "2.13.0", "ray": "2.60.0", "gymnasium": "1.2.2", "stable_baselines3": "2.9.2", "sb3_contrib": "2.9.2",
    }.items():  # fmt: skip
        assert pinned[name] == version


def test_every_file_that_is_no_code_is_in_the_wheel() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    for top, name in (("parity", "parity"), ("envs", "parity_envs")):
        listed = {path for pattern in setuptools["package-data"][name] for path in (ROOT / top).glob(pattern)}
        there = {
            path
            for path in (ROOT / top).rglob("*")
            if path.is_file() and path.suffix not in (".py", ".pyc") and path.suffix != ".md"
        }
        assert there <= listed, f"not in the wheel: {there - listed}"
