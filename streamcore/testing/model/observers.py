"""The observers of written keys: sessions that watch (WATCH) or track them (CLIENT TRACKING), and keyspace notifications."""

from __future__ import annotations

from .keyspace import Keyspace
from .notifications import after, notify
from .protocol import Reply
from .registry import Command
from .session import Block, Context, Session
from .tracking import Tracked, Tracking


class Onlookers:
    """The observers of a server. ``busy`` is the session whose command is being run."""

    def __init__(self, server: Context) -> None:
        self.tracked = Tracked()
        self.busy: Session | None = None
        self._server = server
        self._watchers: dict[tuple[Keyspace, bytes], set[Session]] = {}
        self._written: dict[tuple[Keyspace, bytes], None] = {}

    # -- transactions -------------------------------------------------------------------------------------------------

    def watch(self, session: Session, key: bytes) -> None:
        """Fail the session's next EXEC if a key is written before."""
        self._watchers.setdefault((session.keys, key), set()).add(session)
        session.watched.add((session.database, key))

    def unwatch(self, session: Session) -> None:
        """Forget the keys that a session watches (UNWATCH)."""
        for database, key in session.watched:
            self._watchers[self._server.databases[database], key].discard(session)
        session.watched.clear()
        session.is_outdated = False

    # -- tracking -----------------------------------------------------------------------------------------------------

    def track(self, session: Session, prefixes: tuple[bytes, ...], *, noloop: bool) -> None:
        """Push each change of a key with such a prefix to a session; ``noloop``: but for changes of its own."""
        self.tracked.sessions[session] = Tracking(prefixes, noloop)

    def tracked_prefixes(self, session: Session) -> tuple[bytes, ...]:
        """The key prefixes that a session tracks; none where it does not track."""
        tracking = self.tracked.sessions.get(session)
        return () if tracking is None else tracking.prefixes

    def untrack(self, session: Session) -> None:
        """Push no more changes to a session."""
        self.tracked.sessions.pop(session, None)

    # -- events of keys -----------------------------------------------------------------------------------------------

    @property
    def notifies(self) -> bool:
        """Whether any event of keys is published (``notify-keyspace-events``)."""
        return bool(self._server.config[b"notify-keyspace-events"])

    @property
    def awaits_expiries(self) -> bool:
        """Whether a session is to be told as soon as a key expires."""
        return self.notifies or bool(self.tracked.sessions)

    def touched(self, keys: Keyspace, key: bytes) -> None:
        """Note a written key: WATCH fails, trackers and notifications are told."""
        for session in self._watchers.get((keys, key), ()):
            session.is_outdated = True
        if self.tracked.sessions:
            self.tracked.changed(key, self.busy)
        self.note(keys, key)

    def note(self, keys: Keyspace, key: bytes) -> None:
        """Note a key for notifications that is not written for sessions that watch or track it."""
        if self.notifies:
            self._written[keys, key] = None

    def expired(self, keys: Keyspace, key: bytes) -> None:
        """Notify of a key that has expired by itself, not by the command that has found out."""
        self._written.pop((keys, key), None)
        if self.notifies:
            notify(self.busy or self._server.hand, keys, "x", b"expired", key)

    def flushed(self) -> None:
        """Tell trackers that all keys of a database have gone at once (FLUSHDB)."""
        self.tracked.flushed()
        self._written.clear()

    def replaced(self) -> None:
        """Fail the EXEC of all watching sessions, and tell trackers: all data was replaced."""
        for watchers in self._watchers.values():
            for session in watchers:
                session.is_outdated = True
        self.tracked.flushed()

    def run(self, session: Session, word: bytes, args: list[bytes], command: Command) -> Reply:
        """Run a command, and publish the notifications of its writes."""
        if not self.notifies:
            return command.function(session, args)
        outer, self._written = self._written, {}
        try:
            reply = command.function(session, args)
            written = self._written
        finally:
            self._written = outer
        if not isinstance(reply, Block):
            after(session, word, args, reply, written)
        return reply
