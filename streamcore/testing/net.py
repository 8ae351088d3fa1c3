"""An engine and a model server in virtual time, joined by a network that can break in four ways.

    net = Net(server := Server(), GroupConsumer("s", group="g", consumer="c"))
    net.advance(5.0)                           # time passes for both: timers, commands and answers in their order
    net.serve()                                # commands are run and answered until nothing moves any more
    net.cut("main", Fate.HALF_OPEN)            # the connection breaks, unheard by the server
    net.pair.events()

Several nets may join engines with a common server. ``net.pair`` has the sockets, budgets and refusals.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, Protocol

from streamcore.connection.link import Link
from streamcore.engine.engine import Engine

from .model import Server, Session
from .pair import Pair, Peer
from .resp import resp

GREETING: Final = 3
"""The commands with which every connection begins: HELLO, and twice CLIENT SETINFO."""


class Fate(Enum):
    """The fate of the commands and replies of a connection that breaks."""

    REQUESTS_LOST = auto()
    """No further command is run."""
    REPLIES_LOST = auto()
    """All commands are run, and their replies are lost."""
    ONE_REPLY_LOST = auto()
    """A single further command is run, and its reply is lost."""
    HALF_OPEN = auto()
    """The engine has lost the connection, and the server keeps it."""


@dataclass(eq=False, slots=True)
class _Connection:
    """A connection and the commands that wait in it.

    ``peer`` is None where the engine has lost it; ``dials``: the peer's dials.
    """

    session: Session
    peer: Peer | None
    dials: int
    inbox: deque[list[bytes]] = field(default_factory=deque[list[bytes]])

    @property
    def can_run(self) -> bool:
        return bool(self.inbox) and self.session.is_open and self.session.blocked is None


class Clock(Protocol):
    """A server, or several, with the time that they are told."""

    @property
    def now(self) -> float: ...

    # When ``handle_timeout`` is due, in seconds.
    def next_timeout(self) -> float | None: ...

    # Do all that is due.
    def handle_timeout(self, now: float) -> None: ...


class WiredNet(ABC):
    """Joins an engine with peers, over a network that may break. Subclasses say who takes a connection (``_accept``)."""

    def __init__(self, clock: Clock, engine: Engine, refuse: Callable[[Link], Exception | None] | None = None) -> None:
        self._clock = clock
        self.pair = Pair(engine, now=clock.now, greets=False, refuse=refuse)
        self._connections: list[_Connection] = []
        self._fuses: dict[Peer, tuple[int, Fate]] = {}
        self._silent: dict[Peer, int] = {}  # since which of its connections
        self.serve()

    def serve(self) -> None:
        """Run commands and bring their replies until nothing moves any more."""
        self.pair.settle()
        moved = True
        while moved:
            moved = False
            self._close()
            for peer in self._peers():
                moved |= self._receive(peer)
            for connection in list(self._connections):
                moved |= self._step(connection)
            for connection in list(self._connections):
                moved |= self._answer(connection)

    def advance(self, seconds: float) -> None:
        """Let seconds pass for engine and server, from timer to timer. For other engines of the server time stands still."""
        ahead, end = self._clock.now - self.pair.now, self.pair.now + seconds
        self.serve()
        while self.pair.now < end:
            ours, theirs = self.pair.engine.next_timeout(), self._clock.next_timeout()
            at = end if ours is None else min(end, ours)
            server_at = at + ahead
            if theirs is not None and theirs < server_at:
                at, server_at = min(end, theirs - ahead), theirs
            self.pair.advance_to(max(at, self.pair.now))
            self._clock.handle_timeout(server_at)
            self.serve()

    def cut(self, name: str, fate: Fate, *, after: int = 0) -> None:
        """Break the link called ``name``, where it is connected, or when ``after`` more of its commands are answered."""
        peer = self.pair.peer(name)
        if after:
            self._fuses[peer] = (after, fate)
        elif (connection := self._of(peer)) is not None:
            self._break(connection, peer, fate)

    def cut_in_flight(self, name: str, fate: Fate) -> None:
        """Break the link called ``name`` while its present commands are on their way."""
        self.pair.settle()
        if self.pair.peer(name).link.is_up:
            self.cut(name, fate)
        else:
            self.cut(name, fate, after=GREETING)
            self.serve()

    def kill(self, *, half_open: bool = False) -> None:
        """Kill the engine's process: its connections end, unless they are ``half_open``, which the server does not know."""
        for connection in self._connections:
            if connection.peer is not None and not half_open:
                connection.session.lost()
            connection.peer = None
        self.pair.dials = False

    def silence(self, name: str) -> None:
        """Lose all that is on its way over the link called ``name``, now and until its next connection; the engine hears nothing."""
        connection, peer = self._connected(name)
        self._silent[peer] = peer.dials
        connection.peer = None
        connection.session.lost()

    def run_next(self, name: str) -> None:
        """Run the next command of the link called ``name``, and keep its reply for ``serve``."""
        self._receive(self.pair.peer(name))
        connection, _ = self._connected(name)
        self._run(connection)

    @abstractmethod
    def _accept(self, peer: Peer) -> Session | None: ...

    def _break(self, connection: _Connection, peer: Peer, fate: Fate) -> None:
        self._receive(peer)
        connection.peer = None
        if fate is Fate.ONE_REPLY_LOST:
            self._run(connection)
        while fate is Fate.REPLIES_LOST and connection.can_run:
            self._run(connection)
        if fate is not Fate.HALF_OPEN:
            connection.session.lost()
        peer.close(OSError("reset"))

    def _step(self, connection: _Connection) -> bool:
        """Run the next command of a connection, or break it."""
        peer = connection.peer
        if connection.can_run and peer is not None and peer in self._fuses:
            left, fate = self._fuses[peer]
            self._fuses[peer] = (left - 1, fate)
            if left == 0:
                del self._fuses[peer]
                self._answer(connection)
                self._break(connection, peer, fate)
                return True
        return self._run(connection)

    def _run(self, connection: _Connection) -> bool:
        if not connection.can_run:
            return False
        connection.session.receive(resp(connection.inbox.popleft()), self._clock.now)
        return True

    def _of(self, peer: Peer) -> _Connection | None:
        """The present connection of a link; None where it has none."""
        found = (one for one in self._connections if one.peer is peer and one.dials == peer.dials)
        return next(found, None) if peer.connected else None

    def _connected(self, name: str) -> tuple[_Connection, Peer]:
        peer = self.pair.peer(name)
        connection = self._of(peer)
        assert connection is not None, f"the link {name!r} is not connected"
        return connection, peer

    def _peers(self) -> list[Peer]:
        return [self.pair.peer_of(link) for link in self.pair.engine.links()]

    def _receive(self, peer: Peer) -> bool:
        """Bring the commands of a link to the server, which accepts a new connection for them."""
        if self._silent.get(peer) == peer.dials:
            peer.commands.clear()
        if not peer.connected or not peer.commands:
            return False
        connection = self._of(peer)
        if connection is None:
            session = self._accept(peer)
            if session is None:
                peer.close(ConnectionResetError("the server has ended"))
                return True
            connection = _Connection(session, peer, peer.dials)
            self._connections.append(connection)
        connection.inbox += peer.commands
        peer.commands.clear()
        return True

    def _close(self) -> None:
        """End the server's sessions of connections that the engine has closed, behind the commands that have arrived."""
        peers = self._peers()
        for connection in self._connections:
            peer = connection.peer
            if peer is None or (peer in peers and self._of(peer) is connection):
                continue
            connection.peer = None
            if peer.dials == connection.dials:
                connection.inbox += peer.commands
                peer.commands.clear()
            while connection.can_run:
                self._run(connection)
            connection.session.lost()

    def _answer(self, connection: _Connection) -> bool:
        """Bring the server's replies, or the end of the connection, to the engine."""
        session, peer = connection.session, connection.peer
        if session.closed or (peer is None and not session.is_open):
            self._connections.remove(connection)
            if peer is not None and peer.connected:
                peer.close()
            return peer is not None
        data = bytes(session.data_to_send())
        if not data or peer is None or not peer.connected or peer.dials != connection.dials:
            return False
        session.data_sent(len(data))
        peer.reply(data)
        return True


class Net(WiredNet):
    """Joins an engine with a model server."""

    def __init__(self, server: Server, engine: Engine) -> None:
        self.server = server
        super().__init__(server, engine)

    def _accept(self, peer: Peer) -> Session:
        return self.server.connect(self.server.now)
