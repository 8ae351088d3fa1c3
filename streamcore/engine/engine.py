"""The driver contract, and the runner of scripts.

An engine owns links and tells what should happen to them; a driver (asyncio, trio, threads, yours) moves the bytes, tells
the time and wakes the user's tasks. Outputs are levels: ``links()``, each link's ``wants_connection`` and
``data_to_send()``, ``next_timeout()`` can be asked again at any moment, and must be asked after every input.
``docs/drivers.md`` has a whole driver on one page.

A protocol is told once, as a generator: it yields an ``Exchange`` (queued, and resumed at once) or ``WAIT`` (resumed with
its oldest exchange once that is answered, or with None when something else changed: demand, a timer). It dies with its
connection and begins again on the next one, so whatever must survive lives in attributes of the engine.
"""

# pyright: reportPrivateUsage=false
# ScriptRunner is a part of Engine, in a class of its own because there may be several.

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from enum import Enum, auto
from types import TracebackType
from typing import Any, Final, TypeAlias, TypedDict, TypeVar

from ..connection.connection import Arguments, Exchange
from ..connection.handshake import is_permanent
from ..connection.link import AT_ONCE, Clock, Link, Owner, State
from ..errors import (
    UNAVAILABLE,
    ClosedError,
    InvalidArgument,
    RemoteProtocolError,
    ReplyError,
    StreamcoreError,
    is_interruption,
)
from ..events import ConnectAttemptFailed, Connected, Disconnected, Event, Reconnected
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

T = TypeVar("T")


class Wait(Enum):
    """The type of ``WAIT``."""

    WAIT = auto()


WAIT: Final = Wait.WAIT
Replies: TypeAlias = list[Any]
Script: TypeAlias = Generator[Exchange | Wait, Exchange | None, None]
Steps: TypeAlias = Generator[Exchange | Wait, Exchange | None, T]

TOKEN_BYTES: Final = 8


def call(*commands: Arguments, timeout: float = DEFAULT_OPTIONS.request_timeout) -> Steps[Replies]:
    """Part of a script: one exchange, and its replies. Nothing else may be unanswered."""
    yield Exchange(commands, timeout)
    while (answered := (yield WAIT)) is None:
        pass
    return answered.replies


def checked(reply: Any) -> Any:
    """The reply, or, if it is an error, raise it."""
    if isinstance(reply, ReplyError):
        raise reply
    return reply


def no_jitter() -> float:
    """What an engine waits by unless it is given a ``random``: back-offs are not spread then."""
    return 1.0


def _nothing() -> None:
    """Nobody listens."""


def _ignore(event: Event) -> None:
    """Nobody listens."""


class EngineOptions(TypedDict, total=False):
    """Keywords of every engine: where its server is, who we are there, and its limits."""

    random: Callable[[], float]
    """Gives numbers from 0 to 1 that spread back-offs and pauses, and need not differ between processes (always 1)."""
    entropy: Callable[[int], bytes] | None
    """Gives so many bytes that no other process draws, as ``os.urandom`` does (None: no names of our own)."""
    address: AnyAddress
    """Where the server is (``Address("localhost", 6379)``)."""
    login: Login
    """Who we are there (``Login()``: nobody in particular)."""
    options: Options
    """Deadlines and limits (``Options()``)."""


class Engine(ProcessBound):
    """What every engine has: links, a timer, a wake-up, events, an end. Subclasses add links and the user's side."""

    def __init__(
        self,
        *,
        random: Callable[[], float] = no_jitter,
        entropy: Callable[[int], bytes] | None = None,
        address: AnyAddress = DEFAULT_ADDRESS,
        login: Login = DEFAULT_LOGIN,
        options: Options = DEFAULT_OPTIONS,
    ) -> None:
        self.on_wakeup: Callable[[], None] = _nothing
        self.on_event: Callable[[Event], None] = _ignore
        self.error: Exception | None = None
        self.closed = False
        self.options = options
        self._random = random
        self._entropy = entropy
        self._clock = Clock()
        self._address = address
        self._login = login
        self._trace: TracebackType | None = None
        self._links: list[Link] = []
        self._events = EventQueue()
        self._placed_events = EventQueue()

    # -- the driver's side --------------------------------------------------------------------------------------------

    def links(self) -> Sequence[Link]:
        """The links that exist now; the driver keeps one socket for each that wants a connection."""
        return self._links

    def next_timeout(self) -> float | None:
        """When ``handle_timeout`` is due, on the driver's clock in seconds; None = never."""
        due = self._timer()
        for link in self._links:
            at = link.next_timeout()
            if at is not None and (due is None or at < due):
                due = at
        return due

    def handle_timeout(self, now: float) -> None:
        """Tell the time. Calling it early, late or too often does no harm."""
        self._clock.now = now
        self._elapse(now)  # first: what is late is late, whatever becomes of its link at the same moment
        for link in self._links:
            link.handle_timeout(now)

    @property
    def label(self) -> str:
        """What messages call it."""
        return type(self).__name__

    @property
    def title(self) -> str:
        """What logs and events call it: the label, and what it works at."""
        return self.label

    # -- everybody's side ---------------------------------------------------------------------------------------------

    def token(self, whose: str) -> bytes:
        """Draw a name that no other process has, as hex digits.

        Raises ``InvalidArgument``, in which ``whose`` says who needs it, where the engine has no ``entropy``.
        """
        if self._entropy is None:
            raise InvalidArgument(f"{whose} needs entropy=os.urandom, for names that nobody else has")
        drawn = self._entropy(TOKEN_BYTES)
        if len(drawn) != TOKEN_BYTES:
            raise InvalidArgument(f"entropy gives {len(drawn)} bytes where {TOKEN_BYTES} are asked for")
        return drawn.hex().encode()

    def close(self) -> None:
        """Want no connection any more and refuse further use."""
        self._end(None)

    def fail(self, error: Exception) -> None:
        """The engine cannot go on; ``error`` is raised to whoever uses it."""
        self._end(error)

    def next_event(self) -> Event | None:
        """The oldest event that nobody took yet."""
        return self._events.take()

    @property
    def has_event(self) -> bool:
        """Whether ``next_event`` has something now."""
        return self._events.is_due(None)

    def next_event_in_place(self) -> Event | None:
        """The same for those who want events in order with the data: None until all batches before it were taken.

        Each event is told once here, and once by ``next_event``.
        """
        return self._placed_events.take(self._reached())

    @property
    def has_event_in_place(self) -> bool:
        """Whether ``next_event_in_place`` has something now."""
        return self._placed_events.is_due(self._reached())

    # -- for subclasses -----------------------------------------------------------------------------------------------

    def _new_link(self, owner: Owner, name: str = "main") -> Link:
        link = Link(
            owner,
            random=self._random,
            clock=self._clock,
            address=self._address,
            login=self._login,
            options=self.options,
            name=name,
        )
        self._links.append(link)
        return link

    def _timer(self) -> float | None:
        """The engine's own deadline, beside those of its links."""
        return None

    def _elapse(self, now: float) -> None:
        """The time is ``now``."""

    def _place(self) -> int:
        """How many batches have come so far."""
        return 0

    def _reached(self) -> int:
        """How many of them the application has taken, or will never get."""
        return 0

    def _emit(self, event: Event) -> None:
        self._events.add(event, 0)
        self._placed_events.add(event, self._place())
        self.on_event(event)

    def _end(self, error: Exception | None) -> None:
        if self.closed:
            return
        self.closed = True
        self.error = error
        self._trace = None if error is None else error.__traceback__
        for link in self._links:
            link.close()
        self.on_wakeup()

    def check(self) -> None:
        """Raises what ended the engine, or ``ClosedError``."""
        if self.error is not None:
            raise self.error.with_traceback(self._trace)  # else each raise would make its traceback longer
        if self.closed:
            raise ClosedError(f"this {self.label} is closed; open a new one")

    def _check_block(self, block: float) -> None:
        """A read that blocks hides a dead link for as long: never longer than the keep-alive would."""
        keepalive = self.options.keepalive_idle + self.options.keepalive_answer
        if block > keepalive:
            raise InvalidArgument(
                f"block={block:g} is longer than the keep-alive of {keepalive:g} s; lower it (durations are seconds)"
            )

    def _report_up(self, link: Link, *, again: bool) -> None:
        server = f"{_text(link.server.get(b'server'))} {_text(link.server.get(b'version'))}"
        kind = Reconnected if again else Connected
        self._emit(kind(link.name, str(link.address), server, self.title))

    def _report_down(self, link: Link, error: Exception, *, was_up: bool) -> None:
        """Tell of a lost or failed connection; where dialling again is pointless, end."""
        if self.closed:
            return
        if is_permanent(error) and not link.server:
            self.fail(error)
        elif was_up:
            self._emit(Disconnected(link.name, str(link.address), error, self.title))
        else:
            self._emit(ConnectAttemptFailed(link.name, str(link.address), link.attempts, error, self.title))


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else "?"


class ScriptRunner:
    """Owns one link and runs one script over it, from its beginning on every new connection."""

    def __init__(self, engine: Engine, script: Callable[[], Script], name: str = "main") -> None:
        self.link = engine._new_link(self, name)  # noqa: SLF001  # the runner is a part of the engine
        self._engine = engine
        self._begin = script
        self._script: Script | None = None
        self._waiting = False  # suspended in WAIT; a script that is not has ended, or is running at this moment
        self._was_up = False
        self._up_before = False

    @property
    def running(self) -> bool:
        return self._script is not None

    def wake(self) -> None:
        """Something changed: demand, an acknowledgement, the time."""
        if self._waiting:
            self._resume(None)

    # -- what the link tells ------------------------------------------------------------------------------------------

    def link_up(self, link: Link) -> None:
        again, self._was_up, self._up_before = self._up_before, True, True
        self._engine._report_up(link, again=again)  # noqa: SLF001
        if link.is_up:  # whoever was told may have closed the engine
            self._script = self._begin()
            self._resume(None)

    def link_answered(self, link: Link, exchange: Exchange) -> None:
        if self._waiting:
            self._resume(exchange)

    def link_pushed(self, link: Link, pushes: list[list[Any]]) -> None:
        """Scripts subscribe to nothing."""

    def link_down(self, link: Link, error: Exception, sent: list[Exchange], unsent: list[Exchange]) -> None:
        script, self._script = self._script, None
        if script is not None and self._waiting:  # a script that runs is closed by ``_resume``
            self._waiting = False
            self._close(script)
        was_up, self._was_up = self._was_up, False
        self._engine._report_down(link, error, was_up=was_up)  # noqa: SLF001

    def _resume(self, value: Exchange | None) -> None:
        script = self._script
        assert script is not None
        self._waiting = False
        try:
            step = script.send(value)
            while step is not WAIT and self.running:
                self.link.send(step)
                step = script.send(None)
        except StopIteration:
            self._script = None
        except Exception as error:
            if is_interruption(error):
                raise
            self._raised(error)  # whatever a script raises ends here, never in the driver
        else:
            if self.running:
                self._waiting = True
            else:  # it has dropped its own link, by what it did or by an event that it emitted
                self._close(script)

    def _close(self, script: Script) -> None:
        try:
            script.close()
        except Exception as error:
            if is_interruption(error):
                raise
            self._raised(error)  # the same, from a ``finally``

    def _raised(self, error: Exception) -> None:
        if isinstance(error, ReplyError) and error.code in UNAVAILABLE:
            self.link.drop(error)
        elif isinstance(error, StreamcoreError) and not isinstance(error, InvalidArgument):
            self._engine.fail(error)
        else:  # scripts take a reply for what its command answers; whatever they parse is the server's
            senseless = RemoteProtocolError(
                f"{self.link.address} sent a reply that makes no sense, or this is a bug of ours: {error!r}"
            )
            senseless.__cause__ = error
            self._engine.fail(senseless)


__all__ = [
    "AT_ONCE",
    "WAIT",
    "Engine",
    "EngineOptions",
    "Exchange",
    "Link",
    "Replies",
    "Script",
    "ScriptRunner",
    "State",
    "Steps",
    "call",
    "checked",
]
