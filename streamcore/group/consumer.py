"""A consumer of groups: a member, or several of them, in an engine.

``XREADGROUP`` knows a single group, and in a cluster a single slot, so each group has a member per slot of its streams, with a link,
bounds and pending entries of its own. A member of a slot comes with its first stream, and stays. Batches are taken from the members in turn, and an acknowledgement of a batch goes to the member of its stream. The end of a member, for any
reason, is the end of the consumer.

A consumer may have a thousand members, and most of them wait in the server for entries. So the turns are of the members to which a
question may matter (``Member.is_passive``), and a state of all members is asked of the member first that was not in it last
(``unanimity``): no input costs more because there are others.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Generic, TypeAlias, TypeVar, Unpack, cast, overload

from ..arguments import Name, listed, name, pick, stream_names
from ..engine.engine import EngineOptions
from ..engine.pending_change import PendingChange
from ..engine.router import ANYWHERE, Route, Slot
from ..entries import GroupBatch
from ..errors import CrossSlotError, InvalidArgument
from ..keys import delayed_nacks
from ..reading.engine import ReadingEngine
from ..reading.reader import ReaderOptions
from .member import Member
from .options import MemberOptions, Membership
from .unanimity import Unanimity

T = TypeVar("T", bytes, str)

Groups: TypeAlias = Mapping[str, Name] | Mapping[bytes, Name]
"""The group of each stream."""


class GroupOptions(ReaderOptions, MemberOptions, total=False):
    """Keywords of ``GroupConsumer``, explained there."""


class _Options(GroupOptions, EngineOptions, total=False): ...


class GroupConsumer(ReadingEngine[GroupBatch[T]], Generic[T]):
    """Consume streams through a group: at least once, until acknowledged.

    ``streams`` is a name or several, read through ``group``; or a mapping of each stream to its own group. All options
    hold for each group.

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
    handed over is given back for others to claim at once, unless ``release_on_close=False``. Consumers with nothing pending that
    were not heard of for ``remove_idle_consumers`` (3,600) seconds are removed (None: never), and so is this one on leaving, with
    ``remove_on_leaving``.
    """

    @overload
    def __init__(
        self: GroupConsumer[bytes],
        streams: Name | Iterable[Name] | Groups,
        *,
        group: Name | None = None,
        consumer: Name,
        decode: None = None,
        **options: Unpack[_Options],
    ) -> None: ...
    @overload
    def __init__(
        self: GroupConsumer[str],
        streams: Name | Iterable[Name] | Groups,
        *,
        group: Name | None = None,
        consumer: Name,
        decode: str,
        **options: Unpack[_Options],
    ) -> None: ...
    @overload
    def __init__(
        self: GroupConsumer[Any],
        streams: Name | Iterable[Name] | Groups,
        *,
        group: Name | None = None,
        consumer: Name,
        decode: str | None,
        **options: Unpack[_Options],
    ) -> None: ...
    def __init__(
        self,
        streams: Name | Iterable[Name] | Groups,
        *,
        group: Name | None = None,
        consumer: Name,
        decode: str | None = None,
        **options: Unpack[_Options],
    ) -> None:
        given: dict[str, Any] = dict(options)
        super().__init__(**pick(given, EngineOptions.__annotations__))
        own = pick(given, MemberOptions.__annotations__)
        groups = [Membership.of(its, of, consumer, **own) for of, its in by_group(streams, group).items()]
        self._is_single = len(groups) == 1
        self._decode = decode
        self._reading = given
        found = [each for membership in groups for each in self._by_route(membership)]
        self.nonce = b"" if self._entropy is None else self._introduce()
        self.members: list[Member[T]] = []
        self._member_of: dict[bytes, Member[T]] = {}
        for route, membership in found:
            self._make_member(membership, route)
        for member in reversed(self.members):  # of deadlines that pass together, that of the first group is told first
            member.loop.keep_time()
        # All that are not passive; the first is asked first for the next batch.
        self._turns: OrderedDict[Member[T], None] = OrderedDict()
        for member in self.members:
            self._admit(member)
        self._stops_on_idle = groups[0].stop_on_idle
        self._is_settled: Unanimity[Member[T]] = Unanimity(self.members, Member[T].has_settled)
        self._has_ended: Unanimity[Member[T]] = Unanimity(self.members, Member[T].has_ended)

    def _admit(self, member: Member[T], *, is_awaited: bool = True) -> None:
        """Take the batches and events of a member in its turn."""
        self.add_reader(member.reader, is_awaited=is_awaited)
        member.loop.context.take_turn = partial(self._turns.setdefault, member, None)

    def _make_member(self, membership: Membership, route: Route) -> Member[T]:
        suffix = self._suffix(membership.group, route)
        member = Member[T](
            self, membership, self.nonce, decode=self._decode, suffix=suffix, route=route, options=self._reading
        )
        self.members.append(member)
        self._member_of.update(dict.fromkeys(membership.streams, member))
        return member

    def _by_route(self, membership: Membership) -> list[tuple[Route, Membership]]:
        """Split a membership by the routes to its streams."""
        found: dict[Route, list[bytes]] = {}
        for stream in membership.streams:
            found.setdefault(self._route_of(stream, membership), []).append(stream)
        if len(found) == 1:
            return [(route, membership) for route in found]
        return [(route, replace(membership, streams=dict.fromkeys(its))) for route, its in found.items()]

    def _route_of(self, stream: bytes, membership: Membership) -> Route:
        """Find the route to a stream. Raises ``CrossSlotError`` where a key that goes with the stream is elsewhere."""
        route = self.route(stream)
        if route != ANYWHERE:
            for key in (delayed_nacks(stream, membership.group), membership.letters(stream)):
                if self.route(key) != route:
                    raise CrossSlotError(
                        "CROSSSLOT",
                        f"the stream {listed([stream])} and {listed([key])}, which goes with it, are of two slots; give both names a "
                        "common tag in braces, as in {orders}:new and {orders}:dead",
                    )
        return route

    def _suffix(self, group: bytes, route: Route) -> str:
        """Name a member in the names of its links: by its group, where there are several, and by its slot."""
        of = "" if self._is_single else f" of {group.decode(errors='replace')}"
        return f"{of}, slot {route.slot}" if isinstance(route, Slot) else of

    def _introduce(self) -> bytes:
        """Give our connections a name that no other process draws."""
        nonce = f"{self.login.client_name or 'streamcore'}:{self.token('a member of a group').decode()}"
        self.login = replace(self.login, client_name=nonce)
        return nonce.encode()

    @property
    def title(self) -> str:
        """The titles of the members."""
        return "; ".join(member.title for member in self.members)

    @property
    def settles_itself(self) -> bool:
        """Whether an iteration acknowledges entries: ``ack="auto"``."""
        return self.members[0].membership.ack == "auto"

    @property
    def groups(self) -> dict[bytes, bytes]:
        """The group of each stream that is read."""
        return {stream: member.membership.group for member in self.members for stream in member.membership.streams}

    # -- entries ------------------------------------------------------------------------------------------------------

    def take(self) -> GroupBatch[T] | None:
        """Take the next batch, of the groups in turn; None where nothing has arrived. Raises the error that ended the consumer."""
        turns = self._turns
        for _ in range(len(turns)):
            member = next(iter(turns))
            turns.move_to_end(member)
            if self._stops_on_idle and member.reader.has_batch:
                self._begin_beside(member)
            batch = member.take()
            if batch is not None:
                return batch
            if member.is_passive:
                del turns[member]
        self.check()
        return None

    @property
    def has_batch(self) -> bool:
        return any(member.reader.has_batch for member in self._turns)

    def put_back(self, batch: GroupBatch[T]) -> None:
        """Put back the batch taken last of its group, before all others of the group."""
        member = self._member_of[batch.key]
        member.loop.context.take_turn()
        member.reader.put_back(batch)

    def split(self, batch: GroupBatch[T], at: int) -> GroupBatch[T]:
        """Cut a batch that was taken: keep the first ``at`` entries in it, return the rest as a batch of its own."""
        return self._member_of[batch.key].split(batch, at)

    def flush(self) -> None:
        """Send acknowledgements now, not within ``ack_delay``; ``settled`` tells when they have arrived."""
        for member in self.members:
            member.flush()

    @property
    def settled(self) -> bool:
        """Whether the server has confirmed every acknowledgement so far, and, on leaving, the entries given back."""
        return self._is_settled.holds()

    def give_up_settling(self) -> None:
        """Stop waiting for the server to confirm; emit ``AcksUnconfirmed`` with the number of entries that it has not."""
        for member in self.members:
            member.give_up_settling()

    # -- the end ------------------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Read no more: hand over the entries that are here, and then be ``ended``. May be called again."""
        for member in self.members:
            member.drain()

    @property
    def ended(self) -> bool:
        """Whether nothing will be handed over any more: after ``drain``, with ``history_only``, or with ``stop_on_idle``.

        The last holds until ``begin``, and not while something is being given back: it may come again.
        """
        return self._has_ended.holds()

    def begin(self) -> None:
        """Go on after ``stop_on_idle`` has ended the iteration."""
        for member in self.members:
            member.begin()

    def _begin_beside(self, busy: Member[T]) -> None:
        """Have the other members read on: while a member has a batch, none of the others has come to its end."""
        for member in self._turns:
            if member is not busy:
                member.begin()

    def leave(self, begun: GroupBatch[T] | None = None, at: int = 0) -> None:
        """Read no more, give back the entries that were not handed over, and flush; close when ``settled``.

        Of the batch ``begun`` the application has seen the first ``at`` entries.
        """
        for member in self.members:
            if begun is not None and member is self._member_of[begun.key]:
                member.leave(begun, at)
            else:
                member.leave()

    def _end(self, error: Exception | None) -> None:
        """End the engine, and with it the deadlines of its members."""
        for member in self.members:
            member.loop.context.touch()
        super()._end(error)

    # -- streams ------------------------------------------------------------------------------------------------------

    def add_stream(self, stream: Name, group: Name | None = None) -> PendingChange | None:
        """Read another stream, through a group of ours; None where it is read already.

        Raises ``InvalidArgument`` where there are several groups and none is named, and for a group that is not ours.
        """
        self.check()
        key = name("stream", stream)
        its_group = self._group_of(key, group)
        ours = [member for member in self.members if member.membership.group == its_group]
        route = self._route_of(key, ours[0].membership)
        member = next((one for one in ours if one.route == route), None) or self._add_member(ours[0].membership, route)
        change = member.add_stream(key)
        self._member_of[key] = member
        return change

    def _group_of(self, stream: bytes, group: Name | None) -> bytes:
        ours = {member.membership.group for member in self.members}
        if group is None:
            if len(ours) > 1:
                raise InvalidArgument("group is missing; name the one of our groups to read the stream through")
            return self.members[0].membership.group
        wanted = name("group", group)
        former = self._member_of.get(stream)
        if wanted not in ours or (former is not None and former.membership.group != wanted):
            raise InvalidArgument(
                f"stream {stream.decode(errors='replace')!r} cannot be read through group {wanted.decode(errors='replace')!r}: "
                "we are not in it, or have read the stream through another one; open another consumer"
            )
        return wanted

    def _add_member(self, membership: Membership, route: Route) -> Member[T]:
        """Make the member of a slot that had no streams so far; it is paused, or reads no more, where the others do so."""
        member = self._make_member(replace(membership, streams={}), route)
        member.loop.keep_time()
        self._admit(member, is_awaited=False)
        if self.members[0].reader.paused:
            member.reader.pause()
        if self.members[0].loop.phase.stage.stops:
            member.drain()
        return member

    def give_up(self, change: PendingChange) -> None:
        """Cancel a pending ``add_stream()``, if the stream has not joined."""
        for member in self.members:
            member.give_up(change)

    def remove_stream(self, stream: Name) -> bool:
        """Read a stream no more, and give back its entries that were read ahead; False where it was not read."""
        self.check()
        key = name("stream", stream)
        member = self._member_of.get(key)
        return member is not None and member.remove_stream(key)


def by_group(streams: Name | Iterable[Name] | Groups, group: Name | None) -> dict[bytes, list[bytes]]:
    """List the streams of each group, in their order. Raises ``InvalidArgument``."""
    if not isinstance(streams, Mapping):
        if group is None:
            raise InvalidArgument("group is missing; name it, or pass a mapping of each stream to its group")
        return {name("group", group): stream_names(streams)}
    if group is not None:
        raise InvalidArgument(
            "group is named twice: give streams as a mapping to groups, or group=, not both; where a new group begins is told by "
            "start="
        )
    given = cast("Mapping[Any, Any]", streams)
    found: dict[bytes, list[bytes]] = {}
    for stream, its_group in zip(stream_names(given), given.values(), strict=True):
        found.setdefault(name("group", its_group), []).append(stream)
    return found
