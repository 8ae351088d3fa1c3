r"""A connection that should exist: dial, greet, watch, back off, dial again.

The driver keeps a socket for each link that ``wants_connection``. A link that drops its socket does not want the next
before the driver has confirmed by ``connection_lost``: a level can then be read late.

    RESTING --open--> DIALLING --connection_made--> GREETING --agreed--> UP
                         ^  \_____ connection_lost ______|________________|
                         |                 v             a deadline, rubbish, drop(): DROPPING --connection_lost--.
                         '--- timer --- BACKING_OFF <-------------------------------------------------------------'

``close`` leads to RESTING, from GREETING and UP by way of DROPPING; so does an error that makes dialling again
pointless. A single timer serves all: dialling, the answer to the oldest exchange (counted from when the server could
begin with it, and from each of its replies), an idle link's PING, the back-off (doubling, full jitter, reset by
``succeeded``). Bytes that answer nothing yet, a part of a reply or pushes in front of it, prolong the wait by the time
that they take at ``SLOWEST``, and all together to ``LONGEST`` at most.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from ..errors import ConnectFailed, ConnectionLost
from ..options import (
    DEFAULT_ADDRESS,
    DEFAULT_LOGIN,
    DEFAULT_OPTIONS,
    AnyAddress,
    Login,
    Options,
)
from .common import Changes, Clock
from .connection import Connection
from .connection import State as ConnectionState
from .exchange import Exchange, Ping, Pushed, without_pings
from .handshake import is_permanent
from .link_state import State
from .losses import as_loss, with_address

AT_ONCE: Final = float("-inf")
"""A deadline that has passed on every clock: work that waits for the driver to tell the time."""

_NEVER: Final = float("inf")

LATE: Final = 0.1
"""Seconds behind a deadline after which a driver counts as held up, by a handler that blocks its loop, say."""

MAX_EXCUSES: Final = 3  # how often in a row a late driver gets ``LATE`` again, to read the bytes in its socket

SLOWEST: Final = 16 << 10
"""Bytes a second. A server that sends or takes fewer while its answer is due counts as silent."""

LONGEST: Final = 10
"""Times its timeout: an answer is awaited no longer, however many bytes come in front of it."""


_WANTING: Final = frozenset({State.DIALLING, State.GREETING, State.UP})
# Looking up a member of an Enum takes as long as all else in ``next_timeout``.
_GREETING, _UP = State.GREETING, State.UP


class Owner(Protocol):
    """The receiver of a link's events: an engine, or the runner of a script."""

    def link_up(self, link: Link) -> None: ...
    def link_answered(self, link: Link, exchange: Exchange) -> None: ...
    def link_pushed(self, link: Link, pushes: list[list[Any]]) -> None: ...
    def link_down(self, link: Link, error: Exception, sent: list[Exchange], unsent: list[Exchange]) -> None: ...


class Observer(Protocol):
    """The receiver of a link's losses, behind its owner: a router, which may redirect the link."""

    # The link has lost its connection, or an attempt has failed; not where its owner has closed or redirected it.
    def link_lost(self, link: Link, error: Exception) -> None: ...


class Link:
    """A connection to a server, renewed for ever until closed. ``attempts`` counts dials since it last ``succeeded``.

    ``server`` is the reply to the last HELLO, empty before the first; ``error`` tells why the link is not up.
    ``read_size`` is how many bytes the driver should read at once. ``moved`` counts bytes, to and fro, that answered
    nothing. Changes of its outputs, and its deadline, are noted in ``changes``. A link without an ``address`` dials as
    soon as it is redirected.
    """

    def __init__(
        self,
        owner: Owner,
        *,
        random: Callable[[], float],
        clock: Clock,
        changes: Changes,
        address: AnyAddress | None = DEFAULT_ADDRESS,
        login: Login = DEFAULT_LOGIN,
        options: Options = DEFAULT_OPTIONS,
        name: str = "main",
        observer: Observer | None = None,
    ) -> None:
        self.address: AnyAddress = DEFAULT_ADDRESS if address is None else address
        self.has_address = address is not None
        self.name = name
        self.state = State.RESTING
        self.attempts = 0
        self.read_size = 64 << 10  # more would be slower: hiredis is quadratic in the bytes that it holds
        self.server: dict[bytes, Any] = {}
        self.error: Exception | None = None
        self.moved = 0
        self._owner = owner
        self._observer = observer
        self._is_redirected = False
        self._login = login
        self._options = options
        self._random = random
        self._clock = clock
        self._outputs, self._deadlines = changes.outputs, changes.deadlines
        self._connection: Connection | None = None
        self._paused = self._closing = self._wanted = False
        self._deadline: float | None = None  # of dialling, greeting and backing off
        # When an answer last came, or the oldest exchange became the oldest; AT_ONCE: at the driver's next time.
        self._heard = 0.0
        self._on_doubt: Callable[[], None] = _nothing
        self._doubts_after = _NEVER  # seconds that an answer may take before the link is doubted
        self._partly = 0  # replies of unfinished exchanges
        self._is_strained = False  # whether any of these has changed since an answer came:
        self._most = _NEVER  # seconds until a doubt, or none any more
        self._weighed = 0  # moved bytes that prolong nothing any more
        self._earned = 0.0  # seconds by which moved bytes have prolonged the wait
        self._excuses = 0  # how often the driver was late

    # -- the owner's side ---------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Want a connection from now on."""
        self._closing = False
        if self.state is State.RESTING:
            self._dial()

    def close(self) -> None:
        """Want no connection any more; ``link_down`` gives the unanswered exchanges back."""
        self._closing = True
        if self.state in (State.GREETING, State.UP):
            self.drop(ConnectionLost("the connection was closed by its owner"))
        elif self.state in (State.DIALLING, State.BACKING_OFF):
            self._enter(State.RESTING)

    def drop(self, error: Exception) -> None:
        """Give up the present socket because of ``error``; the next is dialled after the back-off."""
        self._outputs[self] = None
        if self._wanted:
            self._enter(State.DROPPING)
            self._lose(error)

    def redirect(self, address: AnyAddress) -> None:
        """Dial another server, at once and without a back-off; give up the present socket."""
        self.address, self.has_address = address, True
        if self.state is State.BACKING_OFF:
            self._dial()
        elif self.state is not State.RESTING:
            self._is_redirected = True
            self.drop(ConnectionLost(f"the connection goes to {address} now"))

    def send(self, exchange: Exchange) -> None:
        """Queue an exchange; only while UP."""
        assert self._connection is not None
        self._outputs[self] = None
        if not self._connection.waiting:
            self._heard = AT_ONCE
            if not self._paused:
                self._deadlines[self] = AT_ONCE
        self._connection.send(exchange)

    def tell_doubts(self, on_doubt: Callable[[], None], after: float | None = None) -> None:
        """Call ``on_doubt``, once, when the oldest exchange has waited ``after`` seconds (half of the request timeout)."""
        self._on_doubt = on_doubt
        self._most = self._doubts_after = self._options.request_timeout / 2 if after is None else after
        self._schedule()

    def pause(self) -> None:
        """Stop reading: the application is too slow. No deadline of an answer runs meanwhile."""
        if not self._paused:
            self._outputs[self] = None
            self._paused = True
            self._schedule()

    def resume(self) -> None:
        """Read on; the server's silence counts from now."""
        if self._paused:
            self._outputs[self] = None
            self._paused = False
            self._heard = AT_ONCE
            self._schedule()

    def succeeded(self) -> None:
        """Reset the back-off: the connection has done useful work, and not only greeted."""
        self.attempts = 0

    @property
    def is_up(self) -> bool:
        return self.state is _UP

    @property
    def is_routed(self) -> bool:
        """Whether an observer hears of the losses of this link, and redirects it."""
        return self._observer is not None

    @property
    def client_id(self) -> int:
        """The server's id of this connection (``CLIENT ID``); 0 where HELLO was answered without an id."""
        told = self.server.get(b"id")
        return told if type(told) is int else 0

    @property
    def unanswered(self) -> int:
        """Count the exchanges that wait for replies."""
        return self._connection.unanswered if self._connection is not None and self.state is _UP else 0

    @property
    def oldest(self) -> Exchange | None:
        """The exchange that the server is to answer next."""
        return None if self._connection is None else self._connection.oldest

    def in_flight(self) -> list[Exchange]:
        """Return the owner's exchanges that may have reached the server and are not answered."""
        assert self._connection is not None
        return without_pings(self._connection.in_flight())

    def pending(self) -> list[Exchange]:
        """Return the owner's exchanges that are not answered, sent or not; none while the link is not up."""
        return without_pings(list(self._connection.waiting)) if self._connection is not None and self.is_up else []

    def take_for_unreadable(self, exchange: Exchange) -> None:
        """Note that the server could not parse the end of this answered exchange: the rest comes back unsent."""
        assert self._connection is not None
        self._connection.take_for_unreadable(exchange)

    # -- the driver's side --------------------------------------------------------------------------------------------

    @property
    def wants_connection(self) -> bool:
        """Whether a socket should exist: dial if there is none, close it if this is False."""
        return self._wanted

    @property
    def wants_data(self) -> bool:
        """Whether to read from the socket; a connection that is not up yet is never paused."""
        return not self._paused or self.state is not _UP

    def connection_made(self, now: float) -> None:
        """Begin the introduction on a connected socket (with TLS, where asked for)."""
        self._clock.now = now
        if self.state is State.DIALLING:
            self._connection = Connection(self._login, self._options)
            self._partly = 0
            self._enter(State.GREETING, now + self._options.request_timeout)

    def receive_data(self, data: bytes | bytearray | memoryview, now: float) -> None:
        """Decode bytes from the server, and pass replies and pushes to the owner."""
        self._clock.now = now
        connection = self._connection
        if connection is None:
            return
        completed = connection.receive_data(data)
        if completed and type(completed[-1]) is not Pushed:
            self._heard = now
            if self._is_strained:
                self._relax()
        else:
            self._weigh(connection, completed, len(data), now)
        if self.state is _GREETING and connection.state is ConnectionState.READY:
            self._enter(State.UP)
            self._heard = now
            self._relax()
            self.server, self.error = connection.server, None
            self._owner.link_up(self)
        for item in completed:
            if type(item) is Pushed:
                self._owner.link_pushed(self, item.pushes)
            elif type(item) is not Ping:
                self._owner.link_answered(self, item)
        if connection.error is not None:
            self.drop(with_address(connection.error, self.address))
        if self._heard == AT_ONCE:
            self._heard = now
        self._schedule()

    def connection_lost(self, error: Exception | None, now: float) -> None:
        """Take the end of a socket, or of an attempt to connect; back off, or rest if the link was closed."""
        self._clock.now = now
        if self._wanted:
            self._enter(State.DROPPING)
            self._lose(as_loss(error, self.address))
        if self.state is not State.DROPPING:
            return
        if self._closing:
            self._enter(State.RESTING)
        elif self._is_redirected:
            self._dial()
        else:
            doublings = min(max(self.attempts - 1, 0), 32)
            ceiling = min(self._options.backoff_initial * 2.0**doublings, self._options.backoff_max)
            self._enter(State.BACKING_OFF, now + ceiling * self._random())

    def data_to_send(self) -> bytes | memoryview:
        """Return the bytes to write now: a peek; ``data_sent`` consumes."""
        return b"" if self._connection is None else self._connection.data_to_send()

    def data_sent(self, n: int) -> None:
        """Consume ``n`` bytes that were written, or handed to a buffer: from now on they may reach the server."""
        connection = self._connection
        if connection is not None:
            connection.data_sent(n)
            if connection.data_to_send():
                self._move(n)  # a server that takes a long write piece by piece is not silent

    def next_timeout(self) -> float | None:
        """When ``handle_timeout`` is due, in seconds on the driver's clock; None = never."""
        if self.state is not _UP:
            return self._deadline
        if self._paused:
            return None
        connection = self._connection
        assert connection is not None
        if not connection.waiting:
            return self._heard + self._options.keepalive_idle
        timeout, most = connection.waiting[0].timeout, self._most
        return self._heard + (timeout if timeout < most else most)  # noqa: FURB136  # each call counts here

    def handle_timeout(self, now: float) -> None:
        """Tell the time, and act on a deadline that has passed; a timer that fires early does no harm."""
        self._clock.now = now
        if self._heard == AT_ONCE:
            self._heard = now
        due = self.next_timeout()
        if due is None or now < due:
            self._deadlines[self] = _NEVER if due is None else due
        else:
            self._act(now, due)
            self._schedule()

    # -- inside -------------------------------------------------------------------------------------------------------

    def _act(self, now: float, due: float) -> None:
        """Act on a deadline that has passed at ``now``."""
        if due == AT_ONCE:  # a dial has begun
            self._deadline = now + self._options.connect_timeout
        elif self.state is State.DIALLING:
            self.drop(ConnectFailed(f"no connection to {self.address} within {self._options.connect_timeout:g} s"))
        elif self.state is State.GREETING:
            self.drop(ConnectFailed(f"{self.address} accepted the connection but did not answer HELLO"))
        elif self.state is State.BACKING_OFF:
            self._dial()
        elif self.unanswered:
            self._overdue(now, due)
        else:
            self.send(Ping([("PING",)], self._options.keepalive_answer))
            self._heard = now

    def _schedule(self) -> None:
        """Note the present deadline."""
        due = self.next_timeout()
        self._deadlines[self] = _NEVER if due is None else due

    def _weigh(self, connection: Connection, completed: list[Exchange | Pushed], size: int, now: float) -> None:
        """Weigh bytes at whose end no exchange was complete. Whole pushes count as news where no reply is due."""
        before, self._partly = self._partly, connection.partly
        if connection.oldest is None:
            is_news = bool(completed)
        else:
            is_news = before != self._partly or any(type(item) is not Pushed for item in completed)
        if is_news:
            self._heard = now
            if self._is_strained:
                self._relax()
        else:
            self._move(size)

    def _move(self, size: int) -> None:
        """Count bytes, received or sent, that answer nothing."""
        self.moved += size
        self._is_strained = True

    def _relax(self) -> None:
        """Restart the wait after an answer: the next exchange has its full timeout."""
        self._is_strained, self._most = False, self._doubts_after
        self._weighed, self._earned, self._excuses = self.moved, 0.0, 0

    def _overdue(self, now: float, due: float) -> None:
        """Handle a late answer: wait longer for a reason, doubt the link, or drop it."""
        assert self._connection is not None
        oldest = self._connection.oldest
        assert oldest is not None
        may_earn = min(now - self._heard, (LONGEST - 1) * oldest.timeout - self._earned)
        earned = min((self.moved - self._weighed) / SLOWEST, may_earn)
        self._weighed = self.moved
        if earned > 0.0:
            self._heard += earned
            self._earned += earned
        elif now - due > LATE and self._excuses < MAX_EXCUSES:
            self._heard += now - due + LATE
            self._excuses += 1
            self._is_strained = True
        elif self._most != _NEVER:
            self._most, self._is_strained = _NEVER, True
            self._on_doubt()
        else:
            self.drop(ConnectionLost(f"{self.address} did not answer in time", sent=True))

    def _dial(self) -> None:
        self._is_redirected = False
        if self.has_address:
            self.attempts += 1
            self._enter(State.DIALLING, AT_ONCE)
        else:
            self._enter(State.BACKING_OFF)

    def _enter(self, state: State, deadline: float | None = None) -> None:
        self._outputs[self] = None
        wanted = state in _WANTING
        self.state, self._deadline, self._wanted = state, deadline, wanted  # no signal handler can raise in between
        self._deadlines[self] = _NEVER if deadline is None else deadline

    def _lose(self, error: Exception) -> None:
        self.error = error
        connection, self._connection = self._connection, None
        sent, unsent = ([], []) if connection is None else map(without_pings, connection.lost())
        self._owner.link_down(self, error, sent, unsent)
        if self._observer is not None and not (self._is_redirected or self._closing):
            self._observer.link_lost(self, error)
        if is_permanent(error) and not self.server and not self._is_redirected:
            self._closing = True  # it never worked, and dialling again with the same settings is pointless


def _nothing() -> None:
    """Ignore a doubt."""
