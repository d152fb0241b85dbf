"""The tables of a trial are checked when they are read: a study may come from somewhere else, or from a disk that was full."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from pandas.api import types

# Far more than an evaluation or an iteration per row can make; what is larger is not read into memory.
MOST_ROWS, MOST_BYTES = 10**6, 2**30

INTEGER, NUMBER, NUMBERS = "whole numbers", "numbers", "lists of numbers"
CURVE = {
    "steps": INTEGER, "wall_s": NUMBER, "train_s": NUMBER, "length_mean": NUMBER, "return_mean": NUMBER, "return_std": NUMBER,
    "returns": NUMBERS, "sampled_return_mean": NUMBER, "sampled_return_std": NUMBER, "sampled_returns": NUMBERS,
}  # fmt: skip
TIMING = {
    "iteration": INTEGER, "steps": INTEGER, "sample_s": NUMBER, "returns_s": NUMBER, "update_s": NUMBER, "evaluate_s": NUMBER,
}  # fmt: skip


def read_table(path: Path, columns: dict[str, str]) -> pd.DataFrame | None:
    """A Parquet file with at least these columns of these types; None where there is no file.

    Raises:
        ValueError: it is none, too large, or a column is missing or of another type; one sentence, file and column named.
    """
    if not path.is_file():
        return None
    try:
        layout = pq.read_metadata(path)
        size = sum(layout.row_group(i).total_byte_size for i in range(layout.num_row_groups))
        if layout.num_rows > MOST_ROWS or size > MOST_BYTES:
            raise ValueError(f"{layout.num_rows} rows, {size} bytes: too large")
        table = pd.read_parquet(path)
    except (ValueError, OSError) as error:
        raise ValueError(f"{path.name}: {' '.join(str(error).split())[:200]}") from error
    for column, kind in columns.items():
        if column not in table:
            raise ValueError(f"{path.name}: there is no column {column}")
        if not _holds(table[column], kind):
            raise ValueError(f"{path.name}, {column}: not {kind}")
    return table


def _holds(column: pd.Series, kind: str) -> bool:
    match kind:
        case "whole numbers":
            return types.is_integer_dtype(column)
        case "numbers":
            return types.is_numeric_dtype(column) and not types.is_complex_dtype(column)
        case _:
            return all(isinstance(row, np.ndarray) and row.ndim == 1 and row.dtype.kind in "iuf" for row in column)
