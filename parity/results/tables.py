"""The tables of a trial are checked when they are read: a study may come from somewhere else, or from a disk that was full."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pandas.api import types

# Far more than an evaluation or an iteration per row can make; what is larger is not read into memory.
MOST_ROWS, MOST_COLUMNS, MOST_VALUES, MOST_BYTES = 10**6, 10**4, 10**7, 2**28


@dataclasses.dataclass(frozen=True)
class Column:
    """What a column holds. ``order``: of its values down the rows; ``unknown``: whether NaN may stand for what is not known.

    Returns are whatever an environment pays, so that ``finite`` is asked of them where they are judged.
    """

    kind: Literal["whole numbers", "numbers", "lists of numbers"]
    least: float = -np.inf
    order: Literal["rise", "stay or rise"] | None = None
    finite: bool = True
    unknown: bool = False


_RETURNS, _EPISODES = Column("numbers", finite=False), Column("lists of numbers", finite=False)
_CLOCK, _SECONDS = Column("numbers", least=0, order="stay or rise"), Column("numbers", least=0, unknown=True)
CURVE = {
    "steps": Column("whole numbers", least=0), "wall_s": _CLOCK, "train_s": _CLOCK, "length_mean": Column("numbers", least=0),
    "return_mean": _RETURNS, "return_std": _RETURNS, "returns": _EPISODES,
    "sampled_return_mean": _RETURNS, "sampled_return_std": _RETURNS, "sampled_returns": _EPISODES,
}  # fmt: skip
TIMING = {
    "iteration": Column("whole numbers", least=0, order="rise"), "steps": Column("whole numbers", least=0, order="rise"),
    "sample_s": _SECONDS, "returns_s": _SECONDS, "update_s": _SECONDS, "evaluate_s": _SECONDS,
}  # fmt: skip
# What a curve has of each agent beside the learning one.
OF_AGENTS = "agents/"


def read_table(path: Path, columns: dict[str, Column]) -> pd.DataFrame | None:
    """A Parquet file with at least these columns; None where there is no file.

    Raises:
        ValueError: it is none, too large, or a column is missing or holds something else; one sentence, file and column named.
    """
    if not path.is_file():
        return None
    try:
        _bounded(path)
        table = pd.read_parquet(path)
    except (ValueError, OSError, pa.ArrowException, NotImplementedError) as error:
        raise ValueError(f"{path.name}: {' '.join(str(error).split())[:200]}") from error
    for name in columns:
        if name not in table:
            raise ValueError(f"{path.name}: there is no column {name}")
    of_agents = {str(name): _RETURNS for name in table if str(name).startswith(OF_AGENTS)}
    for name, column in (columns | of_agents).items():
        if wrong := _wrong(table[name], column):
            raise ValueError(f"{path.name}, {name}: {wrong}")
    return table


def _bounded(path: Path) -> None:
    """Raises:
    ValueError: what is in the file is too much.
    """
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise ValueError(f"{size} bytes: too large")
    layout = pq.read_metadata(path)
    groups = [layout.row_group(i) for i in range(layout.num_row_groups)]
    parts = [group.column(j) for group in groups for j in range(min(group.num_columns, MOST_COLUMNS))]
    unpacked, values = sum(group.total_byte_size for group in groups), sum(part.num_values for part in parts)
    if (
        layout.num_rows > MOST_ROWS
        or layout.num_columns > MOST_COLUMNS
        or values > MOST_VALUES
        or unpacked > MOST_BYTES
    ):
        raise ValueError(f"{layout.num_rows} rows, {layout.num_columns} columns, {values} values: too large")


def _wrong(values: pd.Series, column: Column) -> str | None:
    """Why ``values`` are no such column."""
    if not _holds(values, column.kind):
        return f"not {column.kind}"
    if column.kind == "lists of numbers":
        return None
    numbers = values.to_numpy(np.float64)
    known = numbers[~np.isnan(numbers)] if column.unknown or not column.finite else numbers
    if column.finite and not np.isfinite(known).all():
        return "not all are finite"
    if (known < column.least).any():
        return f"{known.min():g} is below {column.least:g}"
    steps = np.diff(numbers)
    if (column.order == "rise" and (steps <= 0).any()) or (column.order == "stay or rise" and (steps < 0).any()):
        return f"its values do not {column.order}"
    return None


def _holds(column: pd.Series, kind: str) -> bool:
    if types.is_bool_dtype(column):
        return False
    match kind:
        case "whole numbers":
            return types.is_integer_dtype(column)
        case "numbers":
            return types.is_integer_dtype(column) or types.is_float_dtype(column)
        case _:
            return all(isinstance(row, np.ndarray) and row.ndim == 1 and row.dtype.kind in "iuf" for row in column)
