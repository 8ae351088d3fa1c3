"""Scripts: a protocol written as a generator, and the runner that drives it over a link.

A script yields an ``Exchange`` (queued, and resumed at once) or ``WAIT`` (resumed with its oldest exchange once that
is answered, or with None when something else changed: demand, a timer). It dies with its connection and begins again
on the next, so state that must survive lives in attributes of the engine. Errors that a script raises end there, never
in the driver: a server that cannot serve now costs the connection, any other error ends the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from enum import Enum, auto
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from ..connection.exchange import Arguments, Exchange
from ..connection.link import Link, Owner
from ..errors import (
    UNAVAILABLE,
    InvalidArgument,
    RemoteProtocolError,
    ReplyError,
    SlotRedirect,
    StreamcoreError,
    is_interruption,
)
from ..options import DEFAULT_OPTIONS
from .router import ANYWHERE, Route

T = TypeVar("T")


class Wait(Enum):
    """The type of ``WAIT``, by which a script waits for an answer or a change."""

    WAIT = auto()


WAIT: Final = Wait.WAIT
Replies: TypeAlias = list[Any]
Script: TypeAlias = Generator[Exchange | Wait, Exchange | None, None]
Steps: TypeAlias = Generator[Exchange | Wait, Exchange | None, T]


def call(*commands: Arguments, timeout: float = DEFAULT_OPTIONS.request_timeout) -> Steps[Replies]:
    """Send commands as an exchange and return its replies, as a part of a script; nothing else may be unanswered."""
    yield Exchange(commands, timeout)
    while (answered := (yield WAIT)) is None:
        pass
    return answered.replies


def checked(reply: Any) -> Any:
    """Return a reply, or raise it if it is an error."""
    if isinstance(reply, ReplyError):
        raise reply
    return reply


class ScriptHost(Protocol):
    """The engine that a script runs for: it makes the link, and hears of its life."""

    def new_link(self, owner: Owner, name: str = "main", route: Route = ANYWHERE) -> Link:
        """Make a link that belongs to ``owner``, to a server that ``route`` leads to."""
        ...

    def report_up(self, link: Link, *, again: bool) -> None:
        """Emit that a link is connected, or connected ``again``."""
        ...

    def report_down(self, link: Link, error: Exception, *, was_up: bool) -> None:
        """Emit that a link has lost its connection, or that an attempt to connect has failed."""
        ...

    def fail(self, error: Exception) -> None:
        """End the engine by ``error``."""
        ...


class ScriptRunner:
    """The owner of a link that runs a script over it, from its beginning on every new connection."""

    def __init__(
        self, host: ScriptHost, script: Callable[[], Script], name: str = "main", route: Route = ANYWHERE
    ) -> None:
        self.link = host.new_link(self, name, route)
        self._host = host
        self._begin = script
        self._script: Script | None = None
        self._waiting = False  # suspended in WAIT; a script that is not has ended, or is running at this moment
        self._was_up = False
        self._up_before = False

    @property
    def running(self) -> bool:
        """Whether the script of the present connection has not ended."""
        return self._script is not None

    def wake(self) -> None:
        """Resume the waiting script with None: demand, an acknowledgement, or the time has changed."""
        if self._waiting:
            self._resume(None)

    # -- events of the link -------------------------------------------------------------------------------------------

    def link_up(self, link: Link) -> None:
        again, self._was_up, self._up_before = self._up_before, True, True
        self._host.report_up(link, again=again)
        if link.is_up:  # the application, told of the connection, may have closed the engine
            self._script = self._begin()
            self._resume(None)

    def link_answered(self, link: Link, exchange: Exchange) -> None:
        if self._waiting:
            self._resume(exchange)

    def link_pushed(self, link: Link, pushes: list[list[Any]]) -> None:
        """Ignore pushes: scripts subscribe to nothing."""

    def link_down(self, link: Link, error: Exception, sent: list[Exchange], unsent: list[Exchange]) -> None:
        script, self._script = self._script, None
        if script is not None and self._waiting:  # a script that runs is closed by ``_resume``
            self._waiting = False
            self._close(script)
        was_up, self._was_up = self._was_up, False
        self._host.report_down(link, error, was_up=was_up)

    def _resume(self, value: Exchange | None) -> None:
        script = self._script
        assert script is not None
        self._waiting = False
        try:
            step = script.send(value)
            while step is not WAIT and self.running:
                self.link.send(step)
                step = script.send(None)
        except StopIteration:
            self._script = None
        except Exception as error:
            if is_interruption(error):
                raise
            self._raised(error)  # a script's errors end here, never in the driver
        else:
            if self.running:
                self._waiting = True
            else:  # its own doing, or an event that it emitted, has dropped its link
                self._close(script)

    def _close(self, script: Script) -> None:
        try:
            script.close()
        except Exception as error:
            if is_interruption(error):
                raise
            self._raised(error)  # an error from a ``finally`` of the script

    def _leads_nowhere(self, error: ReplyError) -> bool:
        """Tell whether an error redirects to another node, and no router follows it."""
        return isinstance(error, SlotRedirect) and not self.link.is_routed

    def _raised(self, error: Exception) -> None:
        if isinstance(error, ReplyError) and error.code in UNAVAILABLE and not self._leads_nowhere(error):
            self.link.drop(error)
        elif isinstance(error, StreamcoreError) and not isinstance(error, InvalidArgument):
            self._host.fail(error)
        else:  # scripts do not check replies: an error of parsing is the server's
            senseless = RemoteProtocolError(
                f"{self.link.address} sent a reply that makes no sense, or this is a bug of ours: {error!r}"
            )
            senseless.__cause__ = error
            self._host.fail(senseless)
