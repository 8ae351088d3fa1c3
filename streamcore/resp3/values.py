"""The values of replies for which Python has no type, and their limits.

bytes (simple and bulk strings), int, float, bool, None, lists (arrays and sets) and dicts are themselves. An error is
a ``ReplyError`` value and a push is a list of a class of its own, both also inside of others.
"""

from __future__ import annotations

from typing import Any, Self, TypeAlias

from ..frozen import frozen

Reply: TypeAlias = Any


class Pairs(list[tuple[Any, Any]]):
    """A map as ``(key, value)`` tuples, where a dict would lose some: keys repeat, or are arrays or maps themselves."""

    __slots__ = ()


class Push(list[Any]):
    """An out-of-band message, ``[kind, ...]``."""

    __slots__ = ()


class Verbatim(bytes):
    """A verbatim string: the payload, and its ``format``, three letters such as ``txt`` or ``mkd``."""

    format: str

    def __new__(cls, payload: bytes, format: str) -> Self:  # noqa: A002  # the specification's word
        self = super().__new__(cls, payload)
        self.format = format
        return self


@frozen
class Limits:
    """The limits of a reply: bytes in a string, elements of all its aggregates together, bytes in all, and levels."""

    bulk: int = 512 << 20
    elements: int = 1 << 26
    reply: int = 1 << 30
    depth: int = 128


DEFAULT_LIMITS = Limits()


def make_map(items: list[Any]) -> dict[Any, Any] | Pairs:
    """Make a map of ``[key, value, key, value, ...]``: a dict if it keeps every pair."""
    each = iter(items)
    try:
        made = dict(zip(each, each, strict=True))
    except (TypeError, BytesWarning):  # a key that cannot be hashed; b"" and 0 under ``python -bb``
        pass
    else:
        if len(made) * 2 == len(items):
            return made
    each = iter(items)
    return Pairs(zip(each, each, strict=True))
