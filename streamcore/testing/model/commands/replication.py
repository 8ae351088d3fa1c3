"""ROLE, WAIT and WAITAOF: a server's role, and how many replicas and disks have the writes of a session."""

from __future__ import annotations

from typing import Final

from ..arguments import integer
from ..protocol import Failure, Reply
from ..registry import Command
from ..session import Block, Count, Session


def role(s: Session, _: list[bytes]) -> Reply:
    return s.server.replication.role()


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
    if s.server.replication.is_replica:
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
