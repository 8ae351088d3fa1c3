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
from streamcore.errors import BusyGroupError, NoGroupError, OutOfMemoryError, ReplyError, WrongTypeError
from streamcore.scripts.group import ACK_OWNED, BURY, GIVE_BACK, RELEASE, REMOVE
from streamcore.scripts.lease import HOLD, LET_GO
from streamcore.testing.resp import HELLO, Simple

NO_KEY = ReplyError("ERR", "no such key")
OK = Simple("OK")
CHANGING = (b"dead:reason", b"dead:attempts")  # of a letter, each time that it is written
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
    seen: dict[bytes, float] = field(default_factory=dict)  # the consumers, and when each was heard of

    def of(self, consumer: bytes | None = None) -> list[StreamId]:
        return [id_ for id_ in sorted(self.pending) if consumer in {None, self.pending[id_].consumer}]


@dataclass
class Stream:
    entries: dict[StreamId, list[bytes]] = field(default_factory=dict)  # in id order
    last: StreamId = ZERO
    history: list[StreamId] = field(default_factory=list)  # the ids of all that was ever added
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
        self.history = "h"  # another one after each change of role
        self.streams: dict[bytes, Stream | None] = {}  # None: a key of another type
        self.hashes: dict[bytes, dict[bytes, bytes]] = {}
        self.schedules: dict[bytes, dict[bytes, float]] = {}  # sorted sets
        self.sessions: dict[int, Session] = {}
        self.forbidden: set[bytes] = set()
        self.forbidden_keys: set[bytes] = set()
        self.unavailable: ReplyError | None = None
        self.is_full = False  # over its memory limit: what would need more is refused
        self.seen: deque[list[bytes]] = deque(maxlen=1000)
        self.before: Callable[[list[bytes]], object] = len  # called with each command of a session, before it is run
        self._numbers = iter(range(100, 1_000_000))

    # -- what others do to it -----------------------------------------------------------------------------------------

    def add(self, name: str, id_: str | StreamId, **fields: str) -> None:
        stream = self._stream(name.encode())
        stream.last = id_ if isinstance(id_, StreamId) else StreamId.parse(id_)
        stream.history.append(stream.last)
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

    def restart(self) -> None:
        """Another run, with the same data: all connections are gone, and their ids begin anew."""
        for session in list(self.sessions.values()):
            self.close(session)
        self.run_id += "+"
        self._numbers = iter(range(100, 1_000_000))

    def step(self, session: Session) -> bool:
        """Run the next command of a session; whether there was one that could be run."""
        if session.blocked is not None or not session.inbox:
            return False
        self.run(session, session.inbox.popleft())
        self.wake()
        return True

    def run(self, session: Session, command: list[bytes]) -> None:
        if session.number:
            self.before(command)
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
        if not self.forbidden_keys.isdisjoint(args):
            return ReplyError("NOPERM", "No permissions to access a key")
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

    def _info(self, session: Session, *sections: bytes) -> Any:
        return f"# Server\r\nrun_id:{self.run_id}\r\nhz:10\r\n\r\n# Replication\r\nmaster_replid:{self.history}\r\n"

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

    def _xinfo(self, session: Session, what: bytes, name: bytes, *group: bytes) -> Any:
        stream = self._stream(name, create=False)
        if what == b"CONSUMERS":
            state = self._group(name, group[0])[1]
            return [
                {"name": one, "pending": len(state.of(one)), "idle": round((self.now - at) * 1000)}
                for one, at in state.seen.items()
            ]
        if what == b"STREAM":
            there = list(stream.entries)
            return {
                "length": len(there),
                "last-generated-id": str(stream.last),
                "max-deleted-entry-id": str(stream.deleted),
                "entries-added": len(stream.history),
                "first-entry": stream.raw(there[0]) if there else None,
                "last-entry": stream.raw(there[-1]) if there else None,
            }
        return [
            {
                "name": group,
                "consumers": len(state.seen),
                "pending": len(state.pending),
                "last-delivered-id": str(state.last),
                "entries-read": sum(id_ <= state.last for id_ in stream.history),
                "lag": None,
            }
            for group, state in stream.groups.items()
        ]

    def _xgroup(self, session: Session, what: bytes, name: bytes, group: bytes, *args: bytes) -> Any:
        stream = self._stream(name, create=b"MKSTREAM" in args)
        if what == b"DESTROY":
            return int(stream.groups.pop(group, None) is not None)
        if what == b"SETID":
            stream.groups[group].last = StreamId.parse(args[0])
            return OK
        if what == b"CREATECONSUMER":
            seen = self._group(name, group)[1].seen
            is_new = args[0] not in seen
            seen.setdefault(args[0], self.now)
            return int(is_new)
        if group in stream.groups:
            raise BusyGroupError("BUSYGROUP", "Consumer Group name already exists")
        stream.groups[group] = Group(stream.last if args[0] == b"$" else StreamId.parse(args[0]))
        return OK

    def _del(self, session: Session, name: bytes) -> Any:
        return int(self.streams.pop(name, None) is not None)

    def _xdel(self, session: Session, name: bytes, *ids: bytes) -> Any:
        stream = self._stream(name, create=False) if name in self.streams else Stream()
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
            if name not in self.streams:
                continue
            stream = self._stream(name)
            if entries := stream.after(stream.last if start == b"$" else StreamId.parse(start), count):
                found[name] = entries
        return found or (BLOCKED if b"BLOCK" in args else None)

    def _xreadgroup(self, session: Session, _: bytes, group: bytes, consumer: bytes, *args: bytes) -> Any:
        names, starts, count = _reading(args)
        found: dict[bytes, Any] = {}
        for name, start, (stream, state) in [
            (n, at, self._group(n, group)) for n, at in zip(names, starts, strict=True)
        ]:
            if session.blocked is None:
                state.seen[consumer] = self.now
            if start != b">":
                behind = [id_ for id_ in state.of(consumer) if id_ > StreamId.parse(start)][:count]
                found[name] = [self._once_more(stream, state, id_) for id_ in behind]
            elif entries := stream.after(state.last, count):
                found[name] = entries
                state.last = StreamId.parse(entries[-1][0])
                state.seen[consumer] = self.now  # while it waited it may have been removed
                if b"NOACK" not in args:
                    state.pending |= {StreamId.parse(id_): Delivery(consumer, self.now, 1) for id_, _ in entries}
        return found or (BLOCKED if b"BLOCK" in args else None)

    def _once_more(self, stream: Stream, state: Group, id_: StreamId) -> list[Any]:
        if id_ not in stream.entries:
            return [str(id_), None]
        delivery = state.pending[id_]
        delivery.at, delivery.times = self.now, delivery.times + 1
        return stream.raw(id_)

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
        state.seen[consumer] = self.now
        at = next((at for at, word in enumerate(args) if word in {b"IDLE", b"JUSTID", b"RETRYCOUNT"}), len(args))
        how = dict(zip(args[at:-1], args[at + 1 :], strict=True))
        since = self.now - int(how.get(b"IDLE", 0)) / 1000
        claimed: list[Any] = []
        for id_ in map(StreamId.parse, args[:at]):
            delivery = state.pending.get(id_)
            if delivery is not None and id_ not in stream.entries:
                del state.pending[id_]  # however idle it is
                continue
            if delivery is None or round((self.now - delivery.at) * 1000) < int(idle):
                continue
            times = int(how.get(b"RETRYCOUNT", delivery.times + (b"JUSTID" not in args)))
            state.pending[id_] = Delivery(consumer, since, times)
            claimed.append(str(id_) if b"JUSTID" in args else stream.raw(id_))
        return claimed

    # -- other keys, and the scripts that engines send ----------------------------------------------------------------

    def _time(self, session: Session) -> Any:
        return [str(int(self.now)), str(int(self.now % 1 * 1e6))]

    def _zmscore(self, session: Session, key: bytes, *members: bytes) -> Any:
        return [self.schedules.get(key, {}).get(member) for member in members]

    def _zrem(self, session: Session, key: bytes, *members: bytes) -> Any:
        return sum(self.schedules.get(key, {}).pop(member, None) is not None for member in members)

    def _eval(self, session: Session, script: bytes, count: bytes, *args: bytes) -> Any:
        scripts: dict[bytes, Callable[..., Any]] = {
            ACK_OWNED.encode(): self._ack_owned,
            GIVE_BACK.encode(): self._give_back,
            RELEASE.encode(): self._release,
            BURY.encode(): self._bury,
            REMOVE.encode(): self._remove,
            HOLD.encode(): self._hold,
            LET_GO.encode(): self._let_go,
        }
        if self.is_full and script in {BURY.encode(), HOLD.encode()}:
            raise OutOfMemoryError("OOM", "command not allowed when used memory > 'maxmemory'.")
        return scripts[script](args[: int(count)], *args[int(count) :])

    def _owned(self, stream: bytes, group: bytes, owner: bytes, ids: Sequence[bytes]) -> list[bytes]:
        try:
            pending = self._group(stream, group)[1].pending
        except NoGroupError:
            return []
        return [id_ for id_ in ids if (one := pending.get(StreamId.parse(id_))) is not None and one.consumer == owner]

    def _ack_owned(self, keys: Sequence[bytes], group: bytes, owner: bytes, *ids: bytes) -> Any:
        owned = self._owned(keys[0], group, owner, ids)
        theirs = [id_ for id_ in ids if self._theirs(keys[0], group, owner, id_)]
        self.do("XACK", keys[0], group, *owned)
        return [theirs, [id_ for id_ in ids if id_ not in owned and id_ not in theirs]]

    def _theirs(self, stream: bytes, group: bytes, owner: bytes, id_: bytes) -> bool:
        try:
            found = self._group(stream, group)[1].pending.get(StreamId.parse(id_))
        except NoGroupError:
            return False
        return found is not None and found.consumer != owner

    def _give_back(
        self,
        keys: Sequence[bytes],
        group: bytes,
        owner: bytes,
        to: bytes,
        idle: bytes,
        wait: bytes,
        times: bytes,
        *ids: bytes,
    ) -> Any:
        owned = self._owned(keys[0], group, owner, ids)
        if owned:
            how = () if times == b"-1" else ("RETRYCOUNT", times)
            self.do("XCLAIM", keys[0], group, to, 0, *owned, "IDLE", idle, *how, "JUSTID")
        if int(wait):
            self.schedules.setdefault(keys[1], {}).update(dict.fromkeys(owned, self.now * 1000 + int(wait)))
        return len(owned)

    def _release(
        self, keys: Sequence[bytes], group: bytes, owner: bytes, to: bytes, idle: bytes, times: bytes, *ids: bytes
    ) -> Any:
        owned = self._owned(keys[0], group, owner, ids)
        if owned:
            how = ("IDLE", idle, "RETRYCOUNT", times, "JUSTID")
            self.do("XCLAIM", keys[0], group, to, 0, *owned, *how)
        return len(owned)

    def _bury(self, keys: Sequence[bytes], group: bytes, owner: bytes, id_: bytes, *about: bytes) -> Any:
        if not self._owned(keys[0], group, owner, [id_]):
            if self._theirs(keys[0], group, owner, id_):
                return 0
            letters = self.streams.get(keys[1])
            told = {about[at]: about[at + 1] for at in range(0, len(about), 2) if about[at] not in CHANGING}
            for letter, written in () if letters is None else reversed(letters.entries.items()):
                if told.items() <= dict(zip(written[::2], written[1::2], strict=True)).items():
                    return str(letter)
            return 1
        fields = self._stream(keys[0]).entries.get(StreamId.parse(id_))
        letters = self._stream(keys[1]) if fields is not None else None
        self.do("XACK", keys[0], group, id_)
        if letters is None:
            return ""
        letters.last = StreamId(letters.last.ms + 1)
        letters.history.append(letters.last)
        letters.entries[letters.last] = [*(fields or []), *about]
        return str(letters.last)

    def _remove(self, keys: Sequence[bytes], group: bytes, *names: bytes) -> Any:
        self._stream(keys[0], create=False)
        state = self._group(keys[0], group)[1]
        free = [name for lease, name in zip(keys[1:], names, strict=True) if lease not in self.hashes]
        removed = [name for name in free if name in state.seen and not state.of(name)]
        for name in removed:
            del state.seen[name]
        return removed

    def _hold(
        self, keys: Sequence[bytes], nonce: bytes, take_over: bytes, client: bytes, run: bytes, expiry: bytes
    ) -> Any:
        held = self.hashes.get(keys[0], {})
        former = [held.get(field) for field in (b"holder", b"client", b"run")]
        if former[0] not in {None, nonce} and take_over == b"0":
            return [0]
        self.hashes[keys[0]] = {b"holder": nonce, b"client": client, b"run": run}
        return [1, *former]

    def _let_go(self, keys: Sequence[bytes], nonce: bytes) -> Any:
        if self.hashes.get(keys[0], {}).get(b"holder") != nonce:
            return 0
        del self.hashes[keys[0]]
        return 1


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
