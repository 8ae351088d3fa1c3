"""The input of the demo: rows of text from CSV or NDJSON, gzipped or not, read completely and checked before anything starts.

Gzip is recognised by its first bytes, NDJSON by its first character, ``{``. Everything wrong with a file is an ``InputError``
that names the line and, where a column is missing, the columns that there are.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

DATA: Final = Path(__file__).parent.parent / "data"
FLIGHTS: Final = DATA / "flights-2013-01.csv.gz"
MISSING: Final = frozenset({"", "NA", "N/A", "NaN", "nan", "null", "None"})

Row = dict[str, str]
Pair = tuple[str | None, str | None]


class InputError(ValueError):
    """The input cannot be used as it is."""


@dataclass(frozen=True)
class Source:
    """The rows, the column to group by and the column to average."""

    rows: list[Row]
    key: str
    value: str

    def pairs(self) -> Iterator[Pair]:
        """Group and value of each row."""
        return ((row.get(self.key), row.get(self.value)) for row in self.rows)


def read_source(path: Path, key: str, value: str) -> Source:
    """Read and check a file. Raises ``InputError``."""
    text = _read_text(path)
    is_json = text.lstrip()[:1] == "{"
    numbered = list(_from_json(text, path.name) if is_json else _from_csv(text, path.name))
    rows = [row for _, row in numbered]
    if not rows:
        raise InputError(f"{path.name} is empty" if not text.strip() else f"{path.name} has a header and no rows")
    columns = list(dict.fromkeys(column for row in rows for column in row))
    for option, column in (("--key", key), ("--value", value)):
        if column not in columns:
            there = ", ".join(columns)
            raise InputError(f"{path.name} has no column {column!r}; name one by {option}, there are: {there}")
    for line, row in numbered:
        _check_number(row.get(value), f"{path.name}, line {line}, column {value!r}")
    return Source(rows, key, value)


def number(text: str | None) -> float | None:
    """A value as a number, or None where it is missing. Raises ``ValueError``."""
    return None if text is None or text.strip() in MISSING else float(text)


def airline_names() -> dict[str, str]:
    """The names of the carriers of the flights, by code."""
    with (DATA / "airlines.csv").open(encoding="utf-8", newline="") as file:
        return {row["carrier"]: row["name"] for row in csv.DictReader(file)}


def _read_text(path: Path) -> str:
    try:
        content = path.read_bytes()
        if content.startswith(b"\x1f\x8b"):
            content = gzip.decompress(content)
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path.name} is not UTF-8 text (byte {error.start}: {error.reason})") from None
    except (OSError, EOFError, zlib.error) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise InputError(f"{path.name} cannot be read: {reason}") from None


def _from_csv(text: str, name: str) -> Iterator[tuple[int, Row]]:
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        header = next(reader, [])
        for cells in reader:
            if not cells:
                continue  # an empty line
            if len(cells) != len(header):
                has = f"has {len(cells)} cells, the header {len(header)}"
                raise InputError(f"{name}, line {reader.line_num}, {has}")
            yield reader.line_num, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise InputError(f"{name}, line {reader.line_num}, is not CSV: {error}") from None


def _from_json(text: str, name: str) -> Iterator[tuple[int, Row]]:
    for line, content in enumerate(io.StringIO(text), 1):
        if not content.strip():
            continue
        try:
            found = json.loads(content)
        except ValueError as error:
            raise InputError(f"{name}, line {line}, is not JSON: {error}") from None
        if not isinstance(found, dict) or not found:
            raise InputError(f"{name}, line {line}, is not a JSON object with columns")
        yield line, {_as_text(column): _as_text(value) for column, value in found.items()}


def _as_text(value: Any) -> str:
    """A JSON value as the text of a cell; half a surrogate pair, which UTF-8 cannot carry, becomes a question mark."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode(errors="replace").decode()


def _check_number(text: str | None, where: str) -> None:
    try:
        usable = math.isfinite(number(text) or 0.0)
    except ValueError:
        usable = False
    if not usable:
        raise InputError(f"{where}: {text!r} is not a number; name another column by --value")


__all__ = ["FLIGHTS", "InputError", "Pair", "Row", "Source", "airline_names", "number", "read_source"]
