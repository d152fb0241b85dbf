"""Finds out which parameter of one network is which of another's by what each of them does.

All parameters of one shape get the same values, in both networks. Outputs then don't depend on which is which: equal
networks give equal outputs whatever their parameters are called, and networks whose outputs differ compute something else
under every pairing. In equal ones, a parameter is known by how the outputs change when it alone gets other values.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import torch

from parity.capture.unit_weights import Tensors, alike_in_columns, nudged, of_size, random_values, unit_weights
from parity.ladder.correspondence import closest_first, nearest_names

# Forward passes of the two networks, beyond which no more are tried: a network of 30 parameters needs about 200.
MOST_PASSES = 2_000
# Of outputs of order 1: far above float32's noise, far below what other values of a parameter make.
SAME = 1e-5
# Above it outputs are all noise, and say nothing.
CHAOTIC = 1e-3
# An argument in favour of a pair that counts only where outputs have none.
NAMES = 1e-3

Outputs = list[torch.Tensor | None]


@dataclasses.dataclass(frozen=True)
class Network:
    """A copy of a network whose weights may be changed."""

    module: torch.nn.Module  # has the parameters
    # what it computes with its present weights on each set of observations: float32 ``[B, columns]``, the last column
    # the values; None where it cannot take them. The first set decides whether two networks compute the same; others
    # help to tell parameters apart where both do.
    outputs: Callable[[], Outputs]
    left_out: frozenset[str] = frozenset()  # names of parameters that are not paired
    # matrices of so many columns only get values with which the order of their inputs makes no difference
    any_order: frozenset[int] = frozenset()

    @property
    def shapes(self) -> dict[str, torch.Size]:
        """Name -> shape of those that are paired."""
        return {name: p.shape for name, p in self.module.named_parameters() if name not in self.left_out}

    def load(self, values: Mapping[str, torch.Tensor]) -> None:
        """Sets parameters by name."""
        with torch.no_grad():
            for name, parameter in self.module.named_parameters():
                if name in values:
                    alike = parameter.ndim == 2 and parameter.shape[1] in self.any_order
                    parameter.copy_(alike_in_columns(values[name]) if alike else values[name])


@dataclasses.dataclass(frozen=True)
class Pairing:
    """What was found."""

    pairs: dict[str, str]  # name in the first network -> name in the second
    # whether both compute the same on the observations with some pairing, this one; None where that is not known
    same: bool | None


def find_pairing(
    ours: Network, theirs: Network, by_name: Mapping[str, str] | None = None, only_same: bool = False
) -> Pairing | None:
    """The pairing with which both compute the same; else the likeliest one. None where shapes have no pairing.

    Args:
        ours, theirs: on the same observations; their weights are changed.
        by_name: a pairing that names suggest, which counts where it fits.
        only_same: None, and no likeliest one, where they don't compute the same.
    """
    search = _Search(ours, theirs, by_name or {}, only_same)
    if any(len(names) != len(others) for names, others in search.groups):
        return None
    with torch.no_grad():
        return search.run()


def unused(network: Network) -> frozenset[str]:
    """Names of the parameters that move no output at all."""
    with torch.no_grad():
        values = unit_weights(network.module, network.outputs, tied=False)
        before, still = network.outputs(), set()
        for name, now in values.items():
            network.load({name: _otherwise(now)})
            if all(_exactly(*each) for each in zip(network.outputs(), before, strict=True)):
                still.add(name)
            network.load({name: now})
    return frozenset(still)


class _TooManyPasses(Exception):
    pass


class _Search:
    def __init__(self, ours: Network, theirs: Network, by_name: Mapping[str, str], only_same: bool) -> None:
        self.ours, self.theirs, self.by_name, self.only_same = ours, theirs, by_name, only_same
        by_shape: dict[torch.Size, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
        for side, network in enumerate((ours, theirs)):
            for name, shape in network.shapes.items():
                by_shape[shape][side].append(name)
        self.groups = list(by_shape.values())
        self.passes = 0
        # By set of observations: how far noise moves the outputs; None where nothing can be told.
        self.noise: list[float | None] = []

    def run(self) -> Pairing | None:
        if self.by_name:
            values = self._distinct()
            if self._equal(self._of(self.ours), self._of(self.theirs, self._named(values, self.by_name))):
                return Pairing(dict(self.by_name), same=True)
        tied = self._unit_weights(tied=True)
        of_shape = {shape: tied[name] for name, shape in self.ours.shapes.items()}
        base = self._of(self.ours)
        self._measure_noise(tied, base)
        tied_theirs = {name: of_shape[shape] for name, shape in self.theirs.shapes.items()}
        if self.noise[0] is None:
            return None
        base_theirs = self._of(self.theirs, tied_theirs)
        for place in range(1, len(self.noise)):
            # What the environment does not show, a port may well clip or refuse.
            if not _within(base[place], base_theirs[place], self.noise[place]):
                self.noise[place] = None
        if self._equal(base, base_theirs):
            try:
                pairs = self._refine(tied, tied_theirs, {})
            except _TooManyPasses:
                return None
            if pairs is not None:
                return Pairing(pairs, same=True)
        return None if self.only_same else Pairing(self._likeliest(tied, tied_theirs), same=False)

    def _distinct(self) -> Tensors:
        values = self._unit_weights(tied=False)
        self._measure_noise(values, self._of(self.ours))
        return values

    def _unit_weights(self, tied: bool) -> Tensors:
        values = unit_weights(self.ours.module, self.ours.outputs, tied, self.ours.any_order)
        return {name: values[name] for name in self.ours.shapes}

    @staticmethod
    def _named(values: Tensors, pairs: Mapping[str, str]) -> Tensors:
        return {other: values[name] for name, other in pairs.items()}

    def _of(self, network: Network, values: Mapping[str, torch.Tensor] | None = None) -> Outputs:
        self.passes += 1
        if self.passes > MOST_PASSES:
            raise _TooManyPasses
        network.load(values or {})
        return network.outputs()

    def _measure_noise(self, values: Tensors, base: Outputs) -> None:
        moved = self._of(self.ours, nudged(values))
        self.noise = [_noise(*each) for each in zip(base, moved, strict=True)]
        self.ours.load(values)

    def _equal(self, ours: Outputs, theirs: Outputs) -> bool:
        """On all observations on which outputs tell something; False where there are none."""
        told = [(a, b, noise) for a, b, noise in zip(ours, theirs, self.noise, strict=True) if noise is not None]
        return bool(told) and all(_within(*each) for each in told)

    def _changed(self, network: Network, name: str, values: Tensors) -> Outputs:
        """The outputs after one parameter alone got other values."""
        outputs = self._of(network, values | {name: _otherwise(values[name])})
        network.load({name: values[name]})
        return outputs

    def _refine(self, ours: Tensors, theirs: Tensors, pairs: dict[str, str]) -> dict[str, str] | None:
        """Pairs all, parameters with the same effect one after the other; None where some effect is on one side only.

        Args:
            ours, theirs: present values, the same in paired parameters, and in all others of one shape.
            pairs: those that are paired.
        """
        ours, theirs, pairs = dict(ours), dict(theirs), dict(pairs)
        left = [
            ([n for n in names if n not in pairs], [o for o in others if o not in set(pairs.values())])
            for names, others in self.groups
        ]
        # A shape that is left once has no choice.
        self._settle([(names[0], others[0]) for names, others in left if len(names) == 1], ours, theirs, pairs)
        left = [group for group in left if len(group[0]) > 1]
        if not left:
            return pairs if self._equal(self._of(self.ours, ours), self._of(self.theirs, theirs)) else None
        alike: dict[str, list[str]] = {}
        for names, others in left:
            effects = {other: self._changed(self.theirs, other, theirs) for other in others}
            for name in names:
                effect = self._changed(self.ours, name, ours)
                alike[name] = [other for other in others if self._equal(effect, effects[other])]
                if not alike[name]:
                    return None
        claimed = [other for several in alike.values() for other in several]
        certain = [
            (n, several[0]) for n, several in alike.items() if len(several) == 1 and claimed.count(several[0]) == 1
        ]
        if certain:
            self._settle(certain, ours, theirs, pairs)
            return self._refine(ours, theirs, pairs)
        name = min(alike, key=lambda each: len(alike[each]))
        for other in nearest_names(name, alike[name]):
            then = dict(ours), dict(theirs), dict(pairs)
            self._settle([(name, other)], *then)
            complete = self._refine(*then)
            if complete is not None:
                return complete
        return None

    def _settle(
        self, certain: Sequence[tuple[str, str]], ours: Tensors, theirs: Tensors, pairs: dict[str, str]
    ) -> None:
        """Adds pairs and gives each values of its own, so that it is told apart from those that are left."""
        for name, other in certain:
            now = ours[name]
            ours[name] = theirs[other] = of_size(random_values(now.shape, 1_000 + len(pairs)), now)
            pairs[name] = other

    def _likeliest(self, ours: Tensors, theirs: Tensors) -> dict[str, str]:
        """Of networks that differ: the pairs whose effects on logits and on values are least unlike, then by name."""
        effects = []
        for network, values in ((self.ours, ours), (self.theirs, theirs)):
            base = self._of(network, values)
            effects.append({name: _parts(base, self._changed(network, name, values)) for name in values})
        from scipy.optimize import linear_sum_assignment  # 0.25 s to import; where names fit, it is not needed

        pairs = {}
        for names, others in self.groups:
            near = closest_first(names, others)
            costs = np.array(
                [
                    [_unlike(effects[0][n], effects[1][o]) + (NAMES if o != near[i] else 0.0) for o in others]
                    for i, n in enumerate(names)
                ]
            )
            for row, column in zip(*linear_sum_assignment(costs), strict=True):
                pairs[names[row]] = others[column]
        return pairs


def _otherwise(now: torch.Tensor) -> torch.Tensor:
    """Other values of the same size, the same ones for all parameters of a shape."""
    return now + of_size(random_values(now.shape, 11), now)


def _exactly(a: torch.Tensor | None, b: torch.Tensor | None) -> bool:
    return a is b if a is None or b is None else torch.equal(a, b)


def _within(a: torch.Tensor | None, b: torch.Tensor | None, noise: float | None) -> bool:
    if a is None or b is None or noise is None:
        return False
    return a.shape == b.shape and bool((a - b).abs().max() <= noise)


def _noise(before: torch.Tensor | None, after: torch.Tensor | None) -> float | None:
    """How far outputs may be apart that are the same but for rounding; None where rounding alone makes them what they are."""
    if before is None or after is None or not bool(before.isfinite().all() & after.isfinite().all()):
        return None
    size, moved = float(before.abs().max()), float((after - before).abs().max())
    noise = SAME * max(1.0, size) + 3 * moved
    return noise if noise <= CHAOTIC * max(1.0, size) else None


def _parts(before: Outputs, after: Outputs) -> list[tuple[float, torch.Tensor]]:
    """The change of logits and that of values on each set of observations, where there are any, with their weights."""
    changes = [a - b for a, b in zip(after, before, strict=True) if a is not None and b is not None]
    # Logits count for more: of a value head on the policy's features, the policy is the part that is right.
    return [
        part for change in changes for part in ((2.0, change[:, :-1].nan_to_num()), (1.0, change[:, -1:].nan_to_num()))
    ]


def _unlike(ours: Iterable[tuple[float, torch.Tensor]], theirs: Iterable[tuple[float, torch.Tensor]]) -> float:
    """0 for equal effects; each part adds up to its weight where they have nothing in common."""
    total = 0.0
    for (weight, a), (_, b) in zip(ours, theirs, strict=False):
        if a.shape == b.shape:
            size = float(a.norm() + b.norm())
            total += weight * float((a - b).norm()) / size if size > 0 else 0.0
    return total
