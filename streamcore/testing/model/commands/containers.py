"""Hashes, lists and sets."""

from __future__ import annotations

from collections import deque
from typing import Final

from ..arguments import floating, integer
from ..protocol import NULL_ARRAY, OK, Failure, Reply, number
from ..registry import Command
from ..session import Block, Session

# -- hashes ------------------------------------------------------------------------------------------------------------


def hset(s: Session, args: list[bytes]) -> Reply:
    if len(args) % 2 == 0:
        raise Failure("ERR wrong number of arguments for 'hset' command")
    held = s.keys.make(args[0], dict)
    before = len(held)
    held.update(zip(args[1::2], args[2::2], strict=True))
    s.keys.touch(args[0])
    return len(held) - before


def hmset(s: Session, args: list[bytes]) -> Reply:
    hset(s, args)
    return OK


def hsetnx(s: Session, args: list[bytes]) -> Reply:
    held = s.keys.make(args[0], dict)
    if args[1] in held:
        return 0
    held[args[1]] = args[2]
    s.keys.touch(args[0])
    return 1


def hget(s: Session, args: list[bytes]) -> Reply:
    return (s.keys.find(args[0], dict) or {}).get(args[1])


def hmget(s: Session, args: list[bytes]) -> Reply:
    held = s.keys.find(args[0], dict) or {}
    return [held.get(name) for name in args[1:]]


def hgetall(s: Session, args: list[bytes]) -> Reply:
    return dict(s.keys.find(args[0], dict) or {})


def hdel(s: Session, args: list[bytes]) -> Reply:
    held = s.keys.find(args[0], dict)
    if held is None:
        return 0
    count = sum(held.pop(name, None) is not None for name in args[1:])
    s.keys.tidy(args[0], changed=count > 0)
    return count


def hexists(s: Session, args: list[bytes]) -> Reply:
    return int(args[1] in (s.keys.find(args[0], dict) or {}))


def hlen(s: Session, args: list[bytes]) -> Reply:
    return len(s.keys.find(args[0], dict) or {})


def hkeys(s: Session, args: list[bytes]) -> Reply:
    return list(s.keys.find(args[0], dict) or {})


def hvals(s: Session, args: list[bytes]) -> Reply:
    return list((s.keys.find(args[0], dict) or {}).values())


def hincrby(s: Session, args: list[bytes]) -> Reply:
    amount = integer(args[2])
    total = integer((s.keys.find(args[0], dict) or {}).get(args[1], b"0"), "ERR hash value is not an integer") + amount
    s.keys.make(args[0], dict)[args[1]] = b"%d" % total
    s.keys.touch(args[0])
    return total


def hincrbyfloat(s: Session, args: list[bytes]) -> Reply:
    held = floating((s.keys.find(args[0], dict) or {}).get(args[1], b"0"), "ERR hash value is not a float")
    total = number(held + floating(args[2]))
    s.keys.make(args[0], dict)[args[1]] = total
    s.keys.touch(args[0])
    return total


# -- lists -------------------------------------------------------------------------------------------------------------


def lpush(s: Session, args: list[bytes]) -> Reply:
    held = s.keys.make(args[0], deque)
    held.extendleft(args[1:])
    s.keys.touch(args[0])
    return len(held)


def rpush(s: Session, args: list[bytes]) -> Reply:
    held = s.keys.make(args[0], deque)
    held.extend(args[1:])
    s.keys.touch(args[0])
    return len(held)


def _pop(s: Session, key: bytes, *, left: bool) -> bytes | None:
    held = s.keys.find(key, deque)
    if held is None:
        return None
    value: bytes = held.popleft() if left else held.pop()
    s.keys.tidy(key)
    return value


def _pop_some(s: Session, args: list[bytes], *, left: bool) -> Reply:
    if len(args) == 1:
        return _pop(s, args[0], left=left)
    if len(args) > 2:
        raise Failure("ERR wrong number of arguments for a pop")
    count = integer(args[1], "ERR value is out of range, must be positive")
    if count < 0:
        raise Failure("ERR value is out of range, must be positive")
    held = s.keys.find(args[0], deque)
    if held is None:
        return NULL_ARRAY
    return [_pop(s, args[0], left=left) for _ in range(min(count, len(held)))]


def lpop(s: Session, args: list[bytes]) -> Reply:
    return _pop_some(s, args, left=True)


def rpop(s: Session, args: list[bytes]) -> Reply:
    return _pop_some(s, args, left=False)


def _blocking_pop(s: Session, args: list[bytes], *, left: bool) -> Reply:
    *keys, timeout = args
    seconds = floating(timeout, "ERR timeout is not a float or out of range")
    if seconds < 0:
        raise Failure("ERR timeout is negative")

    def serve(key: bytes) -> Reply:
        held = s.keys.raw(key)
        return [key, _pop(s, key, left=left)] if isinstance(held, deque) else None

    for key in keys:
        s.keys.find(key, deque)
        if (found := serve(key)) is not None:
            return found
    word = b"LPOP" if left else b"RPOP"
    return Block(keys, -int(-seconds * 1000 // 1), serve, lambda key: [word, key]) if s.may_block else NULL_ARRAY


def blpop(s: Session, args: list[bytes]) -> Reply:
    return _blocking_pop(s, args, left=True)


def brpop(s: Session, args: list[bytes]) -> Reply:
    return _blocking_pop(s, args, left=False)


def llen(s: Session, args: list[bytes]) -> Reply:
    return len(s.keys.find(args[0], deque) or ())


def _slice(size: int, first: bytes, last: bytes) -> slice:
    start, stop = integer(first), integer(last)
    start = max(0, start + size if start < 0 else start)
    stop = stop + size if stop < 0 else stop
    return slice(start, max(start, stop + 1))


def lrange(s: Session, args: list[bytes]) -> Reply:
    held = list(s.keys.find(args[0], deque) or ())
    return held[_slice(len(held), args[1], args[2])]


def ltrim(s: Session, args: list[bytes]) -> Reply:
    held = s.keys.find(args[0], deque)
    wanted = _slice(len(held or ()), args[1], args[2])
    if held is not None:
        kept = list(held)[wanted]
        held.clear()
        held.extend(kept)
        s.keys.tidy(args[0])
    return OK


# -- sets --------------------------------------------------------------------------------------------------------------


def sadd(s: Session, args: list[bytes]) -> Reply:
    held = s.keys.make(args[0], set)
    before = len(held)
    held.update(args[1:])
    s.keys.tidy(args[0], changed=len(held) > before)
    return len(held) - before


def srem(s: Session, args: list[bytes]) -> Reply:
    held = s.keys.find(args[0], set)
    if held is None:
        return 0
    before = len(held)
    held.difference_update(args[1:])
    after = len(held)
    s.keys.tidy(args[0], changed=after < before)
    return before - after


def smembers(s: Session, args: list[bytes]) -> Reply:
    return set(s.keys.find(args[0], set) or ())


def sismember(s: Session, args: list[bytes]) -> Reply:
    return int(args[1] in (s.keys.find(args[0], set) or ()))


def scard(s: Session, args: list[bytes]) -> Reply:
    return len(s.keys.find(args[0], set) or ())


COMMANDS: Final = {
    b"HSET": Command(hset, -4, "wm"),
    b"HMSET": Command(hmset, -4, "wm"),
    b"HSETNX": Command(hsetnx, 4, "wm"),
    b"HGET": Command(hget, 3),
    b"HMGET": Command(hmget, -3),
    b"HGETALL": Command(hgetall, 2),
    b"HDEL": Command(hdel, -3, "w"),
    b"HEXISTS": Command(hexists, 3),
    b"HLEN": Command(hlen, 2),
    b"HKEYS": Command(hkeys, 2),
    b"HVALS": Command(hvals, 2),
    b"HINCRBY": Command(hincrby, 4, "wm"),
    b"HINCRBYFLOAT": Command(hincrbyfloat, 4, "wm"),
    b"LPUSH": Command(lpush, -3, "wm"),
    b"RPUSH": Command(rpush, -3, "wm"),
    b"LPOP": Command(lpop, -2, "w"),
    b"RPOP": Command(rpop, -2, "w"),
    b"BLPOP": Command(blpop, -3, "w"),
    b"BRPOP": Command(brpop, -3, "w"),
    b"LLEN": Command(llen, 2),
    b"LRANGE": Command(lrange, 4),
    b"LTRIM": Command(ltrim, 4, "w"),
    b"SADD": Command(sadd, -3, "wm"),
    b"SREM": Command(srem, -3, "w"),
    b"SMEMBERS": Command(smembers, 2),
    b"SISMEMBER": Command(sismember, 3),
    b"SCARD": Command(scard, 2),
}
