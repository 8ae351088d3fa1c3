"""An engine and a model server, joined by a network that can break in four ways.

net = Net(server := Server(), GroupConsumer("s", group="g", consumer="c"))
server.add("s", "1-0")          # somebody else appends
net.serve()                     # commands are run and answered until nothing moves any more
net.advance(5.0)                # time passes, for both
net.cut("main", Fate.HALF_OPEN)
"""

from __future__ import annotations

from enum import Enum, auto

from streamcore.engine.engine import Engine
from streamcore.testing.pair import Pair, Peer
from tests.core.support.model import Server, Session

GREETING = 3  # commands with which every connection begins


class Fate(Enum):
    """What becomes of a connection that breaks."""

    REQUESTS_LOST = auto()  # what was not run yet never is
    REPLIES_LOST = auto()  # everything is run, and nobody hears of it
    ONE_REPLY_LOST = auto()  # one more command is run, unheard
    HALF_OPEN = auto()  # we think it is gone; the server does not know yet


class Net:
    """Joins one engine with a server."""

    def __init__(self, server: Server, engine: Engine) -> None:
        self.server = server
        self.pair = Pair(engine, now=server.now, greets=False)
        self._sessions: dict[Peer, Session] = {}
        self._dials: dict[Peer, int] = {}
        self._fuses: dict[Peer, tuple[int, Fate]] = {}
        self.serve()

    def serve(self) -> None:
        """Run and answer until nothing moves any more."""
        self.pair.settle()
        moved = True
        while moved:
            moved = False
            for peer in self._peers():
                moved |= self._receive(peer)
            for session in list(self.server.sessions.values()):
                moved |= self._step(session)  # those of forgotten connections, too
            for peer in self._peers():
                moved |= self._answer(peer)

    def advance(self, seconds: float) -> None:
        """Let time pass, in small steps, for both."""
        for _ in range(10):
            self.server.now += seconds / 10
            self.pair.advance(seconds / 10)
            self.server.wake()
            self.serve()

    def cut(self, name: str, fate: Fate, *, after: int = 0) -> None:
        """Break the link called ``name``, if it is up, or when it has got ``after`` more answers."""
        peer = self.pair.peer(name)
        if after:
            self._fuses[peer] = (after, fate)
        elif peer in self._sessions and peer.connected:
            self._break(peer, fate)

    def cut_in_flight(self, name: str, fate: Fate) -> None:
        """Break the link called ``name`` while what it has to send now is on its way."""
        self.pair.settle()
        peer = self.pair.peer(name)
        if peer.link.is_up:
            self.cut(name, fate)
        else:
            self.cut(name, fate, after=GREETING)
            self.serve()

    def kill(self, *, half_open: bool = False) -> None:
        """The process is killed and never heard of again: its connections end, unless the server does not know yet."""
        for session in self._sessions.values():
            if not half_open:
                self.server.close(session)
        self._sessions.clear()
        self.pair.dials = False

    def _break(self, peer: Peer, fate: Fate) -> None:
        self._receive(peer)
        session = self._sessions.pop(peer)
        if fate is Fate.ONE_REPLY_LOST:
            self.server.step(session)
        while fate is Fate.REPLIES_LOST and self.server.step(session):
            pass
        if fate is not Fate.HALF_OPEN:
            self.server.close(session)
        peer.close(OSError("reset"))

    def _step(self, session: Session) -> bool:
        for peer, (left, fate) in list(self._fuses.items()):
            if self._sessions.get(peer) is session and session.inbox and session.blocked is None:
                self._fuses[peer] = (left - 1, fate)
                if left == 0:
                    del self._fuses[peer]
                    self._answer(peer)
                    self._break(peer, fate)
                    return True
        return self.server.step(session)

    def _peers(self) -> list[Peer]:
        return [self.pair.peer(link.name) for link in self.pair.engine.links()]

    def _receive(self, peer: Peer) -> bool:
        """The server accepts a new connection, and receives commands."""
        if self._dials.get(peer) != peer.dials:
            self._dials[peer] = peer.dials
            self._sessions.pop(peer, None)
        if not peer.connected or not peer.commands:
            return False
        if peer not in self._sessions:
            self._sessions[peer] = self.server.connect()
        self._sessions[peer].inbox.extend(peer.commands)
        peer.commands.clear()
        return True

    def _answer(self, peer: Peer) -> bool:
        session = self._sessions.get(peer)
        if session is None or not peer.connected:
            return False
        replies, session.outbox = session.outbox, []
        if replies:
            peer.answer(*replies)
        elif not session.open:
            del self._sessions[peer]
            peer.close()
        else:
            return False
        return True
