"""A real Valkey server for the length of a benchmark run, on a free loopback port."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Final, Self

from benchmarks.raw import Raw
from transports.embedded import EmbeddedServer

HOST: Final = "127.0.0.1"
CONFIG: Final = ("--hz", "10", "--client-output-buffer-limit", "pubsub 0 0 0")
"""The server's own pace, not that of the tests; no limit on what waits for a slow subscriber."""


class Server:
    """``with Server() as server:`` starts it, and stops that very process at the end.

    ``pin`` gives the server the first core for itself, and the others to this process and those that it starts.
    """

    host: str = HOST

    def __init__(self, program: str | None = None, *, pin: bool = False) -> None:
        self._server = EmbeddedServer(config=CONFIG, server=program)
        self._pin = pin

    def __enter__(self) -> Self:
        self._cores = os.sched_getaffinity(0) if self._pin else set()
        if self._pin:
            os.sched_setaffinity(0, {min(self._cores)})  # the server inherits it
        self._server.start()
        if self._pin:
            os.sched_setaffinity(0, self._cores - {min(self._cores)})  # and so do the contestants
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()
        if self._pin:
            os.sched_setaffinity(0, self._cores)

    @property
    def port(self) -> int:
        return self._server.port

    def connect(self) -> Raw:
        return Raw(self.host, self.port)

    def version(self) -> str:
        with self.connect() as raw:
            hello = raw.call("HELLO", "3")
        return f"{hello[b'server'].decode()} {hello[b'version'].decode()}"
