"""Commands on hashes. Fields and values are data: text, bytes or numbers, and they may be empty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..arguments import Name, integer, name
from ..errors import InvalidArgument
from ..resp3 import Argument
from .command import READ, WRITE, Command
from .replies import mapping as to_mapping


def hset(key: Name, mapping: Mapping[Any, Argument]) -> Command[int]:
    """Set fields of a hash; answers how many are new (``HSET``)."""
    if not mapping:
        raise InvalidArgument("hset needs at least one field")
    pairs = [item for pair in mapping.items() for item in pair]
    return Command(("HSET", name("key", key), *pairs), traits=WRITE)


def hget(key: Name, field: Argument) -> Command[bytes | None]:
    """The value of a field of a hash, None where it does not exist (``HGET``)."""
    return Command(("HGET", name("key", key), field), traits=READ)


def hmget(key: Name, *fields: Argument) -> Command[list[bytes | None]]:
    """The values of several fields of a hash, None for missing fields (``HMGET``)."""
    return Command(("HMGET", name("key", key), *_some("hmget", fields)), traits=READ)


def hgetall(key: Name) -> Command[dict[bytes, bytes]]:
    """All fields of a hash; none where it does not exist (``HGETALL``)."""
    return Command(("HGETALL", name("key", key)), to_mapping, READ)


def hdel(key: Name, *fields: Argument) -> Command[int]:
    """Delete fields of a hash; answers how many there were (``HDEL``)."""
    return Command(("HDEL", name("key", key), *_some("hdel", fields)), traits=WRITE)


def hlen(key: Name) -> Command[int]:
    """How many fields a hash has (``HLEN``)."""
    return Command(("HLEN", name("key", key)), traits=READ)


def hexists(key: Name, field: Argument) -> Command[bool]:
    """Whether a hash has a field (``HEXISTS``)."""
    return Command(("HEXISTS", name("key", key), field), bool, READ)


def hincrby(key: Name, field: Argument, increment: int) -> Command[int]:
    """Add to a number in a hash, 0 where there is none; answers the sum (``HINCRBY``)."""
    return Command(("HINCRBY", name("key", key), field, integer("increment", increment)), traits=WRITE)


def hkeys(key: Name) -> Command[list[bytes]]:
    """The names of all fields of a hash (``HKEYS``)."""
    return Command(("HKEYS", name("key", key)), traits=READ)


def hvals(key: Name) -> Command[list[bytes]]:
    """The values of all fields of a hash, in the order of ``hkeys`` (``HVALS``)."""
    return Command(("HVALS", name("key", key)), traits=READ)


def _some(command: str, fields: tuple[Argument, ...]) -> tuple[Argument, ...]:
    if not fields:
        raise InvalidArgument(f"{command} needs at least one field")
    return fields
