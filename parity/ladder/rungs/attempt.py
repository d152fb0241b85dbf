"""A check that lacks its numbers leaves the others of its rung standing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from parity.ladder.rung_input import Missing, RungReport


def attempt(sheet: RungReport, check: Callable[..., None], *arguments: Any) -> None:
    """Runs ``check(sheet, *arguments)``; what is missing for it is noted on the sheet."""
    try:
        check(sheet, *arguments)
    except Missing as missing:
        reason = str(missing)
        if reason not in sheet.missing:
            sheet.missing.append(reason)
