"""Masks and logits by sub-action: a ``MultiDiscrete`` action has several masked distributions side by side."""

from __future__ import annotations

import numpy as np

from parity.task.masks import branch_columns


def columns_of(choices: list[int] | None, n_logits: int) -> list[slice]:
    """The columns of each sub-action; all of them where the logits are not those of ``choices``."""
    return branch_columns(choices if choices and sum(choices) == n_logits else [n_logits])


def legal_log_probabilities(logits: np.ndarray, mask: np.ndarray, choices: list[int] | None) -> np.ndarray:
    """float64 ``[B, n_logits]``: logits normalised over the legal actions; 0 at illegal ones and where nothing is legal."""
    result = np.zeros(logits.shape)
    for columns in columns_of(choices, logits.shape[-1]):
        part, allowed = logits[:, columns].astype(np.float64), mask[:, columns].astype(bool)
        some: np.ndarray = np.asarray(allowed.any(axis=-1))
        kept: np.ndarray = np.where(allowed, part, -np.inf)
        with np.errstate(invalid="ignore"):
            normaliser = np.logaddexp.reduce(kept, axis=-1, keepdims=True)
            result[:, columns] = np.where(allowed & some[:, None], part - normaliser, 0.0)
    return result


def illegal_probability(probability: np.ndarray, mask: np.ndarray, choices: list[int] | None) -> np.ndarray:
    """float64 ``[B]``: the largest probability of an illegal option; 0 in sub-actions where nothing is legal."""
    worst = np.zeros(len(mask))
    for columns in columns_of(choices, probability.shape[-1]):
        allowed = mask[:, columns].astype(bool)
        illegal = np.where(allowed | ~allowed.any(axis=-1, keepdims=True), 0.0, probability[:, columns])
        worst = np.maximum(worst, illegal.max(axis=-1))
    return worst


def largest_entropy(mask: np.ndarray, choices: list[int] | None) -> np.ndarray:
    """float64 ``[B]``: the entropy of uniform legal play, infinite where a sub-action has no legal option."""
    bound = np.zeros(len(mask))
    for columns in columns_of(choices, mask.shape[-1]):
        count = mask[:, columns].astype(bool).sum(axis=-1)
        with np.errstate(divide="ignore"):
            bound += np.where(count > 0, np.log(np.maximum(count, 1)), np.inf)
    return bound


def empty(mask: np.ndarray, choices: list[int] | None) -> np.ndarray:
    """bool ``[B]``: whether some sub-action has no legal option."""
    return np.isinf(largest_entropy(mask, choices))


def is_legal(action: np.ndarray, mask: np.ndarray, choices: list[int] | None) -> np.ndarray:
    """bool ``[B]``: whether each action is allowed. ``action``: int ``[B]`` or ``[B, k]``."""
    parts = action.reshape(len(mask), -1).astype(np.int64)
    legal = np.ones(len(mask), dtype=bool)
    for i, columns in enumerate(columns_of(choices, mask.shape[-1])):
        picked = parts[:, i]
        inside = (picked >= 0) & (picked < columns.stop - columns.start)
        column = np.clip(picked, 0, columns.stop - columns.start - 1) + columns.start
        legal &= inside & mask[np.arange(len(mask)), column].astype(bool)
    return legal
