"""A server and its copies: who follows whom, with how much delay, and what each of them answers about it.

A replica repeats the primary's journal, each write ``lag`` seconds after it was made; what it has not repeated when it is promoted
is lost. ``lag = inf`` is a link that is down. Like a server's, its acknowledgements say what it has in its memory.
"""

from __future__ import annotations

from hashlib import sha1
from math import inf
from typing import TYPE_CHECKING, Final

from .arguments import integer
from .protocol import Failure, Reply
from .registry import Command
from .session import Block, Count, Session

if TYPE_CHECKING:
    from .server import Server

POLL: Final = 0.1  # seconds: how often servers look whether those who WAIT can be answered
DEMOTED: Final = "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)"
READ_ONLY: Final = "READONLY You can't write against a read only replica."


class Replication:
    """One server's part. ``position`` is up to where it has repeated its primary's journal, None: the link is down."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.primary: Server | None = None
        self.replicas: dict[Server, None] = {}
        self.position: int | None = None
        self.lag = 0.0
        self._roles = 0
        self.history = self._new_history()  # what INFO calls the replication id: another one after each promotion

    # -- changes of role ----------------------------------------------------------------------------------------------

    def follow(self, primary: Server, *, lag: float, has_the_same: bool) -> None:
        """Be a replica: the data is the primary's from now on. Whoever waits for something is sent away."""
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
        """Be a primary; how many writes of the former one are lost by that."""
        primary, position = self.primary, self.position
        self._leave()
        self.primary = None
        self.begin_anew()
        return 0 if primary is None or position is None else primary.journal.end - position

    def begin_anew(self) -> None:
        """What is written from now on is nobody else's history."""
        self.history = self._new_history()

    def _new_history(self) -> bytes:
        self._roles += 1
        return sha1(b"%b %d" % (self._server.run_id, self._roles), usedforsecurity=False).hexdigest().encode()

    def _leave(self) -> None:
        if self.primary is not None:
            self.primary.replication.replicas.pop(self._server, None)
        self.position = None

    def disconnect(self) -> None:
        """The server has ended: its replicas get nothing any more, and it gets nothing."""
        for replica in self.replicas:
            replica.replication.position = None
        self.replicas.clear()
        if self.primary is not None:
            self._leave()

    # -- copying ------------------------------------------------------------------------------------------------------

    def next_timeout(self) -> float | None:
        """When the next write is due to be repeated."""
        primary, position = self.primary, self.position
        if primary is not None and position is not None and position < primary.journal.end and self.lag < inf:
            return primary.journal.time_of(position) + self.lag
        return None

    def handle_timeout(self, now: float, *, all_of_it: bool = False) -> None:
        """Repeat what is due, or everything."""
        primary, position = self.primary, self.position
        if primary is None or position is None:
            return
        end = primary.journal.end if all_of_it else max(position, primary.journal.aged(self.lag, now))
        if end > position:
            self.position = end
            for write in primary.journal.between(position, end):
                self._server.replay(write)
            primary.forget_writes()

    def confirmed(self, position: int) -> int:
        """How many replicas have what was written before a position."""
        return sum((replica.replication.position or 0) >= position for replica in self.replicas)

    def confirmed_on_disk(self, position: int) -> int:
        """How many replicas have it on their disks."""
        return sum(_on_disk(replica) >= position for replica in self.replicas)


def _on_disk(replica: Server) -> int:
    position = replica.replication.position
    if position is None or not replica.disk.appends:
        return 0
    return position - (replica.journal.end - replica.disk.synced())


# -- commands ----------------------------------------------------------------------------------------------------------


def role(s: Session, _: list[bytes]) -> Reply:
    mine = s.server.replication
    if mine.primary is not None:
        host, port = mine.primary.address
        state = b"connected" if mine.position is not None else b"connect"
        return [b"slave", host, port, state, mine.position if mine.position is not None else -1]
    end = s.server.journal.end
    rows = [[one.address[0], b"%d" % one.address[1], b"%d" % (one.replication.position or 0)] for one in mine.replicas]
    return [b"master", end, rows]


def about(server: Server) -> dict[bytes, bytes | int]:
    """What INFO says of it."""
    mine, primary = server.replication, server.replication.primary
    lines: dict[bytes, bytes | int] = {b"role": b"master" if primary is None else b"slave"}
    if primary is not None:
        lines[b"master_host"], lines[b"master_port"] = primary.address
        lines[b"master_link_status"] = b"up" if mine.position is not None else b"down"
        lines[b"slave_repl_offset"] = mine.position or 0
        lines[b"slave_read_only"] = 1
    lines[b"master_replid"] = mine.history
    lines[b"connected_slaves"] = len(mine.replicas)
    for number, one in enumerate(mine.replicas):
        where = b"ip=%b,port=%d,state=online,offset=%d,lag=0"
        lines[b"slave%d" % number] = where % (*one.address, one.replication.position or 0)
    lines[b"master_repl_offset"] = server.journal.end if primary is None else mine.position or 0
    return lines


def wait(s: Session, args: list[bytes]) -> Reply:
    _only_primaries(s, "WAIT")
    replicas, timeout = (integer(word) for word in args)

    def count() -> tuple[bool, Reply]:
        found = s.server.replication.confirmed(s.written)
        return found >= replicas, found

    return _until(s, timeout, count)


def waitaof(s: Session, args: list[bytes]) -> Reply:
    if not s.server.flavour.modern:
        raise Failure("ERR unknown command 'waitaof', with args beginning with: ")
    local, replicas, timeout = (integer(word) for word in args)
    if not 0 <= local <= 1:
        raise Failure("ERR value is out of range, value must between 0 and 1")
    if replicas < 0:
        raise Failure("ERR value is out of range, must be positive")
    _only_primaries(s, "WAITAOF")
    disk = s.server.disk
    if local and not disk.appends:
        raise Failure("ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.")

    def count() -> tuple[bool, Reply]:
        own = int(disk.appends and disk.synced() >= s.written)
        found = s.server.replication.confirmed_on_disk(s.written)
        return own >= local and found >= replicas, [own, found]

    return _until(s, timeout, count)


def _only_primaries(s: Session, word: str) -> None:
    if s.server.replication.primary is not None:
        raise Failure(
            f"ERR {word} cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is "
            "configured to be writable (which is not the default) writes to replicas are just local and are not propagated."
        )


def _until(s: Session, timeout: int, count: Count) -> Reply:
    if timeout < 0:
        raise Failure("ERR timeout is negative")
    enough, reply = count()
    if enough or not s.may_block:
        return reply
    return Block([], timeout, lambda _: None, count=count)


COMMANDS: Final = {
    b"ROLE": Command(role, 1, "l"),
    b"WAIT": Command(wait, 3),
    b"WAITAOF": Command(waitaof, 4),
}
