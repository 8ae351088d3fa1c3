"""The server: databases, sessions, and the one place where commands are run.

A command is a function of the table (``commands.py``). It returns a reply, ``NOTHING`` if it has written its replies itself, or a
``Block`` if it has to wait; a ``Failure`` that it raises is an error reply. After each command those who wait for the keys
that it wrote are served, the first come first; what they have sent behind their blocking command is run then.

Time comes with every input, as seconds; ``skew`` steps the wall clock (``ms``), which deadlines of blocked commands do not see.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from .faults import Faults
from .flavours import VALKEY9, Flavour
from .keyspace import Keyspace
from .resp import QUEUED, Failure, Reply
from .session import Block, Session
from .table import Command
from .values import Value, copied

DATABASES: Final = 16
NOTHING: Final = object()
"""Instead of a reply: there is none, or it is written already."""

_IN_MULTI: Final = frozenset({b"MULTI", b"EXEC", b"DISCARD", b"WATCH", b"QUIT", b"RESET"})
_WHEN_SUBSCRIBED: Final = frozenset(
    {b"SUBSCRIBE", b"UNSUBSCRIBE", b"PSUBSCRIBE", b"PUNSUBSCRIBE", b"SSUBSCRIBE", b"SUNSUBSCRIBE", b"PING", b"QUIT", b"RESET"}
)  # fmt: skip


def half() -> float:
    """The least random number."""
    return 0.5


class Server:
    """A model of a server. ``random`` gives numbers from 0 to 1, for its run id.

    ``output_limit``: the bytes that may wait for a client before it is disconnected. ``on_command`` is told of each command
    as it is run: the session, and its words. ``faults`` lets commands fail.
    """

    def __init__(self, flavour: Flavour = VALKEY9, *, now: float = 0.0, random: Callable[[], float] = half) -> None:
        self.flavour = flavour
        self.faults = Faults()
        self.passwords: dict[bytes, bytes] = {}  # by user
        self.config = {b"maxmemory": b"0", b"timeout": b"0", b"notify-keyspace-events": b""}
        if flavour.idmp:
            self.config |= {b"stream-idmp-duration": b"100", b"stream-idmp-maxsize": b"100"}
        self.databases = [Keyspace(self._touched) for _ in range(DATABASES)]
        self.scripts: dict[bytes, bytes] = {}  # by SHA1
        self.effects: dict[bytes, Callable[[Session, list[bytes], list[bytes]], Reply]] = {}  # of scripts, by source
        self.sessions: dict[int, Session] = {}
        self.changed: dict[Session, None] = {}
        self.later: list[tuple[Session, tuple[bytes, ...]]] = []  # what sessions have published to themselves
        self.output_limit: int | None = 32 << 20
        self.skew = 0.0
        self.on_command: Callable[[Session, list[bytes]], object] | None = None
        self.run_id = b"%040x" % int(random() * (1 << 160))
        self._random = random
        self._commands = _table()
        self._next_number = 1
        self._blocked: dict[Session, None] = {}  # in the order in which they have blocked
        self._waiting: dict[tuple[Keyspace, bytes], dict[Session, None]] = {}
        self._ready: dict[tuple[Keyspace, bytes], None] = {}
        self._unblocked: deque[Session] = deque()
        self._watchers: dict[tuple[Keyspace, bytes], set[Session]] = {}
        self.now = now
        self.ms = 0
        self._tell_time(now)

    # -- the owner's side ---------------------------------------------------------------------------------------------

    def connect(self, now: float) -> Session:
        """A client has connected."""
        self._tell_time(now)
        session = Session(self, self._next_number, self.databases[0], now)
        self.sessions[self._next_number] = session
        self._next_number += 1
        return session

    def next_timeout(self) -> float | None:
        """When ``handle_timeout`` is due: a blocked command has waited for long enough, or a key that is waited for expires."""
        due = [one.blocked.deadline for one in self._blocked if one.blocked and one.blocked.deadline is not None]
        due += [keys.expiries[key] / 1000 - self.skew for keys, key in self._waiting if key in keys.expiries]
        return min(due, default=None)

    def handle_timeout(self, now: float) -> None:
        """Time has passed."""
        self._tell_time(now)
        for keys, key in list(self._waiting):
            keys.raw(key)
        for session in list(self._blocked):
            block = session.blocked
            if block is not None and block.deadline is not None and block.deadline <= now:
                self.unblock(session, block.empty)
        self._settle()

    def take_changed(self) -> list[Session]:
        """The sessions that have had something to send, or were closed, since this was asked last."""
        changed, self.changed = self.changed, {}
        return list(changed)

    def snapshot(self) -> list[tuple[dict[bytes, Value], dict[bytes, int]]]:
        """All data as it is now, for ``restore``: of each database its values and expiries."""
        return [
            ({key: copied(value) for key, value in one.values.items()}, one.expiries.copy()) for one in self.databases
        ]

    def restore(self, data: list[tuple[dict[bytes, Value], dict[bytes, int]]]) -> None:
        """What a snapshot has kept is what there is: for a server that has just started."""
        for keys, (values, expiries) in zip(self.databases, data, strict=True):
            keys.restore(values, expiries)

    def begin_anew(self) -> None:
        """The server has ended and starts again, with its data: nobody is connected, and its run id is another."""
        for session in list(self.sessions.values()):
            session.lost()
        self.scripts.clear()
        self.changed.clear()
        self._unblocked.clear()
        self._next_number = 1
        self.run_id = b"%040x" % int(self._random() * (1 << 160))

    # -- running commands ---------------------------------------------------------------------------------------------

    def run(self, session: Session, now: float) -> None:
        """Run what a session has received."""
        self._tell_time(now)
        self._continue(session)
        self._settle()

    def call(self, session: Session, *words: bytes) -> Reply:
        """Run a command within another one: in a transaction or a script. It blocks not, and its errors are raised."""
        word, command = self._known(words[0], list(words))
        self.faults.check(word, words, command.flags)
        could, session.may_block = session.may_block, False
        try:
            return command.function(session, list(words[1:]))
        finally:
            session.may_block = could

    def _continue(self, session: Session) -> None:
        parser = session.parser
        while parser.commands and session.is_open and session.blocked is None:
            self._execute(session, parser.commands.popleft())
            self._serve()
        if parser.error is not None and not parser.commands and session.is_open:
            session.write(Failure(parser.error))
            session.close()

    def _execute(self, session: Session, words: list[bytes]) -> None:
        if self.on_command is not None:
            self.on_command(session, words)
        session.last_word = words[0].lower()
        try:
            reply = self._answer(session, words)
        except Failure as failure:
            reply = failure
        if isinstance(reply, Block):
            self._wait(session, reply)
        elif reply is not NOTHING:
            session.write(reply)
        later, self.later = self.later, []
        for subscriber, message in later:
            subscriber.push(*message)
        if session.is_leaving:
            session.close()

    def _answer(self, session: Session, words: list[bytes]) -> Reply:
        try:
            word, command = self._known(words[0], words)
            if session.protocol == 2 and word not in _WHEN_SUBSCRIBED and (session.subscriptions or session.shards):
                raise Failure(f"ERR Can't execute '{_shown(words[0])}': only (P|S)SUBSCRIBE / PING / QUIT are allowed")
            if not session.is_trusted and word not in {b"HELLO", b"AUTH", b"QUIT", b"RESET"}:
                raise Failure("NOAUTH Authentication required.")
            self.faults.check(word, words, command.flags)
        except Failure:
            session.is_spoilt = session.queued is not None
            raise
        if session.queued is not None and word not in _IN_MULTI:
            if "s" in command.flags:
                session.is_spoilt = True
                raise Failure(f"ERR {_shown(word)} is not modelled inside MULTI")
            session.queued.append(words)
            return QUEUED
        return command.function(session, words[1:])

    def _known(self, name: bytes, words: list[bytes]) -> tuple[bytes, Command]:
        word = name.upper()
        command = self._commands.get(word)
        if command is None or (command.needs_idmp and not self.flavour.idmp):
            raise Failure(f"ERR unknown command '{_shown(name)}', with args beginning with: ")
        if len(words) != command.arity if command.arity > 0 else len(words) < -command.arity:
            raise Failure(f"ERR wrong number of arguments for '{_shown(word.lower())}' command")
        return word, command

    # -- waiting ------------------------------------------------------------------------------------------------------

    @property
    def blocked(self) -> int:
        """How many sessions wait."""
        return len(self._blocked)

    def _wait(self, session: Session, block: Block) -> None:
        session.blocked = block
        block.deadline = self.now + block.timeout / 1000 if block.timeout else None
        self._queue(session, block)

    def _queue(self, session: Session, block: Block) -> None:
        self._blocked[session] = None
        for key in block.keys:
            self._waiting.setdefault((session.keys, key), {})[session] = None

    def unwait(self, session: Session) -> None:
        """The session waits no more."""
        if session.blocked is not None:
            del self._blocked[session]
            for key in dict.fromkeys(session.blocked.keys):
                queue = self._waiting[session.keys, key]
                del queue[session]
                if not queue:
                    del self._waiting[session.keys, key]
            session.blocked = None

    def unblock(self, session: Session, reply: Reply) -> None:
        """Answer a session that waits; what it has sent meanwhile is run in its turn."""
        self.unwait(session)
        session.write(reply)
        self._unblocked.append(session)

    def _serve(self) -> None:
        """Those who wait for a key that was written are served, or wait on."""
        while self._ready:
            ready, self._ready = self._ready, {}
            for keys, key in ready:
                for session in list(self._waiting.get((keys, key), ())):
                    block = session.blocked
                    if block is None or session.keys is not keys:
                        continue
                    try:
                        reply = block.retry(key)
                    except Failure as failure:
                        reply = failure
                    if reply is not None:
                        self.unblock(session, reply)
                    elif self.flavour.modern:  # it has blocked anew, behind all others
                        self.unwait(session)
                        session.blocked = block
                        self._queue(session, block)

    def _settle(self) -> None:
        self._serve()
        while self._unblocked:
            self._continue(self._unblocked.popleft())
            self._serve()

    # -- what sessions have in common ---------------------------------------------------------------------------------

    def watch(self, session: Session, key: bytes) -> None:
        """EXEC shall fail if the key is written before."""
        self._watchers.setdefault((session.keys, key), set()).add(session)
        session.watched.add((session.database, key))

    def unwatch(self, session: Session) -> None:
        """Whatever was written does not matter any more."""
        for database, key in session.watched:
            self._watchers[self.databases[database], key].discard(session)
        session.watched.clear()
        session.is_outdated = False

    def forget(self, session: Session) -> None:
        """A session has ended."""
        self.unwait(session)
        self.unwatch(session)
        self.sessions.pop(session.number, None)
        self.changed[session] = None

    def wake(self, keys: Keyspace, key: bytes) -> None:
        """Whoever waits for a key shall look again, when the present command has ended."""
        if (keys, key) in self._waiting:
            self._ready[keys, key] = None

    def _touched(self, keys: Keyspace, key: bytes, wakes: bool) -> None:
        if wakes:
            self.wake(keys, key)
        for session in self._watchers.get((keys, key), ()):
            session.is_outdated = True

    def _tell_time(self, now: float) -> None:
        self.now = max(self.now, now)
        self.ms = int((self.now + self.skew) * 1000 + 0.001)
        for keys in self.databases:
            keys.ms = self.ms


def _shown(word: bytes) -> str:
    return word[:128].decode(errors="replace")


def _table() -> dict[bytes, Command]:
    from .commands import COMMANDS  # the commands' modules import this one

    return COMMANDS
