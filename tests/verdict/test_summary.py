"""``summary.json``: the contract's example, NaN and infinities, and the published schema."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable

import jsonschema
import pytest

from parity.results.study import StudyRecord
from parity.results.summary import Finding, MetricComparison, RungResult, Summary, json_schema
from parity.verdict.judge import judge

# The example of the contract, shortened where it says "…".
EXAMPLE = """
{
  "schema_version": 1, "parity_version": "0.1.0", "study": "2026-11-22-tiles", "created": "2026-11-22T09:00:00Z",
  "frameworks": ["sb3", "rllib"], "seeds": [0, 1, 2],
  "verdict": "INCONCLUSIVE", "exit_code": 0,
  "sentence": "rllib learns tiles; 3 seeds cannot decide equivalence (6 more needed).",
  "tasks": {
    "tiles": {
      "verdict": "INCONCLUSIVE",
      "reference": {"uniform_legal": 0.31, "best": 0.69, "source": "…"},
      "learns": {"sb3": "LEARNS", "rllib": "LEARNS"},
      "metrics": {
        "final": {"sb3": 0.98, "rllib": 0.95, "difference": -0.03, "interval": [-0.2, 0.14], "confidence": 0.9,
                  "margin": 0.15, "verdict": "INCONCLUSIVE", "seeds_needed": 9},
        "auc": {}, "steps_to_threshold": {}
      },
      "masks": {"sb3": {"decisions": 589824, "violations": 0, "empty": 0},
                "rllib": {"decisions": 589824, "violations": 0, "empty": 0}},
      "ladder": {"rllib": {"forward": {"rung": 1, "status": "pass", "max_abs": 0.0, "max_rel": 0.0,
                                       "tolerance_needed": 0.0, "where": null, "reason": null}}},
      "observed_throughput": {"sb3": {"env_steps_per_s": 1870.0,
        "phases_s": {"sample": 0.5, "returns": 0.1, "update": 0.6, "evaluate": 0.2},
        "device": "cpu", "threads": 1, "peak_memory_mb": 520}, "rllib": {}},
      "trials": [{"framework": "sb3", "seed": 0, "status": "done", "reason": null, "final": 0.97}]
    }
  },
  "pooled": null,
  "findings": [{"code": "PAR003", "severity": "error", "title": "module does not implement ValueFunctionAPI",
    "task": "tiles", "framework": "rllib", "where": "module tile_selector", "evidence": {"advantage_std": 0.0},
    "fix": "class MyModule(TorchRLModule, ValueFunctionAPI)", "consequences": ["PAR401", "PAR602"]}],
  "versions": {}, "machine": {}
}
"""

SCORES = {"sb3": [0.95, 0.97, 0.98], "rllib": [0.6, 0.65, 0.62]}


def validate(document: object) -> None:
    jsonschema.Draft202012Validator(json_schema()).validate(document)


def contained(part: object, whole: object) -> bool:
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(key in whole and contained(part[key], whole[key]) for key in part)
    if isinstance(part, list):
        return isinstance(whole, list) and len(part) == len(whole) and all(map(contained, part, whole))
    return part == whole


def test_example_of_the_contract_is_read_and_written_again() -> None:
    summary = Summary.model_validate_json(EXAMPLE)
    assert summary.tasks["tiles"].metrics.final.scores == {"sb3": 0.98, "rllib": 0.95}
    validate(json.loads(EXAMPLE))
    assert contained(json.loads(EXAMPLE), json.loads(summary.to_json()))


def test_every_field_of_the_contract_is_in_what_the_judge_writes(make_study: Callable[..., StudyRecord]) -> None:
    ladder = {"tiles": {"rllib": {"forward": RungResult(rung=1, status="pass")}}}
    findings = [Finding(code="PAR003", severity="info", title="x")]
    written = json.loads(judge(make_study(SCORES), ladder, findings).to_json())

    def fields(part: object, whole: object, path: str = "") -> None:
        if isinstance(part, dict) and part:
            assert isinstance(whole, dict), path
            for key, value in part.items():
                assert key in whole, f"{path}.{key}"
                if key != "evidence":
                    fields(value, whole[key], f"{path}.{key}")
        elif isinstance(part, list) and part:
            assert isinstance(whole, list), path
            if whole:
                fields(part[0], whole[0], f"{path}[0]")

    fields(json.loads(EXAMPLE), written)
    validate(written)


def test_nan_and_infinities_are_strings_and_come_back(make_study: Callable[..., StudyRecord]) -> None:
    summary = judge(make_study(SCORES))
    text = summary.to_json()
    task = json.loads(text)["tasks"]["tiles"]
    assert task["metrics"]["steps_to_threshold"]["rllib"] == "Infinity"
    assert task["observed_throughput"]["rllib"]["phases_s"]["returns"] == "NaN"
    validate(json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} as a number")))
    back = Summary.model_validate_json(text)
    assert back.to_json() == text
    assert back.tasks["tiles"].metrics.steps_to_threshold.medians["rllib"] == math.inf


def test_nan_is_a_string_wherever_it_may_stand() -> None:
    metric = MetricComparison.model_validate({"sb3": math.nan, "interval": (-math.inf, math.inf)})
    assert json.loads(metric.model_dump_json())["interval"] == ["-Infinity", "Infinity"]
    assert math.isnan(MetricComparison.model_validate_json(metric.model_dump_json()).scores["sb3"] or 0)
    finding = Finding(code="PAR101", severity="error", title="x", evidence={"max_abs": math.nan, "rows": [math.inf]})
    assert json.loads(finding.model_dump_json())["evidence"] == {"max_abs": "NaN", "rows": ["Infinity"]}


def test_an_unknown_field_survives_reading_and_writing() -> None:
    later = json.loads(EXAMPLE) | {"added_later": {"a": 1}}
    assert json.loads(Summary.model_validate(later).to_json())["added_later"] == {"a": 1}


@pytest.mark.parametrize(
    "change",
    [{"verdict": "PERFECT"}, {"schema_version": 2}, {"exit_code": "zero"}, {"tasks": {"tiles": {}}}],
)
def test_schema_and_model_refuse_the_same(change: dict) -> None:
    document = json.loads(EXAMPLE) | change
    with pytest.raises(jsonschema.ValidationError):
        validate(document)
    with pytest.raises(ValueError, match="validation error"):
        Summary.model_validate(document)


def test_schema_is_printed_as_a_module() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "parity.results.summary"], capture_output=True, text=True, check=True
    )
    assert json.loads(printed.stdout) == json_schema()
    jsonschema.Draft202012Validator.check_schema(json_schema())


def test_judging_imports_no_framework() -> None:
    heavy = ("torch", "ray", "stable_baselines3", "sb3_contrib")
    code = f"import parity.verdict.judge, sys; print([m for m in {heavy} if m in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == "[]"
