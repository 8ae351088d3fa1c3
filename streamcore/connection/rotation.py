"""A login that rotates: when a link asks for its credentials, and how it renews them.

A link asks when its connection is made, and introduces it by the answer (HELLO). Credentials that tell when they end are
asked for again when between 70 and 80 percent of their life have passed, and renewed by AUTH on the open connection.

    OFF --connection made--> ASKING --credentials--> VALID --70 to 80 percent--> ASKING --credentials, AUTH--> VALID
                                |--failed, not up: the dial has failed               |--failed, up: again after a back-off

AUTH queues behind the exchanges under way. A server comes to it when a read that blocks has ended, so a renewal drops
no connection; credentials should last five times as long as the longest read blocks. A renewal that fails leaves the
connection as it is: whether it may go on is for the server to say.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf
from typing import Final, Protocol

from ..errors import ConnectFailed, InvalidArgument, ReplyError
from ..options import AnyAddress, Credentials, Login, Options
from ..resp3 import Reply
from ..tracebacks import without_frames
from .common import Changes, Clock
from .connection import Connection
from .exchange import Exchange, Own
from .handshake import refusal
from .losses import not_greeted
from .patience import backoff

EARLIEST: Final = 0.7
"""The part of the life of credentials after which they are renewed, at the earliest."""

SPREAD: Final = 0.1
"""The part of their life over which the renewals of many connections are spread."""

SHORTEST: Final = 1.0
"""Seconds between a login and its renewal, at least, however soon credentials end."""


class Host(Protocol):
    """The link of a rotation."""

    address: AnyAddress
    wants_credentials: bool

    @property
    def is_up(self) -> bool: ...
    def send(self, exchange: Exchange) -> None: ...
    def drop(self, error: Exception) -> None: ...


class FixedLogin:
    """The login of a link that never asks for credentials. ``unanswered`` counts the renewals without a reply."""

    unanswered = 0

    def begin(self, connection: Connection) -> None:
        """Take note of a connection that was made."""

    def end(self) -> None:
        """Take note of a connection that was lost."""

    def take(self, credentials: Credentials, now: float) -> None:
        """Drop credentials: none were asked for."""

    def fail(self, error: BaseException, now: float) -> None:
        """Drop an error: nothing was asked for."""


class Rotation(FixedLogin):
    """The login of a link that asks for its credentials. ``on_failure`` is called with the error of a failed renewal.

    A single timer serves all: the answer of the application, the introduction, the next renewal, and its back-off.
    """

    def __init__(
        self, link: Host, changes: Changes, clock: Clock, options: Options, random: Callable[[], float]
    ) -> None:
        self.on_failure: Callable[[Exception], None] = _ignore
        self._link = link
        self._outputs, self._deadlines = changes.outputs, changes.deadlines
        self._clock = clock
        self._options = options
        self._random = random
        self._connection: Connection | None = None
        self._renew_at = inf
        self._greeted_by = inf
        self._failures = 0

    def begin(self, connection: Connection) -> None:
        """Ask for the credentials of a connection that was made."""
        self._connection = connection
        self.unanswered = self._failures = 0
        self._ask()

    def end(self) -> None:
        """Ask no more: the connection is lost."""
        self._connection = None
        self._want(wanted=False, until=inf)

    def take(self, credentials: Credentials, now: float) -> None:
        """Introduce the connection by credentials that were asked for, or renew its login, and plan the next renewal."""
        self._clock.now = now
        link, connection, timeout = self._link, self._connection, self._options.request_timeout
        if connection is None or not link.wants_credentials:
            return
        self._renew_at = now + max(credentials.lasts * (EARLIEST + SPREAD * self._random()), SHORTEST)
        if link.is_up:
            self.unanswered += 1
            login = Login(credentials.username, credentials.password, rotates=True)
            command = ("AUTH", credentials.username or "default", credentials.password)
            self._want(wanted=False, until=self._renew_at)
            link.send(Own(command, timeout, partial(self._answered, login)))
        else:
            self._greeted_by = now + timeout
            self._want(wanted=False, until=min(self._greeted_by, self._renew_at))
            connection.introduce(credentials)

    def fail(self, error: BaseException, now: float) -> None:
        """Take the error of an application that was asked: the dial fails by it; a renewal is tried again later."""
        self._clock.now = now
        if self._link.wants_credentials:
            permanent = isinstance(error, InvalidArgument)
            failed = ConnectFailed(f"{self._link.address}: credentials= raised {_told(error)}", permanent=permanent)
            failed.__cause__ = without_frames(error)
            self._give_up(failed)

    def handle_timeout(self, now: float) -> None:
        """Ask for the next credentials, or give up a question or an introduction that was not answered in time."""
        link = self._link
        if link.wants_credentials:
            limit = self._options.connect_timeout
            self._give_up(ConnectFailed(f"{link.address}: credentials= returned none within {limit:g} s"))
        elif not link.is_up and now < self._greeted_by:
            self._want(wanted=False, until=self._greeted_by)
        elif not link.is_up:
            link.drop(not_greeted(link.address))
        elif now < self._renew_at:
            self._want(wanted=False, until=self._renew_at)
        else:
            self._ask()

    def _ask(self) -> None:
        self._want(wanted=True, until=self._clock.now + self._options.connect_timeout)

    def _give_up(self, error: ConnectFailed) -> None:
        self._link.wants_credentials = False
        if self._link.is_up:
            self._again(error)
        else:
            self._link.drop(error)

    def _answered(self, login: Login, reply: Reply) -> None:
        """Take the reply to AUTH."""
        self.unanswered -= 1
        if isinstance(reply, ReplyError):
            self._again(refusal(reply, "AUTH", login))
        else:
            self._failures = 0

    def _again(self, error: Exception) -> None:
        """Ask again after the back-off, and tell that a renewal has failed."""
        self._failures += 1
        if not self._link.wants_credentials:
            self._renew_at = self._clock.now + backoff(self._options, self._failures) * self._random()
            self._want(wanted=False, until=self._renew_at)
        self.on_failure(error)

    def _want(self, *, wanted: bool, until: float) -> None:
        """Want credentials or none, up to a time in seconds on the driver's clock."""
        self._link.wants_credentials = wanted
        self._outputs[self._link] = None
        self._deadlines[self] = until


def _ignore(error: Exception) -> None:
    """Tell of no failure."""


def _told(error: BaseException) -> str:
    """Describe the error of an application, whose own text may fail."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001  # the text is the application's code
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
