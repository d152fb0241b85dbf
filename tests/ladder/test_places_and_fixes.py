"""A finding names a place in the user's code and a remedy that fits it; what RLlib ignores accuses nobody."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from cases import board_with_extras as board
from rich.console import Console

from parity.capture import collect
from parity.cli.ladder_table import print_findings
from parity.errors import LONGEST_MESSAGE
from parity.ladder.run_rungs import LadderResult, run_rungs
from parity.results.capture import Capture, Context, Raised
from parity.results.summary import Finding


def climbed(module: Any, framework: str) -> LadderResult:
    torch.set_num_threads(1)
    capture = collect(board.task(module), framework, "cpu")
    assert capture is not None
    return run_rungs(capture)


def roots(result: LadderResult) -> list[Finding]:
    return [each for each in result.findings("fill", "rllib") if each.severity == "error"]


@pytest.mark.parametrize("module", [board.ValuesToo, board.WrongValuesToo])
def test_values_that_rllib_ignores_accuse_nobody(module: Any) -> None:
    result = climbed(module, "rllib-exact")
    assert result and not result.not_compared, roots(result)


def test_a_log_probability_of_another_action_is_left_out_of_where_it_stands() -> None:
    (found,) = roots(climbed(board.OtherSample, "rllib"))
    assert found.code == "PAR205"
    assert found.fix is not None and "Leave actions and action_logp out of what _forward returns" in found.fix


def test_what_a_module_raises_is_told_by_its_line_and_without_its_numbers() -> None:
    result = climbed(board.Raises, "rllib")
    first = roots(result)[0]
    assert (first.code, result.rungs["forward"].status) == ("PAR107", "invalid")
    assert first.where.startswith("board_with_extras.py, line ") and "in _forward_train" in first.where
    assert first.fix is not None and "board_with_extras.py, line " in first.fix
    message = (first.model_extra or {})["message"]
    assert "ValueError: cannot use …" in message and len(message) < 2 * LONGEST_MESSAGE


ERROR = Raised(type="KeyError", message="3", traceback="…", place="cards.py, line 65, in play", function="play")
NOT_DEFINED = Raised(type="NotImplementedError", message="…", traceback="…", function="get_inference_action_dist_cls")


def test_the_same_exception_of_later_parts_follows_from_the_first() -> None:
    capture = Capture(
        context=Context(raised={"build": ERROR, "view": ERROR, "sample": ERROR, "algorithm": NOT_DEFINED})
    )
    found = roots(run_rungs(capture))
    assert {each.code: each.consequences for each in found} == {"PAR001": ["PAR312"], "PAR807": []}
    assert found[0].where.startswith("cards.py, line 65, in play")
    assert found[1].fix is not None and "Define get_inference_action_dist_cls" in found[1].fix


def finding(framework: str, **changes: Any) -> Finding:
    told = {
        "code": "PAR205", "severity": "error", "title": "t", "task": "fill", "framework": framework, "where": "module a, row 3",
        "evidence": {}, "fix": "mend", "consequences": ["PAR303"], "message": "they differ by 0.31",
    }  # fmt: skip
    return Finding.model_validate(told | changes)


def printed(*findings: Finding) -> str:
    out = io.StringIO()
    print_findings(Console(file=out, width=200), findings)
    return out.getvalue()


def test_what_two_frameworks_share_is_told_once() -> None:
    second = finding("rllib-exact", where="module a, row 12", message="they differ by 3e-02", consequences=["PAR801"])
    text = printed(finding("rllib"), second)
    assert text.count("PAR205") == 1 and "[rllib, rllib-exact]" in text and "and so: PAR303, PAR801" in text


@pytest.mark.parametrize(
    "changes", [{"message": "they do not differ"}, {"where": "module b, row 3"}, {"severity": "warning"}]
)
def test_what_is_not_the_same_is_told_for_each(changes: dict[str, Any]) -> None:
    assert printed(finding("rllib"), finding("rllib-exact", **changes)).count("PAR205") == 2


def test_two_modules_of_one_framework_are_told_apart() -> None:
    assert printed(finding("rllib"), finding("rllib", message="they differ by 0.5")).count("PAR205") == 2
