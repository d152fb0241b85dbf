"""What is done to stored files: strategies that damage one, as a disk, an editor or somebody with bad intentions would."""

from __future__ import annotations

import copy
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from parity.results.tables import MOST_ROWS

# JSON as it is written, so that what no JSON library would write is among it.
RAW = (
    "null", "true", "0", "-1", "1.5", "1e308", "1e999", "-1e999", "NaN", "Infinity", "9007199254740993", "9223372036854775808",
    "18446744073709551616", "9" * 400, "9" * 4300, "-" + "9" * 5000, "[]", "{}", "[[]]", "[null]", '""', '"x"', '" "', '"NaN"',
    '"-Infinity"', '"1"', r'"\u0000"', r'"\ud800"', r'"\u001b[2J\u001b]0;owned\u0007"', r'"\u009b31m\u202egnp"',
    r'"done\n::error::owned\r##[error]owned"', r'"# heading\n\n# another"', '"../../../outside"', '"/etc/passwd"', '"a/b"',
    '"."',     '"<script>alert(1)</script>"', '"[red]x[/nothing]"', '"{{ 7 * 7 }}"', '"%s%n{0}"', '"\u00e9\u4e2d\U0001f600"',
    '"' + "x" * 100_000 + '"', "[" * 150 + "]" * 150, "[" * 3000 + "]" * 3000, '{"a":' * 3000 + "1" + "}" * 3000,
    "[" + "0," * 30_000 + "0]",
)  # fmt: skip
RAW_TEXTS = [each for each in RAW if each.startswith('"')]
_MARK = "@@raw {}@@"
OTHER_FILES = (
    b"",
    b"\0",
    b"PAR1",
    b"PAR1" * 3,
    b"PK\x05\x06" + bytes(18),
    b"{",
    b"[]",
    b"null",
    b"1",
    b"\xff\xfe",
    b"\x1f\x8b",
)
CELLS = (
    "x", True, None, b"\0", 1.5, "1.5", [1.0], {"a": 1}, pd.Timestamp(0), pd.Timedelta(1), 2**63, [[1.0]], ["x"], "\x1b[31m",
    Decimal(1), 1j.real,
)  # fmt: skip
COLUMNS = (
    "x",
    "",
    "agents//return_mean",
    "agents/\x1b[2J/return_mean",
    "agents/../return_mean",
    "agents/other/return_mean",
)
EPISODES = ([], [np.nan], [np.inf] * 100, None, [1e308] * 100, [0.0] * 10_000, ["x"] * 100)
LINES = ("[", "[[", "[[waiver]]", "[waiver]", "x", "= 1", "a.b.c = 1", "\0", "\ufeff", "\x1b[2J", '"""', "# comment")

Change = Callable[[Path], None]


def places(document: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of everything in a JSON document."""
    items = (
        document.items() if isinstance(document, dict) else enumerate(document if isinstance(document, list) else ())
    )
    return [at, *(place for key, value in items for place in places(value, (*at, key)))]


@st.composite
def damaged_json(draw: st.DrawFn, text: str) -> bytes:
    """A document with one to three values replaced, taken away, repeated or renamed."""
    document = [copy.deepcopy(json.loads(text))]
    raw: list[str] = []
    for _ in range(draw(st.integers(1, 3))):
        *way, key = draw(st.sampled_from(places(document)[1:]))
        holder: Any = document
        for step in way:
            holder = holder[step]
        match draw(st.sampled_from(("replace", "replace", "replace", "delete", "repeat", "rename", "swap"))):
            case "replace":
                holder[key] = _MARK.format(len(raw))
                raw.append(draw(st.sampled_from(RAW)))
            case "delete" if way:
                del holder[key]
            case "repeat" if isinstance(holder[key], list):
                holder[key] = holder[key] * 2
            case "rename" if isinstance(holder, dict):
                holder[_MARK.format(len(raw))] = holder.pop(key)
                raw.append(draw(st.sampled_from([*RAW_TEXTS, *map(json.dumps, holder)])))
            case "swap" if way:
                other = draw(
                    st.sampled_from(sorted(holder, key=str) if isinstance(holder, dict) else range(len(holder)))
                )
                holder[key], holder[other] = holder[other], holder[key]
    written = json.dumps(document[0])
    for number, each in enumerate(raw):
        written = written.replace(f'"{_MARK.format(number)}"', each)
    return written.encode("utf-8", "surrogatepass")


@st.composite
def damaged_bytes(draw: st.DrawFn, whole: bytes) -> bytes:
    """A file cut short, overwritten in places, or something else altogether."""
    at = draw(st.integers(0, max(0, len(whole) - 1)))
    match draw(st.sampled_from(("cut", "flip", "nulls", "insert", "other", "twice", "encoding"))):
        case "cut":
            return whole[:at]
        case "flip":
            damaged = bytearray(whole)
            for place in draw(st.lists(st.integers(0, max(0, len(whole) - 1)), min_size=1, max_size=8)):
                damaged[place : place + 1] = bytes([draw(st.integers(0, 255))])
            return bytes(damaged)
        case "nulls":
            return whole[:at] + bytes(len(whole) - at)
        case "insert":
            return whole[:at] + draw(st.binary(min_size=1, max_size=40)) + whole[at:]
        case "twice":
            return whole + whole
        case "encoding":
            return whole.decode("latin-1").encode(draw(st.sampled_from(("utf-16", "utf-8-sig", "utf-32"))))
        case _:
            return draw(st.sampled_from(OTHER_FILES))


@st.composite
def damaged_table(draw: st.DrawFn, table: pd.DataFrame) -> pd.DataFrame:
    """A Parquet table of the right names and wrong columns, values, order or length."""
    column = draw(st.sampled_from(sorted(table.columns)))
    rows = len(table)
    at = draw(st.integers(0, rows - 1))
    wrong: Any = draw(st.sampled_from((np.nan, np.inf, -np.inf, -1.0, 1e300, 0.0)))
    match draw(st.sampled_from(("value", "type", "drop", "rename", "rows", "order", "lists", "extra", "huge", "copy"))):
        case "value" if table[column].dtype != object:
            values = table[column].astype("float64").copy()
            values.iloc[at] = wrong
            integers = table[column].dtype.kind == "i" and np.isfinite(wrong) and abs(wrong) < 2**62
            return table.assign(**{column: values.astype("int64") if integers else values})
        case "type":
            return table.assign(**{column: [draw(st.sampled_from(CELLS))] * rows})
        case "drop":
            return table.drop(columns=column)
        case "rename":
            return table.rename(columns={column: draw(st.sampled_from(COLUMNS))})
        case "rows":
            return table.iloc[: draw(st.sampled_from((0, 1, rows - 1)))]
        case "order":
            return table.iloc[::-1]
        case "lists" if table[column].dtype == object:
            values = list(table[column])
            values[at] = draw(st.sampled_from((*EPISODES, list(values[at])[:-1])))
            return table.assign(**{column: values})
        case "extra":
            name = draw(st.sampled_from(COLUMNS))
            return table.assign(**{name: draw(st.sampled_from((1.0, "x", np.nan)))})
        case "huge":
            return pd.DataFrame({name: np.zeros(MOST_ROWS + 1, "int8") for name in table})
        case _:
            return table.iloc[[at] * rows]


def as_folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


def as_loop(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(path.name)


def as_pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def as_device(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to("/dev/zero")


def as_large(path: Path) -> None:
    """A sparse file of 8 GB."""
    with path.open("r+b") as file:
        file.truncate(2**33)


def gone(path: Path) -> None:
    path.unlink()


PLACES: tuple[Change, ...] = (as_folder, as_loop, as_pipe, as_device, as_large, gone)


@st.composite
def damaged_toml(draw: st.DrawFn, text: str) -> bytes:
    """Lines of TOML repeated, taken away, or with another value."""
    lines = text.splitlines()
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        key, _, _ = lines[at].partition("=")
        match draw(st.sampled_from(("value", "value", "value", "delete", "repeat", "line"))):
            case "value":
                lines[at] = f"{key}= {draw(st.sampled_from(RAW_TOML))}"
            case "delete" if len(lines) > 1:
                del lines[at]
            case "repeat":
                lines.insert(at, lines[at])
            case _:
                lines.insert(at, draw(st.sampled_from(LINES)))
    return "\n".join(lines).encode("utf-8", "surrogatepass")


RAW_TOML = (
    *(each for each in RAW if each not in ("null", "NaN")), "nan", "inf", "1979-05-27", "07:32:00", "0x7fffffffffffffffffff",
    "{ a = 1 }", '["x", 1]', "9999-12-31", "0001-01-01", "'''x'''", "2026-13-45", "a", '""" \\u001b """',
)  # fmt: skip


@st.composite
def damaged_capture(draw: st.DrawFn) -> Change:
    """A zip file of arrays with one of them, or its document, replaced."""
    kind = draw(
        st.sampled_from(("document", "document", "array", "array", "array", "member", "bomb", "pickle", "name"))
    )
    choice = draw(st.integers(0, 10_000))
    document = draw(st.randoms(use_true_random=False))
    array: Any = draw(
        st.sampled_from(
            (
                np.zeros(0), np.zeros((0, 3)), np.full(3, np.nan), np.full((2, 2), np.inf), np.array(1.0), np.array("x"),
                np.zeros(3, "datetime64[s]"), np.zeros(3, complex), np.zeros(3, [("a", "f8")]), np.zeros((1,) * 30),
                np.zeros(3, bool), np.full(3, -(2**62)), np.array(["x"] * 3), np.zeros((300, 300)), np.zeros(3, "float16"),
            )
        )
    )  # fmt: skip
    value = draw(st.sampled_from(RAW))

    def change(path: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        names = sorted(name for name in members if name.endswith(".npy"))
        name = names[choice % len(names)]
        match kind:
            case "document":
                members["capture.json"] = _with_value(members["capture.json"].decode(), document, value)
            case "array":
                members[name] = _npy(array)
            case "member":
                del members[sorted(members)[choice % len(members)]]
            case "bomb":
                members[name] = _npy(np.zeros(3))[:-24].replace(b"(3,)", b"(9999999999,)") + bytes(24)
            case "pickle":
                members[name] = _npy(np.array([Planted()], object), pickled=True)
            case _:
                members["../" * 3 + "outside.npy"] = members.pop(name)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for each, content in members.items():
                archive.writestr(each, content)

    return change


def _with_value(text: str, random: Any, value: str) -> bytes:
    document = json.loads(text)
    *way, key = random.choice(places(document)[1:])
    holder = document
    for step in way:
        holder = holder[step]
    holder[key] = _MARK.format(0)
    return json.dumps(document).replace(f'"{_MARK.format(0)}"', value).encode("utf-8", "surrogatepass")


def _npy(array: np.ndarray, pickled: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=pickled)
    return buffer.getvalue()


class Planted:
    """What runs when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.system, (f"touch {PLANTED}",)


PLANTED = Path(tempfile.gettempdir()) / f"parity-planted-{os.getpid()}"
