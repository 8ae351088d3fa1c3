"""A socket as a value: commands and bytes in, bytes and replies out.

A connection lives once. It introduces itself (HELLO, SETINFO, SELECT) and holds back every other exchange until the
server has agreed, so that no command runs as the wrong user or in the wrong database. A login that rotates waits for
its credentials before. Then it is a FIFO: an ``Exchange`` is a few commands that leave together and, later, all of
their replies in order. Pushes stand outside the FIFO, but for the confirmations of a subscription. Error messages quote
no reply but errors: a reply is the application's data, and an echo of HELLO would show the password.

    GREETING --all agreed--> READY --lost()--> CLOSED
        |--refused: ``error`` is a ConnectFailed

Nothing here knows time; ``Link`` watches the deadlines. ``lost`` gives back the exchanges that were never answered.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from enum import Enum, auto
from typing import Any, cast

from ..errors import (
    ConnectFailed,
    RemoteProtocolError,
    ReplyError,
)
from ..options import DEFAULT_LOGIN, DEFAULT_OPTIONS, Credentials, Login, Options
from ..resp3 import Limits, make_decoder
from ..tracebacks import without_frames
from .exchange import Exchange, Pushed
from .handshake import FIRST, brief, greeting, misplaced, refusal, senseless, stranger


class State(Enum):
    """The life of a connection, in order."""

    GREETING = auto()
    READY = auto()
    CLOSED = auto()


_READY = State.READY  # looking up a member of an Enum is slow


class Connection:
    """The bytes to and from a server. ``server`` is its reply to HELLO.

    ``partly`` counts replies of unfinished exchanges. ``waiting`` holds the unanswered exchanges in their order; only
    ``send`` may append to it. ``error`` tells how the server broke the protocol, or why it refuses the introduction.
    It carries no traceback, whose frames would hold received or sent bytes.
    """

    def __init__(self, login: Login = DEFAULT_LOGIN, options: Options = DEFAULT_OPTIONS) -> None:
        self.state = State.READY  # so far: nothing holds the introduction itself back
        self.server: dict[bytes, Any] = {}
        self.error: Exception | None = None
        self.partly = 0
        self._login = login
        limits = Limits(options.max_bulk, options.max_elements, options.max_reply, options.max_depth)
        self._decoder = make_decoder(options.decoder, limits)
        self._pushes = frozenset({self._decoder.push})
        self.waiting: deque[Exchange] = deque()
        self._held: list[Exchange] = []
        self._chunks: list[bytes | memoryview] = []
        self._first = b""  # the first bytes that the server has sent
        self._unexecuted = -1  # the offset of the first exchange that the server does not execute any more
        self._written = 0
        self._sent = 0
        # An exchange for each command: a full server refuses HELLO, closes, and never answers the rest.
        self._greeting = [Exchange([command]) for command in greeting(login)]
        if login.rotates:
            self.waiting.extend(self._greeting)  # unsent; a server that is full refuses, and closes, before it is asked
            self.state = State.GREETING
        else:
            self._greet()

    def _greet(self) -> None:
        for exchange in self._greeting:
            self.send(exchange)
        self.state = State.GREETING

    # -- the owner's side ---------------------------------------------------------------------------------------------

    def introduce(self, credentials: Credentials) -> None:
        """Send the introduction of a login that rotates, which waits for these credentials."""
        self._login = replace(self._login, username=credentials.username, password=credentials.password)
        self._greeting = [Exchange([command]) for command in greeting(self._login)]
        self.waiting.clear()
        self.state = State.READY
        self._greet()

    @property
    def oldest(self) -> Exchange | None:
        """The exchange that the server is answering now."""
        return self.waiting[0] if self.waiting else None

    @property
    def unanswered(self) -> int:
        """Count the exchanges that wait for replies."""
        return len(self.waiting) + len(self._held)

    def send(self, exchange: Exchange) -> None:
        """Queue an exchange behind the exchanges that are queued; during the introduction it is held back."""
        if self.state is not _READY:
            self._held.append(exchange)
            return
        exchange.offset = self._written
        self._written += len(exchange.data)
        self._chunks.append(exchange.data)
        self.waiting.append(exchange)

    def in_flight(self) -> list[Exchange]:
        """Return the owner's unanswered exchanges that may have reached the server; the introduction is left out."""
        waiting = list(self.waiting)[len(self._greeting) :]
        if not waiting:
            return []
        if waiting[0].replies:
            return waiting[:1] if waiting[0].was_unreadable() else self._that_left(waiting)
        return [] if waiting[0].offset == self._unexecuted else self._that_left(waiting)

    def take_for_unreadable(self, exchange: Exchange) -> None:
        """Note that the server could not parse the end of this answered exchange.

        Unless it answers more, it ran nothing behind that command.
        """
        self._unexecuted = exchange.offset + len(exchange.data)

    def _that_left(self, waiting: list[Exchange]) -> list[Exchange]:
        return [exchange for exchange in waiting if exchange.offset < self._sent]

    # -- the socket's side --------------------------------------------------------------------------------------------

    def data_to_send(self) -> bytes | memoryview:
        """Return the bytes to write now: a peek, ``data_sent`` consumes.

        The rest of a partial write comes alone: it may be large, and joining it with new bytes would copy it each time.
        """
        chunks = self._chunks
        if not chunks:
            return b""
        if len(chunks) > 1 and type(chunks[0]) is bytes:
            chunks[:] = [b"".join(chunks)]
        return chunks[0]

    def data_sent(self, n: int) -> None:
        """Consume ``n`` written bytes of ``data_to_send``. Raises ``ValueError`` where there were fewer."""
        data = self.data_to_send()
        if not 0 <= n <= len(data):
            raise ValueError(f"data_sent({n}): only {len(data)} bytes were to be sent")
        self._sent += n
        if n == len(data):
            del self._chunks[:1]
        else:
            self._chunks[0] = memoryview(data)[n:]

    def receive_data(self, data: bytes | bytearray | memoryview) -> list[Exchange | Pushed]:
        """Decode bytes; return the completed exchanges and pushes, in wire order.

        Where the bytes break the protocol, or the server refuses the introduction, the exchanges completed before are
        still returned, ``error`` tells the reason, and no more bytes are decoded.
        """
        completed: list[Exchange | Pushed] = []
        if self.error is not None:
            return completed
        decoder, fifo, greeting = self._decoder, self.waiting, self._greeting
        if greeting and len(self._first) < FIRST:
            self._first += bytes(data[:FIRST])
        replies = decoder.feed(data)
        # A subscriber mostly receives pushes, and has no exchange to match them with.
        if not fifo and replies and self._pushes.issuperset(map(type, replies)):
            decoder.unfinished, self.error = 0, decoder.error
            completed.append(Pushed(replies))
            return completed
        attributes, unfinished = decoder.attributes, decoder.unfinished
        push = decoder.push
        run: list[list[Any]] | None = None  # pushes that follow each other
        try:
            for at, reply in enumerate(replies):
                if type(reply) is push:
                    unfinished = 0
                    if not fifo or not fifo[0].is_confirmed_by(reply):
                        if run is None:
                            run = []
                            completed.append(Pushed(run))
                        run.append(reply)
                        continue
                elif not fifo:
                    raise RemoteProtocolError(f"the server sent what nobody asked for: {brief(reply)}")
                run = None
                exchange = fifo[0]
                answers = exchange.replies
                if exchange.subscribes and type(reply) is not push:
                    if not isinstance(reply, ReplyError):
                        raise RemoteProtocolError(f"a subscription was answered by {brief(reply)}")
                    exchange.size = len(answers) + 1
                answers.append(reply)
                if attributes and at in attributes:
                    exchange.attributes = {**exchange.attributes, len(answers) - 1: attributes[at]}
                if len(answers) == exchange.size:
                    exchange.nbytes, unfinished = unfinished, 0
                    fifo.popleft()
                    if greeting:
                        self._welcome(exchange)
                    else:
                        completed.append(exchange)
                else:
                    self.partly += 1
        except (RemoteProtocolError, ConnectFailed) as error:
            self.error = without_frames(error)
        else:
            self.error = decoder.error
            if greeting and decoder.error is not None:
                self.error = stranger(self._first) or decoder.error
        decoder.unfinished = unfinished
        return completed

    def lost(self) -> tuple[list[Exchange], list[Exchange]]:
        """Close the connection; return the exchanges that may have reached the server, then the unsent exchanges."""
        self.state = State.CLOSED
        waiting = list(self.waiting)[len(self._greeting) :]
        sent = self.in_flight()
        unsent = waiting[len(sent) :] + self._held
        self.waiting.clear()
        self._held = []
        return sent, unsent

    def _welcome(self, answered: Exchange) -> None:
        """Take the reply to a command of the introduction; the last reply releases the held exchanges."""
        del self._greeting[0]
        word, [reply] = str(answered.commands[0][0]), answered.replies
        if isinstance(reply, ReplyError):
            if word != "CLIENT":
                raise refusal(reply, word, self._login)
        elif word == "HELLO":
            if not isinstance(reply, dict):
                raise senseless(reply)
            self.server = cast("dict[bytes, Any]", reply)
            wrong = misplaced(self.server, self._login.kind)
            if wrong is not None:
                raise wrong
        if not self._greeting:
            self.state = State.READY
            held, self._held = self._held, []
            for exchange in held:
                self.send(exchange)
