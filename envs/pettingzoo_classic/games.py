"""The games, against an opponent that plays uniformly over legal moves, and as both agents play them.

Tic-tac-toe (``tictactoe_v3``) and Connect Four (``connect_four_v3``): a win is 1, a loss -1, a draw 0. The learning agent
always moves first, so that the agent of the single-agent form is one of the agents of the two-player form.
"""

from __future__ import annotations

import importlib
from typing import Any

from parity.errors import CannotStart
from parity.task.pettingzoo import AgainstOpponents

FIRST = {"tictactoe_v3": "player_1", "connect_four_v3": "player_0"}


def make_game(name: str) -> Any:
    """The ``pettingzoo.AECEnv`` of ``pettingzoo.classic.<name>``.

    Raises:
        CannotStart: PettingZoo, or the pygame that it draws boards with, is not installed.
    """
    try:
        return importlib.import_module(f"pettingzoo.classic.{name}").env()
    except ImportError as error:
        raise CannotStart(f'{name} needs PettingZoo and pygame ({error}): pip install "parity[pettingzoo]".') from error


def against_uniform(name: str) -> AgainstOpponents:
    """The game of the agent that moves first; its opponent's moves are uniform over the legal ones."""
    return AgainstOpponents(make_game(name), FIRST[name])
