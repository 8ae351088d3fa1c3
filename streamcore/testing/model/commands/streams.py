"""Commands on the entries of a stream: XADD, XTRIM and XDEL, ranges, XREAD."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..arguments import (
    LAST,
    U64,
    ZERO,
    Id,
    Words,
    integer,
    lower_bound,
    stream_id,
    syntax_error,
    text,
    upper_bound,
)
from ..protocol import NULL_ARRAY, OK, Failure, Pairs, Reply
from ..registry import Command
from ..session import Block, Session
from ..trimming import Trim
from ..values import Stream
from ..versions import Flavour

# -- writing -----------------------------------------------------------------------------------------------------------


def xadd(s: Session, args: list[bytes]) -> Reply:
    options, trim = Words(args, 1), Trim()
    makes, message = True, None
    for word in options:
        if word == b"NOMKSTREAM":
            makes = False
        elif s.server.flavour.recent and word in {b"IDMP", b"IDMPAUTO"}:
            message = (options.take(), options.take() if word == b"IDMP" else None)
        elif not trim.refer(word, s.server.flavour) and not trim.parse(word, options):
            options.at -= 1
            break
    trim.check()
    wanted = options.take() if options.left else b""
    fields = options.rest()
    if not fields or len(fields) % 2:
        raise Failure("ERR wrong number of arguments for 'xadd' command")
    parsed = _parse_new_id(wanted)
    if message is not None and wanted != b"*":
        raise Failure("ERR IDMP/IDMPAUTO can be used only with auto-generated IDs")
    if parsed == (0, 0):
        raise Failure("ERR The ID specified in XADD must be greater than 0-0")
    key, keys = args[0], s.keys
    stream = keys.find(key, Stream)
    if stream is None and not makes:
        return None
    known = stream if stream is not None else _new_stream(s)
    if message is not None and (first := _sent_before(s, known, message, fields)) is not None:
        return text(first)
    id_ = _next_id(s, known, parsed)
    keys.values[key] = known
    known.append(id_, fields)
    if message is not None:
        known.sent[message[0]][_message(message, fields)] = (id_, s.server.ms)
    if trim.length is not None or trim.least is not None:
        trim.run(known)
    keys.touch(key)
    return text(id_)


def _parse_new_id(word: bytes) -> tuple[int | None, int | None]:
    """Parse the id of XADD into milliseconds and sequence number; None: the server chooses."""
    if word == b"*":
        return None, None
    ms, _, seq = word.partition(b"-")
    if seq == b"*":
        return stream_id(ms)[0], None
    return stream_id(word)


def _next_id(s: Session, stream: Stream, wanted: tuple[int | None, int | None]) -> Id:
    ms, seq = wanted
    if stream.last == LAST:
        raise Failure("ERR The stream has exhausted the last possible ID, unable to add more items")
    last_ms, last_seq = stream.last
    if ms is None:
        if s.server.ms > last_ms:
            return s.server.ms, 0
        return (last_ms, last_seq + 1) if last_seq < U64 else (last_ms + 1, 0)
    if seq is None:
        seq = last_seq + 1 if ms == last_ms else 0
    if (ms, seq) <= stream.last or seq > U64:
        raise Failure("ERR The ID specified in XADD is equal or smaller than the target stream top item")
    return ms, seq


def _new_stream(s: Session) -> Stream:
    settings = s.server.config
    duration, most = settings.get(b"stream-idmp-duration", b"100"), settings.get(b"stream-idmp-maxsize", b"100")
    return Stream(sent_for=int(duration), sent_most=int(most))


def _message(message: tuple[bytes, bytes | None], fields: list[bytes]) -> bytes:
    """The identity of a producer's message: its id, or its fields in any order."""
    given = message[1]
    return given if given is not None else repr(sorted(zip(fields[::2], fields[1::2], strict=True))).encode()


def _sent_before(s: Session, stream: Stream, message: tuple[bytes, bytes | None], fields: list[bytes]) -> Id | None:
    if b"" in message:
        raise Failure("ERR syntax error, empty producer or message id")
    messages = stream.sent.setdefault(message[0], {})
    oldest = s.server.ms - stream.sent_for * 1000
    for one in [one for one, (_, at) in messages.items() if at <= oldest]:
        del messages[one]
    known = messages.get(_message(message, fields))
    if known is None and len(messages) >= stream.sent_most:
        del messages[next(iter(messages))]
    return known[0] if known is not None else None


def xcfgset(s: Session, args: list[bytes]) -> Reply:
    stream = s.keys.find(args[0], Stream)
    options = Words(args, 1)
    settings = {b"IDMP-DURATION": 86400, b"IDMP-MAXSIZE": 10000}
    given: dict[bytes, int] = {}
    for word in options:
        if word not in settings:
            raise syntax_error()
        given[word] = integer(options.take())
        if not 1 <= given[word] <= settings[word]:
            raise Failure(f"ERR {word.decode()} must be between 1 and {settings[word]}")
    if stream is None:
        raise Failure("ERR no such key")
    former = stream.sent_for, stream.sent_most
    stream.sent_for = given.get(b"IDMP-DURATION", stream.sent_for)
    stream.sent_most = given.get(b"IDMP-MAXSIZE", stream.sent_most)
    if former != (stream.sent_for, stream.sent_most):
        stream.sent.clear()
    return OK


def xdel(s: Session, args: list[bytes]) -> Reply:
    ids = [stream_id(word) for word in args[1:]]
    stream = s.keys.find(args[0], Stream)
    if stream is None:
        return 0
    count = sum(stream.delete(id_) for id_ in ids)
    if count:
        s.keys.touch(args[0], wakes=False)
    return count


def xtrim(s: Session, args: list[bytes]) -> Reply:
    options, trim = Words(args, 1), Trim()
    for word in options:
        if not trim.refer(word, s.server.flavour) and not trim.parse(word, options):
            raise syntax_error()
    trim.check()
    if trim.length is None and trim.least is None:
        raise Failure("ERR syntax error, XTRIM must be called with MAXLEN or MINID")
    stream = s.keys.find(args[0], Stream)
    if stream is None:
        return 0
    count = trim.run(stream)
    if count:
        s.keys.touch(args[0], wakes=False)
    return count


def xsetid(s: Session, args: list[bytes]) -> Reply:
    id_, options = stream_id(args[1]), Words(args, 2)
    added, deleted = None, None
    for word in options:
        match word:
            case b"ENTRIESADDED":
                added = integer(options.take())
                if added < 0:
                    raise Failure("ERR entries_added must be positive")
            case b"MAXDELETEDID":
                deleted = stream_id(options.take())
                if id_ < deleted:
                    raise Failure("ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id")
            case _:
                raise syntax_error()
    stream = s.keys.find(args[0], Stream)
    if stream is None:
        raise Failure("ERR no such key")
    if s.server.flavour.modern and id_ < stream.deleted:
        raise Failure("ERR The ID specified in XSETID is smaller than current max_deleted_entry_id")
    if stream.ids and id_ < stream.ids[-1]:
        raise Failure("ERR The ID specified in XSETID is smaller than the target stream top item")
    if stream.ids and added is not None and added < len(stream.ids):
        raise Failure("ERR The entries_added specified in XSETID is smaller than the target stream length")
    stream.last = id_
    stream.added = stream.added if added is None else added
    stream.deleted = deleted if deleted is not None and deleted != ZERO else stream.deleted
    return OK


# -- reading -----------------------------------------------------------------------------------------------------------


def xlen(s: Session, args: list[bytes]) -> Reply:
    stream = s.keys.find(args[0], Stream)
    return 0 if stream is None else len(stream.ids)


def xrange(s: Session, args: list[bytes]) -> Reply:
    return _range(s, args, args[1], args[2], newest_first=False)


def xrevrange(s: Session, args: list[bytes]) -> Reply:
    return _range(s, args, args[2], args[1], newest_first=True)


def _range(s: Session, args: list[bytes], first: bytes, last: bytes, *, newest_first: bool) -> Reply:
    low, high, count = lower_bound(first), upper_bound(last), -1
    options = Words(args, 3)
    for word in options:
        if word != b"COUNT":
            raise syntax_error()
        count = max(0, integer(options.take()))
    stream = s.keys.find(args[0], Stream)
    if stream is None:
        return []
    if not count:
        return NULL_ARRAY
    ids = stream.between(low, high)
    if newest_first:
        ids.reverse()
    return [stream.entry(id_) for id_ in (ids if count < 0 else ids[:count])]


@dataclass(slots=True)
class Reading:
    """The options of XREAD and XREADGROUP; ``block`` and ``claim`` in milliseconds, a ``count`` of 0 means all."""

    keys: list[bytes]
    starts: list[bytes]
    count: int = 0
    block: int | None = None
    group: bytes | None = None
    consumer: bytes = b""
    noack: bool = False
    claim: int | None = None


def parse_reading(args: list[bytes], command: str, flavour: Flavour) -> Reading:
    """Parse the arguments of XREAD or XREADGROUP."""
    options, reading = Words(args), Reading([], [])
    for word in options:
        match word:
            case b"BLOCK":
                reading.block = integer(options.take(), "ERR timeout is not an integer or out of range")
                if reading.block < 0:
                    raise Failure("ERR timeout is negative")
            case b"COUNT":
                reading.count = max(0, integer(options.take()))
            case b"GROUP" if options.left >= 2:
                if command == "xread":
                    raise Failure("ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.")
                reading.group, reading.consumer = options.take(), options.take()
            case b"NOACK":
                if command == "xread":
                    raise Failure("ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.")
                reading.noack = True
            case b"CLAIM" if flavour.recent:
                reading.claim = integer(options.take(), "ERR min-idle-time is not an integer or out of range")
                if reading.claim < 0:
                    raise Failure("ERR min-idle-time must be a positive integer")
                if command == "xread":
                    raise Failure("ERR The CLAIM option is only supported by XREADGROUP. You called XREAD instead.")
            case b"STREAMS":
                rest = options.rest()
                if not rest or len(rest) % 2:
                    raise Failure(
                        f"ERR Unbalanced '{command}' list of streams: for each stream key an ID or '$' must be specified."
                    )
                half = len(rest) // 2
                reading.keys, reading.starts = rest[:half], rest[half:]
            case _:
                raise syntax_error()
    if not reading.keys:
        raise syntax_error()
    if command == "xreadgroup" and reading.group is None:
        raise Failure("ERR Missing GROUP option for XREADGROUP")
    return reading


def xread(s: Session, args: list[bytes]) -> Reply:
    reading = parse_reading(args, "xread", s.server.flavour)
    starts: dict[int, Id] = {}
    for at, (key, word) in enumerate(zip(reading.keys, reading.starts, strict=True)):
        stream = s.keys.find(key, Stream)
        if word == b"$":
            starts[at] = stream.last if stream is not None else ZERO
        elif word == b"+" and s.server.flavour.modern:
            starts[at] = _before_the_last(s, stream)
        elif word == b">":
            raise Failure("ERR The > ID can be specified only when calling XREADGROUP using the GROUP option.")
        else:
            starts[at] = stream_id(word)

    def serve(only: bytes | None = None) -> Reply:
        found = Pairs()
        for at, start in starts.items():
            key = reading.keys[at]
            if only is not None and key != only:
                continue
            stream = s.keys.find(key, Stream)
            if reading.starts[at] == b"+" and s.server.flavour.name == b"redis":  # always the last entry that there is
                start = _before_the_last(s, stream)  # noqa: PLW2901
            ids = stream.after(start, reading.count) if stream is not None else []
            if stream is not None and (ids or (only is not None and stream.last > start)):  # trimmed at once: 7.0
                found.append((key, [stream.entry(id_) for id_ in ids]))
        return found or None

    found = serve()
    if found is not None:
        return found
    if reading.block is None or not s.may_block:
        return NULL_ARRAY

    def retry(key: bytes) -> Reply:
        if not isinstance(s.keys.raw(key), Stream):
            return None
        return serve(None if s.server.flavour.modern else key)

    return Block(reading.keys, reading.block, retry)


def _before_the_last(s: Session, stream: Stream | None) -> Id:
    """The id that ``+`` of XREAD starts behind: below the last entry, or, with Valkey, below the last id."""
    if stream is None:
        return ZERO
    ms, seq = stream.ids[-1] if stream.ids and s.server.flavour.name == b"redis" else stream.last
    return (ms, seq - 1) if seq else (ms - 1, U64) if ms else ZERO


COMMANDS: Final = {
    b"XADD": Command(xadd, -5, "wm"),
    b"XCFGSET": Command(xcfgset, -4, "w", is_recent=True),
    b"XDEL": Command(xdel, -3, "w"),
    b"XTRIM": Command(xtrim, -4, "w"),
    b"XSETID": Command(xsetid, -3, "wm"),
    b"XLEN": Command(xlen, 2),
    b"XRANGE": Command(xrange, -4),
    b"XREVRANGE": Command(xrevrange, -4),
    b"XREAD": Command(xread, -4),
}
