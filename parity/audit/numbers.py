"""From arrays to figures: NumPy only, so that both frameworks are judged by the same arithmetic."""

from __future__ import annotations

import math
import zlib
from typing import Any

import numpy as np

from parity.audit.figures import ModuleFigures, Spread

# Masks and distributions of a rollout are looked at in this many rows, evenly spread.
SAMPLED_ROWS = 256
# Of an iteration's episodes so many beginnings are looked at: of each sub-environment, and of all where they are few.
STARTS_OF_EACH, STARTS = 4, 16


def checksum(array: Any) -> int:
    """Of an array's bytes; of a long one, of its ends and of every hundredth element, so that large networks cost little."""
    flat = np.ascontiguousarray(array).reshape(-1)
    if flat.size > 1_000_000:
        flat = np.concatenate([flat[:100_000], flat[100_000:-100_000:101], flat[-100_000:]])
    return zlib.crc32(flat.view(np.uint8).data)


def observation_checksum(observation: Any) -> int:
    """Of all numbers that an environment shows, dicts and tuples in their order."""
    if isinstance(observation, dict):
        return zlib.crc32(repr([(k, observation_checksum(observation[k])) for k in observation]).encode())
    if isinstance(observation, tuple | list):
        return zlib.crc32(repr([observation_checksum(each) for each in observation]).encode())
    return zlib.crc32(np.ascontiguousarray(observation).tobytes())


def is_looked_at(minibatch: int) -> bool:
    """Whether a minibatch is, counted from 1: the first, eighth, sixty-fourth and so on: a long update costs little too."""
    return minibatch & (minibatch - 1) == 0 and minibatch.bit_length() % 3 == 1


def sampled(n: int) -> np.ndarray:
    """Rows to look at out of ``n``, int64."""
    return np.arange(n) if n <= SAMPLED_ROWS else np.linspace(0, n - 1, SAMPLED_ROWS).astype(np.int64)


def add_returns(figures: ModuleFigures, advantages: Any, targets: Any, rewards: Any, values: Any) -> None:
    """What is learned from, all float ``[rows]``; ``values`` may be None where a framework does not show them."""
    advantages, targets = (np.asarray(each, dtype=np.float64) for each in (advantages, targets))
    figures.rows = len(targets)
    figures.advantages, figures.targets = Spread.of(advantages), Spread.of(targets)
    figures.rewards = Spread.of(rewards)
    if values is None:
        return
    figures.values = Spread.of(values)
    raw = targets - values
    figures.raw = Spread.of(raw)
    if figures.raw.is_finite and figures.targets.std > 1e-6:
        figures.explained = 1.0 - (figures.raw.std / figures.targets.std) ** 2
        figures.value_error = figures.raw.std / figures.targets.largest
    figures.advantage_gap = _no_line(raw, figures.raw, advantages, figures.advantages)


def _no_line(raw: np.ndarray, of_raw: Spread, shown: np.ndarray, of_shown: Spread) -> float | None:
    """What of ``shown`` is no rising straight line in ``raw``, as a share of its deviation; 2 for a falling one."""
    # A value function that is right leaves float noise alone, and noise is no line of noise.
    is_noise = of_raw.std <= 1e-5 * (1 + of_raw.largest)
    if is_noise or of_shown.std == 0 or not (of_raw.is_finite and of_shown.is_finite):
        return None
    product = float(np.add.reduce((raw - of_raw.mean) * (shown - of_shown.mean))) / len(raw)
    correlation = product / of_raw.std / of_shown.std
    return 2.0 if correlation < 0 else math.sqrt(max(0.0, 1.0 - correlation**2))


def gae_gap(
    targets: np.ndarray,
    values: np.ndarray,
    rewards: np.ndarray,
    terminated: np.ndarray,
    cut: np.ndarray,
    rows: np.ndarray,
    gamma: float,
    gae_lambda: float,
) -> float | None:
    """How far value targets are from the recursion A[t] = r[t] + gamma V[t+1] - V[t] + gamma lambda A[t+1], A = target - V.

    Schulman et al. 2015, equation 16. Each row is held to the next one's own advantage, so nothing has to be accumulated.

    Args:
        targets, values, rewards: float ``[n]``.
        terminated: bool ``[n]``: nothing follows the row.
        cut: bool ``[n]``: V of the next row counts, its advantage does not.
        rows: bool ``[n]``: the rows to look at, all of which have a next row, or terminate.

    Returns:
        The largest gap, as a share of the size of targets and values; None without such rows.
    """
    if not rows.any() or not all(np.isfinite(each[rows]).all() for each in (targets, values, rewards)):
        return None
    targets, values = targets.astype(np.float64), values.astype(np.float64)
    advantages = targets - values
    goes_on = 1.0 - terminated
    following = np.append(values[1:], 0.0) * goes_on
    later = np.append(advantages[1:], 0.0) * goes_on * (1.0 - cut)
    expected = rewards + gamma * following - values + gamma * gae_lambda * np.nan_to_num(later)
    scale = max(1e-6, float(np.abs(targets[rows]).max()), float(np.abs(values[rows]).max()))
    return float(np.abs(advantages - expected)[rows].max()) / scale


def add_masks(figures: ModuleFigures, masks: np.ndarray, actions: np.ndarray | None, widths: list[int]) -> None:
    """What masks say, bool ``[B, n_logits]``, ``widths`` its sub-actions' options; actions ``[B]`` or ``[B, k]``."""
    figures.masks = len(masks)
    parts = np.split(masks, np.cumsum(widths)[:-1], axis=1)
    legal = np.stack([part.sum(axis=1) for part in parts])
    figures.empty_masks = int((legal == 0).any(axis=0).sum())
    packed = np.packbits(masks, axis=1)
    together, width = packed.tobytes(), packed.shape[1]
    figures.distinct_masks = len({together[i : i + width] for i in range(0, len(together), width)})
    figures.some_illegal = float((legal.sum(axis=0) < masks.shape[1]).mean())
    figures.one_legal = float((legal <= 1).all(axis=0).mean())
    if actions is not None:
        chosen = np.asarray(actions).reshape(len(masks), -1).astype(np.int64)
        allowed = np.stack([part[np.arange(len(part)), chosen[:, i]] for i, part in enumerate(parts)])
        figures.illegal_played = int((~allowed).any(axis=0).sum())


def illegal_probability(logits: np.ndarray, masks: np.ndarray, widths: list[int]) -> float:
    """Largest probability of all illegal actions of a row together; rows without a legal action are left out."""
    largest = 0.0
    splits = np.cumsum(widths)[:-1]
    for part, mask in zip(np.split(logits, splits, axis=1), np.split(masks, splits, axis=1), strict=True):
        part = part.astype(np.float64) - part.max(axis=1, keepdims=True)
        weights = np.exp(part)
        share = np.where(mask, 0.0, weights).sum(axis=1) / weights.sum(axis=1)
        share = share[mask.any(axis=1) & np.isfinite(share)]
        largest = max(largest, float(share.max(initial=0.0)))
    return largest


def add_entropy(figures: ModuleFigures, entropy: np.ndarray, masks: np.ndarray | None, widths: list[int]) -> None:
    """Entropies of a minibatch, float ``[B]``, against what the legal actions allow."""
    if masks is None:
        most = np.full(len(entropy), float(np.log(np.maximum(widths, 1)).sum()))
    else:
        parts = np.split(masks, np.cumsum(widths)[:-1], axis=1)
        most = np.log(np.maximum([part.sum(axis=1) for part in parts], 1)).sum(axis=0)
        any_legal = np.stack([part.any(axis=1) for part in parts]).all(axis=0)
        excess = (entropy - most)[any_legal & np.isfinite(entropy)]
        figures.entropy_above = float(excess.max(initial=0.0))
    choice = (most > 0) & np.isfinite(entropy)
    if choice.any():
        figures.entropy = float((entropy[choice] / most[choice]).mean())


def add_ratio(figures: ModuleFigures, logp: np.ndarray, before: np.ndarray, clip_range: float, first: bool) -> None:
    """Log-probs of a minibatch now and at sampling, float ``[B]``; ``first``: nothing has been learned in between."""
    gap = logp.astype(np.float64) - before
    if first:
        finite = gap[np.isfinite(gap)]
        figures.logp_gap = float(np.abs(finite).max(initial=0.0)) if len(finite) else float("nan")
        figures.logp_tolerance = 0.01 + 1e-4 * float(np.abs(before[np.isfinite(before)]).max(initial=0.0))
        return
    with np.errstate(over="ignore"):
        ratio = np.exp(gap)
    figures.kl = float(np.mean(ratio - 1 - gap))
    figures.clip_fraction = float(np.mean(np.abs(ratio - 1) > clip_range))
