"""An engine and its peer in virtual time: the test is the server, and turns the clock. No network, no threads, no waiting.

    pair = Pair(GroupConsumer("s", group="g", consumer="c"))     # dials, and answers HELLO and SETINFO by itself
    pair.server.expect("INFO", "server")                         # the next command, or an assertion fails
    pair.server.answer("run_id:1")                               # any Python value as RESP3; `reply` takes raw bytes
    pair.advance(5.0)                                            # every timer on the way is told exactly when it is due
    pair.server.close(OSError("reset"))                          # the connection breaks; advance() past the back-off
    pair.peer("acks").expect("XACK")                             # the server's side of another link

After every input the pair does what a driver does (``docs/drivers.md``) until nothing changes any more, and fails the test where
that takes for ever (a busy loop). Its attributes make this network less obliging.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

from streamcore.connection.link import Link
from streamcore.connection.link_state import State
from streamcore.engine.engine import Engine
from streamcore.events import Event

from .resp import HELLO, OK, CommandReader, PushOf, resp

MANY: Final = 10_000
"""The steps and the timers after which an engine is judged to be busy for ever."""


class Peer:
    """The server's end of a link.

    ``commands`` have come over the present connection and were not expected yet; ``dials`` counts the connections of the link.
    """

    def __init__(self, pair: Pair, link: Link) -> None:
        self.link = link
        self.commands: deque[list[bytes]] = deque()
        self.connected = False
        self.dials = 0
        self._pair = pair
        self._reader = CommandReader()

    def expect(self, *words: str | bytes | int) -> list[bytes]:
        """Take the next command, which must begin with ``words``. Raises ``AssertionError``."""
        wanted = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        assert self.commands, f"the server waits for {wanted}, and nothing was sent"
        command = self.commands.popleft()
        assert command[: len(wanted)] == wanted, f"the server waits for {wanted}, and got {command}"
        return command

    def expect_nothing(self) -> None:
        """Check that no command is left. Raises ``AssertionError``."""
        assert not self.commands, f"the server waits for nothing, and got {list(self.commands)}"

    def reply(self, *data: bytes) -> None:
        """Send bytes, undivided unless the pair cuts them."""
        for piece in self._pair.cut(b"".join(data)):
            if self.connected:
                self.link.receive_data(piece, self._pair.now)
        self._pair.settle()

    def answer(self, *values: Any) -> None:
        """Send values as replies, undivided unless the pair cuts them."""
        self.reply(*map(resp, values))

    def push(self, *items: Any) -> None:
        """Send an out-of-band message, such as a published message."""
        self.reply(resp(PushOf(items)))

    def close(self, error: Exception | None = None) -> None:
        """End the connection: by an EOF, or by an error of the socket."""
        self.connected = False
        self.link.connection_lost(error, self._pair.now)
        self._pair.settle()

    # -- how the pair acts on it --------------------------------------------------------------------------------------

    def step(self) -> bool:
        """Move this link by a step. Returns False where there is nothing to do."""
        pair, link = self._pair, self.link
        if (
            self.connected and not link.wants_connection
        ) or link.state is State.DROPPING:  # also of a dial that never began
            self.connected = False
            link.connection_lost(None, pair.now)
            return True
        if link.wants_connection and not self.connected and pair.dials:
            self.dials += 1
            refusal = pair.refusal if pair.refuse is None else pair.refusal or pair.refuse(link)
            if refusal is not None:
                link.connection_lost(refusal, pair.now)
                return True
            self.connected = True
            self.commands.clear()
            self._reader = CommandReader()
            link.connection_made(pair.now)
            return True
        return self.connected and self._carry()

    @property
    def is_served(self) -> bool:
        """Whether the link has all that it wants."""
        link = self.link
        is_settled = self.connected is link.wants_connection and link.state is not State.DROPPING
        return is_settled and not (self.connected and link.data_to_send())

    def _carry(self) -> bool:
        pair, link = self._pair, self.link
        data = bytes(link.data_to_send())
        size = len(data) if pair.budget is None else min(pair.budget, len(data))
        if not size:
            return False
        link.data_sent(size)
        if pair.budget is not None:
            pair.budget -= size
        self.commands += self._reader.feed(data[:size])
        if pair.greets:
            self._greet()
        return True

    def _greet(self) -> None:
        while self.commands and self.connected:
            match self.commands[0]:
                case [b"HELLO", *_]:
                    reply = resp(HELLO)
                case [b"CLIENT", b"SETINFO", *_] | [b"SELECT", *_]:
                    reply = OK
                case _:
                    return
            self.commands.popleft()
            self.link.receive_data(reply, self._pair.now)


class Pair:
    """Joins an engine with a peer for each of its links, and tells it the time.

    * ``now``: seconds, on the clock that the engine is told.
    * ``dials``: whether the driver gets round to dialling. ``refusal``: the error that dialling ends with, None: it succeeds.
    * ``refuse``: is asked for the error that dialling a link ends with, where ``refusal`` is None.
    * ``greets``: whether HELLO and its companions are answered without the test.
    * ``budget``: the bytes that the sockets still take, None: all.
    * ``cut``: how replies are cut into pieces.
    * ``wakeups``: how often the engine has woken its driver.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        now: float = 1000.0,
        dials: bool = True,
        greets: bool = True,
        budget: int | None = None,
        refuse: Callable[[Link], Exception | None] | None = None,
    ) -> None:
        self.engine = engine
        self.now = now
        self.dials = dials
        self.greets = greets
        self.budget = budget
        self.refusal: Exception | None = None
        self.refuse = refuse
        self.cut: Callable[[bytes], Iterable[bytes]] = _in_a_piece
        self.wakeups = 0
        self._peers: dict[Link, Peer] = {}
        self._left: dict[Link, None] = {}  # that have changed, and are not served yet
        engine.on_wakeup = self._wake
        self.settle()

    @property
    def server(self) -> Peer:
        """The peer of the engine's first link."""
        return self.peer()

    def peer(self, name: str | None = None) -> Peer:
        """The server's end of the link called ``name``, or of the first link. Raises ``AssertionError``."""
        for link in self.engine.links():
            if name is None or link.name == name:
                return self.peer_of(link)
        raise AssertionError(f"there is no link called {name!r}")

    def settle(self) -> None:
        """Do the work of a driver, at the present time, until nothing changes any more. Raises ``AssertionError``."""
        for _ in range(MANY):
            if not self._step_links() and not self._tell_time():
                return
        raise AssertionError("a busy loop: the engine always wants something more")

    def advance(self, seconds: float) -> None:
        """Let seconds pass, and tell the engine of every timer that is due on the way. Raises ``AssertionError``."""
        self.advance_to(self.now + seconds)

    def advance_to(self, end: float) -> None:
        """Let time pass until ``end``, as ``advance`` does."""
        for _ in range(MANY):
            at = self.engine.next_timeout()
            if at is None or at > end:
                self.now = end
                self.settle()
                return
            self.now = max(self.now, at)
            self.settle()
        raise AssertionError("a busy loop: the engine always wants one more timer")

    def events(self) -> list[Event]:
        """Take the events since the last call."""
        taken: list[Event] = []
        while (event := self.engine.next_event()) is not None:
            taken.append(event)
        return taken

    def _step_links(self) -> bool:
        """Move the links that have changed, and the links that the network had no room for before."""
        self._left |= dict.fromkeys(self.engine.changed_links())
        moved = False
        for link in [link for link in self.engine.links() if link in self._left]:
            peer = self.peer_of(link)
            if peer.step():
                moved = True
            elif peer.is_served:
                del self._left[link]
        return moved

    def peer_of(self, link: Link) -> Peer:
        """The server's end of a link."""
        if link not in self._peers:
            self._peers[link] = Peer(self, link)
        return self._peers[link]

    def _tell_time(self) -> bool:
        at = self.engine.next_timeout()
        if at is None or at > self.now:
            return False
        self.engine.handle_timeout(self.now)
        return True

    def _wake(self) -> None:
        self.wakeups += 1


def _in_a_piece(data: bytes) -> tuple[bytes]:
    return (data,)
