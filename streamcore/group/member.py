"""A member of a consumer group, as the application sees it: hand over, settle, drain, leave, join more streams.

What it does on its own is ``read_loop``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Generic, TypeVar, Unpack, cast, overload

from ..arguments import Name, listed, name
from ..connection.exchange import Arguments
from ..engine.engine import EngineOptions
from ..entries import GroupBatch
from ..events import AcksUnconfirmed, Event, PossibleLoss
from ..of_member import named
from ..reading.reader import ReaderOptions
from .idle_consumers import remove
from .options import MemberOptions, Membership
from .read_loop import ReadLoop
from .stream_changes import Joining

T = TypeVar("T", bytes, str)


class GroupOptions(ReaderOptions, MemberOptions, total=False):
    """Keywords of ``GroupConsumer``, explained there."""


class _Options(GroupOptions, EngineOptions, total=False): ...


class GroupConsumer(ReadLoop[T], Generic[T]):
    """Consume streams through a group: at least once, until acknowledged.

    *Reading.* ``count`` (100) entries per stream and read; ``block`` (5) seconds of waiting in the server; ``prefetch`` (2)
    batches or ``prefetch_bytes`` (64 MB) ahead of the application; at most ``max_in_flight`` (10,000) entries
    unacknowledged. ``backlog=False``: what an earlier run of this consumer left pending stays so, until it counts as idle;
    ``history_only``: nothing but that is handed over, and the iteration ends. ``stop_on_idle`` ends it when a read comes back
    empty; with it, ``block`` may be None: reads do not wait.

    *The group.* Where it is missing it is created, at ``start``: ``"0"``, ``"$"`` or an id; with ``create=False`` that
    raises ``NoGroupError``, as does one that vanishes with ``on_group_lost="raise"``. A name is held by one process at a
    time, unless ``exclusive=False``: an older one raises ``ConsumerFencedError``. An engine without ``entropy`` cannot hold it, and
    says so by ``Degraded``.

    *Settling.* ``ack="auto"`` acknowledges an entry when the iterator is asked for the next; ``"none"`` leaves nothing
    pending (``NOACK``). Acknowledgements leave within ``ack_delay`` (0.05) seconds; ``fenced`` ones do nothing once another
    member has the entry. After ``max_deliveries`` attempts (None: no limit) an entry goes to ``dead_letter_stream``
    (``{stream}:dead``). ``report_acks`` asks for the event ``AcksConfirmed``.

    *Keeping.* Entries idle for ``claim_idle`` (60) seconds in other consumers are taken over (None: never). What is in hand
    is kept from counting as idle, unless ``renew=False``. Own pending entries are audited every ``audit_interval`` (5) seconds, and
    gaps looked for (``detect_gaps``: by the ``"audit"``, ``"always"`` before a read, None). On leaving, what was never
    handed over is given back for others to claim at once, unless ``release=False``. Consumers with nothing pending that
    were not heard of for ``remove_idle_consumers`` (3,600) seconds are removed (None: never), and so is this one on leaving, with
    ``remove_on_leaving``.
    """

    @overload
    def __init__(
        self: GroupConsumer[bytes],
        streams: Name | Iterable[Name],
        *,
        group: Name,
        consumer: Name,
        decode: None = None,
        **options: Unpack[_Options],
    ) -> None: ...
    @overload
    def __init__(
        self: GroupConsumer[str],
        streams: Name | Iterable[Name],
        *,
        group: Name,
        consumer: Name,
        decode: str,
        **options: Unpack[_Options],
    ) -> None: ...
    @overload
    def __init__(
        self: GroupConsumer[Any],
        streams: Name | Iterable[Name],
        *,
        group: Name,
        consumer: Name,
        decode: str | None,
        **options: Unpack[_Options],
    ) -> None: ...
    def __init__(
        self,
        streams: Name | Iterable[Name],
        *,
        group: Name,
        consumer: Name,
        decode: str | None = None,
        **options: Unpack[_Options],
    ) -> None:
        given: dict[str, Any] = dict(options)
        own = {key: given.pop(key) for key in MemberOptions.__annotations__ if key in given}
        super().__init__(Membership.of(streams, group, consumer, **own), decode=decode, **given)

    @property
    def title(self) -> str:
        """Which member of which group, of which streams."""
        member = self.member
        who = f"{self.label} {member.name.decode(errors='replace')} of {member.group.decode(errors='replace')}"
        return f"{who} on {listed(member.streams)}" if member.streams else who

    def _emit(self, event: Event) -> None:
        super()._emit(named(event, self.member.group, self.member.name))

    @property
    def groups(self) -> dict[bytes, bytes]:
        """The group of each stream that is read."""
        return dict.fromkeys(self.member.streams, self.member.group)

    def take(self) -> GroupBatch[T] | None:
        """The next batch, or None where nothing has arrived. Raises what ended the consumer."""
        if not self._prefetch and self.redelivery_queue and not self.paused:
            self.redelivery.want()
        batch: Any = super().take()  # mypy mixes up the two values that T may have
        return cast("GroupBatch[T] | None", batch)

    def split(self, batch: GroupBatch[T], at: int) -> GroupBatch[T]:
        """Cut a batch that was taken: keep the first ``at`` entries in it, return the rest as a batch of its own."""
        return self.pending.split(batch, at) if self.member.keeps else batch.split(at)

    def flush(self) -> None:
        """Send acknowledgements now, not within ``ack_delay``; ``settled`` tells when they have arrived."""
        self.pending.sweep()
        self.acks.retry()
        self.acks.flush_soon()
        self.on_wakeup()

    @property
    def settled(self) -> bool:
        """Whether the server has confirmed every acknowledgement so far, and, on leaving, what we give back."""
        on_their_way = self._reading.link.unanswered and not self.in_flight.blocked  # their replies will come at once
        return not (self.pending.settling or self.release or (self.phase.stage.is_leaving and on_their_way))

    def drain(self) -> None:
        """Read no more: what is here already is handed over, and then ``ended``. May be called again."""
        self.phase.drain()
        self._give_waiting_back()
        self._end_read()

    @property
    def ended(self) -> bool:
        """Whether nothing will be handed over any more: after ``drain``, with ``history_only``, or with ``stop_on_idle``.

        The last holds until ``begin``, and not while something is being given back: it may come again.
        """
        if self._prefetch or self.in_flight.reads or self.redelivery_queue:
            return False
        return self.phase.stage.ends or (bool(self.idling) and not (self.paused or self.pending.gives_back))

    def begin(self) -> None:
        """Go on after ``stop_on_idle`` has ended the iteration."""
        if self.idling.begin():
            self.on_wakeup()

    def leave(self, begun: GroupBatch[T] | None = None, at: int = 0) -> None:
        """Read no more, give back what nobody has seen, and flush; close when ``settled``.

        Of the batch ``begun`` the application has seen the first ``at`` entries.
        """
        self.phase.leave()
        if not self.member.keeps:
            self._lose_unseen(begun, at)
        elif self.member.release_on_close:
            if begun is not None and at < len(begun):
                self.release.add(self.split(begun, at))
            while (batch := self._prefetch.pop()) is not None:
                self.release.add(batch)
            self._give_waiting_back()
        if self._reading.link.is_up:
            self.release.part(self._parting())
        self.flush()

    def give_up_settling(self) -> None:
        """Stop waiting for the server to confirm; tell what is not confirmed."""
        if entries := self.pending.unconfirmed:
            self._emit(AcksUnconfirmed(entries))

    def add_stream(self, stream: Name) -> Joining | None:
        """Read one more stream, through the same group; None where it is read already."""
        self.check()
        joining = self.stream_changes.add(name("stream", stream))
        if joining is not None:
            self._end_read()
        return joining

    def give_up(self, joining: Joining) -> None:
        """Cancel a pending ``add_stream()``, if the stream has not joined."""
        self.stream_changes.give_up(joining)

    def remove_stream(self, stream: Name) -> bool:
        """Read a stream no more, and give back what was read ahead of it; False where it was not read."""
        self.check()
        key = name("stream", stream)
        if key not in self.member.streams:
            return False
        self.member.streams.remove(key)
        self.setup.forget(key)
        self.backlog.forget(key)
        self.claiming.forget(key)
        for batch in self._prefetch.drop(key):
            self.release.add(batch)
        self._give_waiting_back(key)
        self._end_read()
        return True

    def _give_waiting_back(self, stream: bytes | None = None) -> None:
        for waiting in self.redelivery_queue.clear(stream):
            self.release.add_waiting(waiting)
        if self.release:
            self.acks.flush_soon()

    def _parting(self) -> list[Arguments]:
        """Build the commands that tell on leaving: the name is free, and the consumer gone, if nothing is pending for it."""
        commands = self.lease.let_go()
        member = self.member
        if member.remove_on_leaving:
            commands += [remove(stream, member.group, [member.name]) for stream in member.streams]
        return commands

    def _lose_unseen(self, begun: GroupBatch[T] | None, at: int) -> None:
        unseen = 0 if begun is None else len(begun) - at
        while (batch := self._prefetch.pop()) is not None:
            unseen += len(batch)
        if unseen:
            self._emit(PossibleLoss(unseen))
