"""Strings and counters, and the commands on keys of any kind."""

from __future__ import annotations

from typing import Final

from ..arguments import Words, floating, glob, integer, syntax_error
from ..protocol import OK, Failure, Reply, Simple, number
from ..registry import Command
from ..session import Session
from ..values import KINDS, Stream, copied

_I64: Final = 1 << 63


# -- strings -----------------------------------------------------------------------------------------------------------


def set_(s: Session, args: list[bytes]) -> Reply:
    key, value = args[:2]
    options = Words(args, 2)
    expiry: int | None = None
    keeps = gets = False
    only: bytes | None = None
    for word in options:
        if word in {b"NX", b"XX"} and only in {None, word}:
            only = word
        elif word == b"GET":
            gets = True
        elif word == b"KEEPTTL" and expiry is None:
            keeps = True
        elif word in {b"EX", b"PX", b"EXAT", b"PXAT"} and expiry is None and not keeps:
            expiry = _expiry(s, word, options.take(), "set")
        else:
            raise syntax_error()
    former = s.keys.find(key, bytes) if gets else s.keys.raw(key)
    if (only == b"NX" and former is not None) or (only == b"XX" and former is None):
        return former if gets else None
    s.keys.put(key, value, s.keys.expiries.get(key) if keeps else expiry)
    return former if gets else OK


def _expiry(s: Session, unit: bytes, word: bytes, command: str) -> int:
    """Parse an expiry (EX, PX, EXAT, PXAT) into milliseconds of the wall clock."""
    given = integer(word)
    if given <= 0:
        raise Failure(f"ERR invalid expire time in '{command}' command")
    return given * (1000 if unit[:2] == b"EX" else 1) + (0 if unit.endswith(b"AT") else s.server.ms)


def get(s: Session, args: list[bytes]) -> Reply:
    return s.keys.find(args[0], bytes)


def getdel(s: Session, args: list[bytes]) -> Reply:
    value = s.keys.find(args[0], bytes)
    s.keys.remove(args[0])
    return value


def setnx(s: Session, args: list[bytes]) -> Reply:
    if s.keys.raw(args[0]) is not None:
        return 0
    s.keys.put(args[0], args[1])
    return 1


def setex(s: Session, args: list[bytes]) -> Reply:
    s.keys.put(args[0], args[2], _expiry(s, b"EX", args[1], "setex"))
    return OK


def psetex(s: Session, args: list[bytes]) -> Reply:
    s.keys.put(args[0], args[2], _expiry(s, b"PX", args[1], "psetex"))
    return OK


def mset(s: Session, args: list[bytes]) -> Reply:
    if len(args) % 2:
        raise Failure("ERR wrong number of arguments for 'mset' command")
    for key, value in zip(args[::2], args[1::2], strict=True):
        s.keys.put(key, value)
    return OK


def mget(s: Session, args: list[bytes]) -> Reply:
    values = [s.keys.raw(key) for key in args]
    return [value if type(value) is bytes else None for value in values]


def append(s: Session, args: list[bytes]) -> Reply:
    return _store(s, args[0], (s.keys.find(args[0], bytes) or b"") + args[1])


def _store(s: Session, key: bytes, value: bytes) -> Reply:
    s.keys.values[key] = value  # it keeps its expiry
    s.keys.touch(key)
    return len(value)


def strlen(s: Session, args: list[bytes]) -> Reply:
    return len(s.keys.find(args[0], bytes) or b"")


def _add(s: Session, key: bytes, amount: int) -> Reply:
    total = integer(s.keys.find(key, bytes) or b"0") + amount
    if not -_I64 <= total < _I64:
        raise Failure("ERR increment or decrement would overflow")
    _store(s, key, b"%d" % total)
    return total


def incr(s: Session, args: list[bytes]) -> Reply:
    return _add(s, args[0], 1)


def decr(s: Session, args: list[bytes]) -> Reply:
    return _add(s, args[0], -1)


def incrby(s: Session, args: list[bytes]) -> Reply:
    return _add(s, args[0], integer(args[1]))


def decrby(s: Session, args: list[bytes]) -> Reply:
    return _add(s, args[0], -integer(args[1]))


def incrbyfloat(s: Session, args: list[bytes]) -> Reply:
    total = number(floating(s.keys.find(args[0], bytes) or b"0") + floating(args[1]))
    _store(s, args[0], total)
    return total


# -- keys --------------------------------------------------------------------------------------------------------------


def del_(s: Session, args: list[bytes]) -> Reply:
    return sum(s.keys.raw(key) is not None and s.keys.remove(key) for key in args)


def exists(s: Session, args: list[bytes]) -> Reply:
    return sum(s.keys.raw(key) is not None for key in args)


def type_(s: Session, args: list[bytes]) -> Reply:
    value = s.keys.raw(args[0])
    return Simple(b"none" if value is None else KINDS[type(value)])


def _expire(s: Session, args: list[bytes], unit: int, base: int) -> Reply:
    key, when = args[0], integer(args[1]) * unit + base
    conditions = {word.upper() for word in args[2:]}
    if conditions - {b"NX", b"XX", b"GT", b"LT"}:
        raise Failure(f"ERR Unsupported option {args[2].decode(errors='replace')}")
    if s.keys.raw(key) is None:
        return 0
    former = s.keys.expiries.get(key)
    if (
        (b"NX" in conditions and former is not None)
        or (b"XX" in conditions and former is None)
        or (b"GT" in conditions and (former is None or when <= former))
        or (b"LT" in conditions and former is not None and when >= former)
    ):
        return 0
    s.keys.expiries[key] = when
    s.keys.touch(key, wakes=False)
    s.keys.raw(key)  # it may be over already
    return 1


def expire(s: Session, args: list[bytes]) -> Reply:
    return _expire(s, args, 1000, s.server.ms)


def pexpire(s: Session, args: list[bytes]) -> Reply:
    return _expire(s, args, 1, s.server.ms)


def expireat(s: Session, args: list[bytes]) -> Reply:
    return _expire(s, args, 1000, 0)


def pexpireat(s: Session, args: list[bytes]) -> Reply:
    return _expire(s, args, 1, 0)


def persist(s: Session, args: list[bytes]) -> Reply:
    if s.keys.raw(args[0]) is None or s.keys.expiries.pop(args[0], None) is None:
        return 0
    s.keys.touch(args[0], wakes=False)
    return 1


def pttl(s: Session, args: list[bytes]) -> Reply:
    if s.keys.raw(args[0]) is None:
        return -2
    expiry = s.keys.expiries.get(args[0])
    return -1 if expiry is None else expiry - s.server.ms


def ttl(s: Session, args: list[bytes]) -> Reply:
    left: int = pttl(s, args)
    return left if left < 0 else (left + 500) // 1000


def rename(s: Session, args: list[bytes]) -> Reply:
    value = s.keys.raw(args[0])
    if value is None:
        raise Failure("ERR no such key")
    expiry = s.keys.expiries.get(args[0])
    s.keys.remove(args[0])
    s.keys.put(args[1], value, expiry)
    return OK


def copy(s: Session, args: list[bytes]) -> Reply:
    replaces = [word.upper() for word in args[2:]] == [b"REPLACE"]
    if args[2:] and not replaces:
        raise syntax_error()
    value = s.keys.raw(args[0])
    if value is None or (s.keys.raw(args[1]) is not None and not replaces):
        return 0
    s.keys.put(args[1], copied(value), s.keys.expiries.get(args[0]))
    return 1


def keys_(s: Session, args: list[bytes]) -> Reply:
    return [key for key in s.keys if glob(args[0])(key)]


def scan(s: Session, args: list[bytes]) -> Reply:
    """Reply all keys in a single page; a server may take several."""
    integer(args[0], "ERR invalid cursor")
    found, options = list(s.keys), Words(args, 1)
    for word in options:
        value = options.take()
        match word:
            case b"MATCH":
                found = [key for key in found if glob(value)(key)]
            case b"TYPE":
                found = [key for key in found if KINDS[type(s.keys.values[key])] == value.lower()]
            case b"COUNT":
                integer(value)
            case _:
                raise syntax_error()
    return [b"0", found]


def dbsize(s: Session, _: list[bytes]) -> Reply:
    return sum(1 for _ in s.keys)


def flushdb(s: Session, _: list[bytes]) -> Reply:
    s.keys.clear()
    s.server.onlookers.flushed()
    return OK


def flushall(s: Session, _: list[bytes]) -> Reply:
    for keys in s.server.databases:
        keys.clear()
    s.server.onlookers.flushed()
    return OK


def object_(s: Session, args: list[bytes]) -> Reply:
    if args[0].upper() != b"ENCODING" or len(args) != 2:
        raise Failure(f"ERR unknown subcommand '{args[0].decode(errors='replace')}'. Try OBJECT HELP.")
    value = s.keys.raw(args[1])
    if value is None:
        return None
    if isinstance(value, bytes):
        is_whole = value.removeprefix(b"-").isdigit() and b"%d" % int(value) == value and len(value) < 19
        return b"int" if is_whole else b"embstr" if len(value) <= 44 else b"raw"
    return b"stream" if isinstance(value, Stream) else b"listpack"


COMMANDS: Final = {
    b"SET": Command(set_, -3, "wm"),
    b"GET": Command(get, 2),
    b"GETDEL": Command(getdel, 2, "w"),
    b"SETNX": Command(setnx, 3, "wm"),
    b"SETEX": Command(setex, 4, "wm"),
    b"PSETEX": Command(psetex, 4, "wm"),
    b"MSET": Command(mset, -3, "wm"),
    b"MGET": Command(mget, -2),
    b"APPEND": Command(append, 3, "wm"),
    b"STRLEN": Command(strlen, 2),
    b"INCR": Command(incr, 2, "wm"),
    b"DECR": Command(decr, 2, "wm"),
    b"INCRBY": Command(incrby, 3, "wm"),
    b"DECRBY": Command(decrby, 3, "wm"),
    b"INCRBYFLOAT": Command(incrbyfloat, 3, "wm"),
    b"DEL": Command(del_, -2, "w"),
    b"UNLINK": Command(del_, -2, "w"),
    b"EXISTS": Command(exists, -2),
    b"TYPE": Command(type_, 2),
    b"EXPIRE": Command(expire, -3, "w"),
    b"PEXPIRE": Command(pexpire, -3, "w"),
    b"EXPIREAT": Command(expireat, -3, "w"),
    b"PEXPIREAT": Command(pexpireat, -3, "w"),
    b"PERSIST": Command(persist, 2, "w"),
    b"TTL": Command(ttl, 2),
    b"PTTL": Command(pttl, 2),
    b"RENAME": Command(rename, 3, "w"),
    b"COPY": Command(copy, -3, "wm"),
    b"KEYS": Command(keys_, 2),
    b"SCAN": Command(scan, -2),
    b"DBSIZE": Command(dbsize, 1),
    b"FLUSHDB": Command(flushdb, -1, "w"),
    b"OBJECT": Command(object_, -2),
    b"FLUSHALL": Command(flushall, -1, "w"),
}
