"""The server: its databases, its sessions, and the loop that runs commands.

A command is a function of the table (``commands/all.py``). It returns a reply; ``NOTHING`` if it has written its replies
itself; or a ``Block`` if it has to wait. A ``Failure`` that it raises is an error reply. After each command the sessions that
wait for keys that it wrote are served, in the order in which they blocked; the commands behind their blocking command are run
then.

Time comes with every input, in seconds; ``skew`` steps the wall clock (``ms``), which deadlines of blocked commands do not
see.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from .blocking import Waiting
from .commands.all import COMMANDS
from .faults import Faults
from .journal import Journal, Write
from .keyspace import DATABASES, Keyspace
from .observers import Onlookers
from .persistence import Disk, Image
from .protocol import NOTHING, QUEUED, Failure, Reply
from .registry import Command
from .replication import POLL, READ_ONLY, Replication
from .session import Block, Session
from .values import copied
from .versions import VALKEY9, Flavour

_IN_MULTI: Final = frozenset({b"MULTI", b"EXEC", b"DISCARD", b"WATCH", b"QUIT", b"RESET"})
_WHEN_SUBSCRIBED: Final = frozenset(
    {b"SUBSCRIBE", b"UNSUBSCRIBE", b"PSUBSCRIBE", b"PUNSUBSCRIBE", b"SSUBSCRIBE", b"SUNSUBSCRIBE", b"PING", b"QUIT", b"RESET"}
)  # fmt: skip


class Server:
    """A model of a server.

    ``entropy`` returns random bytes for its run ids, so many as it is asked for; no other server draws the same.

    ``output_limit``: the bytes that may wait for a client before it is disconnected. ``on_command`` is called with the
    session and the words of each command before it is run. ``faults`` lets commands fail.
    """

    def __init__(
        self,
        flavour: Flavour = VALKEY9,
        *,
        now: float = 0.0,
        entropy: Callable[[int], bytes] = bytes,
        commands: Mapping[bytes, Command] = COMMANDS,
    ) -> None:
        self.flavour = flavour
        self.faults = Faults()
        self.passwords: dict[bytes, bytes] = {}  # by user
        self.config = {b"maxmemory": b"0", b"timeout": b"0", b"notify-keyspace-events": b""}
        self.config |= {b"appendonly": b"no", b"appendfsync": b"everysec"}
        if flavour.recent:
            self.config |= {b"stream-idmp-duration": b"100", b"stream-idmp-maxsize": b"100"}
        self.address: tuple[bytes, int] = (b"127.0.0.1", 6379)
        self.databases = [Keyspace(self._touched, self._expired) for _ in range(DATABASES)]
        self.scripts: dict[bytes, bytes] = {}  # by SHA1
        self.effects: dict[bytes, Callable[[Session, list[bytes], list[bytes]], Reply]] = {}  # of scripts, by source
        self.sessions: dict[int, Session] = {}
        self.changed: dict[Session, None] = {}
        self.later: list[tuple[Session, tuple[bytes, ...]]] = []  # messages that sessions have published to themselves
        self.output_limit: int | None = 32 << 20
        self.skew = 0.0
        self.on_command: Callable[[Session, list[bytes]], object] | None = None
        self._entropy = entropy
        self._lives = 0
        self.run_id = self._new_run_id()
        self._commands = commands
        self._next_number = 1
        self.waiting = Waiting(self._record_unit, requeues=flavour.modern)
        self._unblocked: deque[Session] = deque()
        self.onlookers = Onlookers(self)
        self.now = now
        self.ms = 0
        self._tell_time(now)
        self.journal = Journal()
        self.replication = Replication(self)
        self.disk = Disk(self)
        self._unit = self._repeated = 0  # numbers of units: the present, and the last that was repeated
        self.hand = Session(self, 0, self.databases[0], now)  # which runs the repeated writes
        self.hand.may_block = False

    # -- the owner's side ---------------------------------------------------------------------------------------------

    def connect(self, now: float) -> Session:
        """Open a session for a client that has connected."""
        self._tell_time(now)
        session = Session(self, self._next_number, self.databases[0], now)
        self.sessions[self._next_number] = session
        self._next_number += 1
        return session

    def next_timeout(self) -> float | None:
        """When ``handle_timeout`` is due, in seconds: a blocked command times out, or a key that sessions wait for expires."""
        due = [
            one.blocked.deadline for one in self.waiting.sessions if one.blocked and one.blocked.deadline is not None
        ]
        due += [keys.expiries[key] / 1000 - self.skew for keys, key in self.waiting.wanted() if key in keys.expiries]
        if self.keeps_journal and any(one.blocked and one.blocked.count for one in self.waiting.sessions):
            due.append(self.now + POLL)
        due += [at / 1000 - self.skew for at in self._claims_due()]
        if self.onlookers.awaits_expiries:
            due += [at / 1000 - self.skew for keys in self.databases for at in keys.expiries.values()]
        if (copies_at := self.replication.next_timeout()) is not None:
            due.append(copies_at)
        return min(due, default=None)

    def handle_timeout(self, now: float) -> None:
        """Do the work that is due at ``now``, in seconds: replication, expiries, and the timeouts of blocked commands."""
        self._tell_time(now)
        self.replication.handle_timeout(now)
        self._tell_time(now)
        self.onlookers.busy = None
        for keys, key in self.waiting.wanted():
            keys.raw(key)
        for keys in self.databases if self.onlookers.awaits_expiries else ():
            for key in list(keys.expiries):
                keys.raw(key)
        for session in list(self.waiting.sessions):
            block = session.blocked
            if block is None:
                continue
            enough, reply = (False, block.empty) if block.count is None else block.count()
            if enough or (block.deadline is not None and block.deadline <= now):
                self.unblock(session, reply)
            elif block.due is not None and (at := block.due()) is not None and at <= self.ms:
                self.waiting.wake(session.keys, block.keys[0])
        self._settle()
        self.onlookers.tracked.tell()
        self.forget_writes()

    def take_changed(self) -> list[Session]:
        """The sessions that got bytes to send, or have ended, since the last call."""
        changed, self.changed = self.changed, {}
        return list(changed)

    def snapshot(self) -> Image:
        """Copy all data, for ``restore``: the values and expiries of each database."""
        return [
            ({key: copied(value) for key, value in one.values.items()}, one.expiries.copy()) for one in self.databases
        ]

    def restore(self, data: Image) -> None:
        """Replace all data by a snapshot's."""
        for keys, (values, expiries) in zip(self.databases, data, strict=True):
            keys.restore(values, expiries)
        self.onlookers.replaced()

    def begin_anew(self) -> None:
        """Restart the server with its data: without connections, with another run id."""
        self.replication.disconnect()
        for session in list(self.sessions.values()):
            session.lost()
        self.scripts.clear()
        self.changed.clear()
        self._unblocked.clear()
        self._next_number = 1
        self.run_id = self._new_run_id()
        self.replication.begin_anew()

    # -- its disk, and its copies -------------------------------------------------------------------------------------

    def crash(self, now: float, *, lose: int | None = None) -> int:
        """Cut the power and start again with the data of the disk; return how many writes of the journal were lost.

        ``CONFIG SET appendonly`` and ``appendfsync`` say which writes can be lost, as with servers. ``lose``: lose at most so
        many of them; None: all; 0 is a process that was killed. Replicas have lost their primary: let them ``follow`` it, or
        ``promote`` a replica.
        """
        self._tell_time(now)
        end, left = self.journal.end, self.disk.fail(lose)
        self.begin_anew()
        if left is not None:
            self.restore(self.disk.image)
            self.journal.cut(left)
        return 0 if left is None else end - left

    def follow(self, primary: Server, now: float, *, lag: float = 0.0, has_the_same: bool = False) -> None:
        """Become a replica (``REPLICAOF``): copy the data of ``primary``, and repeat each of its writes ``lag`` seconds later.

        Blocked sessions are disconnected. ``has_the_same``: the data is equal, and need not be copied.
        """
        self._tell_time(now)
        self.replication.follow(primary, lag=lag, has_the_same=has_the_same)

    def promote(self, now: float) -> int:
        """Become a primary; return how many writes of the former primary are lost, since they were not repeated yet."""
        self._tell_time(now)
        return self.replication.promote()

    def fail_over(self, replica: Server, now: float) -> None:
        """Change places with a replica without a loss (``FAILOVER``): it repeats all writes before."""
        replica.replication.handle_timeout(now, all_of_it=True)
        lag = replica.replication.lag
        replica.promote(now)
        self.follow(replica, now, lag=lag, has_the_same=True)

    def take_over(self, data: Image) -> None:
        """Replace all data by another server's, also on the disk."""
        self.restore(data)
        self.disk.save()

    def repeated(self, image: Image, writes: Sequence[Write]) -> Image:
        """Apply writes to an image, and return the image behind them."""
        other = Server(self.flavour, commands=self._commands)
        other.config = self.config | {b"appendonly": b"no"}
        other.restore(image)
        for write in writes:
            other.replay(write)
        return [(keys.values, keys.expiries) for keys in other.databases]

    def configured(self) -> None:
        """Apply a changed configuration (CONFIG SET) to the disk."""
        self.disk.configured()

    @property
    def keeps_journal(self) -> bool:
        """Whether a replica or the disk repeats the writes."""
        return bool(self.replication.replicas) or self.disk.appends

    def record(self, session: Session, words: list[bytes]) -> None:
        """Journal a command that may write."""
        if self.keeps_journal:
            self.journal.append(Write(self._unit, session.database, words, self.ms, self.now))
            session.written = self.journal.end

    def _record_unit(self, session: Session, words: list[bytes]) -> None:
        self._unit += 1
        self.record(session, words)

    def replay(self, write: Write) -> None:
        """Repeat a write of the primary, or of an earlier run, with its time."""
        hand = self.hand
        hand.database, hand.keys = write.database, self.databases[write.database]
        self.ms = hand.keys.ms = write.ms
        self._unit += write.unit != self._repeated
        self._repeated = write.unit
        self.record(hand, write.words)
        with suppress(Failure):
            self._commands[write.words[0].upper()].function(hand, write.words[1:])

    def forget_writes(self) -> None:
        """Drop the writes that all replicas and the disk have repeated."""
        self.disk.catch_up()
        wanted = [one.replication.position or 0 for one in self.replication.replicas]
        wanted += [self.disk.position] if self.disk.appends else []
        self.journal.forget(min(wanted, default=self.journal.end))

    # -- running commands ---------------------------------------------------------------------------------------------

    def run(self, session: Session, now: float) -> None:
        """Run the commands that a session has received."""
        self._tell_time(now)
        self._continue(session)
        self._settle()
        self.onlookers.tracked.tell()

    def call(self, session: Session, *words: bytes) -> Reply:
        """Run a command within a transaction or a script: it does not block, and its errors are raised."""
        given = list(words)
        word, command = self._known(given[0], given)
        self._check(session, word, given, command.flags)
        if "w" in command.flags or "r" in command.flags:
            self.record(session, given)
        could, session.may_block = session.may_block, False
        try:
            return self.onlookers.run(session, word, given[1:], command)
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
        self._unit += 1
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
            self._check(session, word, words, command.flags)
        except Failure:
            session.is_spoilt = session.queued is not None
            raise
        if session.queued is not None and word not in _IN_MULTI:
            if "s" in command.flags:
                session.is_spoilt = True
                raise Failure(f"ERR {_shown(word)} is not modelled inside MULTI")
            session.queued.append(words)
            return QUEUED
        if "w" in command.flags or "r" in command.flags:
            self.record(session, words)
        self.onlookers.busy = session
        return self.onlookers.run(session, word, words[1:], command)

    def _check(self, session: Session, word: bytes, words: list[bytes], flags: str) -> None:
        self.faults.check(word, words, flags)
        if "w" in flags and self.replication.primary is not None:
            raise Failure(READ_ONLY)

    def _known(self, name: bytes, words: list[bytes]) -> tuple[bytes, Command]:
        word = name.upper()
        command = self._commands.get(word)
        if command is None or (command.is_recent and not self.flavour.recent):
            raise Failure(f"ERR unknown command '{_shown(name)}', with args beginning with: ")
        if len(words) != command.arity if command.arity > 0 else len(words) < -command.arity:
            raise Failure(f"ERR wrong number of arguments for '{_shown(word.lower())}' command")
        return word, command

    # -- waiting ------------------------------------------------------------------------------------------------------

    def _wait(self, session: Session, block: Block) -> None:
        block.deadline = self.now + block.timeout / 1000 if block.timeout else None
        self.waiting.add(session, block)

    def unblock(self, session: Session, reply: Reply) -> None:
        """Answer a blocked session; the commands that it has sent meanwhile are run in their turn."""
        self.waiting.remove(session)
        session.write(reply)
        self._unblocked.append(session)

    def _claims_due(self) -> list[int]:
        found = [one.blocked.due() for one in self.waiting.sessions if one.blocked and one.blocked.due]
        return [at for at in found if at is not None]

    def _serve(self) -> None:
        self.waiting.serve(self.unblock)

    def _settle(self) -> None:
        self._serve()
        while self._unblocked:
            self._continue(self._unblocked.popleft())
            self._serve()

    # -- common to all sessions ---------------------------------------------------------------------------------------

    def forget(self, session: Session) -> None:
        """Drop a session that has ended."""
        self.waiting.remove(session)
        self.onlookers.unwatch(session)
        self.onlookers.untrack(session)
        self.sessions.pop(session.number, None)
        self.changed[session] = None

    def _touched(self, keys: Keyspace, key: bytes, wakes: bool) -> None:
        if wakes:
            self.waiting.wake(keys, key)
        self.onlookers.touched(keys, key)

    def _new_run_id(self) -> bytes:
        self._lives += 1
        return b"%b%08x" % (self._entropy(16).hex().encode(), self._lives)

    def _expired(self, keys: Keyspace, key: bytes) -> None:
        self.onlookers.expired(keys, key)

    def _tell_time(self, now: float) -> None:
        self.now = max(self.now, now)
        self.ms = int((self.now + self.skew) * 1000 + 0.001)
        for keys in self.databases:
            keys.ms = self.ms


def _shown(word: bytes) -> str:
    return word[:128].decode(errors="replace")
