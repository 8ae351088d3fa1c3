"""The driver contract.

An engine owns links and tells what should happen to them; a driver (asyncio, trio, threads, yours) moves the bytes,
tells the time and wakes the user's tasks. Outputs are levels: each link's ``wants_connection`` and ``data_to_send()``,
``next_timeout()`` can be asked again at any moment. After every input ``changed_links()`` tells which links to ask: no
input costs more because there are others.
``docs/drivers.md`` has a whole driver on one page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from types import TracebackType
from typing import Final, TypedDict

from ..connection.common import Changes, Clock
from ..connection.dials import Dials
from ..connection.handshake import is_permanent
from ..connection.link import Link, Observer, Owner
from ..connection.rotation import Rotation
from ..errors import (
    ClosedError,
    InvalidArgument,
)
from ..events import Event
from ..options import (
    DEFAULT_ADDRESS,
    DEFAULT_LOGIN,
    DEFAULT_OPTIONS,
    AnyAddress,
    Login,
    Options,
)
from ..process_bound import ProcessBound
from .event_queue import EventQueue
from .lane import Lane, LaneOwner
from .link_events import connected, emit_loss, not_renewed
from .router import ANYWHERE, MakeRouter, Route, Router, SlotOwners, StandaloneRouter
from .timers import DerivedTimer, Timed, Timer, Timers

TOKEN_BYTES: Final = 8


def no_jitter() -> float:
    """Return 1: back-offs are not spread. The default of ``random``."""
    return 1.0


def _nothing() -> None:
    """Ignore a wake-up."""


def _ignore(event: Event) -> None:
    """Ignore an event."""


class EngineOptions(TypedDict, total=False):
    """Keywords of every engine: the server's address, the login there, and limits."""

    random: Callable[[], float]
    """Gives numbers from 0 to 1 that spread back-offs and pauses, and need not differ between processes (always 1)."""
    entropy: Callable[[int], bytes] | None
    """Gives so many bytes that no other process draws, as ``os.urandom`` does (None: no names of our own)."""
    address: AnyAddress
    """Where the server is (``Address("localhost", 6379)``)."""
    login: Login
    """The user, password, database and name of the connections (``Login()``: the default user)."""
    options: Options
    """Deadlines and limits (``Options()``)."""
    router: MakeRouter | None
    """Makes the router of the engine's links (None: all of them lead to ``address``)."""


class Engine(ProcessBound):
    """The base of every engine: links, a timer, a wake-up, events, an end. Subclasses add links and the user's side."""

    def __init__(
        self,
        *,
        random: Callable[[], float] = no_jitter,
        entropy: Callable[[int], bytes] | None = None,
        address: AnyAddress = DEFAULT_ADDRESS,
        login: Login = DEFAULT_LOGIN,
        options: Options = DEFAULT_OPTIONS,
        router: MakeRouter | None = None,
    ) -> None:
        self.on_wakeup: Callable[[], None] = _nothing
        self.on_event: Callable[[Event], None] = _ignore
        self.error: Exception | None = None
        self.closed = False
        self.options = options
        self._random = random
        self._entropy = entropy
        self._clock = Clock()
        self.login = login
        self._trace: TracebackType | None = None
        self._touched = Changes()
        self._dials = Dials()
        self._timers = Timers(self._touched)
        self._part_timers = 0
        self._links_made = 0
        self.event_numbers = count()  # of the events that are told in their places
        self._events = EventQueue(count())
        self._placed_events = EventQueue(self.event_numbers)
        self._router: Router = StandaloneRouter(self, address) if router is None else router(self)

    # -- the driver's side --------------------------------------------------------------------------------------------

    def links(self) -> Sequence[Link]:
        """Return the present links; the driver keeps a socket for each that wants a connection."""
        return self._router.links()

    def changed_links(self) -> Sequence[Link]:
        """Take the links whose outputs may have changed since the last call, in the order of ``links()``.

        A link is returned once for all changes before the call. What cannot be done for it now, such as to write to a
        full socket, the driver does later without being told again.
        """
        changed = self._touched.outputs
        if not changed:
            return ()
        taken = list(changed) if len(changed) == 1 else sorted(changed, key=self._timers.order)
        changed.clear()
        return taken

    def next_timeout(self) -> float | None:
        """When ``handle_timeout`` is due, in seconds on the driver's clock; None = never."""
        return self._timers.next()

    def handle_timeout(self, now: float) -> None:
        """Tell the time, in seconds. Calling it early, late or too often does no harm."""
        self._clock.now = now
        self._timers.handle(now)

    @property
    def clock(self) -> Clock:
        """The clock that the driver sets, shared by the links and parts of the engine."""
        return self._clock

    @property
    def now(self) -> float:
        """The time that the driver told last, in seconds."""
        return self._clock.now

    def random(self) -> float:
        """Draw a number between 0 and 1, from the driver's ``random``."""
        return self._random()

    @property
    def label(self) -> str:
        """The name of the engine in messages."""
        return type(self).__name__

    @property
    def title(self) -> str:
        """The name in logs and events: the label, and the streams or group."""
        return self.label

    # -- the application's side ---------------------------------------------------------------------------------------

    def token(self, whose: str) -> bytes:
        """Draw a name that no other process has, as hex digits.

        Raises ``InvalidArgument``, in which ``whose`` names the user of the token, where the engine has no
        ``entropy``.
        """
        if self._entropy is None:
            raise InvalidArgument(f"{whose} needs entropy=os.urandom, for names that nobody else has")
        drawn = self._entropy(TOKEN_BYTES)
        if len(drawn) != TOKEN_BYTES:
            raise InvalidArgument(f"entropy gives {len(drawn)} bytes where {TOKEN_BYTES} are asked for")
        return drawn.hex().encode()

    def close(self) -> None:
        """Close all links and refuse further use."""
        self._end(None)

    def fail(self, error: Exception) -> None:
        """End the engine; every further call raises ``error``."""
        self._end(error)

    def next_event(self) -> Event | None:
        """Take the oldest event from the queue; None where it is empty."""
        return self._events.take()

    @property
    def has_event(self) -> bool:
        """Whether ``next_event`` would return an event."""
        return self._events.is_due(None)

    def next_event_in_place(self) -> Event | None:
        """Take the oldest event, once all batches before it were taken; else None.

        This queue and that of ``next_event`` each tell every event once.
        """
        return self._placed_events.take()

    @property
    def has_event_in_place(self) -> bool:
        """Whether ``next_event_in_place`` would return an event."""
        return self._placed_events.is_due(None)

    # -- for subclasses -----------------------------------------------------------------------------------------------

    def new_link(self, owner: Owner, name: str = "main", route: Route = ANYWHERE) -> Link:
        """Make a link that belongs to ``owner``, to a server that ``route`` leads to."""
        return self._router.link(owner, name, route)

    def new_lane(self, owner: LaneOwner, name: str = "main", route: Route = ANYWHERE, *, shared: bool = False) -> Lane:
        """Make the lane of a script to a server that ``route`` leads to."""
        return self._router.lane(owner, name, route, shared=shared)

    def aim(self, link: Link, route: Route, reason: Exception | None = None) -> None:
        """Give a link another route, and redirect it where that leads to another server; its connection is lost by ``reason``."""
        self._router.aim(link, route, reason)

    def route(self, key: bytes) -> Route:
        """Find the route to the data of a key."""
        return self._router.route(key)

    @property
    def owners(self) -> SlotOwners | None:
        """The nodes that keys are spread over; None where a single server has all of them."""
        return self._router.owners

    def new_timer(self, act: Callable[[float], None]) -> Timer:
        """Make the timer of a part, which is off until it is set; ``act`` is called with the time, in seconds, and sets it anew.

        Of all that are due together, timers come before links: a late request is late, even if its link ends at the same
        moment. A part that uses others is made after them, and comes before them.
        """
        timer = Timer(act, self._touched)
        self._add_timer(timer)
        return timer

    def new_derived_timer(self, derive: Callable[[], float], act: Callable[[float], None]) -> DerivedTimer:
        """Make the timer of a part, in its place as ``new_timer`` tells; ``derive`` returns its deadline, in seconds."""
        timer = DerivedTimer(derive, act, self._timers.touched)
        self._add_timer(timer)
        return timer

    def _add_timer(self, timer: Timed) -> None:
        self._part_timers += 1
        self._timers.add(timer, -self._part_timers)

    def report(self, event: Event) -> None:
        """Append an event to the queue of the engine, and call ``on_event`` with it."""
        self._events.add(event)
        self.on_event(event)

    def forget_link(self, link: Link) -> None:
        """Forget a link of the router that was closed for good, and rests."""
        self._timers.remove(link)

    def emit(self, event: Event) -> None:
        """Emit an event, for the parts of the engine and its router."""
        self._emit(event)

    def _emit(self, event: Event) -> None:
        self._placed_events.add(event)
        self.report(event)

    def _end(self, error: Exception | None) -> None:
        if self.closed:
            return
        self.closed = True
        self.error = error
        self._trace = None if error is None else error.__traceback__
        self._router.close()
        self.on_wakeup()

    def check(self) -> None:
        """Raise the error that ended the engine, or ``ClosedError``."""
        if self.error is not None:
            raise self.error.with_traceback(self._trace)  # else each raise would make its traceback longer
        if self.closed:
            raise ClosedError(f"this {self.label} is closed; open a new one")

    def check_block(self, block: float) -> None:
        """Refuse a ``block`` longer than the keep-alive: a blocked read hides a dead link for as long."""
        keepalive = self.options.keepalive_idle + self.options.keepalive_answer
        if block > keepalive:
            raise InvalidArgument(
                f"block={block:g} is longer than the keep-alive of {keepalive:g} s; lower it (durations are seconds)"
            )

    def make_link(
        self,
        owner: Owner,
        name: str,
        address: AnyAddress | None,
        observer: Observer | None = None,
        *,
        login: Login | None = None,
        options: Options | None = None,
    ) -> Link:
        """Make a link for the router; without an address it dials as soon as it is redirected.

        ``login`` and ``options``: others than those of the engine.
        """
        link = Link(
            owner,
            random=self._random,
            clock=self._clock,
            changes=self._touched,
            dials=self._dials,
            address=address,
            login=login or self.login,
            options=options or self.options,
            name=name,
            observer=observer,
        )
        self._timers.add(link, self._links_made)
        self._links_made += 1
        if isinstance(link.rotation, Rotation):
            link.rotation.on_failure = partial(self._not_renewed, link)
            self._add_timer(link.rotation)
        return link

    def _not_renewed(self, link: Link, error: Exception) -> None:
        self._emit(not_renewed(link, error, self.title))

    def report_up(self, link: Lane, *, again: bool) -> None:
        self._emit(connected(link, self.title, again=again))

    def report_down(self, link: Lane, error: Exception, *, was_up: bool) -> None:
        """Emit the loss of a connection, or a failed attempt; where dialling again is pointless, here and elsewhere, end the engine."""
        if self.closed:
            return
        if is_permanent(error) and not link.server and not self._router.may_go_elsewhere(link):
            self.fail(error)
        else:
            emit_loss(self._emit, link, error, self.title, was_up=was_up)
