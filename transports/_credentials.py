"""How the application is asked for credentials: by the callable of ``connect(credentials=...)``, on any runtime."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from threading import Thread
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from streamcore.errors import InvalidArgument
from streamcore.options import Credentials

if TYPE_CHECKING:
    from concurrent.futures import Future

Given: TypeAlias = tuple[str | None, str] | Credentials
AskCredentials: TypeAlias = Callable[[], Given | Awaitable[Given]]
"""Returns ``(username, password)`` or ``Credentials``; on async runtimes it may be a coroutine function."""

_NOT_IN_THREADS: Final = "credentials must be a plain function in threads: there is no event loop for a coroutine"


def is_coroutine_function(ask: object) -> bool:
    """Whether a callable is a coroutine function, or an object with such a ``__call__``."""
    return inspect.iscoroutinefunction(ask) or inspect.iscoroutinefunction(type(ask).__call__)


def check_plain(ask: object) -> None:
    """Raises ``InvalidArgument`` for a coroutine function: threads have no event loop for it."""
    if is_coroutine_function(ask):
        raise InvalidArgument(_NOT_IN_THREADS)


def ask_in_thread(ask: AskCredentials) -> Credentials:
    """Ask in the calling thread, which may be held up. Raises the application's error, and ``InvalidArgument`` for its answer."""
    answer = ask()
    if inspect.iscoroutine(answer):
        answer.close()
        raise InvalidArgument(_NOT_IN_THREADS)
    return Credentials.of(answer)


async def ask_in_loop(ask: AskCredentials, in_thread: Callable[[Callable[[], Any]], Awaitable[Any]]) -> Credentials:
    """Ask in an event loop. A plain function may block, and is called by ``in_thread``. Raises as ``ask_in_thread`` does."""
    # In a list, since the answer of a plain function may be a coroutine as well.
    [answer] = [ask()] if is_coroutine_function(ask) else await in_thread(lambda: [ask()])
    return Credentials.of(await answer if inspect.isawaitable(answer) else answer)


def future_of(function: Callable[[], Any], name: str) -> Future[Any]:
    """Call a function that may block in a daemon thread of this name, which may be left behind. Raises ``RuntimeError`` without a thread."""
    from concurrent.futures import Future

    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()  # from now on it cannot be cancelled

    def run() -> None:
        try:
            future.set_result(function())
        except Exception as error:  # noqa: BLE001  # of the application's function: told where the future is
            future.set_exception(error)
        except BaseException as error:  # noqa: BLE001  # it would end the event loop, and not this thread
            future.set_exception(RuntimeError(f"the thread was ended by {error!r}"))

    Thread(target=run, name=name, daemon=True).start()
    return future
