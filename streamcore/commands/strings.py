"""Commands on strings, which are counters, too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, overload

from ..arguments import Moment, Name, Seconds, at_most_one, integer, milliseconds, name, real, unix_milliseconds
from ..errors import InvalidArgument
from ..resp3 import Argument
from .command import ALL_KEYS, READ, WRITE, Command, Traits
from .keys import key_names


def get(key: Name) -> Command[bytes | None]:
    """The value of a string key, None where it does not exist (``GET``)."""
    return Command(("GET", name("key", key)), traits=READ)


def getdel(key: Name) -> Command[bytes | None]:
    """The value of a string key, which is deleted (``GETDEL``)."""
    return Command(("GETDEL", name("key", key)), traits=WRITE)


def getex(
    key: Name, *, ex: Seconds | None = None, exat: Moment | None = None, persist: bool = False
) -> Command[bytes | None]:
    """The value of a string key, whose life is set anew (``GETEX``).

    ``ex``: it expires after so many seconds, ``exat``: at a moment; ``persist``: never.
    """
    at_most_one(ex=ex, exat=exat, persist=persist)
    option = ["PERSIST"] if persist else _life(ex, exat)
    return Command(("GETEX", name("key", key), *option), traits=READ)


def _life(ex: Seconds | None, exat: Moment | None) -> list[Argument]:
    if ex is not None:
        return ["PX", milliseconds("ex", ex)]
    return [] if exat is None else ["PXAT", unix_milliseconds("exat", exat)]


@overload
def set_(
    key: Name,
    value: Argument,
    *,
    ex: Seconds | None = None,
    exat: Moment | None = None,
    keepttl: bool = False,
) -> Command[bytes]: ...
@overload
def set_(
    key: Name,
    value: Argument,
    *,
    nx: bool,
    get: Literal[False] = False,
    ex: Seconds | None = None,
    exat: Moment | None = None,
    keepttl: bool = False,
) -> Command[bool]: ...
@overload
def set_(
    key: Name,
    value: Argument,
    *,
    nx: bool = False,
    xx: bool,
    get: Literal[False] = False,
    ex: Seconds | None = None,
    exat: Moment | None = None,
    keepttl: bool = False,
) -> Command[bool]: ...
@overload
def set_(
    key: Name,
    value: Argument,
    *,
    nx: bool = False,
    xx: bool = False,
    get: Literal[True],
    ex: Seconds | None = None,
    exat: Moment | None = None,
    keepttl: bool = False,
) -> Command[bytes | None]: ...
def set_(
    key: Name,
    value: Argument,
    *,
    nx: bool | None = None,
    xx: bool | None = None,
    get: bool = False,
    ex: Seconds | None = None,
    exat: Moment | None = None,
    keepttl: bool = False,
) -> Command[Any]:
    """Set a string key (``SET``).

    ``nx``: only if it does not exist, ``xx``: only if it does; answers then whether it was set. ``get``: answers the
    former value instead, None where there was none. ``ex``: it expires after so many seconds, ``exat``: at a moment
    (``datetime`` or seconds since 1970); ``keepttl``: as it would have. Without these, it lives for ever, and the
    answer is ``OK``.
    """
    at_most_one(nx=nx, xx=xx)
    at_most_one(ex=ex, exat=exat, keepttl=keepttl)
    args: list[Argument] = ["SET", name("key", key), value]
    args += ["NX"] if nx else ["XX"] if xx else []
    if get:
        args.append("GET")
    args += ["KEEPTTL"] if keepttl else _life(ex, exat)
    conditional = not get and (nx is not None or xx is not None)
    return Command(tuple(args), _was_set if conditional else None, WRITE if nx or get else READ)


def _was_set(reply: bytes | None) -> bool:
    return reply is not None


def mget(*keys: Name) -> Command[list[bytes | None]]:
    """The values of string keys, None for keys that do not exist or are no strings (``MGET``)."""
    return Command(("MGET", *key_names(keys)), traits=Traits(ALL_KEYS, repeatable=True))


_MSET: Final = Traits(slice(1, None, 2), repeatable=True)


def mset(mapping: Mapping[Any, Argument]) -> Command[bytes]:
    """Set several string keys at once (``MSET``)."""
    if not mapping:
        raise InvalidArgument("mset needs at least one key")
    args: list[Argument] = ["MSET"]
    for key, value in mapping.items():
        args += (name("key", key), value)
    return Command(tuple(args), traits=_MSET)


def incr(key: Name) -> Command[int]:
    """Add 1 to a number, 0 where there is none; answers the sum (``INCR``)."""
    return Command(("INCR", name("key", key)), traits=WRITE)


def incrby(key: Name, increment: int) -> Command[int]:
    """Add to a number, 0 where there is none; answers the sum (``INCRBY``)."""
    return Command(("INCRBY", name("key", key), integer("increment", increment)), traits=WRITE)


def incrbyfloat(key: Name, increment: float) -> Command[float]:
    """Add to a number with a fraction, 0 where there is none; answers the sum (``INCRBYFLOAT``)."""
    return Command(("INCRBYFLOAT", name("key", key), real("increment", increment)), float, traits=WRITE)


def decr(key: Name) -> Command[int]:
    """Subtract 1 from a number, 0 where there is none; answers the difference (``DECR``)."""
    return Command(("DECR", name("key", key)), traits=WRITE)


def decrby(key: Name, decrement: int) -> Command[int]:
    """Subtract from a number, 0 where there is none; answers the difference (``DECRBY``)."""
    return Command(("DECRBY", name("key", key), integer("decrement", decrement)), traits=WRITE)
