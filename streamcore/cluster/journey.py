"""The way of a request through a cluster: the slots of its keys, the node that it is at, and the attempts so far.

``ASK`` has a request served by a node that its slot is on the way to: ``ASKING`` goes before each command there, or once
before ``MULTI``. The replies to ``ASKING`` are taken out again, so that the request is as it was.
"""

from __future__ import annotations

from typing import Final, Protocol

from ..commands.cluster import asking
from ..connection.link import Link
from ..options import Address
from ..requests.request import Request, Transaction

ASKING: Final = asking().data


class AtNode(Protocol):
    """The queue of a node, where a request is."""

    address: Address
    link: Link


class Journey:
    """The state of a request: ``slots``, of its keys; ``held``: its bytes that count as queued; ``hops``: how often it was refused.

    ``number``: its place in the order of submission.
    ``node``: the queue of the node that it was sent to, and that has not answered it; None while it waits.
    ``is_asking``: the present attempt is preceded by ``ASKING``.
    """

    __slots__ = ("held", "hops", "is_asking", "node", "number", "slots")

    def __init__(self, slots: tuple[int, ...], number: int = 0) -> None:
        self.slots = slots
        self.number = number
        self.held = 0
        self.hops = 0
        self.is_asking = False
        self.node: AtNode | None = None


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
