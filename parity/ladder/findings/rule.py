"""What is known of one kind of defect, whatever the port."""

from __future__ import annotations

import os
from functools import cache
from importlib import metadata
from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from parity.results.summary import Severity

# A paragraph may be wrapped in the file.
Paragraph = Annotated[str, BeforeValidator(lambda text: " ".join(text.split())), Field(min_length=1)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Rule:
    """One finding of the catalogue.

    Attributes:
        code: ``PAR`` and three digits, the first of which is the rung unless `is_of_bench`; never given to another defect.
        title: what is wrong, in a line.
        severity: of a finding of this kind, unless the rung that makes it says otherwise.
        explanation: why it matters: what training does with it.
        origin: how it comes about in ports that people write.
        fix: the remedy, as code where code is the remedy.
        explains: codes of findings that follow from this one in the same module; they are listed below it, not beside it.
        links: upstream issues, pull requests and documentation.
    """

    code: Annotated[str, Field(pattern=r"^PAR\d{3}$")]
    title: Annotated[str, Field(min_length=1)]
    severity: Severity
    explanation: Paragraph
    origin: Paragraph
    fix: Annotated[str, Field(min_length=1)]
    explains: tuple[str, ...] = ()
    links: tuple[str, ...] = ()

    @property
    def is_of_bench(self) -> bool:
        """Whether `parity bench` reports it, by what it measured, and no rung."""
        return "PAR910" <= self.code <= "PAR929"

    @property
    def rung(self) -> int:
        return int(self.code[3])

    @property
    def page(self) -> str | None:
        """Its page of the documentation, where anybody said where that is served."""
        site = os.environ.get("PARITY_DOCS") or _served_at()
        return f"{site.rstrip('/')}/findings/{self.code}/" if site else None

    @property
    def is_of_lockstep(self) -> bool:
        """Seen in iterations that are compared with SB3's: from PAR910 on speed is told, from PAR930 a training alone."""
        return self.rung == 9 and self.code < "PAR910"


@cache
def _served_at() -> str | None:
    """``Documentation`` under ``[project.urls]`` of pyproject.toml, the one place that has an address."""
    try:
        urls = metadata.metadata("parity").get_all("Project-URL") or []
    except metadata.PackageNotFoundError:
        return None
    named = dict(url.split(", ", 1) for url in urls)
    return named.get("Documentation")
