"""A node of a cluster: a model server that knows a view of its cluster, and runs only the commands that belong to it."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha1
from math import inf
from typing import Final, Protocol

from ..protocol import Failure, Reply
from ..replication import READ_ONLY
from ..server import Server
from ..session import Block, Session
from ..versions import Flavour
from . import context, gate
from .commands import COMMANDS, Dump
from .followers import release_blocked, release_channels
from .keys import keys_of, slot_of
from .view import Change, Member, View

NON_LOCAL: Final = "ttempted to access a non local key in a cluster node"


class Bus(context.Bus, Protocol):
    """The connections between nodes, as a node uses them; it finds the servers of other nodes as well."""

    # Find the server of a node; None where no node of the cluster has this id.
    def find(self, id_: bytes) -> Server | None: ...

    # Whether messages of a node reach another: both run, and no partition is between them.
    def reaches(self, one: bytes, other: bytes) -> bool: ...


class Node(Server):
    """A node. ``view`` is what it knows of the cluster; ``is_up``: its process exists; ``is_paused``: it stands still (SIGSTOP).

    ``asking`` has the sessions whose next command may use a slot that is on its way here (ASKING), ``readers`` those that read
    from a replica (READONLY).
    """

    def __init__(
        self, bus: Bus, flavour: Flavour, myself: Member, *, now: float, entropy: Callable[[int], bytes]
    ) -> None:
        self.view = View(myself)
        super().__init__(flavour, now=now, entropy=entropy, commands=COMMANDS)
        self._bus = bus
        self.address = (myself.host, myself.port)
        self.config[b"cluster-preferred-endpoint-type"] = b"ip"
        self.config[b"cluster-announce-hostname"] = myself.hostname
        self.is_up = True
        self.is_paused = False
        self.lag = 0.0  # seconds, as a replica
        self.lost = 0  # writes that its last promotion has lost
        self.asking: set[Session] = set()
        self.readers: set[Session] = set()
        self._running: list[bytes] = []  # the words of commands that have called each other
        self._shard = myself.id  # the primary of the node's shard, when it last looked

    def _new_run_id(self) -> bytes:
        self._lives += 1
        return sha1(b"%b %d" % (self.id, self._lives), usedforsecurity=False).hexdigest().encode()

    @property
    def id(self) -> bytes:
        """The node's id, 40 hexadecimal digits."""
        return self.view.myself.id

    @property
    def bus(self) -> Bus:
        """The connections to the other nodes."""
        return self._bus

    @property
    def is_valkey(self) -> bool:
        """Whether it answers as Valkey, which differs from Redis in a few ways."""
        return self.flavour.name == b"valkey"

    def flags_of(self, word: bytes) -> str:
        """The flags of a command; none of an unknown one."""
        command = self._commands.get(word)
        return "" if command is None else command.flags

    def name_of(self, member: Member) -> bytes | None:
        """The host by which this node tells clients of another (``cluster-preferred-endpoint-type``); None: it tells none."""
        match self.config[b"cluster-preferred-endpoint-type"]:
            case b"hostname":
                return member.hostname or b"?"
            case b"unknown-endpoint":
                return None
        return member.host

    def endpoint(self, member: Member) -> str:
        """The address of another node, as redirects name it."""
        return f"{(self.name_of(member) or b'').decode()}:{member.port}"

    def keys_in(self, slot: int) -> list[bytes]:
        """The keys of a slot that this node has."""
        return [key for key in self.databases[0] if slot_of(key) == slot]

    def offset(self, id_: bytes) -> int:
        """How far a node has got in the journal of its shard."""
        server = self._bus.find(id_)
        if server is None:
            return 0
        return server.replication.position or 0 if server.replication.is_replica else server.journal.end

    def configured(self) -> None:
        super().configured()
        if self.view.myself.hostname != self.config[b"cluster-announce-hostname"]:
            self.view.myself.hostname = self.config[b"cluster-announce-hostname"]
            self._bus.announce(self.id)

    # -- its process --------------------------------------------------------------------------------------------------

    def run(self, session: Session, now: float) -> None:
        if not self.is_paused:
            super().run(session, now)

    def next_timeout(self) -> float | None:
        return None if self.is_paused or not self.is_up else super().next_timeout()

    def handle_timeout(self, now: float) -> None:
        if self.is_up and not self.is_paused:
            super().handle_timeout(now)

    def resume(self, now: float) -> None:
        """Go on after a pause: with the commands that have come meanwhile."""
        self.is_paused = False
        for session in list(self.sessions.values()):
            self.run(session, now)
        self.handle_timeout(now)

    # -- commands -----------------------------------------------------------------------------------------------------

    def _execute(self, session: Session, words: list[bytes]) -> None:
        super()._execute(session, words)
        if self.view.changes:
            self.apply(self.now)
        if (
            session in self.asking
            and session.queued is None
            and session.blocked is None
            and words[0].upper() != b"ASKING"
        ):
            self.asking.discard(session)

    def _answer(self, session: Session, words: list[bytes]) -> Reply:
        self._running = [words[0].upper()]
        reply = super()._answer(session, words)
        if isinstance(reply, Block) and reply.keys and self.flavour.modern:
            self._guard(session, words, reply)
        return reply

    def call(self, session: Session, *words: bytes) -> Reply:
        self._running.append(words[0].upper())
        try:
            return super().call(session, *words)
        finally:
            self._running.pop()

    def _check(self, session: Session, word: bytes, words: list[bytes], flags: str) -> None:
        self.faults.check(word, words, flags)
        if len(self._running) == 1:
            self._check_client(session, word, words, flags)
        elif self._running[-2] != b"EXEC":
            self._check_script(session, word, words, flags)
        if "w" in flags and self.replication.primary is not None:
            raise Failure(READ_ONLY)

    def _check_client(self, session: Session, word: bytes, words: list[bytes], flags: str) -> None:
        try:
            gate.check(self, session, word, words, flags)
        except Failure:
            if word == b"EXEC":
                session.queued = None
                self.onlookers.unwatch(session)
            raise

    def _check_script(self, session: Session, word: bytes, words: list[bytes], flags: str) -> None:
        """A command of a script needs its own keys to be here; Redis tells of a replica that cannot write first."""
        if "w" in flags and self.replication.primary is not None and not self.is_valkey:
            raise Failure(READ_ONLY)
        keys = keys_of(word, words)
        if keys:
            try:
                gate.judge(self, session, keys, writes="w" in flags)
            except Failure:
                raise Failure(f"ERR A{NON_LOCAL}" if self.is_valkey else f"ERR Script a{NON_LOCAL}") from None

    def _guard(self, session: Session, words: list[bytes], block: Block) -> None:
        """Run a blocked command through the gate each time that it is run anew, as all servers but Redis 7.0 do."""
        word, retry = words[0].upper(), block.retry

        def again(key: bytes) -> Reply:
            if word == b"XREADGROUP" or self.databases[0].raw(key) is not None:
                gate.judge(self, session, block.keys, writes="w" in self.flags_of(word))
            return retry(key)

        block.retry = again

    def unblock(self, session: Session, reply: Reply) -> None:
        super().unblock(session, reply)
        self.asking.discard(session)

    def forget(self, session: Session) -> None:
        super().forget(session)
        self.asking.discard(session)
        self.readers.discard(session)

    # -- changes of its view ------------------------------------------------------------------------------------------

    def apply(self, now: float) -> None:
        """Act on what has changed in the view: its role, its clients, and the keys of lost slots."""
        self._tell_time(now)
        changes, self.view.changes = self.view.changes, []
        lost = [one for one in changes if one.old == self.id and one.new not in (None, self.id)]
        self._choose_primary(changes)
        release_channels(self, changes, self._shard)
        if self.is_valkey:
            release_blocked(self)
        self.take_role()
        release_blocked(self)
        if self.view.myself.primary is None:
            gone = {slot for one in lost for slot in one.slots}
            for key in [key for key in self.databases[0] if slot_of(key) in gone] if gone else ():
                self.give(key)
        self._shard = self.view.primary

    def begin(self) -> None:
        """Take the place that the view gives the node, with nothing to tell its clients."""
        self.view.changes.clear()
        self.take_role()
        self._shard = self.view.primary

    def settle(self, now: float) -> None:
        """``apply``, and run the commands behind those that were answered by it."""
        self.apply(now)
        self._settle()
        self.onlookers.tracked.tell()

    def _choose_primary(self, changes: list[Change]) -> None:
        """A shard that has lost its last slot to another primary gets replicas of that one, as all its nodes do."""
        view = self.view
        others = [one.new for one in changes if one.old == view.primary and one.new not in (view.primary, self.id)]
        heirs = [one for one in others if one is not None]
        if heirs and not view.slots_of(view.primary):
            view.follow(heirs[-1])
            self._bus.announce(self.id)

    def take_role(self) -> None:
        """Follow the primary of the view, or be one; a link that was broken begins anew where the primary is reached again."""
        replication, wanted = self.replication, self.view.myself.primary
        if wanted is None:
            if replication.primary is not None:
                self.lost = self.promote(self.now)
                self.scripts.clear()
            return
        primary = self._bus.find(wanted)
        if primary is None:
            return
        if self._bus.reaches(self.id, wanted):
            if replication.primary is not primary or replication.position is None:
                self.follow(primary, self.now)
            replication.lag = self.lag
        else:
            replication.lag = inf

    def follow(self, primary: Server, now: float, *, lag: float = 0.0, has_the_same: bool = False) -> None:
        kept = list(self.waiting.sessions) if self.is_valkey else []
        for session in kept:  # Valkey has sent away the readers, and keeps the clients of WAIT
            del self.waiting.sessions[session]
        super().follow(primary, now, lag=lag, has_the_same=has_the_same)
        self.waiting.sessions.update(dict.fromkeys(kept))

    def give(self, key: bytes) -> Dump | None:
        """Take a key out, and tell the replicas; return its value."""
        keys = self.databases[0]
        value = keys.raw(key)
        if value is None:
            return None
        dump = Dump.of(value)
        self._record_unit(self.hand, [b"DEL", key])
        keys.remove(key)
        return dump

    def take(self, key: bytes, expiry: int | None, dump: Dump) -> None:
        """Set a key that another node has given, and tell the replicas."""
        words = [b"RESTORE", key, b"%d" % (expiry or 0), dump]
        self._record_unit(self.hand, words)
        self._commands[b"RESTORE"].function(self.hand, words[1:])
