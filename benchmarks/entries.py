"""The entries that every benchmark reads and writes: three fields, about 156 bytes each in a reply."""

from __future__ import annotations

from benchmarks.raw import Raw

POOL = 1_000
"""So many different entries are made before the clock starts; a producer goes round and round in them."""

_EPOCH = 1_700_000_000_000
_PER_MILLISECOND = 100
_CHUNK = 1_000


def make_fields(number: int) -> dict[str, str]:
    return {
        "order": f"{number:08d}",
        "customer": f"customer-{number % 997:06d}",
        "note": "please leave it with the neighbours, thank you!",
    }


def make_pool() -> list[dict[str, str]]:
    return [make_fields(number) for number in range(POOL)]


def flat(fields: dict[str, str]) -> tuple[str, ...]:
    """``{"a": "1", "b": "2"}`` -> ``("a", "1", "b", "2")``"""
    return tuple(part for pair in fields.items() for part in pair)


def fill(raw: Raw, stream: str, n: int) -> None:
    """Make sure that the stream holds exactly ``n`` entries.

    The IDs are given, so every run reads the same bytes: 100 entries in each millisecond, like a busy producer. (One
    entry per millisecond would make the server's pending list, and so every contestant, a tenth slower.)
    """
    if raw.call("XLEN", stream) == n:
        return
    raw.call("DEL", stream)
    for first in range(0, n, _CHUNK):
        raw.pipeline(
            [
                ("XADD", stream, f"{_EPOCH + i // _PER_MILLISECOND}-{i % _PER_MILLISECOND}", *flat(make_fields(i)))
                for i in range(first, min(first + _CHUNK, n))
            ]
        )


def wire_bytes() -> float:
    """Bytes of one entry in a reply, on average."""
    total = 0
    for i in range(_PER_MILLISECOND):
        parts = [f"{_EPOCH}-{i}", *flat(make_fields(i))]
        total += 4 + 4 + sum(len(f"${len(part)}\r\n{part}\r\n") for part in parts)
    return total / _PER_MILLISECOND
