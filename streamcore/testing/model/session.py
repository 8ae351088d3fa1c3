"""A session: a connection as the server sees it. And ``Context``, the part of a server that sessions and commands may use.

A server has more: the methods that its owner calls, and calls between its parts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from .faults import Faults
from .journal import Journal
from .keyspace import Keyspace
from .persistence import Disk
from .protocol import NULL_ARRAY, Parser, Push, Reply, encode
from .versions import Flavour

Count: TypeAlias = Callable[[], tuple[bool, Reply]]
"""Whether enough replicas, or disks, have a write, and the reply that a command gives now."""


@dataclass(slots=True)
class Block:
    """The waiting of a blocking command that cannot be answered yet.

    ``retry`` is called with a key that was written, and returns the reply, or None to wait on. ``timeout`` is in
    milliseconds, 0 means for ever; ``deadline`` is its end, by the server's timer in seconds. ``record`` makes the command
    that repeats ``retry`` in the journal. ``count`` is asked instead of keys, each ``POLL`` seconds (WAIT, WAITAOF). ``due``
    is when ``retry`` may succeed without a write, in milliseconds of the wall clock (XREADGROUP ... CLAIM). ``empty`` is the
    reply of a timeout.
    """

    keys: list[bytes]
    timeout: int
    retry: Callable[[bytes], Reply]
    record: Callable[[bytes], list[bytes]] | None = None
    count: Count | None = None
    due: Callable[[], int | None] | None = None
    empty: Reply = NULL_ARRAY
    deadline: float | None = None


class Session:
    """A connection. ``is_open`` ends with QUIT, CLIENT KILL or a fault; bytes that were written before are still sent."""

    def __init__(self, server: Context, number: int, keys: Keyspace, now: float) -> None:
        self.server = server
        self.number = number
        self.keys = keys
        self.database = 0
        self.protocol = 2
        self.name = b""
        self.library = {b"LIB-NAME": b"", b"LIB-VER": b""}
        self.user = b"default"
        self.address = b"127.0.0.1:%d" % (10_000 + number % 50_000)
        self.since = now
        self.heard = now
        self.last_word = b"NULL"
        self.is_open = True
        self.is_leaving = False  # when the command that runs is answered
        self.is_trusted = b"default" not in server.passwords
        self.parser = Parser()
        self.blocked: Block | None = None
        self.may_block = True
        self.written = 0  # the position of its last write in the journal
        self.queued: list[list[bytes]] | None = None  # since MULTI
        self.is_spoilt = False  # a command could not be queued
        self.watched: set[tuple[int, bytes]] = set()
        self.is_outdated = False  # a watched key was written
        self.channels: dict[bytes, None] = {}
        self.patterns: dict[bytes, None] = {}
        self.shards: dict[bytes, None] = {}
        self._out = bytearray()

    # -- the owner's side ---------------------------------------------------------------------------------------------

    def receive(self, data: bytes | bytearray | memoryview, now: float) -> None:
        """Take bytes of the client, and run the commands that they complete."""
        if self.is_open:
            self.heard = now
            self.parser.feed(bytes(data))
            self.server.run(self, now)

    def data_to_send(self) -> bytes | memoryview:
        """The bytes to send now, without removing them; ``data_sent`` does."""
        return bytes(self._out)

    def data_sent(self, n: int) -> None:
        """Remove the first ``n`` bytes, which were written to the connection."""
        del self._out[:n]

    def lost(self) -> None:
        """End the session, and drop its bytes: the connection is gone."""
        self._out.clear()
        self.close()

    @property
    def closed(self) -> bool:
        """Whether the connection is to be closed: the session has ended, and its last bytes are sent."""
        return not self.is_open and not self._out

    # -- commands' side -----------------------------------------------------------------------------------------------

    def write(self, reply: Reply) -> None:
        """Write a reply or a push, in the session's protocol; too many unsent bytes end the session (``output_limit``)."""
        if not self.is_open:
            return
        chunks: list[bytes] = []
        encode(reply, chunks, self.protocol)
        self._out += b"".join(chunks)
        self.server.changed[self] = None
        limit = self.server.output_limit
        if limit is not None and len(self._out) > limit:
            self.close()  # without a word, as servers do; bytes underway may still arrive

    def push(self, *message: Any) -> None:
        """Write a push, such as a message: no command has asked for it."""
        self.write(Push(message))

    def tell(self, publisher: Session, *message: bytes) -> None:
        """Push a published message. A client gets its own messages behind the reply to PUBLISH; with Redis 7.0, before it."""
        if self is publisher and self.server.flavour.modern:
            self.server.later.append((self, message))
        else:
            self.push(*message)

    def close(self) -> None:
        """End the session (QUIT, CLIENT KILL); bytes that were written before are still sent."""
        if self.is_open:
            self.is_open = False
            self.server.forget(self)

    def reset(self) -> None:
        """Return to the state of a new connection (``RESET``)."""
        self.server.waiting.remove(self)
        self.server.onlookers.unwatch(self)
        self.server.onlookers.untrack(self)
        self.queued, self.is_spoilt = None, False
        for names in (self.channels, self.patterns, self.shards):
            names.clear()
        self.protocol, self.name, self.database = 2, b"", 0
        self.user, self.is_trusted = b"default", b"default" not in self.server.passwords
        self.keys = self.server.databases[0]

    @property
    def subscriptions(self) -> int:
        """How many channels and patterns are subscribed, as confirmations count them."""
        return len(self.channels) + len(self.patterns)


class WaitingSessions(Protocol):
    """The sessions that a blocking command keeps waiting."""

    @property
    def sessions(self) -> Collection[Session]: ...

    # End the waiting of a session, if it waits.
    def remove(self, session: Session) -> None: ...

    # Let the sessions that wait for a key look again.
    def wake(self, keys: Keyspace, key: bytes) -> None: ...


class KeyObservers(Protocol):
    """The sessions that watch or track keys, and the notifications."""

    # Fail the session's next EXEC if the key is written before.
    def watch(self, session: Session, key: bytes) -> None: ...

    # Forget the keys that a session watches.
    def unwatch(self, session: Session) -> None: ...

    # Push each change of a key with such a prefix to a session; ``noloop``: but for changes of its own.
    def track(self, session: Session, prefixes: tuple[bytes, ...], *, noloop: bool) -> None: ...

    # The prefixes that a session tracks.
    def tracked_prefixes(self, session: Session) -> tuple[bytes, ...]: ...

    # Push no more changes to a session.
    def untrack(self, session: Session) -> None: ...

    # Notify of a change that is no write.
    def note(self, keys: Keyspace, key: bytes) -> None: ...

    # Tell trackers that a database was emptied.
    def flushed(self) -> None: ...


class Replicated(Protocol):
    """A server's place among its replicas, as commands ask for it."""

    @property
    def is_replica(self) -> bool: ...

    # The reply of ROLE.
    def role(self) -> Reply: ...

    # The lines of INFO replication.
    def info(self) -> dict[bytes, bytes | int]: ...

    # The number of replicas that have repeated the journal up to a position.
    def confirmed(self, position: int) -> int: ...

    # The number of replicas that have it on their disks, too.
    def confirmed_on_disk(self, position: int) -> int: ...


class Context(Protocol):
    """A server, as its sessions and commands know it."""

    flavour: Flavour
    faults: Faults
    passwords: dict[bytes, bytes]
    config: dict[bytes, bytes]
    address: tuple[bytes, int]
    databases: list[Keyspace]
    scripts: dict[bytes, bytes]
    effects: dict[bytes, Callable[[Session, list[bytes], list[bytes]], Reply]]
    sessions: dict[int, Session]
    changed: dict[Session, None]
    later: list[tuple[Session, tuple[bytes, ...]]]
    output_limit: int | None
    run_id: bytes
    now: float
    ms: int
    journal: Journal
    disk: Disk
    hand: Session

    @property
    def waiting(self) -> WaitingSessions: ...

    @property
    def onlookers(self) -> KeyObservers: ...

    @property
    def replication(self) -> Replicated: ...

    # Run the commands that a session has received.
    def run(self, session: Session, now: float) -> None: ...

    # Run a command within a transaction or a script. Raises its ``Failure``.
    def call(self, session: Session, *words: bytes) -> Reply: ...

    # Answer a session that waits.
    def unblock(self, session: Session, reply: Reply) -> None: ...

    # Drop a session that has ended.
    def forget(self, session: Session) -> None: ...

    # Apply a changed configuration.
    def configured(self) -> None: ...
