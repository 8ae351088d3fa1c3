"""How a link on trio asks the application for its credentials: in a system task of its own, outside of the engine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Protocol

import trio

from streamcore.connection.link import Link

from .._credentials import AskCredentials, ask_in_loop


class AskingOwner(Protocol):
    """The driver of an engine, as the questions of its links know it."""

    # Enter the engine with an input, move its outputs, and wake the tasks that wait.
    def tell(self, tell: Callable[[], object]) -> None: ...


class Asking:
    """Asks the application where a link wants credentials, and gives up where it does so no more."""

    def __init__(self, driver: AskingOwner, link: Link, ask: AskCredentials) -> None:
        self._driver = driver
        self._link = link
        self._ask = ask
        self._scope: trio.CancelScope | None = None

    def look(self) -> None:
        """Ask, or give up, as the link wants."""
        if not self._link.wants_credentials:
            self.drop()
        elif self._scope is None:
            self._scope = trio.CancelScope()
            trio.lowlevel.spawn_system_task(self._run, self._scope)

    def drop(self) -> None:
        """Give up a question: its link wants no answer any more."""
        scope, self._scope = self._scope, None
        if scope is not None:
            scope.cancel()

    async def _run(self, scope: trio.CancelScope) -> None:
        link, tell = self._link, None
        with scope:
            try:
                credentials = await ask_in_loop(self._ask, _in_thread)
            except trio.Cancelled:
                raise
            except BaseException as error:  # noqa: BLE001  # no error of the application may end the run of trio
                tell = partial(link.credentials_failed, error)
            else:
                tell = partial(link.authenticate, credentials)
        if tell is not None and self._scope is scope:
            self._scope = None
            self._driver.tell(partial(_now, tell))


def _now(tell: Callable[[float], None]) -> None:
    tell(trio.current_time())


def _in_thread(function: Callable[[], Any]) -> Awaitable[Any]:
    return trio.to_thread.run_sync(function, abandon_on_cancel=True)
