"""Decisions as the environment saw them, and which rows of a batch they are."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from parity.results.capture import Context, Rows


@dataclasses.dataclass
class Move:
    """One decision of one agent, as the environment saw it."""

    env: int  # sub-environment
    episode: int  # number of its episode
    agent: Any
    step: int  # number of the agent's decision in the episode
    observation: Any  # a copy of what the environment showed the agent before the decision
    mask: np.ndarray | None  # bool ``[n_logits]``, the mask in it; None where it has none that can be read
    action: Any  # what reached ``env.step``
    reward: float = 0.0  # the sum of rewards until the agent's next decision or the end
    # terminated, truncated: whether the episode ended for the agent before its next decision, and how
    terminated: bool = False
    truncated: bool = False
    after: Any = None  # a copy of the agent's next observation; None if the recording ends first


def fill_rows(context: Context, rows: Rows, chunks: list[list[Move]], appended: bool = False) -> None:
    """Says which decision each row of a batch is. Observations are left to the caller, who knows how they are stacked.

    Args:
        chunks: the decisions in the order of the rows, each chunk in time order.
        appended: whether a row for bootstrapping follows each chunk.
    """
    lengths = [len(chunk) for chunk in chunks]
    moves = [move for chunk in chunks for move in chunk]
    rows.valid = np.concatenate([np.arange(length + appended) < length for length in lengths])
    rows.chunk = np.repeat(np.arange(len(lengths)), lengths)
    context.agents += [each for each in dict.fromkeys(str(m.agent) for m in moves) if each not in context.agents]
    rows.agent = np.array([context.agents.index(str(move.agent)) for move in moves])
    for name in ("env", "episode", "step", "action", "reward", "terminated", "truncated"):
        setattr(rows, name, np.stack([np.asarray(getattr(move, name)) for move in moves]))
    masks = [move.mask for move in moves if move.mask is not None]
    if len(masks) == len(moves):
        rows.mask = np.stack(masks)
