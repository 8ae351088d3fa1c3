"""Commands of consumer groups: XGROUP, XREADGROUP, XACK, and how many entries a group has read."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ..arguments import ZERO, Id, Words, integer, stream_id, syntax_error, text
from ..protocol import NULL_ARRAY, OK, Failure, Pairs, Reply
from ..registry import Command
from ..session import Block, Session
from ..values import Consumer, Group, Stream
from ..versions import Flavour
from .streams import Reading, parse_reading


def find_group(s: Session, key: bytes, group: bytes) -> tuple[Stream, Group]:
    """Find a stream and its group. Raises NOGROUP where either is missing."""
    stream = s.keys.find(key, Stream)
    if stream is None or group not in stream.groups:
        names = f"'{key.decode(errors='replace')}' or consumer group '{group.decode(errors='replace')}'"
        raise Failure(f"NOGROUP No such key {names}")
    return stream, stream.groups[group]


def heard_of(s: Session, group: Group, name: bytes) -> Consumer:
    """Find a consumer of the group, or create it, and note that it was seen now."""
    consumer = group.consumers.setdefault(name, Consumer(s.server.ms))
    consumer.seen = s.server.ms
    return consumer


# -- how far a group is ------------------------------------------------------------------------------------------------


def _has_tombstones(stream: Stream, start: Id, flavour: Flavour) -> bool:
    """Whether an entry behind an id may have been deleted (XDEL), so that the server cannot count."""
    if not stream.ids or stream.deleted == ZERO or (flavour.name == b"redis" and stream.ids[0] > stream.deleted):
        return False
    return start <= stream.deleted


def entries_until(stream: Stream, id_: Id, flavour: Flavour) -> int | None:
    """How many entries were ever added up to an id; None where the server cannot tell."""
    if not stream.added:
        return 0
    if not stream.ids and id_ <= stream.last:
        return stream.added
    if flavour.modern and id_ != ZERO and id_ < stream.deleted:
        return None
    if id_ == stream.last:
        return stream.added
    if id_ > stream.last:
        return None
    if stream.deleted == ZERO or stream.deleted < stream.ids[0]:
        if id_ < stream.ids[0]:
            return stream.added - len(stream.ids)
        if id_ == stream.ids[0]:
            return stream.added - len(stream.ids) + 1
    return None


def lag(stream: Stream, group: Group, flavour: Flavour) -> int | None:
    """How many entries the group has to read yet; None where the server cannot tell."""
    if not stream.added or (flavour.counts and not stream.ids):
        return 0
    if flavour.counts and group.last < stream.ids[0] and stream.deleted < stream.ids[0]:
        return len(stream.ids)
    if group.read is not None and not _has_tombstones(stream, group.last, flavour):
        return stream.added - group.read
    read = entries_until(stream, group.last, flavour)
    return None if read is None else stream.added - read


def _advance(stream: Stream, group: Group, id_: Id, flavour: Flavour) -> None:
    """Move the group's last-delivered id to an entry, and count it as read."""
    if (
        group.read is not None
        and not _has_tombstones(stream, group.last if flavour.modern else id_, flavour)
        and (not flavour.modern or not stream.ids or group.last >= stream.ids[0])
    ):
        group.read += 1
    elif stream.added:
        group.read = entries_until(stream, id_, flavour)
    group.last = id_


# -- XGROUP ------------------------------------------------------------------------------------------------------------


def xgroup(s: Session, args: list[bytes]) -> Reply:
    word, rest = args[0].upper(), args[1:]
    match word, len(rest):
        case b"CREATE", n if 3 <= n <= 6:
            return _create(s, rest[0], rest[1], rest[2], Words(rest, 3))
        case b"SETID", 3 | 5:
            return _set_id(s, rest[0], rest[1], rest[2], Words(rest, 3))
        case b"DESTROY", 2:
            return _destroy(s, *rest)
        case b"CREATECONSUMER", 3:
            return _create_consumer(s, *rest)
        case b"DELCONSUMER", 3:
            return _delete_consumer(s, *rest)
    name = word.decode(errors="replace")
    raise Failure(f"ERR unknown subcommand or wrong number of arguments for '{name}'. Try XGROUP HELP.")


def _position(stream: Stream | None, word: bytes) -> Id:
    return (stream.last if stream is not None else ZERO) if word == b"$" else stream_id(word)


def _entries_read(options: Words) -> int | None:
    read = integer(options.take())
    if read < -1:
        raise Failure("ERR value for ENTRIESREAD must be positive or -1")
    return None if read == -1 else read


def _bounded(s: Session, stream: Stream, read: int | None) -> int | None:
    return min(read, stream.added) if read is not None and s.server.flavour.counts else read


def _missing_key() -> Failure:
    return Failure(
        "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM "
        "option to create an empty stream automatically."
    )


def _create(s: Session, key: bytes, name: bytes, start: bytes, options: Words) -> Reply:
    makes, read = False, None
    for word in options:
        if word == b"MKSTREAM":
            makes = True
        elif word == b"ENTRIESREAD":
            read = _entries_read(options)
        else:
            raise syntax_error()
    stream = s.keys.find(key, Stream)
    if stream is None and not makes:
        raise _missing_key()
    position = _position(stream, start)
    if stream is not None and name in stream.groups:
        raise Failure("BUSYGROUP Consumer Group name already exists")
    if stream is None:
        stream = s.keys.make(key, Stream)
        s.keys.touch(key)
    stream.groups[name] = Group(position, _bounded(s, stream, read))
    return OK


def _existing(s: Session, key: bytes, name: bytes) -> tuple[Stream, Group]:
    stream = s.keys.find(key, Stream)
    if stream is None:
        raise _missing_key()
    if name not in stream.groups:
        group, where = name.decode(errors="replace"), key.decode(errors="replace")
        raise Failure(f"NOGROUP No such consumer group '{group}' for key name '{where}'")
    return stream, stream.groups[name]


def _set_id(s: Session, key: bytes, name: bytes, start: bytes, options: Words) -> Reply:
    read = None
    for word in options:
        if word != b"ENTRIESREAD":
            raise syntax_error()
        read = _entries_read(options)
    stream, group = _existing(s, key, name)
    group.last, group.read = _position(stream, start), _bounded(s, stream, read)
    return OK


def _destroy(s: Session, key: bytes, name: bytes) -> Reply:
    stream = s.keys.find(key, Stream)
    if stream is None:
        raise _missing_key()
    if stream.groups.pop(name, None) is None:
        return 0
    s.server.waiting.wake(s.keys, key)
    return 1


def _create_consumer(s: Session, key: bytes, name: bytes, consumer: bytes) -> Reply:
    group = _existing(s, key, name)[1]
    if consumer in group.consumers:
        return 0
    group.consumers[consumer] = Consumer(s.server.ms)
    return 1


def _delete_consumer(s: Session, key: bytes, name: bytes, consumer: bytes) -> Reply:
    group = _existing(s, key, name)[1]
    if group.consumers.pop(consumer, None) is None:
        return 0
    s.server.onlookers.note(s.keys, key)
    pending = [id_ for id_ in group.order if group.pending[id_].consumer == consumer]
    for id_ in pending:
        group.settle(id_)
    return len(pending)


# -- reading and acknowledging -----------------------------------------------------------------------------------------


def xreadgroup(s: Session, args: list[bytes]) -> Reply:
    reading = parse_reading(args, "xreadgroup", s.server.flavour)
    modern, name = s.server.flavour.modern, reading.group or b""
    starts: list[Id | None] = []
    for key, word in zip(reading.keys, reading.starts, strict=True):
        find_group(s, key, name)
        if word == b"$":
            raise Failure("ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history")
        starts.append(None if word == b">" else stream_id(word))

    def serve(only: bytes | None = None) -> Reply:
        found = Pairs()
        empty_too = only is not None  # as 7.0 serves an entry that was trimmed at once
        wanted = [(key, at) for key, at in zip(reading.keys, starts, strict=True) if only is None or key == only]
        groups = [find_group(s, key, name) for key, _ in wanted]
        claims = reading
        for (key, start), (stream, group) in zip(wanted, groups, strict=True):
            if start is not None:
                heard_of(s, group, reading.consumer)
                found.append((key, _history(s, stream, group, reading, start)))
                claims = replace(reading, claim=None)  # behind entries that were handed over before, none are claimed
            elif claimed := _claim(s, stream, group, claims):
                found.append((key, claimed))
            elif (stream.ids and stream.ids[-1] > group.last) or (empty_too and stream.last > group.last):
                consumer = heard_of(s, group, reading.consumer)
                if not reading.noack:
                    consumer.active = s.server.ms
                found.append((key, _deliver(s, stream, group, reading)))
            elif modern:
                heard_of(s, group, reading.consumer)
        return found or None

    def retry(key: bytes) -> Reply:
        if modern:
            return serve()
        try:
            return serve(key)
        except Failure:
            if isinstance(s.keys.raw(key), Stream):
                raise Failure("NOGROUP the consumer group this client was blocked on no longer exists") from None
            raise Failure("UNBLOCKED the stream key no longer exists") from None

    found = serve()
    if found is not None:
        return found
    if reading.block is None or not s.may_block:
        return NULL_ARRAY

    def record(key: bytes) -> list[bytes]:
        return [b"XREADGROUP", *(args if modern else [*args[: -2 * len(reading.keys)], key, b">"])]

    def due() -> int | None:
        streams = [s.keys.raw(key) for key in reading.keys]
        found = [(one, one.groups[name]) for one in streams if isinstance(one, Stream) and name in one.groups]
        first = [group.pending[id_].at for stream, group in found for id_ in _claimable(stream, group)[:1]]
        return min(first) + (reading.claim or 0) if first else None

    return Block(reading.keys, reading.block, retry, record, due=None if reading.claim is None else due)


def _history(s: Session, stream: Stream, group: Group, reading: Reading, start: Id) -> Reply:
    """Deliver the consumer's pending entries behind an id once more; each counts a delivery."""
    rows: list[Reply] = []
    for id_ in group.between((start[0], start[1] + 1)):
        delivery = group.pending[id_]
        if delivery.consumer != reading.consumer:
            continue
        if reading.count and len(rows) == reading.count:
            break
        if id_ in stream.fields:
            group.deliver(id_, reading.consumer, s.server.ms, delivery.times + 1)
            rows.append(stream.entry(id_))
        else:
            rows.append([text(id_), NULL_ARRAY])
    return rows


def _deliver(s: Session, stream: Stream, group: Group, reading: Reading) -> Reply:
    """Deliver the next entries to a consumer; they become pending, but with NOACK."""
    ids = stream.after(group.last, reading.count)
    for id_ in ids:
        _advance(stream, group, id_, s.server.flavour)
        if not reading.noack:
            group.deliver(id_, reading.consumer, s.server.ms)
    return [stream.entry(id_) for id_ in ids]


def _claim(s: Session, stream: Stream, group: Group, reading: Reading) -> Reply:
    """Claim entries that are idle for long enough, the longest first, then deliver new entries; None where there are neither."""
    if reading.claim is None:
        return None
    idle = [(id_, s.server.ms - group.pending[id_].at) for id_ in _claimable(stream, group)]
    claimed = [(id_, max(0, ms)) for id_, ms in idle if ms >= reading.claim][: reading.count or None]
    left = reading.count - len(claimed)
    rows: list[Reply] = []
    for id_, ms in claimed:
        times = group.pending[id_].times
        rows.append([*stream.entry(id_), ms, times])
        group.deliver(id_, reading.consumer, s.server.ms, times + 1)
    if left or not reading.count:
        new = _deliver(s, stream, group, replace(reading, count=left if reading.count else 0))
        rows += [[*entry, 0, 0] for entry in new]
    if rows:
        consumer = heard_of(s, group, reading.consumer)
        if claimed or not reading.noack:
            consumer.active = s.server.ms
    return rows or None


def _claimable(stream: Stream, group: Group) -> list[Id]:
    """The pending entries that are not deleted, the longest idle first."""
    ids = [id_ for id_ in group.pending if id_ in stream.fields]
    return sorted(ids, key=lambda id_: group.pending[id_].at)


def xack(s: Session, args: list[bytes]) -> Reply:
    stream = s.keys.find(args[0], Stream)
    if stream is None or args[1] not in stream.groups:
        return 0
    ids = [stream_id(word) for word in args[2:]]
    return sum(stream.groups[args[1]].settle(id_) for id_ in ids)


COMMANDS: Final = {
    b"XGROUP": Command(xgroup, -2, "wm"),
    b"XREADGROUP": Command(xreadgroup, -7, "w"),
    b"XACK": Command(xack, -4, "w"),
}
