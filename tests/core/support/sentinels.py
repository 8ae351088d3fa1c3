"""A client of a primary and a replica that Sentinels watch, in virtual time, for tests: its requests, its events, the dials of its links."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from streamcore.commands import Command
from streamcore.engine.engine import Engine
from streamcore.events import Event
from streamcore.options import Address, Options, SentinelAddress
from streamcore.requests import Multiplexer, Request
from streamcore.sentinel.board import Primary
from streamcore.sentinel.service import SentinelService
from streamcore.testing.cluster_net import ClusterNet
from streamcore.testing.model import Server, Session
from streamcore.testing.model.cluster.sentinel import ModelSentinels, Sentinel

E = TypeVar("E")

START = 1000.0
SERVICE = "orders"
FIRST = Address("127.0.0.1", 6379)
SECOND = Address("127.0.0.1", 6380)


def sentinel(number: int) -> SentinelAddress:
    return SentinelAddress("127.0.0.1", 26379 + number)


def served(*, sentinels: int = 3, name: str = SERVICE) -> ModelSentinels:
    """A primary, its replica, and their Sentinels."""
    primary, replica = Server(now=START), Server(now=START)
    replica.address = (SECOND.host.encode(), SECOND.port)
    replica.follow(primary, START)
    return ModelSentinels(primary, [replica], sentinels=sentinels, name=name, now=START)


class Rig:
    """Sentinels with a primary and a replica, and a client that knows the first Sentinel. ``asked``: questions for the primary, by Sentinel.

    Without ``starts`` they are not joined yet.
    """

    def __init__(
        self,
        *,
        model: ModelSentinels | None = None,
        seeds: Sequence[SentinelAddress] = (),
        options: Options | None = None,
        engine: dict[str, Any] | None = None,
        starts: bool = True,
        name: str = SERVICE,
        **service: Any,
    ) -> None:
        self.model = model or served()
        self.asked: list[tuple[float, int]] = []
        for number, one in enumerate(self.model.sentinels):
            self._watch(number, one)
        self.service = SentinelService(name, seeds or [sentinel(0)], **service)
        self.keywords: dict[str, Any] = {"options": options or Options(), "router": self.service.router}
        given: dict[str, Any] = {**self.keywords, **(engine or {})}
        self.client = Multiplexer(**given)
        self.ended: list[Any] = []
        if starts:
            self.start()

    def start(self) -> None:
        self.net = self.join(self.client)

    def join(self, engine: Engine) -> ClusterNet:
        """Join an engine with the Sentinels and their servers."""
        net = ClusterNet(self.model, engine)
        net.advance(0.01)
        return net

    def _watch(self, number: int, one: Sentinel) -> None:
        def note(session: Session, words: list[bytes]) -> None:
            if words[:2] == [b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME"]:
                self.asked.append((self.model.now, number))

        one.on_command = note

    # -- requests -----------------------------------------------------------------------------------------------------

    def ask(self, *commands: Command[Any]) -> Request:
        """Submit commands, and serve what comes of it at once."""
        request = self.client.submit(list(commands), self.ended.append)
        self.net.serve()
        return request

    def until(self, request: Request, most: float = 10.0) -> float:
        """Let time pass until a request has ended; return the seconds."""
        begun = self.net.pair.now
        while not request.finished:
            assert self.net.pair.now < begun + most, "the request has not ended"
            self.advance(0.01)
        return self.net.pair.now - begun

    def advance(self, seconds: float) -> None:
        self.net.advance(seconds)

    # -- breaking it --------------------------------------------------------------------------------------------------

    @property
    def primary(self) -> Server:
        return self.model.servers[0]

    @property
    def replica(self) -> Server:
        return self.model.servers[1]

    def crash(self, server: Server) -> None:
        """End a server: its connections break, and it cannot be dialled."""
        self.net.hidden.add(server)
        for session in [*server.sessions.values()]:
            session.lost()
        self.net.serve()

    def pause(self, server: Server) -> None:
        """Let a server stand still: its connections stay open, and nothing is answered."""
        server.run = lambda session, now: None  # type: ignore[method-assign]

    def resume(self, server: Server) -> None:
        """Let a paused server go on, with the commands that have come meanwhile."""
        del server.run
        for session in [*server.sessions.values()]:
            server.run(session, self.model.now)
        self.net.serve()

    # -- looking ------------------------------------------------------------------------------------------------------

    def link(self, name: str = "main") -> Any:
        return next(link for link in self.client.links() if link.name == name)

    @property
    def known(self) -> Primary:
        assert self.service.board.primary is not None
        return self.service.board.primary

    def events(self, kind: type[E]) -> list[E]:
        """Take the events since the last call; return those of a kind."""
        taken: list[Event] = self.net.pair.events()
        return [event for event in taken if isinstance(event, kind)]

    def take_asked(self) -> list[int]:
        """Take the numbers of the Sentinels that were asked since the last call."""
        taken, self.asked[:] = [number for _, number in self.asked], []
        return taken
