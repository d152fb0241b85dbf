"""What an exception says in one line, and where in the user's code it comes from."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parity.errors import LONGEST_MESSAGE, in_short, one_line, origin_in, origin_of, root_of


def caught(function: Any, *arguments: Any) -> Exception:
    """What a function raises."""
    with pytest.raises(Exception) as info:  # noqa: PT011
        function(*arguments)
    return info.value


def refuse(mask: list[int], action: int) -> None:
    if not mask[action]:
        raise AssertionError


def wrapped(mask: list[int], action: int) -> None:
    """As RLlib does with what an environment raises."""
    try:
        refuse(mask, action)
    except AssertionError as error:
        raise RuntimeError from error


def test_the_place_is_the_users_line_also_where_a_framework_raises() -> None:
    origin = origin_of(caught(np.reshape, np.zeros(3), (2, 2)))
    assert origin is not None and origin.is_users
    assert (origin.file, origin.function) == ("test_errors.py", "caught")


def test_a_wrapper_that_says_nothing_gives_way_to_its_cause() -> None:
    error = caught(wrapped, [1, 0], 1)
    assert isinstance(root_of(error), AssertionError)
    assert in_short(error).startswith("AssertionError: `raise AssertionError` in test_errors.py, line ")


def test_what_the_user_raises_about_a_cause_is_kept() -> None:
    def play(card: int) -> None:
        try:
            {}[card]
        except KeyError as error:
            raise ValueError(f"card {card} is not in the hand") from error

    assert in_short(caught(play, 3)).startswith("ValueError: card 3 is not in the hand (test_errors.py, line ")


def test_arrays_are_left_out_and_pages_are_cut() -> None:
    observation = {"board": np.eye(3, dtype=np.int8), "hand": np.linspace(0, 1, 40)}
    assert (
        one_line(ValueError(f"no\nsuch {observation}.")) == "no such {'board': array(…, dtype=int8), 'hand': array(…)}"
    )
    assert one_line(ValueError("take [1, 2, 3] instead")) == "take [1, 2, 3] instead"
    assert len(one_line(ValueError("word " * 500))) == LONGEST_MESSAGE


def test_a_traceback_inside_a_message_is_told_by_its_last_line() -> None:
    message = "the worker died:\nTraceback (most recent call last):\n  File \"a.py\", line 3, in f\nKeyError: 'hand'\n"
    assert one_line(RuntimeError(message)) == "KeyError: 'hand'"


def test_a_file_of_the_users_comes_before_packages_and_these_before_frameworks() -> None:
    frames = {
        "users": '  File "/home/me/game.py", line 5, in step\n    self.hand.remove(card)\n',
        "package": '  File "/env/lib/python3.11/site-packages/minigrid/grid.py", line 7, in reset\n    raise ValueError\n',
        "framework": '  File "/env/lib/python3.11/site-packages/ray/rllib/env.py", line 9, in sample\n    step()\n',
        "python": f'  File "{subprocess.__file__}", line 11, in run\n    go()\n',
    }
    found = [origin_in("".join(frames[name] for name in names)) for names in (
        ("users", "package", "framework"), ("package", "framework", "python"), ("framework", "python"),
    )]  # fmt: skip
    assert [str(each) for each in found] == [
        "game.py, line 5, in step",
        "minigrid/grid.py, line 7, in reset",
        f"{Path(subprocess.__file__).name}, line 11, in run",
    ]
    assert [each.is_framework for each in found if each] == [False, False, True]


def test_the_first_cause_counts_first() -> None:
    cause = '  File "/home/me/game.py", line 5, in step\n    x\nKeyError: 1\n'
    later = '  File "/home/me/task.py", line 9, in wrap\n    y\nRuntimeError\n'
    text = f"{cause}\nThe above exception was the direct cause of the following exception:\n\n{later}"
    assert str(origin_in(text)) == "game.py, line 5, in step"
