"""A real Valkey server for the length of a benchmark run, on a free loopback port."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Final, Self

from benchmarks.raw import Raw
from transports.embedded import EmbeddedCluster, EmbeddedServer

HOST: Final = "127.0.0.1"
CONFIG: Final = ("--hz", "10", "--client-output-buffer-limit", "pubsub 0 0 0")
"""The server's own pace, not that of the tests; no limit on what waits for a slow subscriber."""


class Cores:
    """Gives servers the first core for themselves, and the others to this process and to contestants, where that is wanted."""

    def __init__(self, *, pin: bool) -> None:
        self._all = os.sched_getaffinity(0) if pin else set[int]()

    def serve(self) -> None:
        """Go to the first core: what is started now stays there."""
        if self._all:
            os.sched_setaffinity(0, {min(self._all)})

    def work(self) -> None:
        """Go to the other cores."""
        if self._all:
            os.sched_setaffinity(0, self._all - {min(self._all)})

    def restore(self) -> None:
        """Go to any core."""
        if self._all:
            os.sched_setaffinity(0, self._all)


class Server:
    """``with Server() as server:`` starts it, and stops that very process at the end. ``pin``: on a core of its own."""

    host: str = HOST

    def __init__(self, program: str | None = None, *, pin: bool = False) -> None:
        self._server = EmbeddedServer(config=CONFIG, server=program)
        self._cores = Cores(pin=pin)

    def __enter__(self) -> Self:
        self._cores.serve()
        self._server.start()
        self._cores.work()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()
        self._cores.restore()

    @property
    def port(self) -> int:
        return self._server.port

    def connect(self) -> Raw:
        return Raw(self.host, self.port)

    def version(self) -> str:
        return _version(self)


class Cluster:
    """The same for a cluster: three primaries, and a replica of each. ``pin``: all nodes on a core of their own.

    No replica takes over, however busy the machine is.
    """

    host: str = HOST

    def __init__(self, program: str | None = None, *, pin: bool = False) -> None:
        self._cluster = EmbeddedCluster(config=(*CONFIG, "--cluster-node-timeout", "60000"), server=program)
        self._cores = Cores(pin=pin)

    def __enter__(self) -> Self:
        self._cores.serve()
        self._cluster.start()
        self._cores.work()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cluster.stop()
        self._cores.restore()

    @property
    def ports(self) -> list[int]:
        return [node.port for node in self._cluster.nodes]

    @property
    def port(self) -> int:
        return self.ports[0]

    def connect(self) -> Raw:
        return Raw(self.host, self.port)

    def owners(self, keys: Iterable[str]) -> dict[str, int]:
        """The port of each key's primary."""
        return {key: self._cluster.owner(key).port for key in keys}

    @contextmanager
    def connect_each(self, owners: Mapping[str, int]) -> Iterator[dict[str, Raw]]:
        """A connection for each key, to its primary."""
        with ExitStack() as stack:
            raws = {port: stack.enter_context(Raw(self.host, port)) for port in {*owners.values()}}
            yield {key: raws[port] for key, port in owners.items()}

    def version(self) -> str:
        return _version(self)


def _version(server: Server | Cluster) -> str:
    with server.connect() as raw:
        hello = raw.call("HELLO", "3")
    return f"{hello[b'server'].decode()} {hello[b'version'].decode()}"
