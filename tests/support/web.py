"""A real HTTP server for an ASGI application: uvicorn, in a thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Final, Self

import uvicorn

PATIENCE: Final = 20.0


class Web:
    """A context manager; the application runs, its lifespan included, until the end of the block.

    ``grace``: so many seconds are left to open requests then, a whole number.
    """

    def __init__(self, application: Callable[..., Awaitable[Any]], *, grace: int = 1) -> None:
        config = uvicorn.Config(application, log_config=None, timeout_graceful_shutdown=grace, ws="websockets-sansio")
        self._server = uvicorn.Server(config)
        self._socket = socket.socket()
        self._thread = threading.Thread(target=self._run, name="web")
        self._error: BaseException | None = None

    def __enter__(self) -> Self:
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen(128)
        self._thread.start()
        deadline = threading.Event()
        for _ in range(int(PATIENCE * 200)):
            if self._server.started or not self._thread.is_alive():
                break
            deadline.wait(0.005)
        assert self._server.started, f"the application does not start: {self._error!r}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(PATIENCE)
        self._socket.close()
        assert not self._thread.is_alive(), "the server does not end"
        if error is None and self._error is not None:
            raise self._error

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self._socket.getsockname()[1]

    @property
    def url(self) -> str:
        return "http://{}:{}".format(*self.address)

    def _run(self) -> None:
        try:
            with asyncio.Runner() as runner:
                runner.run(self._server.serve([self._socket]))
        except BaseException as error:
            self._error = error
