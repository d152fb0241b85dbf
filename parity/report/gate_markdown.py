"""``gate.md``: the gate for a pull request or the summary of a job."""

from __future__ import annotations

from parity.report.gate import GateSection
from parity.report.templating import markdown_environment
from parity.results.gate import Gate


def gate_markdown(gate: Gate) -> str:
    return markdown_environment().get_template("gate.md").render(gate=GateSection(gate), heading="#")
