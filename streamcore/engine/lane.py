"""The lane of a script: where its exchanges go, and their answers come from.

A ``Link`` is a lane with a single script. Where an engine has more scripts for a server than it may have connections, many of
them share a link, each with a lane of its own: they are answered in turn, so none of them may block, and a read that waits
is repeated instead.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

from ..connection.exchange import Arguments, Exchange
from ..connection.link_owner import LinkOwner
from ..errors import ConnectionLost
from ..options import AnyAddress


class WaitingRead(Exchange):
    """A read that waits up to ``wait`` seconds for entries, on a shared lane: it is repeated there until it finds some."""

    __slots__ = ("wait",)

    def __init__(self, command: Arguments, timeout: float, wait: float) -> None:
        super().__init__([command], timeout)
        self.wait = wait


class Lane(Protocol):
    """A link, or a seat on a link that others use as well (``is_shared``); see ``Link`` for the rest.

    ``active_at``: when a script has last found work here, in seconds; scripts that find the most are given a link of their own.
    """

    name: str
    active_at: float

    @property
    def is_shared(self) -> bool: ...
    @property
    def is_routed(self) -> bool: ...
    @property
    def is_up(self) -> bool: ...
    @property
    def address(self) -> AnyAddress: ...
    @property
    def attempts(self) -> int: ...
    @property
    def client_id(self) -> int: ...
    @property
    def server(self) -> dict[bytes, Any]: ...
    @property
    def unanswered(self) -> int: ...
    def open(self) -> None: ...
    def close(self) -> None: ...
    def drop(self, error: Exception) -> None: ...
    def send(self, exchange: Exchange) -> None: ...
    def succeeded(self) -> None: ...

    def end_wait(self) -> bool:
        """End a read that waits; False where that is for the server to do (``CLIENT UNBLOCK``)."""
        ...


LaneOwner: TypeAlias = LinkOwner[Lane]
"""The receiver of a lane's events: the runner of a script."""


class LaneMoved(ConnectionLost):
    """A script goes on over another link: its former connection was not lost."""
