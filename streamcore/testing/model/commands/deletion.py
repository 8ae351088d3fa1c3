"""Deletion of entries and of the references of groups to them: XDELEX, XACKDEL, and the same options of XADD and XTRIM.

``KEEPREF`` lets groups keep entries pending, ``DELREF`` removes them from all groups, ``ACKED`` deletes only entries that
every group has been delivered and has acknowledged. Redis 8.2 has it.
"""

from __future__ import annotations

from typing import Final

from ..arguments import Id, Words, integer, stream_id, syntax_error
from ..protocol import Failure, Reply
from ..registry import Command
from ..session import Session
from ..values import Stream

REFERENCES: Final = frozenset({b"KEEPREF", b"DELREF", b"ACKED"})
_GONE, _KEPT, _UNKNOWN = 1, 2, -1


def is_referred_to(stream: Stream, id_: Id) -> bool:
    """Whether a group has not been delivered the entry yet, or not acknowledged it."""
    return any(id_ > group.last or id_ in group.pending for group in stream.groups.values())


def forget_references(stream: Stream, id_: Id) -> None:
    """Settle an entry in all groups."""
    for group in stream.groups.values():
        group.settle(id_)


def _parse(options: Words) -> tuple[bytes, list[bytes]]:
    how = options.take().upper() if options.peek() in REFERENCES else b"KEEPREF"
    if not options.left or options.take().upper() != b"IDS":
        raise syntax_error()
    count = integer(options.take(), "ERR Number of IDs must be a positive integer")
    if count <= 0:
        raise Failure("ERR Number of IDs must be a positive integer")
    ids = options.rest()
    if len(ids) != count:
        raise Failure("ERR The `numids` parameter must match the number of arguments")
    return how, ids


def _remove(stream: Stream, id_: Id, how: bytes) -> int:
    if how == b"DELREF":
        forget_references(stream, id_)
    if how == b"ACKED" and is_referred_to(stream, id_):
        return _KEPT
    return _GONE if stream.delete(id_) else _UNKNOWN


def xdelex(s: Session, args: list[bytes]) -> Reply:
    how, words = _parse(Words(args, 1))
    stream = s.keys.find(args[0], Stream)
    if stream is None:
        return [_UNKNOWN] * len(words)
    results = [_remove(stream, id_, how) for id_ in [stream_id(word) for word in words]]
    if _GONE in results:
        s.keys.touch(args[0], wakes=False)
    return results


def xackdel(s: Session, args: list[bytes]) -> Reply:
    how, words = _parse(Words(args, 2))
    stream = s.keys.find(args[0], Stream)
    if stream is None or args[1] not in stream.groups:
        return [_UNKNOWN] * len(words)
    group = stream.groups[args[1]]
    results = []
    touched = False
    for id_ in [stream_id(word) for word in words]:
        if not group.settle(id_):
            results.append(_UNKNOWN)
            continue
        result = _remove(stream, id_, how)
        touched = touched or result == _GONE
        results.append(_GONE if result == _UNKNOWN else result)
    if touched:
        s.keys.touch(args[0], wakes=False)
    return results


COMMANDS: Final = {
    b"XDELEX": Command(xdelex, -5, "w", is_recent=True),
    b"XACKDEL": Command(xackdel, -6, "w", is_recent=True),
}
