"""The shapes of replies, whichever protocol they came in.

RESP3 has maps, doubles and booleans. RESP2 writes a map as a flat list of keys and values, or as a list of pairs, a
double as text, and a boolean as 0 or 1; the decoder gives a map with repeated keys as a list of pairs. Parsers read
all of them through these functions, and are written once.
"""

from __future__ import annotations

from typing import Any, cast


def pairs(reply: Any) -> list[tuple[Any, Any]]:
    """The items of a map, in the server's order, repeated keys included; no items for a null."""
    if isinstance(reply, dict):
        return list(reply.items())  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  # a reply
    if not reply:
        return []
    if isinstance(reply[0], (list, tuple)):
        return [(key, value) for key, value in reply]
    return list(zip(reply[::2], reply[1::2], strict=True))


def mapping(reply: Any) -> dict[Any, Any]:
    """Parse a map; of a repeated key, the last value counts."""
    return dict(pairs(reply))


def strings(reply: Any) -> list[bytes]:
    """Check an array of bulk strings. Raises ``TypeError`` for a reply of another shape."""
    if type(reply) is list and {bytes}.issuperset(map(type, reply)):  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        return cast("list[bytes]", reply)
    raise TypeError("no array of strings")


def number(reply: Any) -> float:
    """Parse a double, or its text."""
    return float(reply)


def flag(reply: Any) -> bool:
    """Parse a boolean, or 0 or 1."""
    return bool(int(reply))
