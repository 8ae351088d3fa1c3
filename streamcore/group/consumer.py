"""Streams that are read through different groups, as one consumer.

``XREADGROUP`` knows one group, so there is a whole ``GroupConsumer`` for each group here, with links, bounds and timers of
its own; to its driver and to the application the union looks like one engine. Batches are taken from the groups in turn.
What is done to a batch goes to the group of its stream. The end of one, whatever the reason, is the end of all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Generic, TypeAlias, TypeVar, Unpack, cast, overload

from ..arguments import Name, name, stream_names
from ..connection.link import Link, Owner
from ..engine.engine import Engine, EngineOptions
from ..engine.router import ANYWHERE, Route
from ..entries import GroupBatch
from ..errors import InvalidArgument
from ..events import Event
from .member import GroupConsumer, GroupOptions
from .options import Membership
from .stream_changes import Joining

T = TypeVar("T", bytes, str)

Groups: TypeAlias = Mapping[str, Name] | Mapping[bytes, Name]
"""The group of each stream."""

_OF_EVERY_ENGINE: Final = EngineOptions.__annotations__


class _Options(GroupOptions, EngineOptions, total=False): ...


class _Part(GroupConsumer[T], Generic[T]):
    """The member of one of the groups; its links are called such as ``main of billing``."""

    on_end: Callable[[Exception | None], None]

    @property
    def label(self) -> str:
        """A member like any other."""
        return GroupConsumer.__name__

    def new_link(self, owner: Owner, name: str = "main", route: Route = ANYWHERE) -> Link:
        return super().new_link(owner, f"{name} of {self.member.group.decode(errors='replace')}", route)

    def _end(self, error: Exception | None) -> None:
        super()._end(error)
        self.on_end(error)


class GroupUnion(Engine, Generic[T]):
    """Consume each stream through its own group, at least once. The options are those of ``GroupConsumer``, for each group."""

    @overload
    def __init__(
        self: GroupUnion[bytes], groups: Groups, *, consumer: Name, decode: None = None, **options: Unpack[_Options]
    ) -> None: ...
    @overload
    def __init__(
        self: GroupUnion[str], groups: Groups, *, consumer: Name, decode: str, **options: Unpack[_Options]
    ) -> None: ...
    @overload
    def __init__(
        self: GroupUnion[Any], groups: Groups, *, consumer: Name, decode: str | None, **options: Unpack[_Options]
    ) -> None: ...
    def __init__(
        self, groups: Groups, *, consumer: Name, decode: str | None = None, **options: Unpack[_Options]
    ) -> None:
        given: dict[str, Any] = dict(options)
        super().__init__(**{key: given[key] for key in _OF_EVERY_ENGINE if key in given})
        self._parts: list[_Part[Any]] = []
        self._turn = 0  # of the part that is asked first for the next batch
        self._part_of: dict[bytes, _Part[Any]] = {}
        for group, streams in by_group(groups).items():
            part = _Part[Any](streams, group=group, consumer=consumer, decode=decode, **given)
            part.on_wakeup, part.on_event, part.on_end = self._woken, partial(self._told, part), self._end
            self._parts.append(part)
            self._part_of.update(dict.fromkeys(streams, part))

    # -- the driver's side --------------------------------------------------------------------------------------------

    def links(self) -> Sequence[Link]:
        return [link for part in self._parts for link in part.links()]

    def changed_links(self) -> Sequence[Link]:
        return [link for part in self._parts for link in part.changed_links()]

    def next_timeout(self) -> float | None:
        return min((at for part in self._parts if (at := part.next_timeout()) is not None), default=None)

    def handle_timeout(self, now: float) -> None:
        for part in self._parts:
            part.handle_timeout(now)

    @property
    def label(self) -> str:
        return GroupConsumer.__name__

    @property
    def title(self) -> str:
        """All of its parts."""
        return "; ".join(part.title for part in self._parts)

    # -- the user's side ----------------------------------------------------------------------------------------------

    @property
    def member(self) -> Membership:
        """How we have been told to behave in every group: all but streams and group is the same in all of them."""
        return self._parts[0].member

    @property
    def groups(self) -> dict[bytes, bytes]:
        """The group of each stream that is read."""
        return {stream: group for part in self._parts for stream, group in part.groups.items()}

    @property
    def is_ready(self) -> bool:
        """Whether all groups have been entered."""
        return all(part.is_ready for part in self._parts)

    @property
    def has_batch(self) -> bool:
        """Whether ``take`` would return a batch now."""
        return any(part.has_batch for part in self._parts)

    def take(self) -> GroupBatch[T] | None:
        """The next batch, of the groups in turn, or None where nothing has arrived. Raises what ended the consumer."""
        for _ in range(len(self._parts)):
            part = self._parts[self._turn]
            self._turn = (self._turn + 1) % len(self._parts)
            if part.has_batch or not part.closed:
                batch = part.take()  # also where it has none: it waits for being asked
                if batch is not None:
                    if part.member.stop_on_idle:
                        self.begin()  # while anything comes, none of the groups has come to its end
                    return batch
        self.check()
        return None

    def put_back(self, batch: GroupBatch[T]) -> None:
        """Take a batch again that nobody has looked at, before all others of its group."""
        self._part_of[batch.key].put_back(batch)

    def split(self, batch: GroupBatch[T], at: int) -> GroupBatch[T]:
        """Cut a batch that was taken: keep the first ``at`` entries in it, return the rest as a batch of its own."""
        return self._part_of[batch.key].split(batch, at)

    def pause(self) -> None:
        """Hand over nothing, and read nothing more, until ``resume``."""
        for part in self._parts:
            part.pause()

    def resume(self) -> None:
        """Go on after ``pause``."""
        for part in self._parts:
            part.resume()

    def flush(self) -> None:
        """Send acknowledgements now, not within ``ack_delay``; ``settled`` tells when they have arrived."""
        for part in self._parts:
            part.flush()

    @property
    def settled(self) -> bool:
        """Whether the servers have confirmed every acknowledgement so far, and, on leaving, what we give back."""
        return all(part.settled for part in self._parts)

    def drain(self) -> None:
        """Read no more: what is here already is handed over, and then ``ended``. May be called again."""
        for part in self._parts:
            part.drain()

    @property
    def ended(self) -> bool:
        """Whether nothing will be handed over any more, of any group; see ``GroupConsumer``."""
        return all(part.ended for part in self._parts)

    def begin(self) -> None:
        """Go on after ``stop_on_idle`` has ended the iteration."""
        for part in self._parts:
            part.begin()

    def leave(self, begun: GroupBatch[T] | None = None, at: int = 0) -> None:
        """Read no more, give back what nobody has seen, and flush; close when ``settled``.

        Of the batch ``begun`` the application has seen the first ``at`` entries.
        """
        for part in self._parts:
            if begun is not None and part is self._part_of[begun.key]:
                part.leave(begun, at)
            else:
                part.leave()

    def give_up_settling(self) -> None:
        """Nobody waits for the servers' word any more; say what is open."""
        for part in self._parts:
            part.give_up_settling()

    def add_stream(self, stream: Name, group: Name) -> Joining | None:
        """Read one more stream, through a group that we are in; None where it is read already."""
        self.check()
        key, wanted = name("stream", stream), name("group", group)
        part = next((part for part in self._parts if part.member.group == wanted), None)
        if part is None or self._part_of.get(key, part) is not part:
            raise InvalidArgument(
                f"stream {key.decode(errors='replace')!r} cannot be read through group {wanted.decode(errors='replace')!r}: "
                "we are not in it, or have read the stream through another one; open another consumer"
            )
        joining = part.add_stream(key)
        self._part_of[key] = part
        return joining

    def give_up(self, joining: Joining) -> None:
        """Nobody waits for a stream any more: if it has not joined, it does not."""
        for part in self._parts:
            part.give_up(joining)

    def remove_stream(self, stream: Name) -> bool:
        """Read a stream no more, and give back what was read ahead of it; False where it was not read."""
        self.check()
        part = self._part_of.get(name("stream", stream))
        return part is not None and part.remove_stream(stream)

    # -- what the parts tell ------------------------------------------------------------------------------------------

    def next_event_in_place(self) -> Event | None:
        """Each event comes behind all batches of its group that had arrived before it."""
        return next((part.next_event_in_place() for part in self._parts if part.has_event_in_place), None)

    @property
    def has_event_in_place(self) -> bool:
        return any(part.has_event_in_place for part in self._parts)

    def _woken(self) -> None:
        self.on_wakeup()

    def _told(self, part: _Part[Any], event: Event) -> None:
        part.next_event()  # that one: here they are in the order in which they happened, whoever told them
        self._events.add(event, 0)
        self.on_event(event)

    def _end(self, error: Exception | None) -> None:
        if self.closed:
            return
        super()._end(error)
        for part in self._parts:
            part.close()


def by_group(groups: Groups) -> dict[bytes, list[bytes]]:
    """The streams of each group, in their order. Raises ``InvalidArgument``."""
    streams = stream_names(groups)
    found: dict[bytes, list[bytes]] = {}
    for stream, group in zip(streams, cast("Mapping[Any, Any]", groups).values(), strict=True):
        found.setdefault(name("group", group), []).append(stream)
    return found


def group_engine(
    streams: Name | Iterable[Name] | Groups, group: Name | None, **options: Any
) -> GroupConsumer[Any] | GroupUnion[Any]:
    """The engine for streams of one group, or for a mapping of each stream to its own. Raises ``InvalidArgument``."""
    if not isinstance(streams, Mapping):
        if group is None:
            raise InvalidArgument("group is missing; name it, or pass a mapping of each stream to its group")
        return GroupConsumer[Any](streams, group=group, **options)
    if group is not None:
        raise InvalidArgument("group is named twice: give streams as a mapping to groups, or group=, not both")
    return GroupUnion[Any](cast("Groups", streams), **options)
