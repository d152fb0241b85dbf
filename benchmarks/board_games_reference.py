"""Reference returns of tic-tac-toe and Connect Four against an opponent that plays uniformly over legal moves.

Tic-tac-toe is computed exactly, over its whole game tree: uniform against uniform, and the best response to uniform play, for
either seat. Connect Four is too large for that. Uniform play, and a player that looks one move ahead, are measured through
the task's own environment, with standard errors. Its best return needs no search: the player who moves first can force a win
against any opponent (J. D. Allen, 1988; L. V. Allis, A Knowledge-based Approach of Connect-Four, 1988), so it is 1.

Usage: python benchmarks/board_games_reference.py [--episodes 20000] [--out results/reference/board_games.json]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from parity_envs.pettingzoo_classic.games import against_uniform
from pettingzoo.classic.tictactoe.board import TTT_GAME_NOT_OVER, TTT_TIE, Board
from rich.progress import track

from parity.task.masks import uniform_legal_action
from parity.task.pettingzoo import AgainstOpponents

# Beyond the seeds of training and evaluation.
FIRST_SEED = 2_000_000_000
Rates = tuple[Fraction, Fraction, Fraction]
"""Probabilities of a win, a draw and a loss."""
Squares = tuple[int, ...]
Player = Callable[[AgainstOpponents, Any, np.random.Generator], int]


def tictactoe(seat: int, best: bool) -> Rates:
    """Exact outcome of seat 0 or 1, playing its best response or uniformly, against uniform play."""

    @cache
    def outcome(squares: Squares, mover: int) -> Rates:
        board = Board()
        board.squares = list(squares)
        status = board.game_status()
        if status != TTT_GAME_NOT_OVER:
            won, drawn = status == seat, status == TTT_TIE
            return Fraction(won), Fraction(drawn), Fraction(not won and not drawn)
        after = [outcome((*squares[:move], mover + 1, *squares[move + 1 :]), 1 - mover) for move in board.legal_moves()]
        if best and mover == seat:
            return max(after, key=lambda rates: rates[0] - rates[2])
        win, draw, loss = (sum(part, Fraction(0)) / len(after) for part in zip(*after, strict=True))
        return win, draw, loss

    return outcome((0,) * 9, 0)


def exactly(rates: Rates) -> dict[str, Any]:
    win, draw, loss = rates
    return {
        "mean": round(float(win - loss), 6),
        "exact": str(win - loss),
        "win": round(float(win), 6),
        "draw": round(float(draw), 6),
        "loss": round(float(loss), 6),
    }


def uniform(env: AgainstOpponents, observation: Any, generator: np.random.Generator) -> int:
    return int(uniform_legal_action(observation["action_mask"].astype(bool), env.action_space, generator))


def one_move_ahead(env: AgainstOpponents, observation: Any, generator: np.random.Generator) -> int:
    """Wins where it can, prevents a win of the opponent's next move where it must, else plays uniformly."""
    stones, legal = observation["observation"].astype(bool), np.flatnonzero(observation["action_mask"])
    for player in (0, 1):
        for column in legal:
            board = stones[:, :, player].copy()
            board[np.flatnonzero(~stones[:, column].any(axis=-1))[-1], column] = True
            if has_four(board):
                return int(column)
    return uniform(env, observation, generator)


def has_four(board: np.ndarray) -> bool:
    """Whether bool ``[6, 7]`` has four in a line."""
    rows, columns = board.shape
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        for row in range(rows - 3 * down):
            for column in range(max(0, -3 * right), columns - max(0, 3 * right)):
                if all(board[row + k * down, column + k * right] for k in range(4)):
                    return True
    return False


def measured(player: Player, episodes: int) -> dict[str, Any]:
    """``player`` moving first in Connect Four."""
    env = against_uniform("connect_four_v3")
    returns = np.zeros(episodes)
    for k in track(range(episodes), player.__name__, transient=True, disable=not sys.stdout.isatty()):
        generator = np.random.default_rng([FIRST_SEED, k])
        observation, _ = env.reset(seed=FIRST_SEED + k)
        over = False
        while not over:
            observation, reward, terminated, truncated, _ = env.step(player(env, observation, generator))
            returns[k] += reward
            over = terminated or truncated
    return {
        "mean": round(float(returns.mean()), 4),
        "standard_error": round(float(returns.std(ddof=1) / np.sqrt(episodes)), 4),
        "episodes": episodes,
        "win": round(float((returns > 0).mean()), 4),
        "draw": round(float((returns == 0).mean()), 4),
        "loss": round(float((returns < 0).mean()), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=20_000)
    parser.add_argument("--out", type=Path, default=Path("results/reference/board_games.json"))
    arguments = parser.parse_args()
    document = {
        "script": "benchmarks/board_games_reference.py",
        "score": "win 1, draw 0, loss -1, against an opponent that plays uniformly over legal moves",
        "seeds": f"{FIRST_SEED} + episode",
        "versions": {"python": platform.python_version()} | {n: version(n) for n in ("numpy", "pettingzoo")},
        "machine": {"system": platform.system(), "architecture": platform.machine(), "cores": os.cpu_count()},
        "problems": {
            "tictactoe": {
                f"moves_{name}": {
                    "uniform_legal": exactly(tictactoe(seat, best=False)),
                    "best": exactly(tictactoe(seat, best=True)),
                }
                for seat, name in enumerate(("first", "second"))
            },
            "connect-four": {
                "moves_first": {
                    "uniform_legal": measured(uniform, arguments.episodes),
                    "one_move_ahead": measured(one_move_ahead, arguments.episodes // 10),
                    "best": {"mean": 1.0, "source": "the first player can force a win: Allen 1988, Allis 1988"},
                }
            },
        },
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(document["problems"], indent=1))


if __name__ == "__main__":
    main()
