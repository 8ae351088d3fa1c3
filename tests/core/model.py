"""A model of a server: streams, groups and pending lists, as the engines' few commands need them.

Blocked reads are served in the order in which they began, also those of a client that has gone away without a word.
``net.py`` joins it with an engine.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from streamcore.entries import StreamId
from streamcore.errors import BusyGroupError, NoGroupError, ReplyError, WrongTypeError
from tests.core.pair import HELLO, Simple

NO_KEY = ReplyError("ERR", "no such key")
OK = Simple("OK")
BLOCKED = object()  # instead of a reply
ZERO = StreamId(0, 0)
MAX = StreamId((1 << 64) - 1, (1 << 64) - 1)


@dataclass
class Delivery:
    consumer: bytes
    at: float
    times: int


@dataclass
class Group:
    last: StreamId
    pending: dict[StreamId, Delivery] = field(default_factory=dict)

    def of(self, consumer: bytes | None = None) -> list[StreamId]:
        return [id_ for id_ in sorted(self.pending) if consumer in {None, self.pending[id_].consumer}]


@dataclass
class Stream:
    entries: dict[StreamId, list[bytes]] = field(default_factory=dict)  # in id order
    last: StreamId = ZERO
    added: int = 0
    deleted: StreamId = ZERO  # the highest id that XDEL has removed
    groups: dict[bytes, Group] = field(default_factory=dict)

    def trim(self, length: int) -> int:
        gone = list(self.entries)[: max(0, len(self.entries) - length)]
        for id_ in gone:
            del self.entries[id_]
        return len(gone)

    def after(self, id_: StreamId, count: int) -> list[Any]:
        return [self.raw(other) for other in self.entries if other > id_][:count]

    def raw(self, id_: StreamId) -> list[Any]:
        return [str(id_), self.entries[id_]]


class Session:
    """The server's end of a connection: what waits to be run, what waits to be written."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.name = b""
        self.inbox: deque[list[bytes]] = deque()
        self.outbox: list[Any] = []
        self.blocked: tuple[list[bytes], float] | None = None
        self.open = True


class Server:
    def __init__(self) -> None:
        self.now = 1000.0
        self.run_id = "one"
        self.streams: dict[bytes, Stream | None] = {}  # None: a key of another type
        self.sessions: dict[int, Session] = {}
        self.forbidden: set[bytes] = set()
        self.unavailable: ReplyError | None = None
        self.seen: deque[list[bytes]] = deque(maxlen=1000)
        self._numbers = iter(range(100, 1_000_000))

    # -- what others do to it -----------------------------------------------------------------------------------------

    def add(self, name: str, id_: str | StreamId, **fields: str) -> None:
        stream = self._stream(name.encode())
        stream.last = id_ if isinstance(id_, StreamId) else StreamId.parse(id_)
        stream.added += 1
        stream.entries[stream.last] = [part.encode() for pair in (fields or {"f": "v"}).items() for part in pair]
        self.wake()

    def do(self, *words: Any) -> Any:
        """Run a command for somebody else."""
        session = Session(0)
        self.run(session, [word if isinstance(word, bytes) else str(word).encode() for word in words])
        self.wake()
        return session.outbox[0] if session.outbox else None

    def group(self, stream: str = "s", group: str = "g") -> Group:
        found = self.streams[stream.encode()]
        assert found is not None
        return found.groups[group.encode()]

    # -- sessions -----------------------------------------------------------------------------------------------------

    def connect(self) -> Session:
        session = Session(next(self._numbers))
        self.sessions[session.number] = session
        return session

    def close(self, session: Session) -> None:
        session.open = False
        session.blocked = None
        session.inbox.clear()
        self.sessions.pop(session.number, None)

    def step(self, session: Session) -> bool:
        """Run the next command of a session; whether there was one that could be run."""
        if session.blocked is not None or not session.inbox:
            return False
        self.run(session, session.inbox.popleft())
        self.wake()
        return True

    def run(self, session: Session, command: list[bytes]) -> None:
        self.seen.append(command)
        reply = self._reply(session, command)
        if reply is BLOCKED:
            block = command[command.index(b"BLOCK") + 1]
            session.blocked = (command, self.now + int(block) / 1000)
        else:
            session.outbox.append(reply)

    def wake(self) -> None:
        """Serve blocked readers, the first come first."""
        for session in list(self.sessions.values()):
            if session.blocked is not None:
                command, until = session.blocked
                reply = self._reply(session, command)
                if reply is not BLOCKED or until <= self.now:
                    session.blocked = None
                    session.outbox.append(None if reply is BLOCKED else reply)

    def _reply(self, session: Session, command: list[bytes]) -> Any:
        word, *args = command
        subcommand = args[0].upper() if args else b""
        if {word, word + b" " + subcommand} & self.forbidden:
            return ReplyError("NOPERM", "this user has no permissions to run the command")
        if self.unavailable is not None and word not in {b"HELLO", b"CLIENT", b"INFO"}:
            return self.unavailable
        run: Callable[..., Any] = getattr(self, f"_{word.decode().lower()}")
        try:
            return run(session, *args)
        except ReplyError as error:
            return error

    # -- connection and server ----------------------------------------------------------------------------------------

    def _hello(self, session: Session, *args: bytes) -> Any:
        if b"SETNAME" in args:
            session.name = args[args.index(b"SETNAME") + 1]
        return {**HELLO, "id": session.number}

    def _client(self, session: Session, word: bytes, *args: bytes) -> Any:
        match word, args:
            case b"LIST", (b"ID", number):
                found = self.sessions.get(int(number))
                return "" if found is None else b"id=%d addr=1.2.3.4 name=%b db=0\n" % (found.number, found.name)
            case b"KILL", (b"ID", number) if int(number) in self.sessions:
                self.close(self.sessions[int(number)])
                return 1
            case b"KILL", _:
                return 0
            case b"UNBLOCK", (number,):
                found = self.sessions.get(int(number))
                if found is None or found.blocked is None:
                    return 0
                found.blocked = None
                found.outbox.append(None)
                return 1
            case _:
                return OK

    def _info(self, session: Session, section: bytes) -> Any:
        return f"# Server\r\nrun_id:{self.run_id}\r\nhz:10\r\n"

    def _ping(self, session: Session) -> Any:
        return OK

    # -- streams and groups -------------------------------------------------------------------------------------------

    def _stream(self, name: bytes, *, create: bool = True) -> Stream:
        if create:
            self.streams.setdefault(name, Stream())
        elif name not in self.streams:
            raise NO_KEY
        stream = self.streams[name]
        if stream is None:
            raise WrongTypeError("WRONGTYPE", "Operation against a key holding the wrong kind of value")
        return stream

    def _group(self, name: bytes, group: bytes) -> tuple[Stream, Group]:
        stream = self._stream(name, create=False) if name in self.streams else Stream()
        if group not in stream.groups:
            raise NoGroupError("NOGROUP", f"No such key '{name!r}' or consumer group '{group!r}'")
        return stream, stream.groups[group]

    def _xinfo(self, session: Session, what: bytes, name: bytes) -> Any:
        stream = self._stream(name, create=False)
        if what == b"STREAM":
            there = list(stream.entries)
            return {
                "length": len(there),
                "last-generated-id": str(stream.last),
                "max-deleted-entry-id": str(stream.deleted),
                "entries-added": stream.added,
                "first-entry": stream.raw(there[0]) if there else None,
                "last-entry": stream.raw(there[-1]) if there else None,
            }
        return [
            {"name": group, "pending": len(state.pending), "last-delivered-id": str(state.last), "lag": None}
            for group, state in stream.groups.items()
        ]

    def _xgroup(self, session: Session, what: bytes, name: bytes, group: bytes, *args: bytes) -> Any:
        stream = self._stream(name, create=b"MKSTREAM" in args)
        if what == b"DESTROY":
            return int(stream.groups.pop(group, None) is not None)
        if group in stream.groups:
            raise BusyGroupError("BUSYGROUP", "Consumer Group name already exists")
        stream.groups[group] = Group(stream.last if args[0] == b"$" else StreamId.parse(args[0]))
        return OK

    def _del(self, session: Session, name: bytes) -> Any:
        return int(self.streams.pop(name, None) is not None)

    def _xdel(self, session: Session, name: bytes, *ids: bytes) -> Any:
        stream = self._stream(name)
        gone = [id_ for id_ in map(StreamId.parse, ids) if stream.entries.pop(id_, None) is not None]
        stream.deleted = max([stream.deleted, *gone])
        return len(gone)

    def _xtrim(self, session: Session, name: bytes, _: bytes, length: bytes) -> Any:
        return self._stream(name).trim(int(length))

    def _xrange(self, session: Session, name: bytes, start: bytes, end: bytes) -> Any:
        stream = self._stream(name, create=False) if name in self.streams else Stream()
        low, high = StreamId.parse(start), StreamId.parse(end)
        return [stream.raw(id_) for id_ in stream.entries if low <= id_ <= high]

    # -- reading ------------------------------------------------------------------------------------------------------

    def _xread(self, session: Session, *args: bytes) -> Any:
        names, starts, count = _reading(args)
        found = {}
        for name, start in zip(names, starts, strict=True):
            if name in self.streams and (entries := self._stream(name).after(StreamId.parse(start), count)):
                found[name] = entries
        return found or (BLOCKED if b"BLOCK" in args else None)

    def _xreadgroup(self, session: Session, _: bytes, group: bytes, consumer: bytes, *args: bytes) -> Any:
        names, _starts, count = _reading(args)
        found = {}
        for name, (stream, state) in [(name, self._group(name, group)) for name in names]:
            if entries := stream.after(state.last, count):
                found[name] = entries
                state.last = StreamId.parse(entries[-1][0])
                state.pending |= {StreamId.parse(id_): Delivery(consumer, self.now, 1) for id_, _ in entries}
        return found or (BLOCKED if b"BLOCK" in args else None)

    # -- pending entries ----------------------------------------------------------------------------------------------

    def _xack(self, session: Session, name: bytes, group: bytes, *ids: bytes) -> Any:
        try:
            pending = self._group(name, group)[1].pending
        except NoGroupError:
            return 0
        return sum(pending.pop(StreamId.parse(id_), None) is not None for id_ in ids)

    def _xpending(self, session: Session, name: bytes, group: bytes, *args: bytes) -> Any:
        state = self._group(name, group)[1]
        if not args:
            ids, owners = state.of(), [delivery.consumer for delivery in state.pending.values()]
            counts = [[owner, str(owners.count(owner))] for owner in sorted(set(owners))]
            return [len(ids), str(ids[0]), str(ids[-1]), counts] if ids else [0, None, None, None]
        least, args = (int(args[1]), args[2:]) if args[0] == b"IDLE" else (0, args)
        low, high, count, *whose = args
        listed = [(id_, state.pending[id_]) for id_ in state.of(*whose) if _bound(low) <= id_ <= _bound(high)]
        rows = [(str(id_), d.consumer, round((self.now - d.at) * 1000), d.times) for id_, d in listed]
        return [list(row) for row in rows if row[2] >= least][: int(count)]

    def _xclaim(self, session: Session, name: bytes, group: bytes, consumer: bytes, idle: bytes, *args: bytes) -> Any:
        stream, state = self._group(name, group)
        claimed: list[Any] = []
        at = next(at for at, word in enumerate(args) if word in {b"IDLE", b"JUSTID", b"RETRYCOUNT"})
        since = self.now - int(args[at + 1]) / 1000 if args[at] == b"IDLE" else self.now
        for id_ in map(StreamId.parse, args[:at]):
            delivery = state.pending.get(id_)
            if delivery is None or round((self.now - delivery.at) * 1000) < int(idle):
                continue
            if id_ not in stream.entries:
                del state.pending[id_]
                continue
            times = int(args[at + 1]) if args[at] == b"RETRYCOUNT" else delivery.times
            state.pending[id_] = Delivery(consumer, since, times)
            claimed.append(str(id_) if b"JUSTID" in args else stream.raw(id_))
        return claimed


def _bound(text: bytes) -> StreamId:
    if text in {b"-", b"+"}:
        return ZERO if text == b"-" else MAX
    if text.startswith(b"("):
        id_ = StreamId.parse(text[1:])
        return StreamId(id_.ms, id_.seq + 1)
    return StreamId.parse(text)


def _reading(args: Sequence[bytes]) -> tuple[Sequence[bytes], Sequence[bytes], int]:
    """The streams, their ids and the COUNT of XREAD or XREADGROUP."""
    at = args.index(b"STREAMS") + 1
    half = (len(args) - at) // 2
    return args[at : at + half], args[at + half :], int(args[args.index(b"COUNT") + 1])
