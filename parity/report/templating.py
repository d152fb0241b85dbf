"""The Jinja2 environments of HTML and Markdown. Both escape whatever a study says: a reason may hold anything."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from parity.errors import LONGEST_READ, printable
from parity.report import text
from parity.report.gate import STATUS_WORDS

_FILTERS = (
    "number", "fixed", "signed", "interval", "count", "duration", "megabytes", "setting", "p_value", "date", "tone",
    "learns_words", "plural", "share", "of_runs", "percent",
)  # fmt: skip


# A code host's Markdown has no colours.
TONE_SIGNS = {"good": "\N{LARGE GREEN CIRCLE}", "bad": "\N{LARGE RED CIRCLE}", "open": "\N{LARGE YELLOW CIRCLE}"}
TONE_SIGNS |= {"note": "\N{LARGE BLUE CIRCLE}", "plain": "\N{MEDIUM WHITE CIRCLE}"}


@cache
def html_environment() -> Environment:
    return _environment(autoescape=True, finalize=_cut)


@cache
def markdown_environment() -> Environment:
    """Every value that a template prints is escaped for Markdown, unless it is ``Markup``."""
    environment = _environment(autoescape=False, finalize=_finalize)
    environment.filters |= {"code": markdown_code, "fenced": fenced, "mermaid": mermaid}
    environment.globals["tones"] = TONE_SIGNS
    return environment


def escape_markdown(value: str) -> str:
    """One line of plain text: no HTML, no Markdown, no cell border of a table."""
    line = printable(value, LONGEST_READ)
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*|\[\]~])|(?<!\w)(_)|(_)(?!\w)", lambda match: f"\\{match.group()}", line)


def markdown_code(value: Any) -> Markup:
    """A code span, also inside a table."""
    return Markup("`{}`").format(Markup(printable(str(value), LONGEST_READ).replace("`", "'").replace("|", "\\|")))


def fenced(value: str) -> Markup:
    """A code block with a fence that its text cannot end."""
    value = "\n".join(printable(line, LONGEST_READ) for line in value.splitlines())
    longest = max((len(run) for run in re.findall("`+", value)), default=0)
    fence = "`" * max(3, longest + 1)
    return Markup("{0}\n{1}\n{0}").format(Markup(fence), Markup(value))


def mermaid(chart: str) -> Markup:
    """A diagram that code hosts draw; it has no text but our own and names of frameworks."""
    return Markup(f"```mermaid\n{chart}\n```")


def _cut(value: Any) -> Any:
    """A reason of 5 MB makes no page that opens."""
    too_long = isinstance(value, str) and not isinstance(value, Markup) and len(value) > LONGEST_READ
    return f"{value[:LONGEST_READ]}…" if too_long else value


def _finalize(value: Any) -> Any:
    return value if isinstance(value, Markup) else Markup(escape_markdown(str(value)))


def _environment(**options: Any) -> Environment:
    environment = Environment(
        loader=PackageLoader("parity.report"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **options,
    )
    environment.filters |= {name: getattr(text, name) for name in _FILTERS}
    environment.globals["gate_words"] = STATUS_WORDS
    return environment
