"""Requests of a driver that was held up: its own lateness, by a blocking handler, say, is not the server's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from ..connection.link import LATE, Link


class Awaited(Protocol):
    """A request, or several together. ``deadline``: in seconds."""

    deadline: float


def excuse(requests: Iterable[Awaited], link: Link, now: float) -> bool:
    """Prolong overdue requests by ``LATE`` seconds where the driver was late: their answers may lie unread.

    Tell whether it did. ``link`` itself ends a silence that lasts.
    """
    late = False
    for request in requests:
        late = late or (now - request.deadline > LATE and link.unanswered > 0)
        if not late or request.deadline >= now + LATE:
            break
        request.deadline = now + LATE
    return late
