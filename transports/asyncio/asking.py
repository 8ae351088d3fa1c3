"""How a link on asyncio and uvloop asks the application for its credentials: in a task of its own, outside of the engine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Protocol

from streamcore.connection.link import Link

from .._credentials import AskCredentials, ask_in_loop, future_of


class AskingOwner(Protocol):
    """The driver of an engine, as the questions of its links know it."""

    loop: asyncio.AbstractEventLoop

    # Enter the engine with an input, move its outputs, and wake the tasks that wait.
    def tell(self, tell: Callable[[], object]) -> None: ...


class Asking:
    """Asks the application where a link wants credentials, and gives up where it does so no more."""

    def __init__(self, driver: AskingOwner, link: Link, ask: AskCredentials) -> None:
        self._driver = driver
        self._link = link
        self._ask = ask
        self._task: asyncio.Task[None] | None = None

    def look(self) -> None:
        """Ask, or give up, as the link wants."""
        if not self._link.wants_credentials:
            self.drop()
        elif self._task is None:
            self._task = self._driver.loop.create_task(self._run())

    def drop(self) -> None:
        """Give up a question: its link wants no answer any more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    async def _run(self) -> None:
        await asyncio.sleep(0)  # a task that is begun eagerly is so within the entrance
        link, task = self._link, asyncio.current_task()
        try:
            credentials = await ask_in_loop(self._ask, _in_thread)
        except Exception as error:  # noqa: BLE001  # whatever the application raises, its link is told
            tell = partial(link.credentials_failed, error)
        else:
            tell = partial(link.authenticate, credentials)
        if self._task is task:
            self._task = None
            self._driver.tell(partial(_now, tell))


def _now(tell: Callable[[float], None]) -> None:
    tell(asyncio.get_running_loop().time())


def _in_thread(function: Callable[[], Any]) -> Awaitable[Any]:
    return asyncio.wrap_future(future_of(function, "streamcore credentials"))
