"""The search over mixtures, with judges that are tables: which parts it names, and how few mixtures it asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from parity.bisect.part import Anatomy, Part
from parity.bisect.search import Keys, Outcome, interpolate
from parity.bisect.sentence import notes, sentence
from parity.bisect.verdict import Error, Verdict

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
ANATOMY = Anatomy("t", PARTS)
Rule = Callable[[Keys], Sequence[str]]


def bisected(rule: Rule) -> tuple[Outcome, list[Keys]]:
    """The outcome where ``rule`` gives the root codes of a mixture, and the mixtures that were asked for."""
    asked: list[Keys] = []

    def judge(wanted: Sequence[Keys]) -> list[Verdict]:
        asked.extend(wanted)
        return [verdict(rule(keys)) for keys in wanted]

    return interpolate(ANATOMY, judge), asked


def verdict(codes: Sequence[str]) -> Verdict:
    errors = tuple(Error(code, "", int(code[3]), f"title of {code}", "", f"fix of {code}") for code in codes)
    return Verdict(not codes, min((e.rung for e in errors), default=None), "rung" if codes else None, errors)


def names(outcome: Outcome) -> list[list[str]]:
    return [sorted(culprit.keys) for culprit in outcome.culprits]


def each(**guilty: str) -> Rule:
    """Every named part breaks by itself, with its code."""
    codes = {key.replace("__", "."): code for key, code in guilty.items()}
    return lambda keys: sorted(code for key, code in codes.items() if key in keys)


def test_where_nothing_breaks_two_ladders_are_enough() -> None:
    outcome, asked = bisected(lambda keys: [])
    assert not outcome.culprits and len(asked) == 2
    assert sentence(ANATOMY, outcome).startswith("Nothing breaks")


def test_a_broken_reference_is_the_tasks_fault() -> None:
    outcome, asked = bisected(lambda keys: ["PAR005"])
    assert not outcome.culprits and len(asked) == 2
    assert "the fault is in the task itself" in sentence(ANATOMY, outcome)


@pytest.mark.parametrize("part", [part.key for part in PARTS])
def test_a_single_guilty_part_is_named_whatever_it_is(part: str) -> None:
    outcome, asked = bisected(each(**{part: "PAR303"}))
    assert names(outcome) == [[part]]
    assert outcome.culprits[0].without is not None and outcome.culprits[0].without.holds
    assert len(asked) == len(set(asked)) <= 2 + 5 + 3 + 1


def test_the_sentence_says_rung_finding_and_what_passes() -> None:
    outcome, _ = bisected(each(multi_agent_env="PAR303"))
    text = sentence(ANATOMY, outcome)
    assert text.startswith(
        "With your env wrapper (E) the ladder breaks at rung 3 (PAR303 title of PAR303); everything else"
    )
    assert "the mask of your module (M)" in text and "3 other settings" in text
    assert any("your port climbs the whole ladder" in note for note in notes(ANATOMY, outcome))


def test_two_guilty_parts_are_both_named_code_before_settings() -> None:
    outcome, _ = bisected(each(lr="PAR010", module__value="PAR602"))
    assert names(outcome) == [["module.value"], ["lr"]]
    text = sentence(ANATOMY, outcome)
    assert text.startswith("With the value function of your module (M) the ladder breaks at rung 6")
    assert "with your lr 5e-05 (reference: 0.0003) at rung 0 (PAR010)" in text


def test_parts_with_the_same_finding_are_all_named() -> None:
    outcome, _ = bisected(each(multi_agent_env="PAR306", learner_connector="PAR306"))
    assert sorted(names(outcome)) == [["learner_connector"], ["multi_agent_env"]]
    assert outcome.rest is not None and outcome.rest.holds


def test_parts_that_break_only_together_are_found_and_said_to_be() -> None:
    together = {"module.mask", "learner_connector"}
    outcome, asked = bisected(lambda keys: ["PAR303"] if together <= keys else [])
    assert names(outcome) == [sorted(together)]
    assert any("break only together" in note for note in notes(ANATOMY, outcome))
    assert len(asked) < 40


def test_members_of_a_group_that_break_only_together_are_found() -> None:
    outcome, _ = bisected(lambda keys: ["PAR303"] if {"module.mask", "module.value"} <= keys else [])
    assert names(outcome) == [["module.mask", "module.value"]]


def test_parts_that_make_good_for_each_other_are_not_accused() -> None:
    """The environment scales an entry, the module expects that: apart both break, and what is wrong is another thing."""

    def rule(keys: Keys) -> list[str]:
        codes = ["PAR010"] if "lr" in keys else []
        if "multi_agent_env" in keys and "module.network" not in keys:
            codes.append("PAR030")
        if "module.network" in keys and "multi_agent_env" not in keys:
            codes.append("PAR101")
        return codes

    outcome, _ = bisected(rule)
    assert names(outcome) == [["lr"]]
    assert sorted(sorted(culprit.keys) for culprit in outcome.made_good) == [["module.network"], ["multi_agent_env"]]
    assert any("It goes with other parts of yours" in note for note in notes(ANATOMY, outcome))


def test_what_a_culprit_hides_is_told_once_it_is_replaced() -> None:
    def rule(keys: Keys) -> list[str]:
        if "multi_agent_env" in keys:
            return ["PAR312"]
        return ["PAR501"] if "learner_connector" in keys else []

    outcome, _ = bisected(rule)
    assert names(outcome) == [["multi_agent_env"]]
    assert [sorted(culprit.keys) for culprit in outcome.then] == [["learner_connector"]]
    assert outcome.rest is not None and outcome.rest.holds


def test_a_part_that_breaks_otherwise_in_the_reference_port_is_named_by_what_its_replacement_mends() -> None:
    def rule(keys: Keys) -> list[str]:
        if "module.mask" not in keys:
            return []
        return ["PAR104"] if len(keys) < 4 else ["PAR203"]

    outcome, _ = bisected(rule)
    assert names(outcome) == [["module.mask"]]


def test_a_port_that_breaks_as_a_whole_only_is_named_with_all_that_it_takes() -> None:
    outcome, _ = bisected(lambda keys: ["PAR001"] if keys == ANATOMY.keys else [])
    assert names(outcome) == [sorted(ANATOMY.keys)]


def test_settings_are_told_with_both_values() -> None:
    outcome, _ = bisected(each(lr="PAR010", gamma="PAR010"))
    told = "With your gamma 0.9 (reference: 0.99) and lr 5e-05 (reference: 0.0003) the ladder breaks at rung 0 (PAR010)"
    assert sentence(ANATOMY, outcome).startswith(told)
