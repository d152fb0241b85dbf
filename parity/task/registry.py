"""Finds the ``Task`` that ``--task`` names: a built-in id, ``file.py``, ``file.py:name`` or ``package.module:name``."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import importlib.util
import os
import reprlib
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from pydantic import ValidationError

from parity.errors import CannotStart, first_refusal, one_line

if TYPE_CHECKING:
    from parity.task import Task

# Where each built-in task is defined; importing one imports torch, so ids are listed without.
BUILT_IN: dict[str, str] = {
    "tiles": "parity_envs.tiles.task:tiles",
    "tiles-100": "parity_envs.tiles.task:tiles_100",
    "tiles-time-limit": "parity_envs.tiles.task:tiles_time_limit",
    "tiles-resolution": "parity_envs.tiles.task:tiles_resolution",
    "tiles-two-learners": "parity_envs.tiles.task:tiles_two_learners",
    "taxi": "parity_envs.taxi.task:taxi",
    "cartpole": "parity_envs.cartpole.task:cartpole",
    "invalid-discrete": "parity_envs.invalid_actions.task:invalid_discrete",
    "invalid-multidiscrete": "parity_envs.invalid_actions.task:invalid_multidiscrete",
    "invalid-multibinary": "parity_envs.invalid_actions.task:invalid_multibinary",
    "tictactoe": "parity_envs.pettingzoo_classic.task:tictactoe",
    "tictactoe-selfplay": "parity_envs.pettingzoo_classic.task:tictactoe_selfplay",
    "connect-four": "parity_envs.pettingzoo_classic.task:connect_four",
    "connect-four-selfplay": "parity_envs.pettingzoo_classic.task:connect_four_selfplay",
    "probe-one-action": "parity_envs.probes.one_action:task",
    "probe-observation": "parity_envs.probes.observation:task",
    "probe-mask": "parity_envs.probes.mask:task",
    "probe-forced": "parity_envs.probes.forced:task",
    "probe-mask-by-action": "parity_envs.probes.mask_by_action:task",
    "probe-previous-step": "parity_envs.probes.previous_step:task",
    "probe-lambda": "parity_envs.probes.gae_lambda:task",
    "probe-time-limit": "parity_envs.probes.time_limit:task",
    "probe-other-agent": "parity_envs.probes.other_agent:task",
    "probe-cooperative": "parity_envs.probes.cooperative:task",
    "probe-competitive": "parity_envs.probes.competitive:task",
}
DEFAULT_TASK = "tiles"
DEFAULT_NAME = "task"
# A task file becomes a module of this name and the file's stem: no such module exists elsewhere.
FILE_MODULE_PREFIX = "parity_task_"


@dataclasses.dataclass(frozen=True)
class TaskRef:
    """Where a task is defined. Other processes get this and import the task themselves."""

    text: str  # what the user wrote
    location: str  # an absolute file path or a dotted module name
    name: str  # the attribute to take from it
    is_file: bool  # which of the two ``location`` is
    python_path: str | None = None  # folders that the user's working directory adds for ``package.module:name``

    @property
    def folder(self) -> str | None:
        """What has to be on Python's path to import the task; None for an installed one."""
        return str(Path(self.location).parent) if self.is_file else self.python_path

    @property
    def source(self) -> str:
        """For people and for ``study.json``: never a path of one machine."""
        if not self.is_file:
            return f"{self.location}:{self.name}"
        return f"{Path(self.location).name}:{self.name}"


def folders_of(refs: Iterable[TaskRef]) -> set[str]:
    """What has to be on Python's path to import the tasks."""
    return {folder for ref in refs if (folder := ref.folder) is not None}


def resolve(text: str) -> TaskRef:
    """Finds out what ``text`` names, without importing it.

    Raises:
        CannotStart: no such id, file or form.
    """
    if text in BUILT_IN:
        module, _, name = BUILT_IN[text].partition(":")
        return TaskRef(text, module, name, is_file=False)
    head, colon, name = text.rpartition(":")
    if not colon or not name.isidentifier():
        head, name = text, DEFAULT_NAME
    if head.endswith(".py") or os.sep in head or "/" in head:
        path = Path(head)
        if not _is_file(path):
            raise CannotStart(f"--task {text}: there is no file {head}.")
        return TaskRef(text, str(path.resolve()), name, is_file=True)
    if head != text and all(part.isidentifier() for part in head.split(".")):
        return TaskRef(text, head, name, is_file=False, python_path=str(Path.cwd()))
    close = difflib.get_close_matches(text, BUILT_IN, n=3)
    meant = f"; did you mean {' or '.join(close)}?" if close else "."
    raise CannotStart(
        f"--task {text}: no such task{meant} `parity tasks` lists the "
        "built-in ones; a file (my_port.py, my_port.py:name) or package.module:name may be given too."
    )


def load(ref: TaskRef) -> Task:
    """Imports the task.

    Raises:
        CannotStart: the file raises, has no such name, or defines something that is not a valid ``Task``.
    """
    from parity.task import Task

    module = _import(ref)
    if not hasattr(module, ref.name):
        others = [name for name, value in vars(module).items() if isinstance(value, Task)]
        hint = (
            f"it defines {', '.join(others)}: write --task {ref.text.partition(':')[0]}:{others[0]}" if others else None
        )
        raise CannotStart(
            f"--task {ref.text}: {ref.source.partition(':')[0]} defines no `{ref.name}`; "
            + (hint or f"write {ref.name} = parity.Task(...) there, or start from the file that `parity init` writes")
            + "."
        )
    task = getattr(module, ref.name)
    if not isinstance(task, Task):
        raise CannotStart(
            f"--task {ref.text}: `{ref.name}` is a {type(task).__name__}, not a parity.Task; name the task, as in "
            "file.py:name."
        )
    return task


# Folders that the loaded tasks import from. Processes that are started later, by Ray, import from there too.
loaded_folders: set[str] = set()


def _import(ref: TaskRef) -> ModuleType:
    if ref.folder is not None:
        loaded_folders.add(ref.folder)
    if ref.python_path and ref.python_path not in sys.path:
        sys.path.insert(0, ref.python_path)
    try:
        return _import_file(Path(ref.location)) if ref.is_file else importlib.import_module(ref.location)
    except CannotStart:
        raise
    except ValidationError as error:
        raise CannotStart(f"--task {ref.text}: {validation_sentence(error)}") from error
    except SyntaxError as error:
        place = Path(error.filename or ref.location).name + (f", line {error.lineno}" if error.lineno else "")
        raise CannotStart(f"--task {ref.text}: syntax error in {place}: {error.msg}.") from error
    except ModuleNotFoundError as error:
        raise CannotStart(f"--task {ref.text}: {error}; install it, or correct the name.") from error
    except (Exception, SystemExit) as error:
        place = _last_line_in(error, ref.location)
        raise CannotStart(f"--task {ref.text}: {place} raised {type(error).__name__}: {one_line(error)}.") from error


def _import_file(path: Path) -> ModuleType:
    """A task file as a module of its own name, importable again by pickle in this process."""
    name = f"{FILE_MODULE_PREFIX}{path.stem}"
    loaded = sys.modules.get(name)
    if loaded is not None and getattr(loaded, "__file__", None) == str(path):
        return loaded
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def validation_sentence(error: ValidationError) -> str:
    """The first thing that pydantic refuses, as one sentence that names the field."""
    from parity.task.definition import PPOParams, Reference, Task

    fields = {cls.__name__: list(cls.__annotations__) for cls in (Task, PPOParams, Reference)}
    first, message = first_refusal(error)
    names = fields.get(error.title, [])
    # Pydantic names a positional argument by its number.
    loc = [names[p] if i == 0 and isinstance(p, int) and p < len(names) else p for i, p in enumerate(first["loc"])]
    field = ".".join(str(part) for part in loc)
    if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        close = difflib.get_close_matches(str(loc[-1]), [name for names in fields.values() for name in names], n=1)
        return f"{error.title} has no field `{field}`" + (f"; did you mean `{close[0]}`?" if close else ".")
    if first["type"] in ("missing", "missing_argument"):
        return f"{error.title} field `{field}` is missing."
    if first["type"] == "value_error":
        return f"{error.title}{f' field `{field}`' if field else ''}: {message}."
    return f"{error.title} field `{field}`: {message} (given: {reprlib.repr(first['input'])})."


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _last_line_in(error: BaseException, location: str) -> str:
    """``file, line N`` of the innermost frame inside the user's file."""
    trace, line = error.__traceback__, None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == location:
            line = trace.tb_lineno
        trace = trace.tb_next
    name = Path(location).name
    return f"{name}, line {line}" if line else name
