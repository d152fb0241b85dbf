"""Observations as they come from environments, written at once into arrays of all of them."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import numpy as np


class ObservationRows:
    """Observations of one module, one row each, in the order in which they came.

    Args:
        capacity: rows that are expected; more are taken.
        at_once: the one entry of observations, dicts of arrays, that is copied as they come. The others are going to be read
            seldom, and are copied then. None: all are copied as they come.
    """

    def __init__(self, capacity: int, at_once: str | None = None) -> None:
        self._capacity = max(1, capacity)
        self._at_once = at_once
        self._later: dict[int, dict[str, Any]] = {}  # row -> an observation of which only that entry is copied
        self._structure: Any = None
        self._arrays: list[np.ndarray] = []
        self._flat: dict[Any, tuple[int, tuple[int, ...], np.dtype]] = {}  # of a dict of arrays: number, shape, dtype
        self.count = 0

    def add(self, observation: Any) -> int:
        """Copies an observation into the next row; returns the row's number.

        Raises:
            ValueError: it has other entries or shapes than those before it.
        """
        if self._structure is None:
            self._structure = self._structure_of(observation)
            self._look()
        if self.count == self._capacity:
            self._capacity *= 2
            self._arrays = [_resized(array, self._capacity) for array in self._arrays]
        row = self.count
        if self._at_once is not None and self._flat:
            self._write(self._structure[self._at_once], observation[self._at_once], row)
            self._later[row] = observation
        elif not (self._flat and type(observation) is dict and len(observation) == len(self._flat)):
            self._write(self._structure, observation, row)
        else:
            for key, (number, shape, dtype) in self._flat.items():
                value = observation[key]
                if type(value) is np.ndarray and value.dtype is dtype and value.shape == shape:
                    self._arrays[number][row] = value
                else:
                    self._write(number, value, row)
        self.count = row + 1
        return row

    def _look(self) -> None:
        """Notes what `add` compares entries with, where an observation is a dict of arrays."""
        structure = self._structure
        if isinstance(structure, dict) and all(isinstance(number, int) for number in structure.values()):
            arrays = {key: (number, self._arrays[number]) for key, number in structure.items()}
            self._flat = {key: (number, array.shape[1:], array.dtype) for key, (number, array) in arrays.items()}

    def _structure_of(self, part: Any) -> Any:
        """The observation's containers, with the numbers of their arrays in place of entries."""
        if isinstance(part, dict):
            return {key: self._structure_of(each) for key, each in part.items()}
        if isinstance(part, tuple):
            return tuple(map(self._structure_of, part))
        first = np.asarray(part)
        self._arrays.append(np.empty((self._capacity, *first.shape), dtype=first.dtype))
        return len(self._arrays) - 1

    def _write(self, structure: Any, part: Any, row: int) -> None:
        if isinstance(structure, int):
            array = self._arrays[structure]
            value = part if type(part) is np.ndarray else np.asarray(part)
            if value.shape != array.shape[1:]:
                raise ValueError(
                    f"an observation has an entry of shape {list(value.shape)}, those before it {list(array.shape[1:])}"
                )
            if value.dtype != array.dtype:
                array = self._arrays[structure] = array.astype(np.result_type(array, value))
                self._look()
            array[row] = value
            return
        if len(part) != len(structure):
            raise ValueError(f"an observation has {len(part)} entries, those before it {len(structure)}")
        for key, inside in structure.items() if isinstance(structure, dict) else enumerate(structure):
            self._write(inside, part[key], row)

    def rows(self, chosen: Any, only: Container[str] | None = None) -> Any:
        """The rows ``chosen`` (a number; a slice, which gives views; an array of numbers, which copies).

        In the observations' containers; with ``only``, a dict has no entries but these.
        """
        structure = self._structure
        if only is not None and isinstance(structure, dict):
            structure = {key: part for key, part in structure.items() if key in only}
        if self._later and set(structure) != {self._at_once}:
            settled = [chosen] if isinstance(chosen, int) else list(self._later)
            for row in settled:
                if row in self._later:
                    self._write(self._structure, self._later.pop(row), row)
        return _mapped(structure, lambda number: self._arrays[number][chosen])


def _resized(array: np.ndarray, rows: int) -> np.ndarray:
    larger = np.empty((rows, *array.shape[1:]), dtype=array.dtype)
    larger[: len(array)] = array
    return larger


def _mapped(structure: Any, function: Any) -> Any:
    if isinstance(structure, dict):
        return {key: _mapped(each, function) for key, each in structure.items()}
    if isinstance(structure, tuple):
        return tuple(_mapped(each, function) for each in structure)
    return function(structure)
