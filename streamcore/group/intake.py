"""Entries that come to a member of a group: they go to the application, wait to be handed over again, or go back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..entries import GroupBatch
from ..events import PendingEntriesDeleted
from .context import GroupContext
from .holdings import Holdings
from .phase import Phase
from .redelivery import Redelivered
from .redelivery_queue import Waiting
from .release import Release
from .settling import Settling
from .taken import TOO_OFTEN, Taken


class Intake:
    """Applies the results of reads and other tasks, by the phase of the member."""

    def __init__(
        self,
        context: GroupContext,
        phase: Phase,
        holdings: Holdings,
        release: Release,
        settling: Settling,
        encoding: str | None,
    ) -> None:
        self._context = context
        self._phase = phase
        self._pending = holdings.pending
        self._queue = holdings.queue
        self._prefetch = holdings.prefetch
        self._release = release
        self._settling = settling
        self._encoding = encoding

    def deliver(
        self, stream: bytes, entries: list[Any], size: int = 0, deliveries: int = 1, *, is_unsure: bool = False
    ) -> None:
        """Keep entries for the application. ``is_unsure``: of the delivery before, whether it was seen."""
        member = self._context.member
        batch = GroupBatch[Any](
            stream,
            entries,
            inbox=self._settling.note,
            awaited=self._pending.awaits,
            encoding=self._encoding,
            size=size,
            deliveries=deliveries,
            is_unsure=is_unsure,
        )
        batch.check()
        if not member.keeps:
            batch.inbox = _nothing_to_settle
        else:
            self._pending.add(batch)
        if member.keeps and (
            (self._phase.stage.is_leaving and member.release_on_close) or stream not in member.streams
        ):
            self._release.add(batch)
            self._settling.flush_soon()
        else:
            self._prefetch.add(batch)

    def take(self, taken: Taken) -> None:
        """Apply the result of a recovery, or of a claim."""
        stream = taken.stream
        for letter in taken.dead_letters:
            self._pending.bury(stream, letter.id, letter.deliveries, TOO_OFTEN)
            self._settling.flush_soon()
        if taken.again:
            self._deliver_again(stream, taken.again)
            self._context.emit(taken.kind(stream, len(taken.again)))
        if taken.first_time:
            self._context.emit(taken.kind(stream, len(taken.first_time)))
            self.deliver(stream, taken.first_time)
        if taken.deleted:
            self._context.emit(PendingEntriesDeleted(stream, taken.deleted))

    def take_again(self, came: Redelivered) -> None:
        """Apply the result of a redelivery."""
        if came.gone:  # its data is gone, and the server keeps it as pending
            self._context.emit(PendingEntriesDeleted(came.stream, tuple(came.gone)))
            self._pending.clear(came.stream, came.gone)
            self._settling.flush_soon()
        if came.entries:
            self.deliver(came.stream, came.entries, came.size, came.deliveries, is_unsure=came.is_unsure)

    def _deliver_again(self, stream: bytes, waiting: Sequence[Waiting]) -> None:
        """Keep entries that were handed over before, until the application asks for them."""
        if self._phase.stage.takes_nothing or stream not in self._context.member.streams:
            for entry in waiting:
                self._release.add_waiting(entry)
            self._settling.flush_soon()
        else:
            self._queue.add(waiting)


def _nothing_to_settle(batch: GroupBatch[Any]) -> None:
    """Ignore a settlement: with ``NOACK`` the server keeps no entry as pending."""
