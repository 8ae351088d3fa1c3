"""Commands on the pending entries of groups: XPENDING, XCLAIM, XAUTOCLAIM."""

from __future__ import annotations

from typing import Final

from ..arguments import (
    Words,
    integer,
    lower_bound,
    stream_id,
    syntax_error,
    text,
    upper_bound,
)
from ..protocol import NULL_ARRAY, Failure, Reply
from ..registry import Command
from ..session import Session
from ..values import Group
from .groups import find_group, heard_of

_BAD_IDLE: Final = "ERR Invalid min-idle-time argument for {}"


def xpending(s: Session, args: list[bytes]) -> Reply:
    if len(args) == 2:
        return _summary(find_group(s, args[0], args[1])[1])
    options, least = Words(args, 2), 0
    if options.peek() == b"IDLE":
        options.take()
        least = integer(options.take())
    if not 3 <= options.left <= 4:
        raise syntax_error()
    first, last, count, *whose = options.rest()
    most = max(0, integer(count))
    low, high = lower_bound(first), upper_bound(last)
    group = find_group(s, args[0], args[1])[1]
    rows: list[Reply] = []
    for id_ in group.between(low, high):
        if len(rows) == most:
            break
        delivery = group.pending[id_]
        idle = max(0, s.server.ms - delivery.at)
        if idle >= least and (not whose or delivery.consumer == whose[0]):
            rows.append([text(id_), delivery.consumer, idle, delivery.times])
    return rows


def _summary(group: Group) -> Reply:
    if not group.order:
        return [0, None, None, NULL_ARRAY]
    counts = [[consumer, b"%d" % count] for consumer, count in group.counts().items()]
    return [len(group.order), text(group.order[0]), text(group.order[-1]), counts]


def xclaim(s: Session, args: list[bytes]) -> Reply:
    key, name, consumer = args[:3]
    stream, group = find_group(s, key, name)
    least = max(0, integer(args[3], _BAD_IDLE.format("XCLAIM")))
    at = next((at for at in range(4, len(args)) if not args[at][:1].isdigit()), len(args))
    ids = [stream_id(word) for word in args[4:at]]
    since, times, last = s.server.ms, None, None
    forced = only_ids = False
    options = Words(args, at)
    for word in options:
        match word:
            case b"FORCE":
                forced = True
            case b"JUSTID":
                only_ids = True
            case b"IDLE":
                since = s.server.ms - integer(options.take(), "ERR Invalid IDLE option argument for XCLAIM")
            case b"TIME":
                since = integer(options.take(), "ERR Invalid TIME option argument for XCLAIM")
            case b"RETRYCOUNT":
                times = integer(options.take(), "ERR Invalid RETRYCOUNT option argument for XCLAIM")
                if times < 0:
                    raise Failure("ERR Invalid RETRYCOUNT option argument for XCLAIM")
            case b"LASTID":
                last = stream_id(options.take())
            case _:
                raise Failure(f"ERR Unrecognized XCLAIM option '{word.decode(errors='replace')}'")
    if last is not None:
        group.last = max(group.last, last)
    if not 0 <= since <= s.server.ms:
        since = s.server.ms
    if s.server.flavour.modern:
        heard_of(s, group, consumer)
    claimed: list[Reply] = []
    for id_ in ids:
        delivery = group.pending.get(id_)
        if delivery is None and forced and id_ in stream.fields:
            group.deliver(id_, b"", since)
            delivery = group.pending[id_]
        elif delivery is None:
            continue
        elif id_ not in stream.fields:
            group.settle(id_)
            continue
        elif least and s.server.ms - delivery.at < least:
            continue
        heard_of(s, group, consumer).active = s.server.ms
        count = times if times is not None else delivery.times + (not only_ids)
        group.deliver(id_, consumer, since, count)
        claimed.append(text(id_) if only_ids else stream.entry(id_))
    return claimed


def xautoclaim(s: Session, args: list[bytes]) -> Reply:
    key, name, consumer = args[:3]
    least = max(0, integer(args[3], _BAD_IDLE.format("XAUTOCLAIM")))
    start = lower_bound(args[4])
    count, only_ids = 100, False
    options = Words(args, 5)
    for word in options:
        if word == b"COUNT" and options.left:
            count = integer(options.take(), "ERR COUNT must be > 0")
            if count <= 0:
                raise Failure("ERR COUNT must be > 0")
        elif word == b"JUSTID":
            only_ids = True
        else:
            raise syntax_error()
    stream, group = find_group(s, key, name)
    if s.server.flavour.modern:
        heard_of(s, group, consumer)
    claimed: list[Reply] = []
    deleted: list[Reply] = []
    attempts, following = count * 10, None
    for id_ in group.between(start):
        if not attempts or len(claimed) + len(deleted) == count:
            following = id_
            break
        attempts -= 1
        delivery = group.pending[id_]
        if id_ not in stream.fields:
            group.settle(id_)
            deleted.append(text(id_))
        elif not least or s.server.ms - delivery.at >= least:
            heard_of(s, group, consumer).active = s.server.ms
            times = delivery.times + (not only_ids)
            group.deliver(id_, consumer, s.server.ms, times)
            claimed.append(text(id_) if only_ids else stream.entry(id_))
    return [text(following or (0, 0)), claimed, deleted]


COMMANDS: Final = {
    b"XPENDING": Command(xpending, -3),
    b"XCLAIM": Command(xclaim, -6, "w"),
    b"XAUTOCLAIM": Command(xautoclaim, -6, "w"),
}
