"""Commands on sorted sets. Members are data: text, bytes or numbers; scores are numbers, infinite ones too.

A range goes by rank (from 0; -1 is the last), by score, or, where all scores are equal, by the members' bytes. It
includes both ends; ``(`` before a score or a member leaves it out. Scores end at ``-inf`` and ``+inf``, members at
``-`` and ``+``, and before a member that is included stands ``[``: the server's own notation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, overload

from ..arguments import Name, at_most_one, integer, name, positive, real
from ..errors import InvalidArgument
from ..resp3 import Argument
from .command import READ, WRITE, Command
from .keys import condition_words
from .replies import number, pairs

Scored: TypeAlias = list[tuple[bytes, float]]
"""Members with their scores."""


def zadd(
    key: Name,
    scores: Mapping[Any, float],
    *,
    nx: bool = False,
    xx: bool = False,
    gt: bool = False,
    lt: bool = False,
    ch: bool = False,
) -> Command[int]:
    """Add members with their ``scores``, or set new scores; answers how many members are new (``ZADD``).

    ``nx``: no new scores, ``xx``: no new members, ``gt`` and ``lt``: no lower, or higher, scores for members that are
    there; ``ch``: answers how many are new or have a new score.
    """
    if not scores:
        raise InvalidArgument("zadd needs at least one member")
    args: list[Argument] = [
        "ZADD",
        name("key", key),
        *condition_words(nx=nx, xx=xx, gt=gt, lt=lt),
        *(["CH"] if ch else []),
    ]
    for member, score in scores.items():
        args += (real("a score", score), member)
    return Command(tuple(args), traits=WRITE)


def zadd_incr(
    key: Name,
    member: Argument,
    increment: float,
    *,
    nx: bool = False,
    xx: bool = False,
    gt: bool = False,
    lt: bool = False,
) -> Command[float | None]:
    """Add to a member's score, 0 where there is none; answers the sum, None if an option forbade it (``ZADD INCR``)."""
    only = condition_words(nx=nx, xx=xx, gt=gt, lt=lt)
    return Command(
        ("ZADD", name("key", key), *only, "INCR", real("increment", increment), member), _score, traits=WRITE
    )


def zrem(key: Name, *members: Argument) -> Command[int]:
    """Remove members; answers how many there were (``ZREM``)."""
    if not members:
        raise InvalidArgument("zrem needs at least one member")
    return Command(("ZREM", name("key", key), *members), traits=WRITE)


def zscore(key: Name, member: Argument) -> Command[float | None]:
    """The score of a member, None where it does not exist (``ZSCORE``)."""
    return Command(("ZSCORE", name("key", key), member), _score, READ)


def _score(reply: Any) -> float | None:
    return None if reply is None else number(reply)


def zcard(key: Name) -> Command[int]:
    """How many members a sorted set has (``ZCARD``)."""
    return Command(("ZCARD", name("key", key)), traits=READ)


RangeEnd: TypeAlias = float | str | bytes
"""An end of a range."""


@overload
def zrange(
    key: Name,
    start: RangeEnd,
    stop: RangeEnd,
    *,
    byscore: bool = False,
    bylex: bool = False,
    rev: bool = False,
    limit: tuple[int, int] | None = None,
    withscores: Literal[False] = False,
) -> Command[list[bytes]]: ...
@overload
def zrange(
    key: Name,
    start: RangeEnd,
    stop: RangeEnd,
    *,
    byscore: bool = False,
    bylex: bool = False,
    rev: bool = False,
    limit: tuple[int, int] | None = None,
    withscores: Literal[True],
) -> Command[Scored]: ...
def zrange(
    key: Name,
    start: RangeEnd,
    stop: RangeEnd,
    *,
    byscore: bool = False,
    bylex: bool = False,
    rev: bool = False,
    limit: tuple[int, int] | None = None,
    withscores: bool = False,
) -> Command[Any]:
    """Members from ``start`` to ``stop``, by rank, score (``byscore``) or bytes (``bylex``) (``ZRANGE``).

    ``rev``: from the highest to the lowest, ``start`` is the highest then. ``limit``: an offset and a count; a negative
    count is no limit. ``withscores``: answers each member with its score.
    """
    at_most_one(byscore=byscore, bylex=bylex)
    at_most_one(bylex=bylex, withscores=withscores)
    if limit is not None and not (byscore or bylex):
        raise InvalidArgument("limit needs byscore or bylex; by rank, start and stop are the limit")
    end = _by_score if byscore else _by_lex if bylex else _by_rank
    args: list[Argument] = ["ZRANGE", name("key", key), end("start", start), end("stop", stop)]
    args += ["BYSCORE"] if byscore else ["BYLEX"] if bylex else []
    if rev:
        args.append("REV")
    return _range(args, limit, withscores=withscores)


@overload
def zrangebyscore(
    key: Name,
    min: RangeEnd,
    max: RangeEnd,
    *,
    limit: tuple[int, int] | None = None,
    withscores: Literal[False] = False,
) -> Command[list[bytes]]: ...
@overload
def zrangebyscore(
    key: Name,
    min: RangeEnd,
    max: RangeEnd,
    *,
    limit: tuple[int, int] | None = None,
    withscores: Literal[True],
) -> Command[Scored]: ...
def zrangebyscore(
    key: Name,
    min: RangeEnd,  # noqa: A002  # the server's word
    max: RangeEnd,  # noqa: A002  # the server's word
    *,
    limit: tuple[int, int] | None = None,
    withscores: bool = False,
) -> Command[Any]:
    """Members with scores from ``min`` to ``max``; options as for ``zrange`` (``ZRANGEBYSCORE``)."""
    args: list[Argument] = ["ZRANGEBYSCORE", name("key", key), _by_score("min", min), _by_score("max", max)]
    return _range(args, limit, withscores=withscores)


def _range(args: list[Argument], limit: tuple[int, int] | None, *, withscores: bool) -> Command[Any]:
    if limit is not None:
        try:
            offset, count = limit
        except (TypeError, ValueError):
            raise InvalidArgument(f"limit must be an offset and a count, not {limit!r}") from None
        args += ["LIMIT", positive("limit's offset", offset, zero=True), integer("limit's count", count)]
    if withscores:
        args.append("WITHSCORES")
    return Command(tuple(args), _scored if withscores else None, READ)


def _scored(reply: Any) -> Scored:
    return [(member, number(score)) for member, score in pairs(reply)]


def zremrangebyscore(key: Name, min: RangeEnd, max: RangeEnd) -> Command[int]:  # noqa: A002  # the server's words
    """Remove the members with scores from ``min`` to ``max``; answers how many (``ZREMRANGEBYSCORE``)."""
    return Command(("ZREMRANGEBYSCORE", name("key", key), _by_score("min", min), _by_score("max", max)), traits=WRITE)


def zpopmin(key: Name, count: int = 1) -> Command[Scored]:
    """Take up to ``count`` members with the lowest scores (``ZPOPMIN``)."""
    return Command(("ZPOPMIN", name("key", key), positive("count", count)), _scored, traits=WRITE)


def _by_rank(what: str, value: RangeEnd) -> Argument:
    if isinstance(value, (str, bytes)):
        raise InvalidArgument(f"{what} is a rank, a whole number; say byscore=True or bylex=True for other ends")
    return integer(what, value)  # type: ignore[arg-type]  # it refuses floats


def _by_score(what: str, value: RangeEnd) -> Argument:
    if not isinstance(value, (str, bytes)):
        return real(what, value)
    try:
        real(what, float(value.removeprefix("(") if isinstance(value, str) else value.removeprefix(b"(")))
    except ValueError:
        raise InvalidArgument(f"{what} must be a score, '(' before a score, '-inf' or '+inf', not {value!r}") from None
    return value


def _by_lex(what: str, value: RangeEnd) -> Argument:
    sent = name(what, value)  # type: ignore[arg-type]  # it refuses numbers
    if sent not in {b"-", b"+"} and sent[:1] not in {b"[", b"("}:
        raise InvalidArgument(f"{what} must be '[' or '(' before a member, '-' or '+', not {value!r}")
    return sent
