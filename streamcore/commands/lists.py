"""Commands on lists. Values are data: text, bytes or numbers, and they may be empty.

Indexes begin at 0, and at the end with -1; a range includes both of its ends.
"""

from __future__ import annotations

from typing import Any, NamedTuple, overload

from ..arguments import Name, Seconds, integer, name, positive, seconds
from ..errors import InvalidArgument
from ..resp3 import Argument
from .command import READ, WRITE, Command, LinkUse, Traits
from .keys import key_names


def lpush(key: Name, *values: Argument) -> Command[int]:
    """Put values at the head of a list, one after the other; answers how many it has then (``LPUSH``)."""
    return _push("LPUSH", key, values)


def rpush(key: Name, *values: Argument) -> Command[int]:
    """Put values at the end of a list; answers how many it has then (``RPUSH``)."""
    return _push("RPUSH", key, values)


def _push(word: str, key: Name, values: tuple[Argument, ...]) -> Command[int]:
    if not values:
        raise InvalidArgument(f"{word.lower()} needs at least one value")
    return Command((word, name("key", key), *values), traits=WRITE)


@overload
def lpop(key: Name) -> Command[bytes | None]: ...
@overload
def lpop(key: Name, *, count: int) -> Command[list[bytes] | None]: ...
def lpop(key: Name, *, count: int | None = None) -> Command[Any]:
    """Take the first value, or up to ``count`` of them; None where the list does not exist (``LPOP``)."""
    return _pop("LPOP", key, count)


@overload
def rpop(key: Name) -> Command[bytes | None]: ...
@overload
def rpop(key: Name, *, count: int) -> Command[list[bytes] | None]: ...
def rpop(key: Name, *, count: int | None = None) -> Command[Any]:
    """Take the last value, or up to ``count`` of them, last first; None where the list does not exist (``RPOP``)."""
    return _pop("RPOP", key, count)


def _pop(word: str, key: Name, count: int | None) -> Command[Any]:
    return Command((word, name("key", key), *(() if count is None else (positive("count", count),))), traits=WRITE)


def lrange(key: Name, start: int = 0, stop: int = -1) -> Command[list[bytes]]:
    """The values from ``start`` to ``stop``; none where the list does not exist (``LRANGE``)."""
    return Command(("LRANGE", name("key", key), integer("start", start), integer("stop", stop)), traits=READ)


def llen(key: Name) -> Command[int]:
    """How many values a list has (``LLEN``)."""
    return Command(("LLEN", name("key", key)), traits=READ)


def ltrim(key: Name, start: int, stop: int) -> Command[bytes]:
    """Delete the values that are not from ``start`` to ``stop`` (``LTRIM``)."""
    return Command(("LTRIM", name("key", key), integer("start", start), integer("stop", stop)), traits=WRITE)


class Popped(NamedTuple):
    """A value, and the list that it was taken from."""

    key: bytes
    value: bytes


def blpop(*keys: Name, timeout: Seconds) -> Command[Popped | None]:
    """Take the head of the first list that is not empty, waiting for it up to ``timeout`` seconds (``BLPOP``).

    None where no value came. It cannot wait for ever; a taken value is lost if the connection breaks at that moment.
    """
    return _blocking("BLPOP", keys, timeout)


def brpop(*keys: Name, timeout: Seconds) -> Command[Popped | None]:
    """Take the end of the first list that is not empty; else as ``blpop`` (``BRPOP``)."""
    return _blocking("BRPOP", keys, timeout)


def _blocking(word: str, keys: tuple[Name, ...], timeout: Seconds) -> Command[Popped | None]:
    block = max(seconds("timeout", timeout), 0.001)  # servers round less to 0, which is for ever
    traits = Traits(slice(1, -1), use=LinkUse.DEDICATED, block=block)
    return Command((word, *key_names(keys), block), _popped, traits)


def _popped(reply: list[bytes] | None) -> Popped | None:
    return None if reply is None else Popped(*reply)
