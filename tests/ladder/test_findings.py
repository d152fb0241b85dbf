"""The catalogue, the order in which findings are told, and the page made of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from parity.errors import CannotStart
from parity.ladder.findings import RULES, consequences, rule
from parity.ladder.findings.page import page
from parity.ladder.findings.raw_finding import RawFinding, as_findings, settle

PAGE = Path(__file__).parents[2] / "docs" / "rules.md"


def found(code: str, module: str | None = "m", **fields: object) -> RawFinding:
    return RawFinding(code, RULES[code].rung, f"module {module}", "seen", module=module, **fields)  # type: ignore[arg-type]


def test_the_page_of_rules_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m parity.ladder.findings > docs/rules.md"


@pytest.mark.parametrize("code", RULES)
def test_a_rule_is_complete(code: str) -> None:
    each = RULES[code]
    assert each.code == code
    assert each.title and each.explanation.endswith(".") and each.origin and each.fix
    assert not each.title.endswith(".")
    assert set(each.explains) <= set(RULES)
    assert code not in consequences(code)


def test_rules_are_found_in_any_case_and_unknown_ones_are_refused() -> None:
    assert rule("par003").title == "module does not implement ValueFunctionAPI"
    with pytest.raises(CannotStart, match="PAR777"):
        rule("PAR777")


def test_a_consequence_is_told_below_its_cause() -> None:
    settled = settle([found("PAR801"), found("PAR602"), found("PAR003")], {})
    (told,) = as_findings(settled, "t", "rllib")
    assert told.code == "PAR003"
    assert told.consequences == ["PAR602", "PAR801"]


def test_a_cause_in_one_module_explains_nothing_in_another() -> None:
    told = as_findings(settle([found("PAR003", "a"), found("PAR602", "b")], {}), "t", "rllib")
    assert [(f.code, f.consequences) for f in told] == [("PAR003", []), ("PAR602", [])]


def test_a_warning_hides_no_error() -> None:
    told = as_findings(settle([found("PAR011", severity="warning"), found("PAR502")], {}), "t", "rllib")
    assert [f.code for f in told] == ["PAR502", "PAR011"]


def test_a_declared_cause_does_not_excuse_what_has_another_cause_too() -> None:
    settled = settle([found("PAR012"), found("PAR003"), found("PAR801")], {"PAR012": "wanted"})
    (update,) = [f for f in settled if f.code == "PAR801"]
    assert update.root is not None and update.root.code == "PAR003"
    assert update.is_error


def test_the_same_defect_is_told_once() -> None:
    told = as_findings(settle([found("PAR101"), found("PAR101")], {}), "t", "rllib")
    assert [(f.code, f.consequences) for f in told] == [("PAR101", [])]


def test_figures_that_json_has_no_number_for_are_strings() -> None:
    seen = found("PAR404", evidence={"max_abs": float("nan"), "needed": float("inf")})
    (told,) = as_findings(settle([seen], {}), "t", "rllib")
    assert told.evidence == {"max_abs": "NaN", "needed": "Infinity"}
