"""The rooms of parity, from the top floor down: the table that the import tests read and ARCHITECTURE.md's picture is made of.

``python tests/rooms.py`` writes the picture into ARCHITECTURE.md.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
PACKAGES = {"parity": ROOT / "parity", "parity_envs": ROOT / "envs"}
BEGIN, END = "<!-- rooms: made by tests/rooms.py -->", "<!-- end of rooms -->"


class Room(NamedTuple):
    """``judges``: it compares what others have written, and imports no framework; ``runs``: it runs frameworks or processes."""

    name: str
    does: str
    kind: str = ""


ROOMS = [
    Room("cli", "commands, printing, exit codes; what ends a study is called from here"),
    Room("report", "renders what was judged: HTML, Markdown, JUnit, GitHub", "judges"),
    Room("gate", "a study against itself and a baseline", "judges"),
    Room("selftest", "plants known bugs in a good port", "runs"),
    Room("bisect", "exchanges a port's parts until the guilty ones are left", "runs"),
    Room("plan", "seeds, steps and time that a study needs", "runs"),
    Room("bench", "throughput by phase, interleaved and paired", "runs"),
    Room("study", "trains every framework from every seed", "runs"),
    Room("audit", "watches a training that runs, anybody's", "runs"),
    Room("testing", "what an adapter promises, as tests", "runs"),
    Room("envs", "built-in tasks, and the port that started this project"),
    Room("probes", "environments whose answer is known in closed form", "runs"),
    Room("port", "what helps to write a port: scaffold, translate"),
    Room("capture", "collects what the ladder compares of one framework", "runs"),
    Room("frameworks", "adapters side by side: sb3, rllib", "runs"),
    Room("ladder", "judges what was captured, rung by rung; names defects", "judges"),
    Room("verdict", "statistics, and the rules that judge curves", "judges"),
    Room("results", "every stored form with its schema", "judges"),
    Room("system", "machine, Ray, processes, console"),
    Room("task", "tasks, masks, suites, PettingZoo"),
    Room("errors", "what stops a command, and exit codes", "judges"),
]
NAMES = [room.name for room in ROOMS]
# Above all rooms: what is imported by everybody's `import parity` and started by `python -m parity`.
LOBBY = {"parity", "parity.__main__"}


def room_of(module: str) -> str:
    parts = module.split(".")
    return "envs" if parts[0] == "parity_envs" else parts[1]


@cache
def modules() -> dict[str, Path]:
    """Every module of parity and its environments -> its file; a scaffold's files are no part of the package."""
    found = {}
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            if "scaffold/port" in path.as_posix():
                continue
            parts = path.relative_to(folder).with_suffix("").parts
            found[".".join([package, *parts]).removesuffix(".__init__")] = path
    return found


@cache
def imports_of(module: str) -> frozenset[str]:
    """Modules that importing ``module`` imports, and functions in it: everything but ``if TYPE_CHECKING``."""
    tree = ast.parse(modules()[module].read_text(encoding="utf-8"))
    hidden = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        for statement in block.body
        for node in ast.walk(statement)
    }
    return frozenset(name for node in ast.walk(tree) if id(node) not in hidden for name in _imported(module, node))


def _imported(module: str, node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        assert node.level == 0, f"{module}: relative import"
        inner = {f"{node.module}.{alias.name}" for alias in node.names}
        yield from inner & modules().keys()
        if inner - modules().keys():
            yield node.module


def own_imports(module: str) -> set[str]:
    """Those of parity's own modules, without the lobby."""
    return {name for name in imports_of(module) if name in modules()} - LOBBY


def arrows() -> dict[tuple[str, str], list[str]]:
    """(room, other room that it imports) -> "module imports module", for every pair of rooms."""
    found: dict[tuple[str, str], list[str]] = {}
    for module in modules().keys() - LOBBY:
        for other in own_imports(module):
            if room_of(module) != room_of(other):
                found.setdefault((room_of(module), room_of(other)), []).append(f"{module} imports {other}")
    return found


def picture() -> str:
    """A Mermaid diagram: floors from the top down, an arrow where a room imports another and no room between them does."""
    below: dict[str, set[str]] = {name: set() for name in NAMES}
    for room, other in arrows():
        below[room].add(other)
    reached: dict[str, set[str]] = {}
    for name in reversed(NAMES):
        reached[name] = below[name] | {far for other in below[name] for far in reached.get(other, set())}
    lines = ["```mermaid", "flowchart TB"]
    for room in ROOMS:
        kind = f" ({room.kind})" if room.kind else ""
        lines.append(f'  {room.name}["<b>{room.name}</b>{kind}<br/>{room.does}"]')
    for room in ROOMS:
        nearest = {o for o in below[room.name] if not any(o in reached[b] for b in below[room.name] - {o})}
        lines += [f"  {room.name} --> {other}" for other in NAMES if other in nearest]
    return "\n".join([*lines, "```"])


def with_picture(text: str) -> str:
    """ARCHITECTURE.md with the picture as it is now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{picture()}\n{END}{after}"


if __name__ == "__main__":
    architecture = ROOT / "ARCHITECTURE.md"
    architecture.write_text(with_picture(architecture.read_text(encoding="utf-8")), encoding="utf-8")
