"""Commands on keys, strings and hashes, and on the server, as far as streaming programs need them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..arguments import Name, Seconds, name, seconds
from ..errors import InvalidArgument
from ..resp3 import Argument
from .command import ALL_KEYS, ASK_SERVER, READ, SERVER, Command, Traits


def ping() -> Command[bytes]:
    """Answers ``PONG``."""
    return Command(("PING",), traits=ASK_SERVER)


def info(section: str = "default") -> Command[bytes]:
    """The server's report about itself, ``field:value`` lines."""
    return Command(("INFO", section), traits=ASK_SERVER)


def dbsize() -> Command[int]:
    """How many keys the database has."""
    return Command(("DBSIZE",), traits=ASK_SERVER)


def flushall() -> Command[bytes]:
    """Delete everything in every database."""
    return Command(("FLUSHALL",), traits=SERVER)


def delete(*keys: Name) -> Command[int]:
    """Delete keys; answers how many there were (``DEL``)."""
    return Command(("DEL", *_keys(keys)), traits=Traits(keys=ALL_KEYS))


def exists(*keys: Name) -> Command[int]:
    """How many of the keys exist."""
    return Command(("EXISTS", *_keys(keys)), traits=Traits(ALL_KEYS, repeatable=True))


def expire(key: Name, time: Seconds) -> Command[bool]:
    """Delete the key after ``time`` seconds (``PEXPIRE``); answers whether it exists."""
    return Command(("PEXPIRE", name("key", key), int(seconds("time", time) * 1000)), bool, traits=READ)


def ttl(key: Name) -> Command[float | None]:
    """Seconds until the key expires (``PTTL``); None where it never does, or does not exist."""
    return Command(("PTTL", name("key", key)), lambda ms: ms / 1000 if ms >= 0 else None, traits=READ)


def type_(key: Name) -> Command[bytes]:
    """The type of the key's value, ``none`` where there is none."""
    return Command(("TYPE", name("key", key)), traits=READ)


def get(key: Name) -> Command[bytes | None]:
    """The value of a string key."""
    return Command(("GET", name("key", key)), traits=READ)


def set_(key: Name, value: Argument) -> Command[bytes]:
    """Set a string key (``SET``)."""
    return Command(("SET", name("key", key), value), traits=READ)


def incr(key: Name) -> Command[int]:
    """Add one to a number; answers the sum."""
    return Command(("INCR", name("key", key)))


def hset(key: Name, mapping: Mapping[Any, Argument]) -> Command[int]:
    """Set fields of a hash; answers how many are new."""
    if not mapping:
        raise InvalidArgument("hset needs at least one field")
    pairs = [item for pair in mapping.items() for item in pair]
    return Command(("HSET", name("key", key), *pairs), traits=READ)


def hget(key: Name, field: Name) -> Command[bytes | None]:
    """One field of a hash."""
    return Command(("HGET", name("key", key), name("field", field)), traits=READ)


def hgetall(key: Name) -> Command[dict[bytes, bytes]]:
    """All fields of a hash."""
    return Command(("HGETALL", name("key", key)), traits=READ)


def hlen(key: Name) -> Command[int]:
    """How many fields a hash has."""
    return Command(("HLEN", name("key", key)), traits=READ)


def hdel(key: Name, *fields: Name) -> Command[int]:
    """Delete fields of a hash; answers how many there were."""
    if not fields:
        raise InvalidArgument("hdel needs at least one field")
    return Command(("HDEL", name("key", key), *(name("field", f) for f in fields)))


def _keys(keys: tuple[Name, ...]) -> list[bytes]:
    if not keys:
        raise InvalidArgument("name at least one key")
    return [name("key", key) for key in keys]
