"""Options of a member of a group: its name, its streams and its behaviour; checked before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, TypedDict

from ..arguments import Name, Seconds, name, one_of, positive, seconds, stream_names
from ..entries import StreamId
from ..errors import InvalidArgument
from ..frozen import frozen
from ..keys import dead_letters

NACKED: Final = b"streamcore:nacked"
"""The consumer that owns entries that were given back, until a member claims them."""


class MemberOptions(TypedDict, total=False):
    """Keywords of a member of a group, explained at ``GroupConsumer``."""

    ack: Literal["manual", "auto", "none"]
    """Who acknowledges: with ``"manual"`` you; with ``"auto"`` the loop, when it asks for the next entry; with ``"none"``
    nothing is kept pending (``"manual"``)."""
    create: bool | Literal["group"]
    """Create the group, and the stream, where they do not exist; ``"group"`` waits for the stream; with False that raises
    ``NoGroupError`` (True)."""
    start: str | StreamId
    """Where a new group begins: ``"0"`` is the beginning of the stream, ``"$"`` its end, an id is exclusive (``"0"``)."""
    on_group_lost: Literal["recreate", "raise"]
    """When the group vanishes: ``"recreate"`` it, or ``"raise"`` ``NoGroupError`` (``"recreate"``)."""
    on_stream_lost: Literal["wait", "recreate"]
    """When the stream vanishes with it: ``"wait"`` until it exists again, or ``"recreate"`` it, empty (``"wait"``)."""
    backlog: bool
    """Begin with the entries that an earlier run under this name has left pending (True)."""
    history_only: bool
    """Hand over nothing but these entries, and end (False)."""
    stop_on_idle: bool
    """The iteration, or ``run``, ends when a read comes back empty (False)."""
    max_in_flight: int
    """At most so many entries are in hand, or read ahead, and not settled (10,000)."""
    claim_idle: Seconds | None
    """Entries that others have left idle for so many seconds are taken over (60); None: never."""
    renew: bool
    """Keep entries in hand from counting as idle, by ``XCLAIM`` (True)."""
    release_on_close: bool
    """On leaving, give back the entries that were never handed over, for other members to claim at once (True)."""
    fenced: bool
    """An acknowledgement does nothing once another member has the entry, and that is told (False)."""
    exclusive: bool
    """One process at a time holds the name of this member; an older process ends with ``ConsumerFencedError`` (True; without
    a name, False)."""
    max_deliveries: int | None
    """After so many attempts an entry becomes a dead letter (None: never)."""
    dead_letter_stream: Name | None
    """The stream of dead letters (None: ``{stream}:dead``)."""
    remove_idle_consumers: Seconds | None
    """Consumers with nothing pending that were not heard of for so many seconds are removed (3,600); None: never."""
    remove_on_leaving: bool
    """This consumer is removed on leaving, if nothing is pending for it (False; without a name, True)."""
    ack_delay: Seconds
    """Acknowledgements leave within so many seconds (0.05)."""
    report_acks: bool
    """Tell by the event ``AcksConfirmed`` which acknowledgements the server has confirmed (False)."""
    audit_interval: Seconds
    """Seconds between two looks at our pending entries, and at the group (5)."""
    detect_gaps: Literal["audit", "always"] | None
    """Look for entries that were removed before the group had them: at each ``"audit"``, ``"always"`` before a read, or
    never: None (``"audit"``)."""


@frozen
class Membership:
    """The checked options of a member. All durations are seconds; ``claim_idle`` is None where nothing is claimed."""

    streams: dict[bytes, None]  # in their order
    group: bytes
    name: bytes
    ack: Literal["manual", "auto", "none"]
    create: bool | Literal["group"]
    start: str
    on_group_lost: Literal["recreate", "raise"]
    on_stream_lost: Literal["wait", "recreate"]
    backlog: bool
    history_only: bool
    stop_on_idle: bool
    max_in_flight: int
    claim_idle: float | None
    renew: bool
    release_on_close: bool
    fenced: bool
    exclusive: bool
    max_deliveries: int | None
    dead_letter_stream: bytes | None
    remove_idle_consumers: float | None
    remove_on_leaving: bool
    ack_delay: float
    report_acks: bool
    audit_interval: float
    detect_gaps: Literal["audit", "always"] | None

    @classmethod
    def of(
        cls,
        streams: Name | Iterable[Name],
        group: Name,
        consumer: Name,
        *,
        ack: Literal["manual", "auto", "none"] = "manual",
        create: bool | Literal["group"] = True,
        start: str | StreamId = "0",
        on_group_lost: Literal["recreate", "raise"] = "recreate",
        on_stream_lost: Literal["wait", "recreate"] = "wait",
        backlog: bool = True,
        history_only: bool = False,
        stop_on_idle: bool = False,
        max_in_flight: int = 10_000,
        claim_idle: Seconds | None = 60.0,
        renew: bool = True,
        release_on_close: bool = True,
        fenced: bool = False,
        exclusive: bool = True,
        max_deliveries: int | None = None,
        dead_letter_stream: Name | None = None,
        remove_idle_consumers: Seconds | None = 3600.0,
        remove_on_leaving: bool = False,
        ack_delay: Seconds = 0.05,
        report_acks: bool = False,
        audit_interval: Seconds = 5.0,
        detect_gaps: Literal["audit", "always"] | None = "audit",
    ) -> Membership:
        """Check the options. Raises ``InvalidArgument``."""
        named = stream_names(streams)
        if dead_letter_stream is not None and name("dead_letter_stream", dead_letter_stream) in named:
            raise InvalidArgument("dead_letter_stream is one of the streams that are consumed; name another one")
        if name("consumer", consumer) == NACKED:
            raise InvalidArgument(f"consumer {NACKED.decode()!r} owns what members give back; choose another name")
        if ack == "none" and (history_only or max_deliveries is not None or fenced):
            raise InvalidArgument(
                "ack='none' leaves nothing pending: no history_only, max_deliveries or fenced with it"
            )
        if create == "group" and on_stream_lost == "recreate":
            raise InvalidArgument("create='group' creates no stream: leave on_stream_lost='wait', or pass create=True")
        if history_only and not backlog:
            raise InvalidArgument("history_only hands over the backlog alone; leave backlog=True")
        return cls(
            streams=dict.fromkeys(named),
            group=name("group", group),
            name=name("consumer", consumer),
            ack=one_of("ack", ack, "manual", "auto", "none"),
            create=one_of("create", create, True, False, "group"),
            start="$" if start == "$" else str(start if isinstance(start, StreamId) else StreamId.parse(start)),
            on_group_lost=one_of("on_group_lost", on_group_lost, "recreate", "raise"),
            on_stream_lost=one_of("on_stream_lost", on_stream_lost, "wait", "recreate"),
            backlog=backlog,
            history_only=history_only,
            stop_on_idle=stop_on_idle,
            max_in_flight=positive("max_in_flight", max_in_flight),
            claim_idle=None if claim_idle is None else seconds("claim_idle", claim_idle),
            renew=renew,
            release_on_close=release_on_close,
            fenced=fenced,
            exclusive=exclusive,
            max_deliveries=None if max_deliveries is None else positive("max_deliveries", max_deliveries),
            dead_letter_stream=None if dead_letter_stream is None else name("dead_letter_stream", dead_letter_stream),
            remove_idle_consumers=None
            if remove_idle_consumers is None
            else seconds("remove_idle_consumers", remove_idle_consumers),
            remove_on_leaving=remove_on_leaving,
            ack_delay=seconds("ack_delay", ack_delay, zero=True),
            report_acks=report_acks,
            audit_interval=seconds("audit_interval", audit_interval),
            detect_gaps=one_of("detect_gaps", detect_gaps, "audit", "always", None),
        )

    @property
    def keeps(self) -> bool:
        """Whether the server keeps delivered entries as pending until they are settled."""
        return self.ack != "none"

    def is_last(self, deliveries: int) -> bool:
        """Whether an entry that was handed over ``deliveries`` times, and not processed, is not to be handed over again."""
        return self.max_deliveries is not None and deliveries >= self.max_deliveries

    def letters(self, stream: bytes) -> bytes:
        """The dead-letter stream of a stream: in the slot of the stream itself, unless it was named."""
        return dead_letters(stream) if self.dead_letter_stream is None else self.dead_letter_stream
