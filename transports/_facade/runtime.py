"""The calls that the facade makes of a driver, for each engine: ``Runtime``, in the room of each runtime, answers them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

from streamcore.commands import Command
from streamcore.engine.engine import Engine
from streamcore.errors import ConcurrentUseError
from streamcore.requests import Request, Submit

from ..address import Target

T = TypeVar("T")


class Driver(Protocol):
    """Runs an engine, on any runtime.

    ``call`` calls a function of the engine, and ``soon`` does so when it is its turn, and wakes all waiting tasks or threads; signal handlers
    may use ``soon``, too, and all threads. ``aside`` calls a function outside of the engine, which may take long, and raises ``RuntimeError``
    where the runtime has ended.
    """

    def call(self, function: Callable[[], T]) -> T: ...
    def soon(self, function: Callable[[], object]) -> None: ...
    def aside(self, work: Callable[[], object]) -> None: ...


class AsyncDriver(Driver, Protocol):
    """Runs an engine in an event loop.

    ``until`` asks until the answer is true, first at once and then whenever something has happened to the engine that is
    ``worth`` it, and returns the last answer when ``within`` seconds have passed. ``check_home`` raises where that cannot be: in another
    event loop, which is not ``is_home``. From there ``close_at_home`` closes in the loop that it was opened in; False where
    that does not run: then it has let go of the sockets. ``linger`` is ``until`` on the way out: a cancelled task
    may wait there, too. ``together`` runs so many tasks of a kind, and ends when all have
    ended; they are cancelled with it. ``is_stray``: an error is the cancellation of something that the task awaits, not of the task.
    ``spawn`` runs something beside the user's tasks, and closing cancels it.
    """

    @property
    def is_home(self) -> bool: ...
    def check_home(self) -> None: ...
    async def close_at_home(self, close: Callable[[], Coroutine[Any, Any, None]]) -> bool: ...
    def flush(self) -> None: ...
    async def until(self, ask: Callable[[], T], within: float | None = None, worth: Callable[[], bool] = ...) -> T: ...
    async def checkpoint(self) -> None: ...
    async def linger(self, done: Callable[[], bool], within: float) -> bool: ...
    async def request(self, submit: Submit, commands: Sequence[Command[Any]]) -> Request: ...
    def spawn(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None: ...
    async def together(self, work: Callable[[], Coroutine[Any, Any, None]], count: int) -> None: ...
    def is_stray(self, error: BaseException) -> bool: ...
    async def aclose(self) -> None: ...


class ThreadDriver(Driver, Protocol):
    """Runs an engine in threads.

    ``start`` begins to move bytes. ``until`` asks until the answer is true, first at once and then whenever something has happened to the
    engine, and returns the last answer when ``within`` seconds have passed. ``call``, ``hold`` and ``until`` call their functions while no
    other thread is in the engine; ``hold`` calls a function that changes no output of the engine. ``spawn`` runs something in a thread that ends when
    the engine is closed. ``check_close`` raises where closing would wait for the call that it has interrupted.
    """

    def start(self) -> None: ...
    def hold(self, function: Callable[[], T]) -> T: ...
    def until(self, ask: Callable[[], T], within: float | None = None) -> T: ...
    def request(self, submit: Submit, commands: Sequence[Command[Any]]) -> Request: ...
    def spawn(self, work: Callable[[], None]) -> None: ...
    def check_close(self) -> None: ...
    def close(self) -> None: ...


AsyncRuntime: TypeAlias = Callable[[Engine, Target], AsyncDriver]


class ThreadRuntime(Protocol):
    """Makes a driver of threads; without ``background``, the thread that waits moves the bytes."""

    def __call__(self, engine: Engine, target: Target, *, background: bool = True) -> ThreadDriver: ...


def away_from_home(home: str) -> ConcurrentUseError:
    """The error of a use in another event loop than that of a client's opening."""
    return ConcurrentUseError(
        f"this client was opened in another {home}, and works there only; call connect() in this one"
    )
