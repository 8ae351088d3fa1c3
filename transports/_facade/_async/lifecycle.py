"""An engine in use, from entering to leaving, on an async runtime.

An engine's state never lives in a task: whoever waits asks the engine, and sleeps in ``driver.until`` where the answer is
not there yet. So a cancelled call has lost nothing but its place in the queue.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from time import monotonic
from typing import Any, Protocol, TypeAlias, TypeVar, cast

from streamcore.commands import Command
from streamcore.engine.engine import Engine
from streamcore.errors import ConcurrentUseError, ConnectionLost
from streamcore.requests import MAX_LEASES, DedicatedLink, Multiplexer, Request, Submit

from ...address import Target
from ..settings import Opened, Settings
from ..telling import NEWS

T = TypeVar("T")


class Driver(Protocol):
    """What a runtime does for one engine; see the transports.

    ``until`` asks until the answer is true, first at once and then whenever something has happened to the engine that is
    ``worth`` it, and returns the last answer when ``within`` seconds have passed. ``check_home`` raises where that cannot be: in another
    event loop, which is not ``is_home``. From there ``close_at_home`` closes in the loop that it was opened in; False where
    that does not run: then it has let go of the sockets. ``linger`` is ``until`` on the way out: a cancelled task
    may wait there, too. ``soon`` calls a function of the engine when it is its turn, and wakes whoever waits; it may be
    called from any thread and from signal handlers. ``together`` runs so many tasks of one kind, and ends when all have
    ended; they are cancelled with it. ``is_stray`` tells a cancellation of what the task awaits from one of itself.
    ``spawn`` runs something beside the user's tasks, and closing cancels it. ``aside`` calls a function soon, outside of the
    engine; it raises ``RuntimeError`` where there is no loop any more.
    """

    @property
    def is_home(self) -> bool: ...
    def check_home(self) -> None: ...
    async def close_at_home(self, close: Callable[[], Coroutine[Any, Any, None]]) -> bool: ...
    def call(self, function: Callable[[], T]) -> T: ...
    def flush(self) -> None: ...
    async def until(self, ask: Callable[[], T], within: float | None = None, worth: Callable[[], bool] = ...) -> T: ...
    async def checkpoint(self) -> None: ...
    async def linger(self, done: Callable[[], bool], within: float) -> bool: ...
    async def request(self, submit: Submit, commands: Sequence[Command[Any]]) -> Request: ...
    def spawn(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None: ...
    async def aclose(self) -> None: ...
    def soon(self, function: Callable[[], object]) -> None: ...
    def aside(self, work: Callable[[], object]) -> None: ...
    async def together(self, work: Callable[[], Coroutine[Any, Any, None]], count: int) -> None: ...
    def is_stray(self, error: BaseException) -> bool: ...


def away_from_home(home: str) -> ConcurrentUseError:
    """The error of a use in another event loop than the one that a client was opened in."""
    return ConcurrentUseError(
        f"this client was opened in another {home}, and works there only; call connect() in this one"
    )


Runtime: TypeAlias = Callable[[Engine, Target], Driver]


class Running(Opened):
    """An engine from entering to leaving."""

    _driver: Driver | None = None

    def __init__(self, engine: Engine, runtime: Runtime, settings: Settings, client: Running | None = None) -> None:
        super().__init__(engine, settings)
        self.leave = _at_once  # what there is to do before closing
        self._runtime = runtime
        self._settings = settings
        self._client = client
        if client is None:
            self._forks = None  # until it is entered
        self.parts: list[Running] = []  # of a client: what was opened through it

    def part(self, engine: Engine) -> Running:
        """Another engine of the same client."""
        self.check_usable()
        return Running(engine, self._runtime, self._settings, self)

    @property
    def driver(self) -> Driver:
        driver = self._driver
        if driver is None:
            raise self.not_open()
        self.check()
        driver.check_home()
        return driver

    async def open(self, within: float | None = None) -> None:
        """Start, and wait until the engine is ready, by default for the request timeout; raises why it is not."""
        self.check_unopened(opened=self._driver is not None)
        self.belong_here()
        if self._client is not None:
            self._client.check_open()
            self._client.parts.append(self)
        try:
            driver = self._driver = self._runtime(self.engine, self._settings.target)
            self._journal.hurry()  # it may have said something before it was known here
            if not await driver.until(self.ready, self.engine.options.request_timeout if within is None else within):
                raise self.not_reached()
        except BaseException:
            await self.close()
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
        """Call a function of the engine. Raises ``ConcurrentUseError`` in the middle of another call, which it has interrupted."""
        driver = self._driver
        return function() if driver is None or self.forked else driver.call(function)

    def wait(
        self, ask: Callable[[], T], within: float | None = None, worth: Callable[[], bool] | None = None
    ) -> Coroutine[Any, Any, T]:
        """``driver.until``, of a driver that is known to be usable, where the application waits in a loop: events are told as they come.

        Raises what ``on_event`` raises.
        """
        driver = self._driver
        if driver is None:
            raise self.not_open()
        if self.listens:
            return self._wait_and_tell(driver, ask, within, worth)
        return driver.until(ask, within) if worth is None else driver.until(ask, within, worth)

    async def _wait_and_tell(
        self, driver: Driver, ask: Callable[[], T], within: float | None, worth: Callable[[], bool] | None
    ) -> T:
        asking = self.or_news(ask)
        how: tuple[Any, ...] = () if worth is None else (lambda: worth() or self.engine.has_event,)
        deadline = None if within is None else monotonic() + within
        left = within
        while (answer := await driver.until(asking, left, *how)) is NEWS:
            self.tell_events()
            left = None if deadline is None else max(deadline - monotonic(), 0.0)
        return cast(T, answer)

    @property
    def is_open(self) -> bool:
        return self._driver is not None and not self.engine.closed and not self.forked

    @property
    def is_away(self) -> bool:
        """Whether it was opened in another event loop than the present one."""
        return self._driver is not None and not self._driver.is_home

    async def close(self) -> None:
        """Close the engine and its sockets, after everything that was opened through it; again does nothing.

        From another event loop it is done in its own, if that still runs; else nothing can be sent, and nothing is waited for.
        """
        driver = self._driver
        if driver is not None and self.is_away and not self.forked and await driver.close_at_home(self.close):
            return
        async with AsyncExitStack() as closing:
            closing.push_async_callback(self._close)
            for part in self.parts.copy():
                closing.push_async_callback(part.close)
            if self.is_open:
                await self.leave()
                self.tell_events()  # leaving may lose something, too

    async def _close(self) -> None:
        driver = self._driver
        self.call(self.engine.close)
        self._driver = None
        if not self.forked:
            self._journal.end()
        if self._client is not None and self in self._client.parts:
            self._client.parts.remove(self)
        if driver is not None and not self.forked and driver.is_home:
            await driver.aclose()


async def _at_once() -> None:
    """Nothing is to be done."""


async def submit(running: Running, asked: Sequence[Command[Any]], how: Submit | None = None) -> Request:
    """Send commands over everybody's link, by the engine's ``submit`` or ``how``. Raises ``ConnectionLost`` where there is no room."""
    driver, engine = running.driver, cast(Multiplexer, running.engine)
    if not engine.has_room and not await driver.until(running.has_room, engine.options.request_timeout):
        raise engine.no_room()
    if running.listens:
        running.tell_events()  # before, since it may raise, and an answer shall not be lost by that
    return await driver.request(how or engine.submit, asked)


@asynccontextmanager
async def leased(running: Running) -> AsyncIterator[DedicatedLink]:
    """A link of one's own. Raises ``ConnectionLost`` where none is given back within the request timeout."""
    driver, engine = running.driver, cast(Multiplexer, running.engine)
    held: list[DedicatedLink] = []

    def take() -> bool:
        lease = engine.lease()
        if lease is not None:
            held.append(lease)  # here, so that an interrupted caller has it to give back
        return bool(held)

    try:
        if not await driver.until(take, engine.options.request_timeout):
            raise ConnectionLost(
                f"all {MAX_LEASES} links for blocking commands and transactions are taken; nothing was sent"
            )
        yield held[0]
    finally:
        for lease in () if running.forked else held:  # a forked child has no business with its parent's links
            running.call(lease.release)
