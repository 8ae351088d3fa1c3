"""Commands on sets. Members are data: text, bytes or numbers, and they may be empty."""

from __future__ import annotations

from ..arguments import Name, name
from ..errors import InvalidArgument
from ..resp3 import Argument
from .command import READ, WRITE, Command


def sadd(key: Name, *members: Argument) -> Command[int]:
    """Add members to a set; answers how many are new (``SADD``)."""
    return Command(("SADD", name("key", key), *_some("sadd", members)), traits=WRITE)


def srem(key: Name, *members: Argument) -> Command[int]:
    """Remove members of a set; answers how many there were (``SREM``)."""
    return Command(("SREM", name("key", key), *_some("srem", members)), traits=WRITE)


def smembers(key: Name) -> Command[set[bytes]]:
    """All members of a set; none where it does not exist (``SMEMBERS``)."""
    return Command(("SMEMBERS", name("key", key)), set, READ)


def sismember(key: Name, member: Argument) -> Command[bool]:
    """Whether a set has a member (``SISMEMBER``)."""
    return Command(("SISMEMBER", name("key", key), member), bool, READ)


def scard(key: Name) -> Command[int]:
    """How many members a set has (``SCARD``)."""
    return Command(("SCARD", name("key", key)), traits=READ)


def _some(command: str, members: tuple[Argument, ...]) -> tuple[Argument, ...]:
    if not members:
        raise InvalidArgument(f"{command} needs at least one member")
    return members
