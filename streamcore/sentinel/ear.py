"""Hear of a new primary at once: Sentinels publish it (``+switch-master``).

What is heard is a hint to ask, and no address to trust: a Sentinel that is cut off may have elected nothing. Where the Sentinel is lost,
another is listened to; what was published meanwhile is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from ..connection.exchange import Exchange, Subscribing
from ..connection.link import Link
from ..engine.degradation import HEARING, Degradation
from ..engine.router import RouterContext
from ..errors import ReplyError
from ..options import Login, SentinelAddress
from .asker import ANSWER, PAUSE_MAX
from .board import SentinelBoard

SWITCH: Final = b"+switch-master"

IDLE: Final = 3.0
"""Seconds of silence after which the Sentinel is asked for an answer (PING), which has to come within ``PAUSE_MAX`` seconds."""


class Ear:
    """Listens to a Sentinel of a ``SentinelBoard`` while it is open, and calls ``on_hint`` where the service may have another primary."""

    def __init__(
        self, context: RouterContext, service: str, board: SentinelBoard, login: Login, on_hint: Callable[[], None]
    ) -> None:
        options = replace(
            context.options,
            connect_timeout=ANSWER,
            request_timeout=ANSWER,
            backoff_max=PAUSE_MAX,
            keepalive_idle=IDLE,
            keepalive_answer=PAUSE_MAX,
        )
        self.link = context.make_link(self, "sentinel events", None, login=login, options=options)
        self._service = service.encode()
        self._board = board
        self._on_hint = on_hint
        self._degradation = Degradation(context.emit)
        self._has_heard = False

    def open(self) -> None:
        """Listen to the Sentinel that has answered last, unless another is listened to."""
        if not self.link.has_address:
            self.link.redirect(self._board.order()[0])
        self.link.open()

    def close(self) -> None:
        """Listen no more."""
        self.link.close()

    # -- events of the link -------------------------------------------------------------------------------------------

    def link_up(self, link: Link) -> None:
        self._degradation.begin()
        link.send(Subscribing("SUBSCRIBE", [SWITCH], ANSWER))

    def link_answered(self, link: Link, exchange: Exchange) -> None:
        """Ask, where a switch may have been missed since the last Sentinel was lost."""
        link.succeeded()
        if isinstance(reply := exchange.replies[0], ReplyError):
            self._degradation.refused(HEARING, exchange.commands[0], reply)
        elif self._has_heard:
            self._on_hint()
        self._has_heard = True

    def link_pushed(self, link: Link, pushes: list[list[Any]]) -> None:
        for push in pushes:
            if push[:2] == [b"message", SWITCH] and push[2].partition(b" ")[0] == self._service:
                self._on_hint()

    def link_down(self, link: Link, error: Exception, sent: list[Exchange], unsent: list[Exchange]) -> None:
        """Turn to another Sentinel, which is dialled after the back-off."""
        assert isinstance(link.address, SentinelAddress)
        order = [sentinel for sentinel in self._board.order() if sentinel != link.address]
        if order:
            link.address = next((sentinel for sentinel in order if sentinel not in self._board.silent), order[0])
