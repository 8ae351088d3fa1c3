"""A link, the driver and the server at its ends, and an owner that keeps a diary, for tests."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from typing import Any, Final

from streamcore.connection.common import Changes, Clock
from streamcore.connection.dials import MOST, Dials
from streamcore.connection.exchange import Exchange
from streamcore.connection.link import Link
from streamcore.connection.link_state import State
from streamcore.errors import ConnectionLost
from streamcore.options import Address, Login, Options
from streamcore.testing.resp import HELLO, OK, commands_in, resp

WELCOME: Final = resp(HELLO) + OK * 2

OPTIONS: Final = Options(
    request_timeout=5.0,
    connect_timeout=3.0,
    backoff_initial=1.0,
    backoff_max=8.0,
    keepalive_idle=10.0,
    keepalive_answer=2.0,
)

SECRET: Final = "sesame"


class Diary:
    """An owner that writes down the events of its link."""

    def __init__(self) -> None:
        self.pages: list[tuple[Any, ...]] = []
        self.on_up: Callable[[Link], None] = lambda link: None
        self.on_answered: Callable[[Link], None] = lambda link: None

    def link_up(self, link: Link) -> None:
        self.pages.append(("up",))
        self.on_up(link)

    def link_answered(self, link: Link, exchange: Exchange) -> None:
        self.pages.append(("answered", exchange))
        self.on_answered(link)

    def link_pushed(self, link: Link, pushes: list[list[Any]]) -> None:
        self.pages += [("pushed", items) for items in pushes]

    def link_down(self, link: Link, error: Exception, sent: list[Exchange], unsent: list[Exchange]) -> None:
        self.pages.append(("down", error, sent, unsent))

    def read(self) -> list[tuple[Any, ...]]:
        """Take the events since the last call."""
        pages, self.pages = self.pages, []
        return pages


class Waiting:
    """Another link to an address, which is dialled until ``end``."""

    def __init__(self, dials: Dials, address: Hashable) -> None:
        self.is_dialling = False
        self.turns = 0
        self.end = partial(dials.end, self)
        dials.ask(self, address)

    def dial(self) -> None:
        self.is_dialling = True
        self.turns += 1


class Rig:
    """A link with its diary, a hand-turned clock and a loaded die."""

    def __init__(self, options: Options = OPTIONS, login: Login | None = None) -> None:
        self.diary = Diary()
        self.clock = Clock()
        self.changes = Changes()
        self.dials = Dials()
        self.now = 100.0
        self.die = 1.0
        self.others: list[Waiting] = []
        self.link = Link(
            self.diary,
            random=lambda: self.die,
            clock=self.clock,
            changes=self.changes,
            dials=self.dials,
            address=Address("server", 1),
            login=login or Login(),
            options=options,
        )

    def to(self, state: State) -> Rig:
        """Take the link to a state by the shortest way."""
        link = self.link
        if state is State.QUEUED:
            self.others = [Waiting(self.dials, link.address) for _ in range(MOST)]
        if state is not State.RESTING:
            link.open()
            self.tell()
        if state in (State.GREETING, State.UP, State.DROPPING):
            link.connection_made(self.now)
        if state is State.UP:
            self.write()
            link.receive_data(WELCOME, self.now)
        if state is State.DROPPING:
            link.drop(ConnectionLost("dropped"))
        if state is State.BACKING_OFF:
            link.connection_lost(OSError("refused"), self.now)
        self.expect(state)
        self.diary.read()
        return self

    def expect(self, state: State) -> None:
        assert self.link.state is state

    def expect_reading(self, wanted: bool) -> None:
        assert self.link.wants_data is wanted

    def tell(self, now: float | None = None) -> None:
        """Tell the time as a driver does: as long as a timer is due."""
        self.now = self.now if now is None else now
        for _ in range(10):
            due = self.link.next_timeout()
            if due is None or due > self.now:
                return
            self.link.handle_timeout(self.now)
        raise AssertionError("a timer that is always due")

    def write(self) -> list[list[bytes]]:
        """Let the driver write all bytes; return their commands."""
        data = self.link.data_to_send()
        self.link.data_sent(len(data))
        return commands_in(data)

    def ask(self, timeout: float = 5.0) -> Exchange:
        """Send a command that must be answered within ``timeout``."""
        exchange = Exchange([("GET", "k")], timeout)
        self.link.send(exchange)
        return exchange

    def hear(self, data: bytes) -> None:
        self.link.receive_data(data, self.now)

    def redial(self) -> None:
        """Wait for the end of the back-off, and dial."""
        self.expect(State.BACKING_OFF)
        self.tell(self.link.next_timeout())
        self.expect(State.DIALLING)
