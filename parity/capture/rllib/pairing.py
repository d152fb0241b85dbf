"""Tries out which parameter of the port is which of SB3's, where names and shapes leave several choices.

Two towers of one size (``policy_net`` and ``value_net`` in SB3, ``p`` and ``v`` in the port) are told apart by what they
move; among the rest the choice is right that makes both networks compute the same. Where every choice was tried and none
does, the networks differ, whatever the right one is.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import torch

from parity.capture.sensitivity import output_sensitivity
from parity.frameworks.rllib.arrays import duplicate
from parity.ladder.correspondence import closest_first

# More choices than that are not tried: two layers of one size in each of two towers have 4.
MOST = 240
# Far above float32's noise on outputs of order 1, far below what exchanged parameters make.
SAME = 1e-4

Outputs = Callable[[], tuple[torch.Tensor, torch.Tensor]]


def pair_by_trial(policy: Any, ours: Outputs, module: Any, theirs: Callable[[Any], Outputs]) -> dict[str, str] | None:
    """SB3's name -> the port's; None where the two cannot be matched, or in too many ways.

    Args:
        policy, module: the networks; neither is changed.
        ours: log-probabilities and values of ``policy`` on some observations, float32 ``[B, …]``.
        theirs: the same of a module that it is given, on the same observations.
    """
    trial = duplicate(module)
    groups = list(_groups(policy, ours, trial, theirs(trial)))
    if any(len(names) != len(others) for names, others in groups):
        return None
    ways = math.prod(math.factorial(len(names)) for names, _ in groups)
    if ways > MOST:
        return None
    weights = {name: parameter.detach() for name, parameter in policy.named_parameters()}
    with torch.no_grad():
        wanted = ours()
        first: dict[str, str] | None = None
        for choice in itertools.product(*(itertools.permutations(closest_first(*group)) for group in groups)):
            both = zip(groups, choice, strict=True)
            pairs = {name: other for (names, _), others in both for name, other in zip(names, others, strict=True)}
            first = first or pairs
            trial.load_state_dict({other: weights[name] for name, other in pairs.items()}, strict=False)
            if all(_same(a, b) for a, b in zip(theirs(trial)(), wanted, strict=True)):
                return pairs
    return first


def _groups(policy: Any, ours: Outputs, module: Any, theirs: Outputs) -> Iterator[tuple[list[str], list[str]]]:
    """Names of both sides that have one shape and move the same outputs."""
    groups: dict[Any, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for side, (network, outputs) in enumerate(((policy, ours), (module, theirs))):
        moved = output_sensitivity(network, outputs)
        for name, parameter in network.named_parameters():
            groups[tuple(parameter.shape), tuple(bool(each > 0) for each in moved[name])][side].append(name)
    yield from groups.values()


def _same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and bool(torch.allclose(a, b, rtol=SAME, atol=SAME))
