"""The search over hybrids, with judges that are tables: which parts it names, and how few hybrids it asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from parity.bisect.ladder_outcome import LadderError, LadderOutcome
from parity.bisect.parts import Part, PortParts
from parity.bisect.search import Keys, SearchResult, find_culprits
from parity.bisect.sentence import notes, sentence

PARTS = (
    Part("module.network", "the network of your module (M)", "module", "module"),
    Part("module.mask", "the mask of your module (M)", "module", "module"),
    Part("module.value", "the value function of your module (M)", "module", "module"),
    Part("multi_agent_env", "your env wrapper (E)", "environment"),
    Part("learner_connector", "your learner connector", "connector"),
    Part("lr", "lr 5e-05", "setting", "hyperparameters", "5e-05", "0.0003"),
    Part("gamma", "gamma 0.9", "setting", "hyperparameters", "0.9", "0.99"),
    Part("num_epochs", "num_epochs 30", "setting", "hyperparameters", "30", "10"),
)
PORT = PortParts("t", PARTS)
Rule = Callable[[Keys], Sequence[str]]


def bisected(rule: Rule) -> tuple[SearchResult, list[Keys]]:
    """The result where ``rule`` gives the root codes of a hybrid, and the hybrids that were asked for."""
    asked: list[Keys] = []

    def judge(wanted: Sequence[Keys]) -> list[LadderOutcome]:
        asked.extend(wanted)
        return [broken_by(rule(keys)) for keys in wanted]

    return find_culprits(PORT, judge), asked


def broken_by(codes: Sequence[str]) -> LadderOutcome:
    errors = tuple(LadderError(code, "", int(code[3]), f"title of {code}", "", f"fix of {code}") for code in codes)
    return LadderOutcome(not codes, min((e.rung for e in errors), default=None), "rung" if codes else None, errors)


def names(result: SearchResult) -> list[list[str]]:
    return [sorted(culprit.keys) for culprit in result.culprits]


def each(**guilty: str) -> Rule:
    """Every named part breaks by itself, with its code."""
    codes = {key.replace("__", "."): code for key, code in guilty.items()}
    return lambda keys: sorted(code for key, code in codes.items() if key in keys)


def test_where_nothing_breaks_two_ladders_are_enough() -> None:
    result, asked = bisected(lambda keys: [])
    assert not result.culprits and len(asked) == 2
    assert sentence(PORT, result).startswith("Nothing breaks")


def test_a_broken_reference_is_the_tasks_fault() -> None:
    result, asked = bisected(lambda keys: ["PAR005"])
    assert not result.culprits and len(asked) == 2
    assert "the fault is in the task itself" in sentence(PORT, result)


@pytest.mark.parametrize("part", [part.key for part in PARTS])
def test_a_single_guilty_part_is_named_whatever_it_is(part: str) -> None:
    result, asked = bisected(each(**{part: "PAR303"}))
    assert names(result) == [[part]]
    assert result.culprits[0].without is not None and result.culprits[0].without.holds
    assert len(asked) == len(set(asked)) <= 2 + 5 + 3 + 1


def test_the_sentence_says_rung_finding_and_what_passes() -> None:
    result, _ = bisected(each(multi_agent_env="PAR303"))
    text = sentence(PORT, result)
    assert text.startswith(
        "With your env wrapper (E) the ladder breaks at rung 3 (PAR303 title of PAR303); everything else"
    )
    assert "the mask of your module (M)" in text and "3 other settings" in text
    assert any("your port climbs the whole ladder" in note for note in notes(PORT, result))


def test_two_guilty_parts_are_both_named_code_before_settings() -> None:
    result, _ = bisected(each(lr="PAR010", module__value="PAR602"))
    assert names(result) == [["module.value"], ["lr"]]
    text = sentence(PORT, result)
    assert text.startswith("With the value function of your module (M) the ladder breaks at rung 6")
    assert "with your lr 5e-05 (reference: 0.0003) at rung 0 (PAR010)" in text


def test_parts_with_the_same_finding_are_all_named() -> None:
    result, _ = bisected(each(multi_agent_env="PAR306", learner_connector="PAR306"))
    assert sorted(names(result)) == [["learner_connector"], ["multi_agent_env"]]
    assert result.rest is not None and result.rest.holds


def test_parts_that_break_only_together_are_found_and_said_to_be() -> None:
    together = {"module.mask", "learner_connector"}
    result, asked = bisected(lambda keys: ["PAR303"] if together <= keys else [])
    assert names(result) == [sorted(together)]
    assert any("break only together" in note for note in notes(PORT, result))
    assert len(asked) < 40


def test_members_of_a_group_that_break_only_together_are_found() -> None:
    result, _ = bisected(lambda keys: ["PAR303"] if {"module.mask", "module.value"} <= keys else [])
    assert names(result) == [["module.mask", "module.value"]]


def test_parts_that_make_good_for_each_other_are_not_accused() -> None:
    """The environment scales an entry, the module expects that: apart both break, and what is wrong is another thing."""

    def rule(keys: Keys) -> list[str]:
        codes = ["PAR010"] if "lr" in keys else []
        if "multi_agent_env" in keys and "module.network" not in keys:
            codes.append("PAR030")
        if "module.network" in keys and "multi_agent_env" not in keys:
            codes.append("PAR101")
        return codes

    result, _ = bisected(rule)
    assert names(result) == [["lr"]]
    assert sorted(sorted(culprit.keys) for culprit in result.made_good) == [["module.network"], ["multi_agent_env"]]
    assert any("It belongs together with other parts of yours" in note for note in notes(PORT, result))


def test_what_a_culprit_hides_is_told_once_it_is_replaced() -> None:
    def rule(keys: Keys) -> list[str]:
        if "multi_agent_env" in keys:
            return ["PAR312"]
        return ["PAR501"] if "learner_connector" in keys else []

    result, _ = bisected(rule)
    assert names(result) == [["multi_agent_env"]]
    assert [sorted(culprit.keys) for culprit in result.then] == [["learner_connector"]]
    assert result.rest is not None and result.rest.holds


def test_a_part_that_breaks_otherwise_in_the_reference_port_is_named_by_what_its_replacement_mends() -> None:
    def rule(keys: Keys) -> list[str]:
        if "module.mask" not in keys:
            return []
        return ["PAR104"] if len(keys) < 4 else ["PAR203"]

    result, _ = bisected(rule)
    assert names(result) == [["module.mask"]]


def test_a_port_that_breaks_as_a_whole_only_is_named_with_all_that_it_takes() -> None:
    result, _ = bisected(lambda keys: ["PAR001"] if keys == PORT.keys else [])
    assert names(result) == [sorted(PORT.keys)]


def test_settings_are_told_with_both_values() -> None:
    result, _ = bisected(each(lr="PAR010", gamma="PAR010"))
    told = "With your gamma 0.9 (reference: 0.99) and lr 5e-05 (reference: 0.0003) the ladder breaks at rung 0 (PAR010)"
    assert sentence(PORT, result).startswith(told)
