"""A driver that was held up, by a handler that blocks its event loop, say, does not take its own lateness for the server's."""

from __future__ import annotations

from collections.abc import Iterable

from ..connection.link import LATE, Link
from .request import Request


def excuse(requests: Iterable[Request], link: Link, now: float) -> bool:
    """Whether requests, of which the first is due, are not late yet: the driver has been, and their answers may lie unread.

    It has a moment to read then; ``link`` itself ends that, if nothing comes.
    """
    late = False
    for request in requests:
        late = late or (now - request.deadline > LATE and link.unanswered > 0)
        if not late or request.deadline >= now + LATE:
            break
        request.deadline = now + LATE
    return late
