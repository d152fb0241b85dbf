"""What raises where a capture goes on without it is said: by a note, and not by silence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from parity.capture.raised import note, part
from parity.capture.rllib.hooks import replaced
from parity.capture.rllib.view import _Player
from parity.errors import CannotStart
from parity.results.capture import Context

MASKED = {"observations": np.zeros(1, np.float32), "action_mask": np.array([0, 1, 0], np.int8)}


class Pair:
    """The learner's observation comes after the other agent's turn."""

    def __init__(self) -> None:
        self.played: list[Any] = []

    def get_action_space(self, agent: str) -> spaces.Space:
        return spaces.Discrete(3)

    def reset(self, *, seed: int) -> Any:
        return {"other": MASKED}, {}

    def step(self, actions: dict[str, Any]) -> Any:
        self.played.append(actions)
        return {"learner": MASKED}, {}, {"__all__": False}, {"__all__": False}, {}


def test_a_module_that_cannot_be_asked_plays_at_random_and_is_named() -> None:
    def asked(agent: str, seen: Any, space: spaces.Space) -> Any:
        raise TypeError("it wants a state")

    env = Pair()
    player = _Player(env, "learner", seed=0, wrapped=True, others=asked, mask_key="action_mask")
    player.reset()
    assert env.played == [{"other": 1}]
    assert {agent: str(error) for agent, error in player.raised.items()} == {"other": "it wants a state"}


def test_an_agent_that_may_play_anything_is_not_named() -> None:
    player = _Player(Pair(), "learner", seed=0, wrapped=True, others=lambda *_: None, mask_key="action_mask")
    player.reset()
    assert player.raised == {}


def test_a_note_stands_once() -> None:
    context = Context()
    for _ in range(2):
        note(context, "it is left out", ValueError("no\nuse"))
    assert context.notes == ["it is left out: ValueError: no use"]


def test_a_part_that_raises_is_noted_with_its_causes_and_bad_input_is_not() -> None:
    context = Context()
    with part(context, "sample"):
        try:
            raise KeyError("action")
        except KeyError as error:
            raise RuntimeError("an environment failed") from error
    assert context.raised["sample"].message == "an environment failed"
    assert "KeyError: 'action'" in context.raised["sample"].traceback
    with pytest.raises(CannotStart), part(context, "view"):
        raise CannotStart("no mask")


def test_a_replaced_method_is_back_afterwards_also_where_something_raises() -> None:
    class Owner:
        def method(self) -> str:
            return "of the class"

    def fail() -> None:
        raise ZeroDivisionError

    owner: Any = Owner()
    with pytest.raises(ZeroDivisionError), replaced(owner, method=fail):
        owner.method()
    assert owner.method() == "of the class" and "method" not in vars(owner)
    owner.method = lambda: "of the instance"
    with replaced(owner, method=lambda: "another"):
        pass
    assert owner.method() == "of the instance"
