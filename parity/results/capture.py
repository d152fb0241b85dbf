"""What a runner collected of one framework: named arrays and facts, storable, so that they can be judged elsewhere."""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from parity.errors import CannotStart

FACTS_FILE = "facts.json"


@dataclasses.dataclass
class Numbers:
    """The numbers of one port.

    Attributes:
        arrays: name -> array; names are paths (``"batch/advantages"``), listed in ``docs/frameworks.md`` and,
            with what RLlib alone has, in ``parity.capture.rllib.rollout``.
        facts: what is no array: classes, spaces, configuration, what raised. JSON values only.
    """

    arrays: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        return name in self.arrays

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]

    def get(self, name: str) -> np.ndarray | None:
        return self.arrays.get(name)

    def below(self, folder: str) -> dict[str, np.ndarray]:
        """The arrays under a path, by the rest of their names, in the order of collection."""
        return {name.removeprefix(folder + "/"): array for name, array in self._below(folder)}

    def _below(self, folder: str) -> Iterator[tuple[str, np.ndarray]]:
        return ((name, array) for name, array in self.arrays.items() if name.startswith(folder + "/"))

    def put(self, folder: str, arrays: dict[str, Any]) -> None:
        for name, array in arrays.items():
            self.arrays[f"{folder}/{name}"] = np.asarray(array)

    def save(self, path: Path) -> None:
        """One zip file: an ``.npy`` per array and ``facts.json``; readable with NumPy and a zip tool alone."""
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(FACTS_FILE, json.dumps(self.facts, indent=1))
            for name, array in self.arrays.items():
                buffer = io.BytesIO()
                np.save(buffer, array, allow_pickle=False)
                archive.writestr(f"{name}.npy", buffer.getvalue())

    @classmethod
    def load(cls, path: Path) -> Numbers:
        """Raises CannotStart where the file is none that ``save`` wrote."""
        try:
            with zipfile.ZipFile(path) as archive:
                facts = json.loads(archive.read(FACTS_FILE))
                arrays = {
                    name.removesuffix(".npy"): np.load(io.BytesIO(archive.read(name)), allow_pickle=False)
                    for name in archive.namelist()
                    if name.endswith(".npy")
                }
        except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
            raise CannotStart(
                f"{path} holds no collected numbers ({error}); write it with `parity check --save`."
            ) from error
        return cls(arrays, facts)
