"""The way of a request through a cluster: its slot, the node that it is at, and where it is asked.

``ASK`` has a request served by a node that its slot is on the way to: ``ASKING`` goes before each command there, or once
before ``MULTI``. The replies to ``ASKING`` are taken out again, so that the request is as it was.
"""

from __future__ import annotations

from typing import Final

from ..commands.cluster import asking
from ..requests.request import Request, Transaction

ASKING: Final = asking().data


class Journey:
    """``slot``: of its keys; ``nbytes``: its size. ``hops``: how often a node has refused it. ``is_asking``: the present attempt is preceded by ``ASKING``."""

    __slots__ = ("hops", "is_asking", "nbytes", "slot")

    def __init__(self, slot: int, nbytes: int) -> None:
        self.slot = slot
        self.nbytes = nbytes
        self.hops = 0
        self.is_asking = False


def begin_asking(request: Request) -> None:
    """Put ``ASKING`` before the commands of a request."""
    request.journey.is_asking = True
    if isinstance(request, Transaction):
        request.data = ASKING + request.data
        request.size += 1
    else:
        request.data = b"".join([ASKING + command.data for command in request.asked])
        request.size *= 2


def end_asking(request: Request) -> None:
    """Take ``ASKING`` out of a request, and its replies out of the replies."""
    if not request.journey.is_asking:
        return
    request.journey.is_asking = False
    request.data = b"".join([command.data for command in request.asked])
    request.size = len(request.asked)
    if isinstance(request, Transaction):
        del request.replies[:1]
    else:
        del request.replies[::2]
