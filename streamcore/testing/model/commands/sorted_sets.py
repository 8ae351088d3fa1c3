"""Sorted sets."""

from __future__ import annotations

from typing import Final

from ..arguments import Words, floating, integer, syntax_error
from ..protocol import Failure, Reply
from ..registry import Command
from ..session import Session
from ..values import Scores

_BAD_BOUND: Final = "ERR min or max is not a float"


def zadd(s: Session, args: list[bytes]) -> Reply:
    options, flags = Words(args, 1), set[bytes]()
    for word in options:
        if word not in {b"NX", b"XX", b"GT", b"LT", b"CH", b"INCR"}:
            options.at -= 1
            break
        flags.add(word)
    pairs = options.rest()
    if not pairs or len(pairs) % 2:
        raise syntax_error()
    if {b"NX", b"XX"} <= flags or len(flags & {b"GT", b"LT", b"NX"}) > 1:
        raise Failure("ERR GT, LT, and/or NX options at the same time are not compatible")
    adds = b"INCR" in flags
    if adds and len(pairs) > 2:
        raise Failure("ERR INCR option supports a single increment-element pair")
    given = [(floating(score), member) for score, member in zip(pairs[::2], pairs[1::2], strict=True)]
    scores = s.keys.make(args[0], Scores)
    added = changed = 0
    now: float | None = None
    for score, member in given:
        former = scores.get(member)
        wanted = score + (former or 0.0) if adds else score
        refused = (
            (former is not None and b"NX" in flags)
            or (former is None and b"XX" in flags)
            or (former is not None and b"GT" in flags and wanted <= former)
            or (former is not None and b"LT" in flags and wanted >= former)
        )
        if not refused:
            scores[member] = now = wanted
            added += former is None
            changed += former != wanted
    s.keys.tidy(args[0], changed=changed > 0)
    if adds:
        return now
    return changed if b"CH" in flags else added


def zincrby(s: Session, args: list[bytes]) -> Reply:
    return zadd(s, [args[0], b"INCR", args[1], args[2]])


def zrem(s: Session, args: list[bytes]) -> Reply:
    scores = s.keys.find(args[0], Scores)
    if scores is None:
        return 0
    count = sum(scores.pop(member, None) is not None for member in args[1:])
    s.keys.tidy(args[0], changed=count > 0)
    return count


def zscore(s: Session, args: list[bytes]) -> Reply:
    return (s.keys.find(args[0], Scores) or Scores()).get(args[1])


def zmscore(s: Session, args: list[bytes]) -> Reply:
    scores = s.keys.find(args[0], Scores) or Scores()
    return [scores.get(member) for member in args[1:]]


def zcard(s: Session, args: list[bytes]) -> Reply:
    return len(s.keys.find(args[0], Scores) or ())


def zrank(s: Session, args: list[bytes]) -> Reply:
    members = [member for _, member in (s.keys.find(args[0], Scores) or Scores()).ranked()]
    return members.index(args[1]) if args[1] in members else None


def _bound(word: bytes) -> tuple[float, bool]:
    """Parse a bound of scores, and whether the score itself is excluded."""
    return floating(word.removeprefix(b"("), _BAD_BOUND), word[:1] == b"("


def _by_score(s: Session, key: bytes, first: bytes, last: bytes) -> list[tuple[float, bytes]]:
    (low, above), (high, below) = _bound(first), _bound(last)
    ranked = (s.keys.find(key, Scores) or Scores()).ranked()
    return [
        (score, member)
        for score, member in ranked
        if (score > low if above else score >= low) and (score < high if below else score <= high)
    ]


def _rows(s: Session, rows: list[tuple[float, bytes]], *, scores: bool) -> Reply:
    if not scores:
        return [member for _, member in rows]
    if s.protocol == 3:
        return [[member, score] for score, member in rows]
    return [part for score, member in rows for part in (member, score)]


def zrange(s: Session, args: list[bytes]) -> Reply:
    options, flags = Words(args, 3), set[bytes]()
    limit: tuple[int, int] | None = None
    for word in options:
        if word == b"LIMIT":
            limit = integer(options.take()), integer(options.take())
        elif word in {b"BYSCORE", b"REV", b"WITHSCORES"}:
            flags.add(word)
        else:
            raise syntax_error()
    return _range(s, args, flags, limit)


def _range(s: Session, args: list[bytes], flags: set[bytes], limit: tuple[int, int] | None) -> Reply:
    reverse = b"REV" in flags
    first, last = args[1], args[2]
    if b"BYSCORE" in flags:
        rows = _by_score(s, args[0], *((last, first) if reverse else (first, last)))
    else:
        if limit is not None:
            raise Failure("ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX")
        rows = (s.keys.find(args[0], Scores) or Scores()).ranked()
    if reverse:
        rows.reverse()
    if b"BYSCORE" not in flags:
        start, stop, size = integer(first), integer(last), len(rows)
        start, stop = max(0, start + size if start < 0 else start), stop + size if stop < 0 else stop
        rows = rows[start : max(start, stop + 1)]
    elif limit is not None:
        offset, count = limit
        rows = [] if offset < 0 else rows[offset:] if count < 0 else rows[offset : offset + count]
    return _rows(s, rows, scores=b"WITHSCORES" in flags)


def zrangebyscore(s: Session, args: list[bytes]) -> Reply:
    return zrange(s, [*args, b"BYSCORE"])


def zcount(s: Session, args: list[bytes]) -> Reply:
    return len(_by_score(s, *args))


def zremrangebyscore(s: Session, args: list[bytes]) -> Reply:
    rows = _by_score(s, *args)
    return zrem(s, [args[0], *(member for _, member in rows)])


def zpopmin(s: Session, args: list[bytes]) -> Reply:
    count = integer(args[1]) if len(args) > 1 else 1
    rows = (s.keys.find(args[0], Scores) or Scores()).ranked()[: max(0, count)]
    zrem(s, [args[0], *(member for _, member in rows)])
    if len(args) > 1:
        return _rows(s, rows, scores=True)
    return [part for score, member in rows for part in (member, score)]


COMMANDS: Final = {
    b"ZADD": Command(zadd, -4, "wm"),
    b"ZINCRBY": Command(zincrby, 4, "wm"),
    b"ZREM": Command(zrem, -3, "w"),
    b"ZSCORE": Command(zscore, 3),
    b"ZMSCORE": Command(zmscore, -3),
    b"ZCARD": Command(zcard, 2),
    b"ZRANK": Command(zrank, 3),
    b"ZRANGE": Command(zrange, -4),
    b"ZRANGEBYSCORE": Command(zrangebyscore, -4),
    b"ZCOUNT": Command(zcount, 4),
    b"ZREMRANGEBYSCORE": Command(zremrangebyscore, 4, "w"),
    b"ZPOPMIN": Command(zpopmin, -2, "w"),
}
