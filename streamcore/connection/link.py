r"""A connection that should exist: dial, greet, watch, back off, dial again.

The driver keeps a socket for each link that ``wants_connection``. A link that drops its socket does not want the next
before the driver has confirmed by ``connection_lost``: a level can then be read late.

    RESTING --open--> QUEUED --turn--> DIALLING --connection_made--> GREETING --agreed--> UP
                         ^                \_____ connection_lost ______|________________|
                         |                               v             a deadline, rubbish, drop(): DROPPING --.
                         '----------- timer ---------- BACKING_OFF <---------------- connection_lost ----------'

A few links are dialled at a time, each in its turn (``dials``). ``close`` leads to RESTING, from GREETING and UP by way
of DROPPING; so does an error that makes dialling again pointless. A single timer serves all: dialling, the answer to
the oldest exchange (counted from when the server could begin with it, and from each of its replies; ``patience`` tells
when it is awaited longer), an idle link's PING, the back-off (doubling, full jitter, reset by ``succeeded``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from ..errors import ConnectFailed, ConnectionLost
from ..options import DEFAULT_ADDRESS, DEFAULT_LOGIN, DEFAULT_OPTIONS, AnyAddress, Login, Options
from .common import Changes, Clock
from .connection import Connection
from .connection import State as ConnectionState
from .dials import Dials
from .exchange import Exchange, Own, Pushed, without_own
from .handshake import is_permanent
from .link_owner import LinkObserver, LinkOwner, LinkRedirected
from .link_state import ENTERING, WANTING, State
from .losses import as_loss, not_greeted, with_address
from .patience import LATE, Patience, backoff
from .rotation import FixedLogin, Rotation

AT_ONCE: Final = float("-inf")
"""A deadline that has passed on every clock: work that waits for the driver to tell the time."""

_NEVER: Final = float("inf")
# Looking up a member of an Enum takes as long as all else in ``next_timeout``.
_GREETING, _UP = State.GREETING, State.UP


class Link:
    """A connection to a server, renewed for ever until closed. ``attempts`` counts dials since it last ``succeeded``.

    ``server`` is the reply to the last HELLO, empty before the first; ``error`` tells why the link is not up.
    ``read_size`` is how many bytes the driver should read at once. Changes of its outputs, and its deadline, are noted
    in ``changes``; ``dials`` gives turns. ``login`` introduces connections. Without an ``address`` it dials when redirected.
    ``wants_connection``: a socket should exist; dial if there is none, close it if not. ``wants_credentials``: the driver
    asks the application for its credentials, to introduce the connection, or to renew its login.
    """

    def __init__(
        self,
        owner: Owner,
        *,
        random: Callable[[], float],
        clock: Clock,
        changes: Changes,
        dials: Dials,
        address: AnyAddress | None = DEFAULT_ADDRESS,
        login: Login = DEFAULT_LOGIN,
        options: Options = DEFAULT_OPTIONS,
        name: str = "main",
        observer: Observer | None = None,
    ) -> None:
        self.address: AnyAddress = DEFAULT_ADDRESS if address is None else address
        self.has_address = address is not None
        self.name = name
        self.is_shared = False  # by other scripts: a link has a single owner
        self.active_at = 0.0
        self.state = State.RESTING
        self.attempts = 0
        self.read_size = 64 << 10  # more would be slower: hiredis is quadratic in the bytes that it holds
        self.server: dict[bytes, Any] = {}
        self.error: Exception | None = None
        self._owner, self._observer = owner, observer
        self.is_routed = observer is not None  # it is redirected where a server says so
        self._is_redirected = False
        self.login, self._options = login, options
        self._random, self._clock, self._dials = random, clock, dials
        self._outputs, self._deadlines = changes.outputs, changes.deadlines
        self.wants_connection = self.wants_credentials = False
        self.rotation = Rotation(self, changes, clock, options, random) if login.rotates else FixedLogin()
        self.authenticate, self.credentials_failed = self.rotation.take, self.rotation.fail
        self._connection: Connection | None = None
        self._paused = self._closing = False
        self._deadline: float | None = None  # of dialling, greeting and backing off
        # When an answer last came, or the oldest exchange became the oldest; AT_ONCE: at the driver's next time.
        self._heard = 0.0
        self._on_doubt: Callable[[], None] = _nothing
        self._doubts_after = _NEVER  # seconds that an answer may take before the link is doubted
        self._idle = options.keepalive_idle
        self.patience = Patience()
        self._most = _NEVER  # seconds until a doubt, or none any more
        self._is_strained = False  # whether any of the two has changed since an answer came

    # -- the owner's side ---------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Want a connection from now on."""
        self._closing = False
        if self.state is State.RESTING:
            self._queue()

    def close(self) -> None:
        """Want no connection any more; ``link_down`` gives the unanswered exchanges back."""
        self._closing = True
        if self.state in (State.GREETING, State.UP):
            self.drop(ConnectionLost("the connection was closed by its owner"))
        elif self.state in (State.QUEUED, State.DIALLING, State.BACKING_OFF):
            self._enter(State.RESTING)

    def drop(self, error: Exception) -> None:
        """Give up the present socket because of ``error``; the next is dialled after the back-off."""
        self._outputs[self] = None
        if self.wants_connection:
            self._enter(State.DROPPING)
            self._lose(error)

    def redirect(self, address: AnyAddress, reason: Exception | None = None) -> None:
        """Dial another server, at once and without a back-off; give up the present socket."""
        if self.state not in (State.RESTING, State.QUEUED, State.BACKING_OFF):
            self._is_redirected = True
            self.drop(reason or LinkRedirected(f"the connection goes to {address} now"))  # by the former address
        self.address, self.has_address = address, True
        if self.state in (State.QUEUED, State.BACKING_OFF):
            self._enter(State.RESTING)
            self._queue()

    def end_wait(self) -> bool:
        """Leave the end of a read that blocks to the server."""
        return False

    def send(self, exchange: Exchange) -> None:
        """Queue an exchange; only while UP."""
        assert self._connection is not None
        self._outputs[self] = None
        if not self._connection.waiting:
            self._heard = AT_ONCE
            if not self._paused:
                self._deadlines[self] = AT_ONCE
        self._connection.send(exchange)

    def tell_doubts(self, on_doubt: Callable[[], None], after: float | None = None, idle: float = _NEVER) -> None:
        """Call ``on_doubt``, once, when an answer is due for ``after`` seconds (half of the timeout); PING once ``idle`` for so long."""
        self._on_doubt = on_doubt
        self._most = self._doubts_after = self._options.request_timeout / 2 if after is None else after
        self._idle = min(self._idle, idle)
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
    def client_id(self) -> int:
        """The server's id of this connection (``CLIENT ID``); 0 where HELLO was answered without an id."""
        told = self.server.get(b"id")
        return told if type(told) is int else 0

    @property
    def unanswered(self) -> int:
        """Count the exchanges that wait for replies, but for the renewals of the login."""
        if self._connection is None or self.state is not _UP:
            return 0
        return self._connection.unanswered - self.rotation.unanswered

    @property
    def oldest(self) -> Exchange | None:
        """The exchange that the server is to answer next."""
        return None if self._connection is None else self._connection.oldest

    def in_flight(self) -> list[Exchange]:
        """Return the owner's exchanges that may have reached the server and are not answered."""
        assert self._connection is not None
        return without_own(self._connection.in_flight())

    def pending(self) -> list[Exchange]:
        """Return the owner's exchanges that are not answered, sent or not; none while the link is not up."""
        return without_own(list(self._connection.waiting)) if self._connection is not None and self.is_up else []

    def take_for_unreadable(self, exchange: Exchange) -> None:
        """Note that the server could not parse the end of this answered exchange: the rest comes back unsent."""
        assert self._connection is not None
        self._connection.take_for_unreadable(exchange)

    # -- the driver's side --------------------------------------------------------------------------------------------

    @property
    def is_dialling(self) -> bool:
        return self.state is State.DIALLING or self.state is _GREETING

    def dial(self) -> None:
        """Dial, where the link waits for its turn."""
        if self.state is State.QUEUED:
            self.attempts += 1
            self._enter(State.DIALLING, AT_ONCE)

    @property
    def wants_data(self) -> bool:
        """Whether to read from the socket; a connection that is not up yet is never paused."""
        return not self._paused or self.state is not _UP

    def connection_made(self, now: float) -> None:
        """Begin the introduction on a connected socket (with TLS, where asked for)."""
        self._clock.now = now
        if self.state is State.DIALLING:
            self._connection = Connection(self.login, self._options)
            self.patience.begin()
            self._enter(State.GREETING, None if self.login.rotates else now + self._options.request_timeout)
            self.rotation.begin(self._connection)

    def receive_data(self, data: bytes | bytearray | memoryview, now: float) -> None:
        """Decode bytes from the server, and pass replies and pushes to the owner."""
        self._clock.now = now
        connection = self._connection
        if connection is None:
            return
        completed = connection.receive_data(data)
        if (completed and type(completed[-1]) is not Pushed) or self.patience.is_news(connection, completed):
            self._heard = now
            if self._is_strained:
                self._relax()
        else:
            self.patience.moved, self._is_strained = self.patience.moved + len(data), True
        if self.state is _GREETING and connection.state is ConnectionState.READY:
            self._enter(State.UP)
            self._heard = now
            self._relax()
            self.server, self.error = connection.server, None
            self._owner.link_up(self)
        for item in completed:
            if type(item) is Pushed:
                self._owner.link_pushed(self, item.pushes)
            elif type(item) is not Own:
                self._owner.link_answered(self, item)
            else:
                item.answered(item.replies[0])
        if connection.error is not None:
            self.drop(with_address(connection.error, self.address))
        if self._heard == AT_ONCE:
            self._heard = now
        self._schedule()

    def connection_lost(self, error: Exception | None, now: float) -> None:
        """Take the end of a socket, or of an attempt to connect; back off, or rest if the link was closed."""
        self._clock.now = now
        if self.wants_connection:
            self._enter(State.DROPPING)
            self._lose(as_loss(error, self.address))
        if self.state is not State.DROPPING:
            return
        if self._closing:
            self._enter(State.RESTING)
        elif self._is_redirected:
            self._queue()
        else:
            self._enter(State.BACKING_OFF, now + backoff(self._options, self.attempts) * self._random())

    def data_to_send(self) -> bytes | memoryview:
        """Return the bytes to write now: a peek; ``data_sent`` consumes."""
        return b"" if self._connection is None else self._connection.data_to_send()

    def data_sent(self, n: int) -> None:
        """Consume ``n`` bytes that were written, or handed to a buffer: from now on they may reach the server."""
        connection = self._connection
        if connection is not None:
            connection.data_sent(n)
            if connection.data_to_send():
                # A server that takes a long write piece by piece is not silent.
                self.patience.moved, self._is_strained = self.patience.moved + n, True

    def next_timeout(self) -> float | None:
        """When ``handle_timeout`` is due, in seconds on the driver's clock; None = never."""
        if self.state is not _UP:
            return self._deadline
        if self._paused:
            return None
        connection = self._connection
        assert connection is not None
        if not connection.waiting:
            return self._heard + self._idle
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
            self.drop(not_greeted(self.address))
        elif self.state is State.BACKING_OFF:
            self._queue()
        elif self.oldest is not None:
            self._overdue(now, due)
        else:
            self.send(Own(("PING",), self._options.keepalive_answer))
            self._heard = now

    def _schedule(self) -> None:
        """Note the present deadline."""
        due = self.next_timeout()
        self._deadlines[self] = _NEVER if due is None else due

    def _relax(self) -> None:
        """Restart the wait after an answer: the next exchange has its full timeout."""
        self._is_strained, self._most = False, self._doubts_after
        self.patience.relax()

    def _overdue(self, now: float, due: float) -> None:
        """Handle a late answer: wait longer for a reason, doubt the link, or drop it."""
        assert self._connection is not None
        oldest = self._connection.oldest
        assert oldest is not None
        earned = self.patience.earn(now - self._heard, oldest.timeout)
        if earned > 0.0:
            self._heard += earned
        elif self.patience.excuses(now - due):
            self._heard += now - due + LATE
            self._is_strained = True
        elif self._most != _NEVER:
            self._most, self._is_strained = _NEVER, True
            self._on_doubt()
        else:
            self.drop(ConnectionLost(f"{self.address} did not answer in time", sent=True))

    def _queue(self) -> None:
        self._is_redirected = False
        if self.has_address:
            self._enter(State.QUEUED)
            self._dials.ask(self, self.address)
        else:
            self._enter(State.BACKING_OFF)

    def _enter(self, state: State, deadline: float | None = None) -> None:
        self._outputs[self] = None
        wanted, before = state in WANTING, self.state
        # No signal handler can raise in between.
        self.state, self._deadline, self.wants_connection = state, deadline, wanted
        self._deadlines[self] = _NEVER if deadline is None else deadline
        if before in ENTERING and state not in ENTERING:
            self._dials.end(self)

    def _lose(self, error: Exception) -> None:
        self.error = error
        connection, self._connection = self._connection, None
        self.rotation.end()
        sent, unsent = ([], []) if connection is None else map(without_own, connection.lost())
        self._owner.link_down(self, error, sent, unsent)
        if self._observer is not None and not (self._is_redirected or self._closing):
            self._observer.link_lost(self, error)
        if is_permanent(error) and not self.server and not self._is_redirected:
            self._closing = True  # it never worked, and dialling again with the same settings is pointless


def _nothing() -> None:
    """Ignore a doubt."""


Owner: TypeAlias = LinkOwner[Link]
Observer: TypeAlias = LinkObserver[Link]
