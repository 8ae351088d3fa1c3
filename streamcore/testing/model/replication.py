"""Replication: a server's primary and replicas, their delay, and the replies about them (ROLE, INFO).

A replica repeats the primary's journal, each write ``lag`` seconds after it was made; writes that are not repeated when it is
promoted are lost. ``lag = inf`` is a link that is down. As with servers, a replica acknowledges the writes that it has in
memory.
"""

from __future__ import annotations

from hashlib import sha1
from math import inf
from typing import Final, Protocol

from .blocking import Waiting
from .journal import Journal, Write
from .persistence import Disk, Image
from .protocol import Failure, Reply

POLL: Final = 0.1  # seconds: how often servers look whether a WAIT can be answered
DEMOTED: Final = "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)"
READ_ONLY: Final = "READONLY You can't write against a read only replica."


class Peer(Protocol):
    """A server, as its replicas and its primary know it."""

    address: tuple[bytes, int]
    run_id: bytes
    journal: Journal
    disk: Disk
    waiting: Waiting
    replication: Replication

    # Copy all data.
    def snapshot(self) -> Image: ...

    # Have another server's data from now on.
    def take_over(self, data: Image) -> None: ...

    # Repeat a write of another server.
    def replay(self, write: Write) -> None: ...

    # Drop the part of the journal that all copies have repeated.
    def forget_writes(self) -> None: ...


class Replication:
    """A server's part in replication. ``position``: how far it has repeated its primary's journal; None: the link is down."""

    def __init__(self, server: Peer) -> None:
        self._server = server
        self.primary: Peer | None = None
        self.replicas: dict[Peer, None] = {}
        self.position: int | None = None
        self.lag = 0.0
        self._roles = 0
        self.history = self._new_history()  # the replication id of INFO: a new id after each promotion

    # -- changes of role ----------------------------------------------------------------------------------------------

    def follow(self, primary: Peer, *, lag: float, has_the_same: bool) -> None:
        """Become a replica with the primary's data; blocked sessions are disconnected."""
        server = self._server
        self._leave()
        for session in list(server.waiting.sessions):
            server.waiting.remove(session)
            session.write(Failure(DEMOTED))
            session.close()
        if not has_the_same:
            server.take_over(primary.snapshot())
            for replica in self.replicas:
                replica.take_over(server.snapshot())
                replica.replication.position = server.journal.end
        self.primary, self.lag, self.position = primary, lag, primary.journal.end
        self.history = primary.replication.history
        primary.replication.replicas[server] = None

    def promote(self) -> int:
        """Become a primary; return how many of the former primary's writes are lost."""
        primary, position = self.primary, self.position
        self._leave()
        self.primary = None
        self.begin_anew()
        return 0 if primary is None or position is None else primary.journal.end - position

    def begin_anew(self) -> None:
        """Begin a history of its own (another replication id)."""
        self.history = self._new_history()

    def _new_history(self) -> bytes:
        self._roles += 1
        return sha1(b"%b %d" % (self._server.run_id, self._roles), usedforsecurity=False).hexdigest().encode()

    def _leave(self) -> None:
        if self.primary is not None:
            self.primary.replication.replicas.pop(self._server, None)
        self.position = None

    def disconnect(self) -> None:
        """Leave the primary and all replicas: the server has ended."""
        for replica in self.replicas:
            replica.replication.position = None
        self.replicas.clear()
        if self.primary is not None:
            self._leave()

    # -- copying ------------------------------------------------------------------------------------------------------

    def next_timeout(self) -> float | None:
        """When the next write is due to be repeated, in seconds."""
        primary, position = self.primary, self.position
        if primary is not None and position is not None and position < primary.journal.end and self.lag < inf:
            return primary.journal.time_of(position) + self.lag
        return None

    def handle_timeout(self, now: float, *, all_of_it: bool = False) -> None:
        """Repeat the primary's writes that are due at ``now``, in seconds; or all of them."""
        primary = self.primary
        if primary is None:
            return
        self.repeat(primary.journal.end if all_of_it else primary.journal.aged(self.lag, now))

    def repeat(self, end: int) -> None:
        """Repeat the primary's writes before a position of its journal."""
        primary, position = self.primary, self.position
        if primary is not None and position is not None and end > position:
            self.position = end
            for write in primary.journal.between(position, end):
                self._server.replay(write)
            primary.forget_writes()

    def confirmed(self, position: int) -> int:
        """How many replicas have the writes before a position (WAIT)."""
        return sum((replica.replication.position or 0) >= position for replica in self.replicas)

    def confirmed_on_disk(self, position: int) -> int:
        """How many replicas have the writes before a position on their disks (WAITAOF)."""
        return sum(_on_disk(replica) >= position for replica in self.replicas)

    # -- replies about the roles ---------------------------------------------------------------------------------------

    @property
    def is_replica(self) -> bool:
        """Whether the server refuses writes, and repeats the writes of a primary."""
        return self.primary is not None

    def role(self) -> Reply:
        """The reply of ROLE: of a primary its replicas and their positions, of a replica its primary and its state."""
        if self.primary is not None:
            host, port = self.primary.address
            state = b"connected" if self.position is not None else b"connect"
            return [b"slave", host, port, state, self.position if self.position is not None else -1]
        end = self._server.journal.end
        rows = [
            [one.address[0], b"%d" % one.address[1], b"%d" % (one.replication.position or 0)] for one in self.replicas
        ]
        return [b"master", end, rows]

    def info(self) -> dict[bytes, bytes | int]:
        """The lines of INFO replication: role, primary or replicas, replication id, offsets."""
        primary = self.primary
        lines: dict[bytes, bytes | int] = {b"role": b"master" if primary is None else b"slave"}
        if primary is not None:
            lines[b"master_host"], lines[b"master_port"] = primary.address
            lines[b"master_link_status"] = b"up" if self.position is not None else b"down"
            lines[b"slave_repl_offset"] = self.position or 0
            lines[b"slave_read_only"] = 1
        lines[b"master_replid"] = self.history
        lines[b"connected_slaves"] = len(self.replicas)
        for number, one in enumerate(self.replicas):
            where = b"ip=%b,port=%d,state=online,offset=%d,lag=0"
            lines[b"slave%d" % number] = where % (*one.address, one.replication.position or 0)
        lines[b"master_repl_offset"] = self._server.journal.end if primary is None else self.position or 0
        return lines


def _on_disk(replica: Peer) -> int:
    position = replica.replication.position
    if position is None or not replica.disk.appends:
        return 0
    return position - (replica.journal.end - replica.disk.synced())
