"""Every defect that parity knows by name: ``rules.toml``, checked when it is read."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Any

from parity.errors import CannotStart
from parity.ladder.findings.rule import Rule

_TEXTS: dict[str, dict[str, Any]] = tomllib.loads(files(__name__).joinpath("rules.toml").read_text(encoding="utf-8"))


def rule_against(code: str, other_side: str = "SB3") -> Rule:
    """The rule in words about whom a port is compared with."""
    texts: dict[str, Any] = {
        name: text.replace("{other_side}", other_side) if isinstance(text, str) else text
        for name, text in _TEXTS[code].items()
    }
    return Rule(code=code, **texts)


RULES: dict[str, Rule] = {code: rule_against(code) for code in _TEXTS}


def rule(code: str) -> Rule:
    """The rule of a code, in any case.

    Raises:
        CannotStart: there is none.
    """
    known = RULES.get(code.upper())
    if known is None:
        raise CannotStart(f"There is no rule {code}; `parity rules` lists them.")
    return known


def page_of(code: str) -> str | None:
    """The address of a finding's page, where anybody said where the documentation is served: see `Rule.page`."""
    return known.page if (known := RULES.get(code)) else None


def consequences(code: str) -> set[str]:
    """Codes that may follow from this one, directly or by way of others."""
    following: set[str] = set()
    waiting = [code]
    while waiting:
        for each in RULES[waiting.pop()].explains:
            if each not in following:
                following.add(each)
                waiting.append(each)
    if RULES[code].rung < 9:
        # Whole iterations go through everything that the lower rungs look at one by one.
        following |= {each.code for each in RULES.values() if each.is_of_lockstep and each.severity == "error"}
    return following
