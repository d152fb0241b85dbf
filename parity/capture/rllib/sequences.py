"""Recurrent modules as if they were none: RLlib's padded sequences ``[B, T, …]`` on one side, the ladder's rows on the other.

A recurrent module (``get_initial_state``) computes a decision from all that its episode showed before. Its learner batch has
sequences of at most ``max_seq_len`` steps, padded, with the state that each begins with. The ladder compares rows, one for each
decision. Here a row's observation is its number: whoever asks for its logits gets those of the whole sequence that it lies in.
"""

from __future__ import annotations

import copy
import functools
from typing import Any

import numpy as np
import torch
import tree
from gymnasium import spaces
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.evaluation.postprocessing import Postprocessing

from parity.frameworks.rllib.arrays import array, device_of, take

# The one entry of an observation that is a row's number.
ROW = "row"
# What the batch has from sampling or from the value pass: another computation of the same makes its own.
COMPUTED = frozenset({
    Columns.ACTION_DIST_INPUTS, Columns.ACTION_LOGP, Columns.EMBEDDINGS, Columns.STATE_OUT, Columns.VF_PREDS,
    Postprocessing.ADVANTAGES, Postprocessing.VALUE_TARGETS,
})  # fmt: skip


def is_recurrent(module: Any) -> bool:
    """Whether RLlib keeps a state for it, and gives it sequences."""
    return bool(module.is_stateful())


class Sequences:
    """Where the rows of a padded batch lie: sequence by sequence, in time order, without the padding.

    Attributes:
        sequence, step: int64 ``[R]``, the place of each row.
    """

    def __init__(self, columns: dict[str, Any]) -> None:
        lengths = array(columns[Columns.SEQ_LENS])
        self.shape = tuple(columns[Columns.ACTIONS].shape[:2])
        self.sequence, self.step = np.nonzero(np.arange(self.shape[1]) < lengths[:, None])

    def rows(self, column: Any) -> Any:
        """A padded column ``[B, T, …]``, perhaps nested, as rows ``[R, …]``."""
        return tree.map_structure(lambda leaf: leaf[self.sequence, self.step], column)

    def numbers(self) -> np.ndarray:
        """int64 ``[B, T]``: the row's number, -1 in the padding."""
        numbers = np.full(self.shape, -1)
        numbers[self.sequence, self.step] = np.arange(len(self.step))
        return numbers

    def by_row(self, columns: dict[str, Any]) -> dict[str, Any]:
        """The batch's columns as rows, the observations as row numbers."""
        rows = {name: self.rows(column) for name, column in columns.items() if self._is_padded(column)}
        return {**rows, Columns.OBS: {ROW: torch.arange(len(self.step), device=columns[Columns.ACTIONS].device)}}

    def _is_padded(self, column: Any) -> bool:
        return isinstance(column, torch.Tensor) and tuple(column.shape[:2]) == self.shape

    def space(self) -> spaces.Dict:
        """Of an observation that is a row's number."""
        return spaces.Dict({ROW: spaces.Discrete(max(1, len(self.step)))})


class Unrolled(torch.nn.Module):
    """A recurrent module that takes rows and gives rows: ``{"row": int64 [n]}``, or observations of first steps ``[n, …]``.

    It holds the module's own parameters, under their own names.

    Args:
        module: the recurrent one.
        columns: the padded batch that rows lie in.
        anew: without what the batch has from sampling, so that everything is computed a second time.
    """

    def __init__(self, module: Any, columns: dict[str, Any], anew: bool = False) -> None:
        super().__init__()
        # The same dicts: named_parameters() and deepcopy see what the module has.
        self._modules, self._parameters, self._buffers = module._modules, module._parameters, module._buffers
        object.__setattr__(self, "inner", module)
        kept = {name: each for name, each in columns.items() if isinstance(each, torch.Tensor | dict)}
        self.columns = {name: each for name, each in kept.items() if not (anew and name in COMPUTED)}
        # Embeddings that a module returns at sampling lie in its batch; where they don't here, they are made.
        self.embeds = Columns.EMBEDDINGS in kept
        self.sequences = Sequences(columns)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "inner":
                raise
            return getattr(self.inner, name)

    def _run(self, method: str, batch: dict[str, Any], **_: Any) -> dict[str, Any]:
        given, place = self._given(batch[Columns.OBS])
        if method == "forward_train" and isinstance(self, ValueFunctionAPI):
            self._prepare(given)
        out = getattr(self.inner, method)(given)
        own = {
            name: self._at(place, column, f"{method}'s {name}")
            for name, column in out.items()
            if name not in (Columns.STATE_OUT, Columns.EMBEDDINGS)
        }
        # Nobody reads embeddings but `compute_values`, which takes them as they are.
        return own | {name: out[name] for name in (Columns.EMBEDDINGS,) if name in out}

    forward_exploration = functools.partialmethod(_run, "forward_exploration")
    forward_inference = functools.partialmethod(_run, "forward_inference")
    forward_train = functools.partialmethod(_run, "forward_train")

    def _prepare(self, given: dict[str, Any]) -> None:
        """RLlib's pipeline has called ``compute_values`` on the batch of training; RLlib's own masked module relies on it."""
        prepared = copy.copy(given)
        with torch.no_grad():
            try:
                self.inner.compute_values(prepared)
            except Exception:
                # One that wants the embeddings of this very pass: it has left the batch as it was.
                return
        if prepared[Columns.OBS] is not given[Columns.OBS]:
            given |= prepared

    def _given(self, observations: Any) -> tuple[dict[str, Any], tuple[Any, Any]]:
        """The module's own batch, and where in its outputs the rows lie."""
        if not isinstance(observations, dict) or set(observations) != {ROW}:
            return self._first_step(observations)
        numbers = array(observations[ROW]).reshape(-1).astype(np.int64)
        used, place = np.unique(self.sequences.sequence[numbers], return_inverse=True)
        columns = {name: take(copy.deepcopy(column), used) for name, column in self.columns.items()}
        return columns, (place, self.sequences.step[numbers])

    def _first_step(self, observations: Any) -> tuple[dict[str, Any], tuple[Any, Any]]:
        rows = len(tree.flatten(observations)[0])
        device = device_of(self.inner)
        state = tree.map_structure(
            lambda leaf: torch.as_tensor(leaf).to(device).unsqueeze(0).repeat(rows, *[1] * torch.as_tensor(leaf).dim()),
            self.inner.get_initial_state(),
        )
        given = {
            Columns.OBS: tree.map_structure(lambda leaf: leaf.unsqueeze(1), observations),
            Columns.STATE_IN: state,
            Columns.SEQ_LENS: torch.ones(rows, dtype=torch.int64, device=device),
        }
        return given, (np.arange(rows), np.zeros(rows, dtype=np.int64))

    @staticmethod
    def _at(place: tuple[Any, Any], padded: Any, what: str) -> Any:
        wanted = [int(each.max(initial=0)) + 1 for each in place]
        shape = list(padded.shape)
        if len(shape) < 2 or shape[0] < wanted[0] or shape[1] < wanted[1]:
            raise ValueError(
                f"{what} has shape {shape}; a recurrent module's are [B, T, …], here [{wanted[0]}, {wanted[1]}]"
            )
        return padded[place]


class _WithValues(Unrolled):
    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        given, place = self._given(batch[Columns.OBS])
        if embeddings is None and self.embeds and Columns.EMBEDDINGS not in given:
            given |= {Columns.EMBEDDINGS: self.inner.forward_train(copy.copy(given)).get(Columns.EMBEDDINGS)}
        return self._at(place, self.inner.compute_values(given, embeddings=embeddings), "compute_values")


class _ValueFunction(_WithValues, ValueFunctionAPI):
    """RLlib asks for the class."""


def unrolled(module: Any, columns: dict[str, Any], anew: bool = False) -> Unrolled:
    """A recurrent module on the rows of its padded batch; arguments as `Unrolled`'s."""
    if isinstance(module, ValueFunctionAPI):
        return _ValueFunction(module, columns, anew)
    has_values = callable(getattr(module, "compute_values", None))
    return (_WithValues if has_values else Unrolled)(module, columns, anew)
