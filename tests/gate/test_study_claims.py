"""Inside a study the gate decides as `parity run` does: the same exit code, and the claim that made it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path

import pytest
from gate_studies import trial
from report_studies import write_study

from parity.gate.study_claims import claims_of_study
from parity.results.study import load_study
from parity.results.summary import Finding, Learns, Summary, Verdict
from parity.verdict.claims import exit_code, study_claims
from parity.verdict.judge import judge

FIVE = [0.97, 0.9, 0.93, 0.95, 0.94]
STUDIES: dict[str, Mapping] = {
    "equivalent": {"sb3": FIVE, "rllib": FIVE[::-1]},
    "worse": {"sb3": FIVE, "rllib": [0.6, 0.62, 0.58, 0.66, 0.7]},
    "does not learn": {"sb3": FIVE, "rllib": [0.03, 0.01, 0.02, 0.0, 0.05]},
    "open": {"sb3": [0.97, 0.8, 0.6], "rllib": [0.9, 0.7, 0.99]},
    "collapse": {"sb3": FIVE, "rllib": [0.95, 0.1, 0.9, 0.05, 0.94]},
    "sb3 does not learn": {"sb3": [0.01, 0.0, 0.02], "rllib": [0.95, 0.93, 0.9]},
    "two seeds": {"sb3": [0.97, 0.9], "rllib": [0.95, 0.93]},
    "alone": {"sb3": [0.97, 0.9, 0.93]},
    "two ports": {"sb3": FIVE, "rllib": FIVE, "rllib-exact": [0.6, 0.62, 0.58, 0.66, 0.7]},
    "several": {name: {"sb3": FIVE, "rllib": FIVE[::-1]} for name in ("a", "b", "c")},
    "several, open": {name: {"sb3": [0.97, 0.8, 0.6], "rllib": [0.9, 0.7, 0.99]} for name in ("a", "b")},
    "several, one worse": {
        "a": {"sb3": FIVE, "rllib": FIVE},
        "b": {"sb3": FIVE, "rllib": [0.6, 0.62, 0.58, 0.66, 0.7]},
    },
}
REQUIRE = [(), ("equivalent",), ("not-worse",), ("learns", "not-worse")]


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], object]:
    found = {}

    def study(name: str) -> object:
        if name not in found:
            folder = write_study(tmp_path_factory.mktemp("study"), STUDIES[name])
            found[name] = judge(load_study(folder))
        return found[name]

    return study


def of_the_contract(summary: Summary, require: Sequence[str]) -> int:
    """The table of the contract, applied to verdicts and figures instead of claims."""
    learns = {answer for task in summary.tasks.values() for answer in task.learns.values()}
    errors = any(finding.severity == "error" for finding in summary.findings)
    if errors or summary.verdict in (Verdict.INVALID, Verdict.WORSE) or Learns.DOES_NOT_LEARN in learns:
        return 1
    parts = [summary.pooled] if summary.pooled else list(summary.tasks.values())
    metrics = [[m for port in part.comparisons.values() for m in port.primary.values()] for part in parts]
    not_worse = all(of and all(m.interval and m.interval[0] > -(m.margin or 0) for m in of) for of in metrics)
    undecided = (
        Learns.UNDECIDED in learns
        or ("equivalent" in require and summary.verdict is Verdict.INCONCLUSIVE)
        or ("not-worse" in require and not not_worse)
    )
    return 3 if undecided else 0


@pytest.mark.parametrize(("name", "require"), list(product(STUDIES, REQUIRE)))
def test_the_claims_have_the_exit_code_of_the_study(name: str, require: Sequence[str], judged: Callable) -> None:
    summary = judged(name)
    expected = of_the_contract(summary, require)
    assert exit_code(claims_of_study(summary, require, {})) == exit_code(study_claims(summary, require)) == expected


def test_an_error_finding_is_a_claim_that_fails(judged: Callable) -> None:
    finding = Finding(
        code="PAR105", severity="error", title="scaled twice", task="tiles", framework="rllib", where="env"
    )
    summary = judged("equivalent").model_copy(update={"findings": [finding]})
    (claim,) = [claim for claim in claims_of_study(summary, (), {}) if claim.status == "fail"]
    assert claim.id == "tiles.rllib.finding.PAR105" and claim.cases == ["findings PAR105 rllib env"]
    assert exit_code([claim]) == exit_code(study_claims(summary)) == 1


def test_what_makes_a_study_invalid_is_a_claim_that_cannot_be_waived(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "study", STUDIES["equivalent"])
    shutil.rmtree(trial(folder, "rllib", 2))
    failing = [claim for claim in claims_of_study(judge(load_study(folder)), (), {}) if claim.status == "fail"]
    assert {claim.id for claim in failing} == {"tiles.valid", "tiles.rllib.trials.2"}
    assert not any(claim.waivable for claim in failing)
