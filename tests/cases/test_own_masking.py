"""A port that masks by its own means is judged by what it plays: no finding where that is right, and one where it is not."""

from __future__ import annotations

import pytest
from climb import accused, climb
from own_masking import GreedyUnmasked, Module, OneColumnOff, Second, Sharpened, task

from parity.task import Task

pytestmark = pytest.mark.slow


def test_a_mask_in_the_last_columns_of_a_vector_accuses_nobody() -> None:
    document = climb(task())
    assert document.exit_code == 0 and accused(document) == [], document.findings


@pytest.mark.parametrize(
    ("port", "code", "words"),
    [
        (task(OneColumnOff), "PAR201", "illegal action"),
        (task(Module, GreedyUnmasked), "PAR201", "without exploration"),
        (task(Module, Second), "PAR205", "without exploration"),
        (task(Module, Sharpened), "PAR205", "sample()"),
    ],
    ids=["one column off", "greedy and unmasked", "second best", "sharpened"],
)
def test_what_such_a_port_plays_wrongly_is_named_first(port: Task, code: str, words: str) -> None:
    document = climb(port)
    assert accused(document)[0] == code and words in document.findings[0].message, document.findings
