"""XINFO: the counters and ends of a stream, the state of its groups, and of their consumers."""

from __future__ import annotations

from typing import Any, Final

from ..arguments import Words, integer, syntax_error, text
from ..protocol import Failure, Reply
from ..registry import Command
from ..session import Session
from ..values import Group, Stream
from .groups import find_group, lag


def xinfo(s: Session, args: list[bytes]) -> Reply:
    word, rest = args[0].upper(), args[1:]
    match word, len(rest):
        case b"STREAM", n if n >= 1:
            return _stream(s, rest[0], Words(rest, 1))
        case b"GROUPS", 1:
            stream = _existing(s, rest[0])
            return [_group(s, stream, name, group) for name, group in sorted(stream.groups.items())]
        case b"CONSUMERS", 2:
            _existing(s, rest[0])
            return _consumers(s, find_group(s, rest[0], rest[1])[1])
    name = word.decode(errors="replace")
    raise Failure(f"ERR unknown subcommand or wrong number of arguments for '{name}'. Try XINFO HELP.")


def _existing(s: Session, key: bytes) -> Stream:
    stream = s.keys.find(key, Stream)
    if stream is None:
        raise Failure("ERR no such key")
    return stream


def _stream(s: Session, key: bytes, options: Words) -> Reply:
    count = 10
    is_full = options.left > 0
    if is_full and options.take().upper() != b"FULL":
        raise syntax_error()
    if is_full and options.left:
        if options.take().upper() != b"COUNT":
            raise syntax_error()
        count = integer(options.take())
        count = 10 if count < 0 else count
    stream = _existing(s, key)
    nodes = -(-len(stream.ids) // 100)
    about: dict[bytes, Any] = {
        b"length": len(stream.ids),
        b"radix-tree-keys": nodes,
        b"radix-tree-nodes": nodes + 1,
        b"last-generated-id": text(stream.last),
        b"max-deleted-entry-id": text(stream.deleted),
        b"entries-added": stream.added,
        b"recorded-first-entry-id": text(stream.ids[0] if stream.ids else (0, 0)),
    }
    if s.server.flavour.recent:
        about[b"idmp-duration"] = stream.sent_for
        about[b"idmp-maxsize"] = stream.sent_most
        about[b"pids-tracked"] = len(stream.sent)
        about[b"iids-tracked"] = sum(map(len, stream.sent.values()))
    if is_full:
        ids = stream.ids[:count] if count else stream.ids
        about[b"entries"] = [stream.entry(id_) for id_ in ids]
        about[b"groups"] = [_full(s, stream, name, group, count) for name, group in sorted(stream.groups.items())]
    else:
        about[b"groups"] = len(stream.groups)
        about[b"first-entry"] = stream.entry(stream.ids[0]) if stream.ids else None
        about[b"last-entry"] = stream.entry(stream.ids[-1]) if stream.ids else None
    return about


def _group(s: Session, stream: Stream, name: bytes, group: Group) -> dict[bytes, Any]:
    return {
        b"name": name,
        b"consumers": len(group.consumers),
        b"pending": len(group.pending),
        b"last-delivered-id": text(group.last),
        b"entries-read": group.read,
        b"lag": lag(stream, group, s.server.flavour),
    }


def _consumers(s: Session, group: Group) -> Reply:
    rows, counts, now = [], group.counts(), s.server.ms
    for name, one in sorted(group.consumers.items()):
        row: dict[bytes, Any] = {
            b"name": name,
            b"pending": counts.get(name, 0),
            b"idle": max(0, now - one.seen),
        }
        if s.server.flavour.modern:
            row[b"inactive"] = -1 if one.active < 0 else max(0, now - one.active)
        rows.append(row)
    return rows


def _full(s: Session, stream: Stream, name: bytes, group: Group, count: int) -> dict[bytes, Any]:
    most = count or len(group.order)
    consumers = []
    for consumer, one in sorted(group.consumers.items()):
        own = [id_ for id_ in group.order if group.pending[id_].consumer == consumer]
        row: dict[bytes, Any] = {b"name": consumer, b"seen-time": one.seen}
        if s.server.flavour.modern:
            row[b"active-time"] = one.active
        row[b"pel-count"] = len(own)
        row[b"pending"] = [[text(id_), group.pending[id_].at, group.pending[id_].times] for id_ in own[:most]]
        consumers.append(row)
    pending = [(id_, group.pending[id_]) for id_ in group.order[:most]]
    return {
        b"name": name,
        b"last-delivered-id": text(group.last),
        b"entries-read": group.read,
        b"lag": lag(stream, group, s.server.flavour),
        b"pel-count": len(group.pending),
        b"pending": [[text(id_), one.consumer, one.at, one.times] for id_, one in pending],
        b"consumers": consumers,
    }


COMMANDS: Final = {b"XINFO": Command(xinfo, -2)}
