"""A member of a group: the application's side of its entries and streams.

Its own work is in ``read_loop``. A consumer has a member for each of its groups (``consumer``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from ..arguments import listed
from ..connection.exchange import Arguments
from ..engine.context import EngineContext
from ..engine.pending_change import PendingChange
from ..engine.router import Route
from ..engine.script import Script
from ..entries import GroupBatch
from ..errors import InvalidArgument, ReplyTooLarge
from ..events import AcksUnconfirmed, Event, PossibleLoss
from ..of_member import named
from ..reading.reader import Reader
from .context import GroupContext
from .idle_consumers import remove
from .options import Membership
from .read_loop import ReadLoop

T = TypeVar("T", bytes, str)


class Member(Generic[T]):
    """A member of a group, in an engine.

    ``nonce``: the name of the engine's connections, which no other process draws; empty without entropy. ``suffix`` ends the
    names of its links, and ``route`` leads to the server of its streams.
    """

    def __init__(
        self,
        engine: EngineContext,
        membership: Membership,
        nonce: bytes,
        *,
        decode: str | None,
        suffix: str,
        route: Route,
        options: dict[str, Any],
    ) -> None:
        self.membership = membership
        self.route = route
        self._engine = engine
        if not membership.keeps:
            options = {"prefetch": 1, **options}
        reader: Reader[GroupBatch[T]] = Reader(
            engine, self, decode=decode, suffix=suffix, route=route, can_share=True, **options
        )
        if reader.polls and not membership.stop_on_idle:
            raise InvalidArgument("block=None would ask for entries all the time; it is for stop_on_idle=True")
        self.reader: Reader[GroupBatch[T]] = reader
        reader.count = min(reader.count, membership.max_in_flight)
        self.loop: ReadLoop[T] = ReadLoop(reader, GroupContext(reader, membership, nonce))
        self.take: Callable[[], GroupBatch[T] | None] = reader.take
        reader.runner.link.open()

    # -- the owner of the reader --------------------------------------------------------------------------------------

    @property
    def title(self) -> str:
        """The label of the engine with member, group and streams."""
        member = self.membership
        who = f"{self._engine.label} {member.name.decode(errors='replace')} of {member.group.decode(errors='replace')}"
        return f"{who} on {listed(member.streams)}" if member.streams else who

    def emit(self, event: Event) -> None:
        """Emit an event with the names of the member and its group."""
        self.reader.place(named(event, self.membership.group, self.membership.name))

    def read(self) -> Script:
        """Return the script of the reading link."""
        return self.loop.read()

    def want_more(self) -> None:
        """Fetch the first entry that waits to be handed over again, or read on: the application has nothing to do."""
        if self.loop.redelivery_queue and not self.reader.paused:
            self.loop.redelivery.want()
        self.reader.runner.wake()

    def lose_connection(self, error: Exception, *, was_up: bool) -> None:
        """Doubt the lineage of the server, until the next connection has proven it."""
        self.loop.lineage.disconnected()

    def goes_on_without(self, error: ReplyTooLarge) -> bool:
        """Tell whether an entry that is too large by itself can be left out."""
        return self.loop.goes_on_without()

    @property
    def is_passive(self) -> bool:
        """Whether asking for a batch gives none and changes nothing: the reading link waits in the server, or is not up."""
        loop = self.loop
        is_still = loop.in_flight.blocked or not self.reader.runner.running
        return is_still and not (self.reader.prefetch or loop.redelivery_queue or loop.idling)

    # -- entries ------------------------------------------------------------------------------------------------------

    def split(self, batch: GroupBatch[T], at: int) -> GroupBatch[T]:
        """Cut a batch that was taken: keep the first ``at`` entries in it, return the rest as a batch of its own."""
        if not self.membership.keeps:
            return batch.split(at)
        rest = self.loop.pending.split(batch, at)
        self.loop.context.touch()
        return rest

    def flush(self) -> None:
        """Send acknowledgements now, not within ``ack_delay``; ``settled`` tells when they have arrived."""
        settling = self.loop.settling
        self.loop.pending.sweep()
        settling.retry()
        settling.flush_soon()
        self._engine.on_wakeup()

    def has_settled(self) -> bool:
        """Return whether the server has confirmed every acknowledgement so far, and, on leaving, the entries given back."""
        loop = self.loop
        # Their replies will come at once.
        on_their_way = self.reader.runner.link.unanswered and not loop.in_flight.blocked
        return not (loop.pending.settling or loop.release or (loop.phase.stage.is_leaving and on_their_way))

    def give_up_settling(self) -> None:
        """Stop waiting for the server to confirm; emit ``AcksUnconfirmed`` with the number of entries that it has not."""
        entries = self.loop.pending.unconfirmed
        self.loop.context.touch()
        if entries:
            self.emit(AcksUnconfirmed(entries))

    # -- the end ------------------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Read no more: hand over the entries that are here, and then be ``ended``. May be called again."""
        self.loop.phase.drain()
        self._give_waiting_back()
        self.loop.end_read()

    def has_ended(self) -> bool:
        """Return whether nothing will be handed over any more: after ``drain``, with ``history_only``, or with ``stop_on_idle``.

        The last holds until ``begin``, and not while something is being given back: it may come again.
        """
        loop = self.loop
        if self.reader.prefetch or loop.in_flight.reads or loop.redelivery_queue:
            return False
        return loop.phase.stage.ends or (bool(loop.idling) and not (self.reader.paused or loop.pending.gives_back))

    def begin(self) -> None:
        """Go on after ``stop_on_idle`` has ended the iteration."""
        if self.loop.idling.begin():
            self._engine.on_wakeup()

    def leave(self, begun: GroupBatch[T] | None = None, at: int = 0) -> None:
        """Read no more, give back the entries that were not handed over, and flush.

        Of the batch ``begun`` the application has seen the first ``at`` entries.
        """
        loop, prefetch = self.loop, self.reader.prefetch
        loop.phase.leave()
        if not self.membership.keeps:
            self._lose_unseen(begun, at)
        elif self.membership.release_on_close:
            if begun is not None and at < len(begun):
                loop.release.add(self.split(begun, at))
            while (batch := prefetch.pop()) is not None:
                loop.release.add(batch)
            self._give_waiting_back()
        if self.reader.runner.link.is_up:
            loop.release.part(self._parting())
        self.flush()

    # -- streams ------------------------------------------------------------------------------------------------------

    def add_stream(self, stream: bytes) -> PendingChange | None:
        """Read another stream through the group; None where it is read already."""
        change = self.loop.stream_changes.add(stream)
        if change is not None:
            self.loop.end_read()
        return change

    def give_up(self, change: PendingChange) -> None:
        """Cancel a pending ``add_stream()``, if the stream has not joined."""
        self.loop.stream_changes.give_up(change)

    def remove_stream(self, stream: bytes) -> bool:
        """Read a stream no more, and give back its entries that were read ahead; False where it was not read."""
        if stream not in self.membership.streams:
            return False
        loop = self.loop
        del self.membership.streams[stream]
        loop.setup.forget(stream)
        loop.claiming.forget(stream)
        for batch in self.reader.prefetch.drop(stream):
            loop.release.add(batch)
        self._give_waiting_back(stream)
        loop.end_read()
        return True

    def _give_waiting_back(self, stream: bytes | None = None) -> None:
        loop = self.loop
        for waiting in loop.redelivery_queue.clear(stream):
            loop.release.add_waiting(waiting)
        if loop.release:
            loop.settling.flush_soon()

    def _parting(self) -> list[Arguments]:
        """Build the commands that tell on leaving: the name is free, and the consumer gone, if nothing is pending for it."""
        commands = self.loop.lease.let_go()
        member = self.membership
        if member.remove_on_leaving:
            commands += [remove(stream, member.group, [member.name]) for stream in member.streams]
        return commands

    def _lose_unseen(self, begun: GroupBatch[T] | None, at: int) -> None:
        unseen = 0 if begun is None else len(begun) - at
        while (batch := self.reader.prefetch.pop()) is not None:
            unseen += len(batch)
        if unseen:
            self.emit(PossibleLoss(unseen))
