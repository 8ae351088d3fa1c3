"""Where a run takes place: a server that may be succeeded by another one, and two faulty networks in front of it.

The clients of our own process come in by the *front*, under TLS if asked for, worker processes by the *back*. A failover
waits for the primary's replica, lets the primary hand over to it (FAILOVER), and leads new connections there. A replica is
there from the beginning, or, behind the first failover, as soon as it is needed.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Final, Self

from tests.support.proxy import Proxy
from tests.support.raw import Raw
from tests.support.servers import Certificates, ServerKind
from transports.embedded import EmbeddedServer

CONFIG: Final = {"repl-diskless-sync-delay": "0"}
PATIENCE: Final = 60.0  # seconds, for what servers and processes have to do


class Stage:
    """A context manager. ``node`` is the primary of the moment, and ``turn`` is odd while that changes."""

    def __init__(self, kind: ServerKind, *, tls: bool, replica: bool) -> None:
        self.kind = kind
        self.turn = 0
        self.authority = Certificates() if tls else None
        self.node: EmbeddedServer
        self.front: Proxy
        self.back: Proxy
        self._heir: EmbeddedServer | None = None
        self._replica = replica
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            self.node = self._create(opening)
            if self._replica:
                self._heir = self._follower(opening)
            tls = None if self.authority is None else self.authority.server()
            self.front = opening.enter_context(Proxy(self.node.address, tls=tls))
            self.back = opening.enter_context(Proxy(self.node.address))
            self._open = opening.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    @property
    def networks(self) -> tuple[Proxy, Proxy]:
        return self.front, self.back

    def context(self) -> ssl.SSLContext | None:
        """What clients trust, under TLS."""
        return None if self.authority is None else self.authority.client()

    def raw(self, *, timeout: float = PATIENCE) -> Raw:
        """A connection of the run's own to the primary, which no network stands before."""
        return Raw(self.node.address, timeout=timeout)

    def fail_over(self) -> EmbeddedServer:
        """Hand the primary's office to a new server; the former one, a replica now, goes on until it is stopped."""
        former, heir = self.node, self._heir or self._follower(self._open)
        self._heir = None
        self.turn += 1
        with Raw(former.address, timeout=PATIENCE) as old, Raw(heir.address, timeout=PATIENCE) as new:
            until(lambda: b"master_link_status:up" in new("INFO", "replication"))
            until(lambda: b"state=online" in old("INFO", "replication"))
            until(lambda: self._is_handed_over(old, new, heir))
        for network in self.networks:
            network.retarget(heir.address)
        self.node = heir
        return former

    def _is_handed_over(self, old: Raw, new: Raw, heir: EmbeddedServer) -> bool:
        """Ask for it, and again where it was not done in time."""
        if b"role:master" in new("INFO", "replication"):
            return True
        state: bytes = old("INFO", "replication")
        if b"role:master" in state and b"master_failover_state:no-failover" in state:
            old("FAILOVER", "TO", *heir.address, "TIMEOUT", 10_000)
        return False

    def failed_over(self) -> None:
        """The former primary is gone."""
        self.turn += 1

    def _follower(self, open_: ExitStack) -> EmbeddedServer:
        follower = self._create(open_)
        with Raw(follower.address, timeout=PATIENCE) as raw:
            raw("REPLICAOF", *self.node.address)
        return follower

    def _create(self, open_: ExitStack) -> EmbeddedServer:
        return open_.enter_context(self.kind.create(appendonly="always", config=CONFIG))


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"it did not happen within {PATIENCE:g} s")
        time.sleep(0.01)
