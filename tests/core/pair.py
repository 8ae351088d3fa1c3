"""An engine and a scripted server, joined without a network: a driver in which the test is the server and turns the clock.

    pair = Pair(GroupConsumer("s", group="g", consumer="c"))     # dials, and answers HELLO and SETINFO by itself
    pair.server.expect("INFO", "server")                         # the next command, or an assertion fails
    pair.server.answer("run_id:1")                               # any Python value as RESP3; `reply` takes raw bytes
    pair.advance(5.0)                                            # every timer on the way is told exactly when it is due
    pair.server.close(OSError("reset"))                          # the connection breaks; advance() past the back-off
    pair.peer("acks").expect("XACK")                             # the server's side of another link

After every input the pair does what a driver does until nothing changes any more, and fails the test where that takes
for ever (a busy loop). ``dials``, ``greets``, ``refusal``, ``budget`` and ``cut`` are the ways in which this network can
be made less obliging.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from streamcore.connection.link import Link
from streamcore.engine.engine import Engine
from streamcore.errors import ReplyError
from streamcore.events import Event
from streamcore.resp3 import Pairs, Verbatim

OK = b"+OK\r\n"
NIL = b"_\r\n"
HELLO = {
    "server": "valkey",
    "version": "9.1.2",
    "proto": 3,
    "id": 7,
    "mode": "standalone",
    "role": "master",
    "modules": [],
}
MANY = 10_000


class Simple(str):
    """Text that ``resp`` writes as a simple string (``+OK``)."""

    __slots__ = ()


class PushOf(list[Any]):
    """Items that ``resp`` writes as a push (``>``)."""

    __slots__ = ()


class SetOf(list[Any]):
    """Items that ``resp`` writes as a set (``~``)."""

    __slots__ = ()


class Blob:
    """An error that ``resp`` writes as a blob (``!``), where its message may have line breaks."""

    def __init__(self, error: ReplyError) -> None:
        self.error = error


class Streamed:
    """A string, a list, a set, a push or a map that ``resp`` writes without its length (``?``)."""

    def __init__(self, value: Any) -> None:
        self.value = value


class Attributed:
    """A value before which ``resp`` writes attributes (``|``)."""

    def __init__(self, attributes: dict[Any, Any] | Pairs, value: Any) -> None:
        self.attributes = attributes
        self.value = value


def items_of(value: dict[Any, Any] | Pairs) -> Iterable[tuple[Any, Any]]:
    return value.items() if isinstance(value, dict) else value


def resp(value: Any) -> bytes:
    """A reply as the server would send it."""
    match value:
        case Attributed():
            return b"|" + resp(value.attributes)[1:] + resp(value.value)
        case Blob():
            text = f"{value.error.code} {value.error.message}".encode()
            return b"!%d\r\n%b\r\n" % (len(text), text)
        case Verbatim():
            return b"=%d\r\n%b:%b\r\n" % (len(value) + 4, value.format.encode(), value)
        case Streamed():
            return _streamed(value.value)
        case None:
            return NIL
        case bool():
            return b"#t\r\n" if value else b"#f\r\n"
        case int():
            return b"%b%d\r\n" % (b":" if -(1 << 63) <= value < 1 << 63 else b"(", value)
        case float():
            return b",%r\r\n" % value
        case ReplyError():
            return b"-%b %b\r\n" % (value.code.encode(), value.message.encode())
        case Simple():
            return b"+%b\r\n" % value.encode()
        case str():
            return resp(value.encode())
        case bytes():
            return b"$%d\r\n%b\r\n" % (len(value), value)
        case dict() | Pairs():
            return b"%%%d\r\n" % len(value) + b"".join(resp(item) for pair in items_of(value) for item in pair)
        case SetOf():
            return b"~%d\r\n" % len(value) + b"".join(map(resp, value))
        case PushOf():
            return b">%d\r\n" % len(value) + b"".join(map(resp, value))
        case list() | tuple():
            return b"*%d\r\n" % len(value) + b"".join(map(resp, value))
        case _:
            raise TypeError(f"no reply is made of {value!r}")


def _streamed(value: Any) -> bytes:
    if isinstance(value, bytes):
        pieces = [value[at : at + 3] for at in range(0, len(value), 3)]
        return b"$?\r\n" + b"".join(b";%d\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b";0\r\n\r\n"
    header, items = resp(value).split(b"\r\n", 1)
    return header[:1] + b"?\r\n" + items + b".\r\n"


def entry(id_: str, **fields: str) -> list[Any]:
    """An entry of a stream, for replies of XREAD and its kin."""
    return [id_, [item for pair in (fields or {"f": "v"}).items() for item in pair]]


class CommandParser:
    """What a server reads: RESP arrays of bulk strings, in any pieces."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes | memoryview) -> Iterator[list[bytes]]:
        self._buffer += data
        while (parsed := self._parse()) is not None:
            words, at = parsed
            self._buffer = self._buffer[at:]
            yield words

    def _parse(self) -> tuple[list[bytes], int] | None:
        words: list[bytes] = []
        header = self._line(0, b"*")
        if header is None:
            return None
        count, at = header
        for _ in range(count):
            header = self._line(at, b"$")
            if header is None or len(self._buffer) < header[1] + header[0] + 2:
                return None
            size, at = header
            words.append(self._buffer[at : at + size])
            assert self._buffer[at + size : at + size + 2] == b"\r\n"
            at += size + 2
        return words, at

    def _line(self, at: int, kind: bytes) -> tuple[int, int] | None:
        end = self._buffer.find(b"\r\n", at)
        if end < 0:
            return None
        assert self._buffer[at : at + 1] == kind, f"not a command: {self._buffer[at:]!r}"
        return int(self._buffer[at + 1 : end]), end + 2


def commands_in(data: bytes | memoryview) -> list[list[bytes]]:
    """The commands that outgoing bytes consist of."""
    return list(CommandParser().feed(data))


class Peer:
    """The server's end of one link. ``commands`` came over the present connection and were not expected yet."""

    def __init__(self, pair: Pair, link: Link) -> None:
        self.link = link
        self.commands: deque[list[bytes]] = deque()
        self.connected = False
        self.dials = 0
        self._pair = pair
        self._parser = CommandParser()

    def expect(self, *words: str | bytes | int) -> list[bytes]:
        """The next command, which must begin with ``words``."""
        wanted = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        assert self.commands, f"the server waits for {wanted}, and nothing was sent"
        command = self.commands.popleft()
        assert command[: len(wanted)] == wanted, f"the server waits for {wanted}, and got {command}"
        return command

    def expect_nothing(self) -> None:
        assert not self.commands, f"the server waits for nothing, and got {list(self.commands)}"

    def reply(self, *data: bytes) -> None:
        """Send bytes, all in one piece unless the pair cuts them."""
        for piece in self._pair.cut(b"".join(data)):
            if self.connected:
                self.link.receive_data(piece, self._pair.now)
        self._pair.settle()

    def answer(self, *values: Any) -> None:
        """Send values as replies, in one piece."""
        self.reply(*map(resp, values))

    def push(self, *items: Any) -> None:
        """Send an out-of-band message."""
        self.reply(resp(PushOf(items)))

    def close(self, error: Exception | None = None) -> None:
        """The connection ends: an EOF, or an error of the socket."""
        self.connected = False
        self.link.connection_lost(error, self._pair.now)
        self._pair.settle()

    # -- what the pair does with it -----------------------------------------------------------------------------------

    def step(self) -> bool:
        """Move this link by one step; False where there is nothing to do."""
        pair, link = self._pair, self.link
        if self.connected and not link.wants_connection:
            self.connected = False
            link.connection_lost(None, pair.now)
            return True
        if link.wants_connection and not self.connected and pair.dials:
            self.dials += 1
            if pair.refusal is not None:
                link.connection_lost(pair.refusal, pair.now)
                return True
            self.connected = True
            self.commands.clear()
            self._parser = CommandParser()
            link.connection_made(pair.now)
            return True
        return self.connected and self._carry()

    @property
    def is_served(self) -> bool:
        """Whether the link has all that it wants."""
        return self.connected is self.link.wants_connection and not (self.connected and self.link.data_to_send())

    def _carry(self) -> bool:
        pair, link = self._pair, self.link
        data = bytes(link.data_to_send())
        size = len(data) if pair.budget is None else min(pair.budget, len(data))
        if not size:
            return False
        link.data_sent(size)
        if pair.budget is not None:
            pair.budget -= size
        for command in self._parser.feed(data[:size]):
            self.commands.append(command)
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
    """Joins one engine with peers, one for each of its links; ``server`` is the peer of the first."""

    def __init__(
        self, engine: Engine, *, now: float = 1000.0, dials: bool = True, greets: bool = True, budget: int | None = None
    ) -> None:
        self.engine = engine
        self.now = now
        self.dials = dials  # whether the driver gets round to dialling
        self.greets = greets  # whether HELLO and its companions are answered
        self.budget = budget  # how many bytes the sockets still take; None: all
        self.refusal: Exception | None = None  # what dialling ends with
        self.cut: Callable[[bytes], Iterable[bytes]] = lambda data: [data]  # how replies are cut
        self.wakeups = 0
        self._peers: dict[Link, Peer] = {}
        self._left: dict[Link, None] = {}  # that have changed, and are not served yet
        engine.on_wakeup = self._wake
        self.settle()

    @property
    def server(self) -> Peer:
        return self.peer()

    def peer(self, name: str | None = None) -> Peer:
        """The server's end of the first link, or of the one called ``name``."""
        for link in self.engine.links():
            if name is None or link.name == name:
                return self._peer(link)
        raise AssertionError(f"there is no link called {name!r}")

    def settle(self) -> None:
        """Do what a driver does, at the present time, until nothing changes any more."""
        for _ in range(MANY):
            if not self._step_links() and not self._tell_time():
                return
        raise AssertionError("a busy loop: the engine always wants something more")

    def advance(self, seconds: float) -> None:
        """Let time pass, and stop at every timer that is due on the way."""
        end = self.now + seconds
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
        """What happened since the last call."""
        taken: list[Event] = []
        while (event := self.engine.next_event()) is not None:
            taken.append(event)
        return taken

    def _step_links(self) -> bool:
        """Move the links that have changed, and the links that the network had no room for before."""
        self._left |= dict.fromkeys(self.engine.changed_links())
        moved = False
        for link in [link for link in self.engine.links() if link in self._left]:
            peer = self._peer(link)
            if peer.step():
                moved = True
            elif peer.is_served:
                del self._left[link]
        return moved

    def _peer(self, link: Link) -> Peer:
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
