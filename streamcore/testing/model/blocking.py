"""The blocked sessions, in the order in which they have blocked, and the keys that may serve them.

A command that writes wakes a key; when it has ended, the sessions that wait for the key look again, the first come first. Redis 7.0 lets them
keep their places where they find nothing, and its successors run their commands anew, behind all others.
"""

from __future__ import annotations

from collections.abc import Callable

from .keyspace import Keyspace
from .protocol import Failure, Reply
from .session import Block, Session


class Waiting:
    """The blocked sessions of a server. ``record`` is told of each command that may be about to write."""

    def __init__(self, record: Callable[[Session, list[bytes]], None], *, requeues: bool) -> None:
        self.sessions: dict[Session, None] = {}
        self._record = record
        self._requeues = requeues
        self._keys: dict[tuple[Keyspace, bytes], dict[Session, None]] = {}
        self._ready: dict[tuple[Keyspace, bytes], None] = {}

    def add(self, session: Session, block: Block) -> None:
        """Block a session until a key, a timeout or a count serves it."""
        session.blocked = block
        self.sessions[session] = None
        for key in block.keys:
            self._keys.setdefault((session.keys, key), {})[session] = None

    def remove(self, session: Session) -> None:
        """Unblock a session, if it is blocked."""
        if session.blocked is not None:
            del self.sessions[session]
            for key in dict.fromkeys(session.blocked.keys):
                queue = self._keys[session.keys, key]
                del queue[session]
                if not queue:
                    del self._keys[session.keys, key]
            session.blocked = None

    def wake(self, keys: Keyspace, key: bytes) -> None:
        """Let the sessions that wait for a key look again when the present command has ended."""
        if (keys, key) in self._keys:
            self._ready[keys, key] = None

    def wanted(self) -> list[tuple[Keyspace, bytes]]:
        """The keys that sessions wait for."""
        return list(self._keys)

    def serve(self, answer: Callable[[Session, Reply], None]) -> None:
        """Answer the sessions that wait for woken keys, where there is an answer now."""
        while self._ready:
            ready, self._ready = self._ready, {}
            for keys, key in ready:
                for session in list(self._keys.get((keys, key), ())):
                    self._serve(session, keys, key, answer)

    def _serve(self, session: Session, keys: Keyspace, key: bytes, answer: Callable[[Session, Reply], None]) -> None:
        block = session.blocked
        if block is None or session.keys is not keys:
            return
        if block.record is not None:
            self._record(session, block.record(key))
        try:
            reply = block.retry(key)
        except Failure as failure:
            reply = failure
        if reply is not None:
            answer(session, reply)
        elif self._requeues:
            self.remove(session)
            self.add(session, block)
