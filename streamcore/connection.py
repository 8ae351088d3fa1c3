"""One socket as a value: commands and bytes in, bytes and answers out.

A connection lives once. It introduces itself (HELLO, SETINFO, SELECT) and holds everything else back until the server
has agreed, so that no command runs as the wrong user or in the wrong database. Then it is a FIFO: an ``Exchange`` is a
few commands that leave together and, later, all of their replies in order. Pushes stand outside the FIFO.

    GREETING --all agreed--> READY --lost()--> CLOSED
        \\--refused: ReplyError raised by receive_data

Nothing here knows time; ``Link`` watches the deadlines. An exchange that was never answered comes back from ``lost``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from enum import Enum, auto
from typing import Any, Final, TypeAlias

from .errors import AuthenticationError, ConnectFailed, NoPermissionError, NoProtoError, RemoteProtocolError, ReplyError
from .options import DEFAULT_LOGIN, Login
from .resp3 import MORE, Decoder, Push, Reply, encode
from .version import VERSION

LIB_NAME: Final = "streamcore"


Arguments: TypeAlias = tuple[Any, ...]


class State(Enum):
    GREETING = auto()
    READY = auto()
    CLOSED = auto()


class Exchange:
    """Commands that leave in one write, and their replies once they came.

    Encoding happens here, so that a bad argument fails before anything is queued. ``timeout`` is the time, in seconds,
    within which the server answers once it has come to these commands; a blocking read includes its BLOCK. ``offset``
    tells where in the outgoing bytes the exchange begins, hence whether it was sent; ``nbytes`` about how large the
    replies were.
    """

    __slots__ = ("commands", "data", "nbytes", "offset", "replies", "size", "timeout")

    def __init__(self, commands: Sequence[Arguments], timeout: float = 5.0) -> None:
        self.commands = commands
        self.data = b"".join(map(encode, commands))
        self.size = len(commands)
        self.timeout = timeout
        self.replies: list[Reply] = []
        self.offset = 0
        self.nbytes = 0


class Pushed:
    """An out-of-band message of the server, ``[kind, ...]``."""

    __slots__ = ("items",)

    def __init__(self, items: list[Any]) -> None:
        self.items = items


class Connection:
    def __init__(self, login: Login = DEFAULT_LOGIN, max_reply: int = 1 << 30) -> None:
        self.state = State.GREETING
        self.server: dict[bytes, Any] = {}
        self.error: Exception | None = None
        self._decoder = Decoder(max_reply)
        self._fifo: deque[Exchange] = deque()
        self._held: list[Exchange] = []
        self._chunks: list[bytes | memoryview] = []
        self._written = 0
        self._sent = 0
        self._greeting = Exchange(greeting(login))
        self._enqueue(self._greeting)

    # -- the owner's side ---------------------------------------------------------------------------------------------

    @property
    def oldest(self) -> Exchange | None:
        """The exchange that the server is answering now."""
        return self._fifo[0] if self._fifo else None

    @property
    def unanswered(self) -> int:
        """How many exchanges wait for replies."""
        return len(self._fifo) + len(self._held)

    def send(self, exchange: Exchange) -> None:
        """Queue an exchange behind those already queued."""
        if self.state is State.READY:
            self._enqueue(exchange)
        else:
            self._held.append(exchange)

    def _enqueue(self, exchange: Exchange) -> None:
        exchange.offset = self._written
        self._written += len(exchange.data)
        self._chunks.append(exchange.data)
        self._fifo.append(exchange)

    # -- the socket's side --------------------------------------------------------------------------------------------

    def data_to_send(self) -> bytes | memoryview:
        """The bytes to write now: a peek, ``data_sent`` consumes."""
        chunks = self._chunks
        if not chunks:
            return b""
        if len(chunks) > 1:
            self._chunks = chunks = [b"".join(chunks)]
        return chunks[0]

    def data_sent(self, n: int) -> None:
        """``n`` bytes of ``data_to_send`` were written."""
        data = self.data_to_send()
        if not 0 <= n <= len(data):
            raise ValueError(f"data_sent({n}): only {len(data)} bytes were to be sent")
        self._sent += n
        self._chunks = [memoryview(data)[n:]] if n < len(data) else []

    def receive_data(self, data: bytes | bytearray | memoryview) -> list[Exchange | Pushed]:
        """Take in bytes; return what they completed, in wire order.

        Where the bytes break the protocol, what they completed before is still returned, and ``error`` tells the rest.
        Raises ``ReplyError`` or ``ConnectFailed`` where the server refuses the introduction.
        """
        completed: list[Exchange | Pushed] = []
        decoder, fifo = self._decoder, self._fifo
        gets = decoder.gets
        try:
            for _ in decoder.feed(data):
                while (reply := gets()) is not MORE:
                    if type(reply) is Push:
                        completed.append(Pushed(reply))
                        continue
                    if not fifo:
                        raise RemoteProtocolError(f"the server sent a reply that nobody asked for: {_brief(reply)}")
                    exchange = fifo[0]
                    exchange.replies.append(reply)
                    if len(exchange.replies) == exchange.size:
                        exchange.nbytes = decoder.taken()
                        fifo.popleft()
                        if exchange is self._greeting:
                            self._welcome(exchange)
                        else:
                            completed.append(exchange)
        except RemoteProtocolError as error:
            self.error = error
        return completed

    def lost(self) -> tuple[list[Exchange], list[Exchange]]:
        """The socket is gone. Returns the exchanges that may have reached the server, then those that never did."""
        self.state = State.CLOSED
        waiting = [exchange for exchange in (*self._fifo, *self._held) if exchange is not self._greeting]
        self._fifo.clear()
        held = set(map(id, self._held))
        sent = [e for e in waiting if id(e) not in held and e.offset < self._sent]
        unsent = [e for e in waiting if id(e) in held or e.offset >= self._sent]
        return sent, unsent

    def _welcome(self, greeting: Exchange) -> None:
        for command, reply in zip(greeting.commands, greeting.replies, strict=True):
            if isinstance(reply, ReplyError) and command[0] != "CLIENT":
                raise _refusal(reply, command)
        hello = greeting.replies[0]
        if not isinstance(hello, dict):
            raise RemoteProtocolError(f"HELLO was answered by {_brief(hello)}: is this a Redis or Valkey server?")
        self.server = hello
        self.state = State.READY
        held, self._held = self._held, []
        for exchange in held:
            self._enqueue(exchange)


def greeting(login: Login) -> list[Arguments]:
    """The commands by which a connection introduces itself; SETINFO is unknown to Redis 7.0, and may fail."""
    hello: list[str] = ["HELLO", "3"]
    if login.password is not None:
        hello += ["AUTH", login.username or "default", login.password]
    if login.client_name is not None:
        hello += ["SETNAME", login.client_name]
    commands: list[Arguments] = [
        tuple(hello),
        ("CLIENT", "SETINFO", "LIB-NAME", LIB_NAME),
        ("CLIENT", "SETINFO", "LIB-VER", VERSION),
    ]
    if login.database:
        commands.append(("SELECT", str(login.database)))
    return commands


def _refusal(reply: ReplyError, command: Iterable[Any]) -> Exception:
    name, value, *_ = command
    if name == "SELECT":
        return ConnectFailed(f"the server has no database {value}: {reply}", permanent=True)
    reply.command = name
    if isinstance(reply, NoProtoError) or "unknown command" in reply.message:
        return ConnectFailed(f"the server does not speak RESP3 (Redis 6 and Valkey 7.2 are the first): {reply}", permanent=True)
    if isinstance(reply, AuthenticationError):
        return AuthenticationError(reply.code, f"{reply.message}; check the user and password of the URL", name)
    return reply


PERMANENT: Final = (AuthenticationError, NoPermissionError)


def is_permanent(error: Exception | None) -> bool:
    """Whether dialling again with the same settings is pointless."""
    return isinstance(error, PERMANENT) or (isinstance(error, ConnectFailed) and error.permanent)


def _brief(reply: Reply) -> str:
    text = repr(reply)
    return text if len(text) <= 60 else text[:57] + "..."
