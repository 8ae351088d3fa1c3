"""An engine in use, on any runtime: by which callers, in which process, and with which errors where it cannot be used."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Generic, Protocol, TypeVar, cast
from weakref import WeakSet

from streamcore.consumer.consumer import Consumer
from streamcore.engine.engine import Engine
from streamcore.engine.pending_change import PendingChange
from streamcore.errors import ClosedError, ConcurrentUseError, ConnectFailed, ForkedError, RemoteProtocolError
from streamcore.options import SentinelAddress
from streamcore.requests import Multiplexer

from .._dial_errors import explain, is_permanent
from ..address import Target
from .runtime import Driver
from .settings import Settings
from .telling import Telling

D = TypeVar("D", bound=Driver)
T = TypeVar("T")

_forks = 0


class Checked(Protocol):
    """An engine, or a hub, that may have ended with an error."""

    def check(self) -> None: ...


class Forgetful(Protocol):
    """An object that holds things of a single process."""

    def _forget(self) -> None: ...


forgetful: Final[WeakSet[Forgetful]] = WeakSet()


def _forked() -> None:
    global _forks  # noqa: PLW0603  # a process-wide fact
    _forks += 1
    for holder in forgetful:
        holder._forget()  # noqa: SLF001  # a part of the facade


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


class SoleUse:
    """Lets in a single task or thread at a time: ``with sole_use():``. Raises ``ConcurrentUseError`` to another."""

    def __init__(self) -> None:
        self._users: list[object] = []

    @contextmanager
    def __call__(self) -> Iterator[None]:
        users, me = self._users, object()
        try:
            users.append(me)  # in the block that takes it away: a signal handler may raise at once
            if users[0] is not me:
                raise ConcurrentUseError("a consumer belongs to one task or thread at a time; open another one")
            yield
        finally:
            if me in users:
                users.remove(me)


class Opened(Telling, Generic[D]):
    """An engine in use: checks each use, hands out its events, and has them logged."""

    _driver: D | None = None  # from entering to leaving

    def __init__(self, engine: Engine, settings: Settings) -> None:
        super().__init__(engine, settings.on_event)
        self._target = settings.target
        self._forks: int | None = _forks  # how often the process had forked when this began; None: it may begin in any
        self.sole_use = SoleUse()

    @property
    def forked(self) -> bool:
        """Whether this is a forked child, and the engine its parent's."""
        return self._forks is not None and self._forks != _forks

    def belong_here(self) -> None:
        """Bind the engine to this process: no other may use it."""
        self._forks = _forks

    def check(self) -> None:
        """Raises ``ForkedError`` in a forked child."""
        if self._forks != _forks and self._forks is not None:
            raise ForkedError("this client belongs to the parent process; call connect() again in the forked child")

    def check_usable(self) -> None:
        """Raises ``ForkedError`` in a forked child, and the error that ended the engine."""
        self.check()
        self.engine.check()

    def check_open(self) -> None:
        """Raises ``ClosedError`` before entering and after leaving."""
        self.check_usable()
        if not self.is_open:
            raise self.not_open()

    @property
    def is_open(self) -> bool:
        """Whether it was entered, and not left."""
        return self._driver is not None and not self.engine.closed and not self.forked

    def check_unopened(self, *, opened: bool) -> None:
        """Raises where it cannot be entered: in a forked child, after closing, or a second time."""
        self.check_usable()
        if opened:
            raise ConcurrentUseError(f"this {self.engine.label} is open already; open another one")

    def not_open(self) -> Exception:
        """The error of a use before entering, or after leaving."""
        self.check_usable()
        what = self.engine.label
        return ClosedError(f"this {what} is not open: enter it first, by 'with' or 'async with'")

    def ready(self) -> bool:
        """Whether the engine can be used now. Raises the error that ended it."""
        self.engine.check()
        return cast("Consumer[Any]", self.engine).is_ready

    def has_room(self) -> bool:
        """Whether a request may be submitted. Raises the error that ended the engine."""
        self.engine.check()
        return cast(Multiplexer, self.engine).has_room

    def go_on_by(self, engine: Engine, settings: Settings) -> None:
        """Use another engine from now on, instead of an engine that was closed; its events are told as before."""
        self.engine = engine
        self._target = settings.target
        engine.on_event = self._happened

    def not_reached(self) -> ConnectFailed:
        """Why the engine is not ready in time."""
        owners = self.engine.owners
        if owners is not None and isinstance(owners.trouble, RemoteProtocolError):
            return ConnectFailed(str(owners.trouble))
        links = [link for link in self.engine.links() if not isinstance(link.address, SentinelAddress)]
        reason = next((link.error for link in links if link.error is not None), TimeoutError())
        if isinstance(reason, ConnectFailed):
            return reason if not self._target.others else _none_reached(self._target, reason)
        return ConnectFailed(explain(reason, self._target), permanent=is_permanent(reason))

    def entered(self) -> D:
        """The driver. Raises ``ClosedError`` before entering and after leaving, or the error that ended the engine."""
        driver = self._driver  # once: another thread may be closing
        if driver is None:
            raise self.not_open()
        return driver

    # -- by way of the driver -----------------------------------------------------------------------------------------

    def call(self, function: Callable[[], T]) -> T:
        """Call a function of the engine: before entering and after leaving as it is, since nothing runs the engine then.

        Raises ``ConcurrentUseError`` in the middle of another call, which this call has interrupted.
        """
        driver = self._driver
        return function() if driver is None or self.forked else driver.call(function)

    def soon(self, function: Callable[[], object]) -> None:
        """Call a function of the engine in its turn, from anywhere; before entering and after leaving, never."""
        driver = self._driver
        if driver is not None and not self.forked:
            driver.soon(function)

    def _aside(self, work: Callable[[], object]) -> None:
        driver = self._driver
        if driver is None:
            raise RuntimeError("nothing runs this engine")
        driver.aside(work)


def _none_reached(target: Target, last: ConnectFailed) -> ConnectFailed:
    return ConnectFailed(
        f"no node of the cluster can be reached at {target}; the last: {last}", permanent=last.permanent
    )


def all_done(engine: Checked, *changes: PendingChange) -> bool:
    """Whether an engine has made all changes. Raises why it cannot make them, and the error that ended the engine."""
    engine.check()
    return all(change.poll() for change in changes)
