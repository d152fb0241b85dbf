"""``parity init``: writes a port that runs, to start from. The files under ``port/`` are what the user gets."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from importlib import metadata, resources
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from parity import __version__
from parity.errors import CannotStart
from parity.port.env_task import task_file
from parity.system.machine import git_state

# Path in the new folder -> file under port/.
FILES = {
    "env.py": "env.py",
    "port.py": "port.py",
    "parity.toml": "parity.toml",
    "test_port.py": "test_port.py",
    "README.md": "README.md",
    ".gitignore": "gitignore",
    ".github/workflows/parity.yml": "workflow.yml",
}
REQUIREMENTS = "requirements.txt"
# Distribution -> the extra that the port needs of it.
PINNED = {"torch": "", "ray": "[rllib]", "stable-baselines3": "", "sb3-contrib": "", "gymnasium": "", "pytest": ""}


def create(folder: Path) -> list[str]:
    """Writes the port, see `write`."""
    return write(folder, {path: _text(name) for path, name in FILES.items()} | {REQUIREMENTS: requirements()})


def create_from_env(folder: Path, env: str, network: str, env_kwargs: Sequence[str]) -> list[str]:
    """Writes the task of a gymnasium environment, and a ``parity.toml`` that names it.

    Raises:
        CannotStart: as `write`; no such environment or network.
    """
    name, text = task_file(env, network, env_kwargs)
    return write(folder, {name: text, "parity.toml": f'task = "{name}"\nframeworks = ["sb3", "rllib"]\n'})


def write(folder: Path, texts: Mapping[str, str]) -> list[str]:
    """Writes files into a folder that does not exist yet or is empty. Returns the paths in it.

    Raises:
        CannotStart: something is there, or the folder cannot be written; nothing of the port is left behind then.
    """
    _refuse_what_is_there(folder)
    written: list[Path] = []
    try:
        for path, text in texts.items():
            target = folder / path
            _make_folders(target.parent, written)
            with target.open("x", encoding="utf-8") as file:
                written.append(target)
                file.write(text)
    except OSError as error:
        for made in reversed(written):
            made.rmdir() if made.is_dir() else made.unlink()
        raise CannotStart(f"{folder}: cannot write there ({error.strerror}); choose another folder.") from error
    return list(texts)


def _refuse_what_is_there(folder: Path) -> None:
    try:
        if folder.is_dir():
            if any(folder.iterdir()):
                raise CannotStart(f"{folder}: the folder is not empty; name a new one, nothing was written.")
        elif folder.exists() or folder.is_symlink():
            raise CannotStart(f"{folder}: there is a file of that name; name a new folder, nothing was written.")
    except OSError as error:
        raise CannotStart(f"{folder}: cannot write there ({error.strerror}); choose another folder.") from error


def _make_folders(folder: Path, made: list[Path]) -> None:
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir()
        made.append(each)


def _text(name: str) -> str:
    return (resources.files(__name__) / "port" / name).read_text(encoding="utf-8")


def requirements() -> str:
    """A requirements file with the versions that are installed here."""
    lines = [f"{name}{extra}=={version}" for name, extra in PINNED.items() if (version := _installed(name))]
    return "\n".join([*_parity(), *lines, ""])


def _installed(name: str) -> str | None:
    """The public part of a version: local parts such as ``+cpu`` exist on other indexes only."""
    try:
        return metadata.version(name).partition("+")[0]
    except metadata.PackageNotFoundError:
        return None


def _parity() -> list[str]:
    """The requirement of parity itself: where it was installed from (PEP 610), of a clone the repository that it is one of."""
    try:
        origin = json.loads(metadata.distribution("parity").read_text("direct_url.json") or "{}")
    except (metadata.PackageNotFoundError, ValueError):
        origin = {}
    url, vcs = origin.get("url", ""), origin.get("vcs_info")
    if vcs:
        return [f"parity[all] @ {vcs['vcs']}+{url}@{vcs['commit_id']}"]
    if url and not url.startswith("file:"):
        return [f"parity[all] @ {url}"]
    if url:
        cloned = _cloned_from(Path(url2pathname(urlsplit(url).path)))
        return (
            [f"parity[all] @ {cloned}"]
            if cloned
            else ["# parity was installed from a folder: add where others find it"]
        )
    return [f"parity[all]=={__version__}"]


def _cloned_from(folder: Path) -> str | None:
    """Where pip finds what a clone stands on; None where it is no clone of a repository on another machine."""
    state = git_state(folder)
    try:
        asked = ["git", "-C", str(folder), "config", "--get", "remote.origin.url"]
        remote = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    if state is None:
        return None
    # Who may read it is said by whoever installs, not in a file: no name and no token.
    if web := re.fullmatch(r"(https?)://(?:[^@/]*@)?(.+)", remote):
        return f"git+{web[1]}://{web[2]}@{state['commit']}"
    if ssh := re.fullmatch(r"(?:ssh://)?(\w[\w.-]*)@([\w.-]+(?::\d+/)?)[:/]*(.+)", remote):
        return f"git+ssh://{ssh[1]}@{ssh[2].rstrip('/')}/{ssh[3]}@{state['commit']}"
    return None
