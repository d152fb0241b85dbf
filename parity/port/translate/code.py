"""A translation as Python source, and as a document."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from typing import Any

from parity.port.translate.arguments import Expression, LinearSchedule
from parity.port.translate.translate import Imported, Translation

_WIDTH = 100


def code(translation: Translation) -> str:
    """Source that defines ``config``, a ``PPOConfig``; what has no counterpart follows as comments."""
    lines = [_comment(f"From {translation.arguments.origin}, by parity translate.", ""), ""]
    lines += [f"from {module} import {', '.join(names)}" for module, names in translation.imports.items()]
    lines += ["", "config = (", "    PPOConfig()"]
    for method, arguments in translation.calls.items():
        lines.append(f"    .{method}(")
        for name, value in arguments.items():
            remark = f"  # {_one_line(translation.remarks[name])}" if name in translation.remarks else ""
            lines.append(f"        {name}={literal(value)},{remark}")
        lines.append("    )")
    lines.append(")")
    if translation.ppo is not None and not translation.arguments.values:
        lines += ["", _comment(f"The same hyperparameters for SB3: Task(ppo={translation.ppo}).", "")]
    if translation.notes:
        lines += ["", "# Without a counterpart in PPOConfig:"]
    for note in translation.notes:
        lines += ["#", _comment(f"{note.field} = {_shown(note.value)}", "")]
        lines += [_comment(f"RLlib: {note.instead}.", "  "), _comment(f"To do: {note.remedy}.", "  ")]
    return "\n".join(lines) + "\n"


def literal(value: Any) -> str:
    """Python source of a value."""
    match value:
        case Imported():
            return value.name
        case float() if math.isinf(value) or math.isnan(value):
            return f'float("{value}")'
        case list():
            return f"[{', '.join(map(literal, value))}]"
        case dict():
            return "{" + ", ".join(f"{literal(key)}: {literal(part)}" for key, part in value.items()) + "}"
    text = repr(value)
    # As formatters have it.
    return f'"{text[1:-1]}"' if text[0] == "'" and not {'"', "\\"} & set(text) else text


def document(translation: Translation) -> dict[str, Any]:
    """What ``--json`` prints: NaN, infinities and what only Python can say are strings."""
    return {
        "origin": translation.arguments.origin,
        "algorithm": translation.arguments.algorithm,
        "ppo": None if translation.ppo is None else _plain(dataclasses.asdict(translation.ppo)),
        "config": {method: _plain(arguments) for method, arguments in translation.calls.items()},
        "not_translated": [
            {"field": note.field, "value": _plain(note.value), "instead": note.instead, "remedy": note.remedy}
            for note in translation.notes
        ],
        "code": code(translation),
    }


def _plain(value: Any) -> Any:
    match value:
        case Imported():
            return value.name
        case Expression() | LinearSchedule():
            return repr(value)
        case float() if not math.isfinite(value):
            return str(value)
        case dict():
            return {str(key): _plain(part) for key, part in value.items()}
        case list() | tuple():
            return [_plain(part) for part in value]
        case None | bool() | int() | float() | str():
            return value
    return str(value)


def _one_line(text: str) -> str:
    """Nothing that was read may end a comment."""
    return " ".join(text.split())


def _shown(value: Any) -> str:
    return repr(value) if len(repr(value)) <= 300 else f"{repr(value)[:300]}…"


def _comment(text: str, indent: str) -> str:
    return textwrap.fill(
        _one_line(text),
        _WIDTH,
        initial_indent=f"# {indent}",
        subsequent_indent=f"# {indent}{'  ' if indent else ''}",
        break_long_words=False,
        break_on_hyphens=False,
    )
