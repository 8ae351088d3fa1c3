"""An engine in use, from entering to leaving, by threads; every call to it is made under the driver's lock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from time import monotonic
from typing import Any, Final, Protocol, TypeVar, cast
from weakref import WeakValueDictionary, finalize

from streamcore.commands import Command
from streamcore.engine.engine import Engine
from streamcore.errors import ConcurrentUseError, ConnectionLost
from streamcore.requests import MAX_LEASES, DedicatedLink, Multiplexer, Request, Submit

from ...address import Target
from ..logs import Journal
from ..settings import Opened, Settings
from ..telling import NEWS
from .forgotten import close_aside, close_when_forgotten, weakly

T = TypeVar("T")

PATIENCE: Final = 1.0
"""Seconds for which leaving waits for a log that is just written, by a handler that may in its turn wait for whoever leaves."""


class Driver(Protocol):
    """What the threads' transport does for one engine.

    ``until`` asks until the answer is true, first at once and then whenever something has happened to the engine, and
    returns the last answer when ``within`` seconds have passed. ``start`` begins to move bytes. ``call``, ``hold`` and ``until`` call their functions while nobody
    else is in the engine; ``hold``, one that changes nothing there.
    ``soon`` calls a function of the engine when it is its turn, and wakes whoever waits; signal handlers may use it, too.
    ``spawn`` runs something in a thread that ends when the engine is closed, ``aside`` in a thread that nobody waits for: it raises
    ``RuntimeError`` where there is none. ``check_home`` raises where a call would wait for what it has interrupted.
    """

    def start(self) -> None: ...
    def check_home(self) -> None: ...
    def call(self, function: Callable[[], T]) -> T: ...
    def hold(self, function: Callable[[], T]) -> T: ...
    def until(self, ask: Callable[[], T], within: float | None = None) -> T: ...
    def request(self, submit: Submit, commands: Sequence[Command[Any]]) -> Request: ...
    def spawn(self, work: Callable[[], None]) -> None: ...
    def close(self) -> None: ...
    def soon(self, function: Callable[[], object]) -> None: ...
    def aside(self, work: Callable[[], object]) -> None: ...


class Runtime(Protocol):
    def __call__(self, engine: Engine, target: Target, *, background: bool = True) -> Driver: ...


class Running(Opened):
    """An engine from entering to leaving."""

    _driver: Driver | None = None

    def __init__(
        self,
        engine: Engine,
        runtime: Runtime,
        settings: Settings,
        client: Running | None = None,
        *,
        background: bool = True,
    ) -> None:
        super().__init__(engine, settings)
        self.leave: Callable[[], object] = _at_once  # what there is to do before closing
        self._runtime = runtime
        self._settings = settings
        self._client = client
        if client is None:
            self._forks = None  # until it is entered
        self._background = background
        self.parts = WeakValueDictionary[int, Running]()  # of a client: what was opened through it, in order
        self._finalizer: finalize[..., Any] | None = None
        engine.on_event = weakly(self._happened)
        self._journal = Journal(engine.title, monotonic, weakly(self._aside))

    def part(self, engine: Engine, *, background: bool = True) -> Running:
        """Another engine of the same client."""
        self.check_usable()
        return Running(engine, self._runtime, self._settings, self, background=background)

    @property
    def driver(self) -> Driver:
        driver = self._driver  # another thread may be closing
        if driver is None:
            raise self.not_open()
        self.check()
        return driver

    def check_home(self) -> None:
        """Raises ``ConcurrentUseError`` where a call would wait for what it has interrupted."""
        driver = self._driver
        if driver is not None and not self.forked:
            driver.check_home()

    def open(self, within: float | None = None) -> None:
        """Start, and wait until the engine is ready, by default for the request timeout; raises why it is not."""
        self.check_unopened(opened=self._driver is not None)
        self.belong_here()
        if self._client is not None:
            self._client.check_open()
            self._client.parts[id(self)] = self
        try:
            driver = self._driver = self._runtime(self.engine, self._settings.target, background=self._background)
            self._finalizer = close_when_forgotten(self, driver, self.engine)
            driver.start()  # and not before somebody would close it, wherever this is interrupted
            self._journal.hurry()  # it may have said something before it was known here
            if not driver.until(self.ready, self.engine.options.request_timeout if within is None else within):
                raise self.not_reached()
        except BaseException:
            self.close()
            raise

    def soon(self, function: Callable[[], object]) -> None:
        """Call a function of the engine in its turn, from anywhere; before entering and after leaving, never."""
        driver = self._driver
        if driver is not None and not self.forked:
            driver.soon(function)

    def _aside(self, work: Callable[[], object]) -> None:
        driver = self._driver
        if driver is None:
            raise RuntimeError("nobody runs this engine")
        driver.aside(work)

    def call(self, function: Callable[[], T]) -> T:
        """Call a function of the engine: before entering and after leaving, there is no thread beside this one to keep out."""
        driver = self._driver
        return function() if driver is None or self.forked else driver.call(function)

    def wait(self, ask: Callable[[], T], within: float | None = None) -> T:
        """``driver.until``, where the application waits in a loop: events are told as they come. Raises what ``on_event`` raises."""
        driver = self.driver
        if not self.listens:
            return driver.until(ask, within)
        asking = self.or_news(ask)
        deadline = None if within is None else monotonic() + within
        left = within
        while (answer := driver.until(asking, left)) is NEWS:
            self.tell_events()
            left = None if deadline is None else max(deadline - monotonic(), 0.0)
        return cast(T, answer)

    @property
    def is_open(self) -> bool:
        return self._driver is not None and not self.engine.closed and not self.forked

    def close(self) -> None:
        """Close the engine and its sockets, after everything that was opened through it; again does nothing.

        Where a signal handler raises meanwhile, as Ctrl-C does, that goes on in a thread of its own.
        """
        try:
            for one in (self, *self.parts.values()):  # before anything is half closed
                one.check_home()
            with ExitStack() as closing:
                closing.callback(self._close)
                for part in list(self.parts.values()):
                    closing.callback(part.close)
                if self.is_open:
                    self.leave()
                    self.tell_events()  # leaving may lose something, too
        except ConcurrentUseError:
            raise
        except BaseException:
            if self._finalizer is not None and not self.forked:
                close_aside(self._finalizer)
            raise

    def _close(self) -> None:
        driver, self._driver = self._driver, None
        if self._client is not None:
            self._client.parts.pop(id(self), None)
        if driver is None or self.forked:
            self.engine.close()
        else:
            driver.close()
        if self._finalizer is not None:
            self._finalizer.detach()  # not before it is closed: this may be interrupted
        if not self.forked:
            self._journal.end(PATIENCE)


def _at_once() -> None:
    """Nothing is to be done."""


def submit(running: Running, asked: Sequence[Command[Any]], how: Submit | None = None) -> Request:
    """Send commands over everybody's link, by the engine's ``submit`` or ``how``. Raises ``ConnectionLost`` where there is no room."""
    driver, engine = running.driver, cast(Multiplexer, running.engine)
    if not engine.has_room and not driver.until(running.has_room, engine.options.request_timeout):
        raise engine.no_room()
    if running.listens:
        running.tell_events()  # before, since it may raise, and an answer shall not be lost by that
    return driver.request(how or engine.submit, asked)


@contextmanager
def leased(running: Running) -> Iterator[DedicatedLink]:
    """A link of one's own. Raises ``ConnectionLost`` where none is given back within the request timeout."""
    driver, engine = running.driver, cast(Multiplexer, running.engine)
    held: list[DedicatedLink] = []

    def take() -> bool:
        lease = engine.lease()
        if lease is not None:
            held.append(lease)  # here, so that an interrupted caller has it to give back
        return bool(held)

    try:
        if not driver.until(take, engine.options.request_timeout):
            raise ConnectionLost(
                f"all {MAX_LEASES} links for blocking commands and transactions are taken; nothing was sent"
            )
        yield held[0]
    finally:
        for lease in () if running.forked else held:  # a forked child has no business with its parent's links
            driver.call(lease.release)
