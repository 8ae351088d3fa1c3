"""An engine in use, from entering to leaving, on an async runtime.

An engine's state never lives in a task: each waiting call asks the engine, and sleeps in ``driver.until`` where the answer is
not there yet. So a call that is cancelled, or interrupted, has lost nothing but its place in the queue.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from time import monotonic
from typing import Any, TypeVar, cast

from streamcore.commands import Command
from streamcore.engine.engine import Engine
from streamcore.errors import ConnectionLost, InvalidArgument
from streamcore.requests import MAX_LEASES, DedicatedLink, Multiplexer, Request, Submit

from ..lifecycle import Opened
from ..runtime import AsyncDriver, AsyncRuntime
from ..settings import Settings
from ..telling import NEWS

# threads: from weakref import WeakValueDictionary
# threads: from ..forgotten import Forgettable

T = TypeVar("T")


class Running(Opened[AsyncDriver]):
    """An engine from entering to leaving."""

    def __init__(
        self,
        engine: Engine,
        runtime: AsyncRuntime,
        settings: Settings,
        client: Running | None = None,
        # threads: *,
        # threads: background: bool = True,
    ) -> None:
        super().__init__(engine, settings)
        self.leave: Callable[[], Coroutine[Any, Any, None]] = _at_once  # what there is to do before closing
        self._runtime = runtime
        self.settings = settings
        self._client = client
        if client is None:
            self._forks = None  # until it is entered
        # of a client: what was opened through it, in order
        self.parts: dict[int, Running] = {}  # async
        # threads: self.parts = WeakValueDictionary[int, Running]()
        # threads: self.background = background  # or the thread that waits moves the bytes

    def part(
        self,
        engine: Engine,
        # threads: *,
        # threads: background: bool = True,
    ) -> Running:
        """Another engine of the same client."""
        self.check_usable()
        return Running(
            engine,
            self._runtime,
            self.settings,
            self,
            # threads: background=background,
        )

    @property
    def driver(self) -> AsyncDriver:
        driver = self._driver  # once: another thread may be closing
        if driver is None:
            raise self.not_open()
        self.check()
        driver.check_home()  # async
        return driver

    async def open(self, within: float | None = None) -> None:
        """Start, and wait until the engine is ready, by default for the request timeout; raises why it is not."""
        self.check_unopened(opened=self._driver is not None)
        self.belong_here()
        if self._client is not None:
            self._client.check_open()
            if self._client.settings is not self.settings:
                raise InvalidArgument(
                    f"this {self.engine.label} was made before its client was entered, and that has found a cluster: "
                    "make it when the client is open, or call connect() with cluster=True"
                )
            self._client.parts[id(self)] = self
        try:
            driver = self._driver = self._runtime(
                self.engine,
                self.settings.target,
                # threads: background=self.background,
            )
            # threads: self._start(driver)
            self._journal.hurry()  # it may have said something before it was known here
            if not await driver.until(self.ready, self.engine.options.request_timeout if within is None else within):
                raise self.not_reached()
        except BaseException:
            await self.close()
            raise

    async def go_on(self, engine: Engine, settings: Settings) -> None:
        """Open another engine instead of the present engine, which is closed: the server belongs to a cluster.

        What is opened through the client belongs to the other engine as well.
        """
        try:
            self.tell_events()
            await self._close()
            self.settings = settings
            self.go_on_by(engine, settings)
        except BaseException:
            await self.close()
            raise
        await self.open()

    def wait(
        self,
        ask: Callable[[], T],
        within: float | None = None,
        worth: Callable[[], bool] | None = None,  # async
    ) -> Coroutine[Any, Any, T]:
        """``driver.until``, of a driver that is known to be usable, where the application waits in a loop: events are told as they come.

        Raises the error of ``on_event``, where it fails.
        """
        driver = self.entered()
        if self.listens:
            return self._wait_and_tell(driver, ask, within, worth)  # async
            # threads: return self._wait_and_tell(driver, ask, within)
        return driver.until(ask, within) if worth is None else driver.until(ask, within, worth)  # async
        # threads: return driver.until(ask, within)

    async def _wait_and_tell(
        self,
        driver: AsyncDriver,
        ask: Callable[[], T],
        within: float | None,
        worth: Callable[[], bool] | None,  # async
    ) -> T:
        asking = self.or_news(ask)
        how: tuple[Any, ...] = () if worth is None else (lambda: worth() or self.engine.has_event,)  # async
        # threads: how = ()
        deadline = None if within is None else monotonic() + within
        left = within
        while (answer := await driver.until(asking, left, *how)) is NEWS:
            self.tell_events()
            left = None if deadline is None else max(deadline - monotonic(), 0.0)
        return cast(T, answer)

    @property  # async
    def is_away(self) -> bool:  # async
        """Whether it was opened in another event loop than the present loop."""
        return self._driver is not None and not self._driver.is_home

    async def close(self) -> None:
        """Close the engine and its sockets, after everything that was opened through it; again does nothing."""
        driver = self._driver  # async: that of another event loop, perhaps, which closes there, if that still runs
        if driver is not None and self.is_away and not self.forked and await driver.close_at_home(self.close):  # async
            return
        await self._close_all()  # async
        # threads: self._finish(self._close_all)

    async def _close_all(self) -> None:
        # threads: for running in (self, *self.parts.values()):  # before anything is half closed
        # threads:     running.check_close()
        async with AsyncExitStack() as closing:
            closing.push_async_callback(self._close)
            for part in list(self.parts.values()):
                closing.push_async_callback(part.close)
            if self.is_open:
                await self.leave()
                self.tell_events()  # leaving may lose something, too

    async def _close(self) -> None:
        self.call(self.engine.close)  # async
        driver, self._driver = self._driver, None
        if self._client is not None:
            self._client.parts.pop(id(self), None)
        if not self.forked:  # async
            self._journal.end()
        if driver is not None and not self.forked and driver.is_home:  # async
            await driver.aclose()
        # threads: self._stop(driver)


async def _at_once() -> None:
    """Nothing is to be done."""


async def submit(running: Running, asked: Sequence[Command[Any]], how: Submit | None = None) -> Request:
    """Send commands over the shared link, by the engine's ``submit`` or ``how``. Raises ``ConnectionLost`` where there is no room."""
    driver, engine = running.driver, cast(Multiplexer, running.engine)
    if not engine.has_room and not await driver.until(running.has_room, engine.options.request_timeout):
        raise engine.no_room()
    if running.listens:
        running.tell_events()  # before, since it may raise, and an answer shall not be lost by that
    return await driver.request(how or engine.submit, asked)


@asynccontextmanager
async def leased(running: Running, lend: Callable[[], DedicatedLink | None]) -> AsyncIterator[DedicatedLink]:
    """Lease a dedicated link by ``lend``. Raises ``ConnectionLost`` where none is given back within the request timeout."""
    driver, engine = running.driver, running.engine
    held: list[DedicatedLink] = []

    def take() -> bool:
        lease = lend()
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
