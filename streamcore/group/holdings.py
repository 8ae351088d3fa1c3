"""The entries that a member of a group holds: they are handed over or read ahead, or wait to be handed over again."""

from __future__ import annotations

from typing import Any

from ..entries import GroupBatch
from ..reading.prefetch import Prefetch
from .pending import Pending
from .redelivery_queue import RedeliveryQueue


class Holdings:
    """The pending entries, the redelivery queue and the prefetch, for questions and changes that concern all of them."""

    def __init__(self, pending: Pending, queue: RedeliveryQueue, prefetch: Prefetch[GroupBatch[Any]]) -> None:
        self.pending = pending
        self.queue = queue
        self.prefetch = prefetch

    def __bool__(self) -> bool:
        return bool(self.pending.in_flight or self.pending.waits or self.queue)

    def held(self, stream: bytes) -> set[bytes]:
        """The ids of a stream that are handed over, or wait to be."""
        return self.pending.unsettled(stream) | self.queue.ids(stream)

    def known(self, stream: bytes) -> set[bytes]:
        """The ids of a stream that should be pending for us on the server."""
        return self.pending.ids(stream) | self.queue.ids(stream)

    def streams(self) -> set[bytes]:
        """The streams of which any entry is handed over, or waits to be, or is not settled on the server."""
        return {*self.pending.streams(), *self.queue.streams()}

    def withdraw(self, stream: bytes, ids: set[bytes]) -> None:
        """Forget entries that are not ours any more: the application gets none of them that it has not seen."""
        self.pending.forget(stream, ids)
        self.prefetch.withdraw(stream, ids)

    def void(self, stream: bytes, ids: set[bytes]) -> None:
        """Forget ids that mean other entries by now, or none: the application does not get them, nothing is settled of them."""
        self.pending.void(stream, ids)
        self.prefetch.withdraw(stream, ids)
