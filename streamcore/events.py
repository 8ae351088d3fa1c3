"""Events beside the data, as values.

Every event is frozen and names its subject; ``entries`` counts are exact unless None (= unknown). ``LOSS`` are the
events that tell of entries which the application will not see: transports warn about them where no callback listens.
"""

from __future__ import annotations

from dataclasses import field
from typing import Final, TypeAlias

from .entries import StreamId
from .frozen import frozen
from .of_member import OfMember
from .topology_events import TopologyEvent


@frozen
class Connected:
    """A link is up: ``HELLO`` was answered. ``link`` names it, ``server`` is such as ``valkey 9.1.2``.

    ``owner`` tells whose link it is, such as ``GroupConsumer me of billing on orders``; so it does below.
    """

    link: str
    address: str
    server: str
    owner: str = field(default="", compare=False)


@frozen
class Reconnected:
    """A link is up again after it was lost."""

    link: str
    address: str
    server: str
    owner: str = field(default="", compare=False)


@frozen
class Disconnected:
    """A link that was up is lost, because of ``error``; it is dialled again after the back-off."""

    link: str
    address: str
    error: Exception
    owner: str = field(default="", compare=False)


@frozen
class ConnectAttemptFailed:
    """A link could not be brought up by the ``attempt``-th dial since it last worked."""

    link: str
    address: str
    attempt: int
    error: Exception
    owner: str = field(default="", compare=False)


@frozen
class LoginNotRenewed:
    """Credentials end soon, and no new credentials could be had, or the server refused these; it is tried again.

    The link stays up, for as long as the server lets it.
    """

    link: str
    address: str
    error: Exception
    owner: str = field(default="", compare=False)


@frozen
class GroupCreated:
    """The consumer group did not exist and was created at ``start`` (``XGROUP CREATE``)."""

    stream: bytes
    group: bytes
    start: str
    consumer: bytes = field(default=b"", compare=False)


@frozen
class GroupRecreated:
    """The consumer group had vanished and was created again just below the oldest entry that may be unprocessed.

    Entries after ``start`` that were processed before may come again.
    """

    stream: bytes
    group: bytes
    start: str
    consumer: bytes = field(default=b"", compare=False)


@frozen
class StreamAwaited:
    """The stream does not exist, or not any more; once it does, it is read from its beginning, by a new group."""

    stream: bytes
    group: bytes


@frozen
class EntriesRecovered(OfMember):
    """Entries of our own pending list that we had never seen (a lost reply, an earlier run) are handed over again."""

    stream: bytes
    entries: int


@frozen
class EntriesClaimed(OfMember):
    """Idle entries of other consumers were taken over (``XCLAIM``)."""

    stream: bytes
    entries: int


@frozen
class PendingEntriesDeleted(OfMember):
    """Pending entries whose data had been deleted or trimmed: they were settled, and cannot be handed over."""

    stream: bytes
    ids: tuple[bytes, ...]


@frozen
class OwnershipLost(OfMember):
    """Entries that were handed over here are not pending for us any more.

    Another consumer has claimed or settled them, or a failover has lost them, and their ids may mean others by now.

    Acknowledging them here does nothing from now on.
    """

    stream: bytes
    ids: tuple[bytes, ...]


@frozen
class AckMissed(OfMember):
    """An acknowledgement found fewer entries pending than it named: another consumer settled or deleted them."""

    stream: bytes
    entries: int


@frozen
class AcksConfirmed(OfMember):
    """The server has confirmed the acknowledgement of entries; told where ``report_acks`` asks for it."""

    stream: bytes
    ids: tuple[bytes, ...]


@frozen
class AcksUnconfirmed(OfMember):
    """We have left, and the server has not confirmed in time the settlement of ``entries``: they may come again."""

    entries: int


@frozen
class DeadLettered(OfMember):
    """An entry was moved to the dead-letter stream ``letters``, as ``letter``, after so many ``deliveries``."""

    stream: bytes
    id: bytes
    letters: bytes
    letter: bytes
    deliveries: int
    reason: str


@frozen
class PossibleLoss(OfMember):
    """A group is read without acknowledgements, and up to ``entries`` of the delivered entries are lost."""

    entries: int


@frozen
class ConsumerFenced:
    """Another process has taken over our name in the group; it goes on with our entries, and we stop."""

    stream: bytes
    consumer: bytes
    group: bytes = field(default=b"", compare=False)


@frozen
class ConsumerRemoved:
    """A member without pending entries, which was not heard of for long, was removed (``XGROUP DELCONSUMER``)."""

    stream: bytes
    consumer: bytes
    group: bytes = field(default=b"", compare=False)


@frozen
class StaleConnectionKilled(OfMember):
    """Our previous connection was still open on the server, and was closed there (``CLIENT KILL ID``)."""

    client_id: int


@frozen
class CountReduced:
    """A reply was over the byte limit; reading goes on with a smaller ``COUNT``."""

    count: int


@frozen
class Gap(OfMember):
    """Entries between ``after`` and ``before`` were trimmed or deleted before we could read them.

    ``entries`` of them (None: unknown, perhaps none; the counters of the server do not tell).
    """

    stream: bytes
    after: StreamId
    before: StreamId | None
    entries: int | None
    certain: bool = True
    """False: the loss is only possible."""


@frozen
class StreamReset:
    """The stream ends before our cursor: it was created anew, or a failover has lost its end.

    ``last`` is its last id.
    """

    stream: bytes
    cursor: StreamId
    last: StreamId


@frozen
class Degraded:
    """The work named ``what`` is left out, because the server refuses it; all else goes on.

    Told once in the life of a connection. ``missing`` is the right that it takes: a rule of an ACL, such as ``+info``
    or ``~{orders}:name:billing:worker-1``, as far as the server tells; or ``entropy``, of an engine that was given
    none. It is tried again on the next connection.
    """

    what: str
    missing: str


@frozen
class EventsDropped:
    """More events came than the queue keeps untaken; the oldest ``events`` are gone."""

    events: int


@frozen
class SendFailed:
    """An entry of ``send_nowait`` was not appended, is in doubt, or not durable: see ``error``."""

    stream: bytes
    error: Exception


@frozen
class SubscriptionGap:
    """Messages may have been lost: a subscription that was in force was not for a while, because of ``error``.

    Told before the first message that came afterwards. ``names``: the channels and patterns that it happened to; None:
    all of the link's, which was lost. ``link``: its name, or those of several links.
    """

    link: str
    names: tuple[bytes, ...] | None
    error: Exception


@frozen
class MessagesDropped:
    """The application was too slow, and so many messages were dropped, here, by the policy ``when_full``."""

    messages: int


@frozen
class SubscriptionFailed:
    """The server refuses to subscribe us (``error``) to some names of a ``kind``; it is asked again."""

    kind: str
    names: tuple[bytes, ...]
    error: Exception


@frozen
class ChannelEnded:
    """A channel cannot be read (``error``): its key holds no stream, say.

    Its subscribers have left it, and the error is raised to them. ``stream`` is its key. All other channels go on.
    """

    stream: bytes
    error: Exception


@frozen
class SettlingRefused(OfMember):
    """The server refuses (``error``) to write ``key`` for entries that are to be given back or to become dead letters.

    They stay pending here, and it is tried again from time to time. Told once for each entry and reason.
    """

    stream: bytes
    ids: tuple[bytes, ...]
    key: bytes
    error: Exception


@frozen
class HandlerFailed:
    """A handler has raised ``error``, on a message from this channel; the others go on."""

    channel: bytes | str
    error: Exception


Event: TypeAlias = (
    Connected
    | Reconnected
    | Disconnected
    | ConnectAttemptFailed
    | LoginNotRenewed
    | GroupCreated
    | GroupRecreated
    | StreamAwaited
    | EntriesRecovered
    | EntriesClaimed
    | PendingEntriesDeleted
    | OwnershipLost
    | AckMissed
    | AcksConfirmed
    | DeadLettered
    | AcksUnconfirmed
    | PossibleLoss
    | ConsumerFenced
    | ConsumerRemoved
    | StaleConnectionKilled
    | CountReduced
    | Gap
    | StreamReset
    | Degraded
    | EventsDropped
    | SendFailed
    | SubscriptionGap
    | MessagesDropped
    | SubscriptionFailed
    | ChannelEnded
    | SettlingRefused
    | HandlerFailed
    | TopologyEvent
)

LOSS: Final = (
    PendingEntriesDeleted,
    OwnershipLost,
    AckMissed,
    DeadLettered,
    AcksUnconfirmed,
    PossibleLoss,
    ConsumerFenced,
    GroupRecreated,
    Gap,
    StreamReset,
    Degraded,
    EventsDropped,
    SendFailed,
    SubscriptionGap,
    MessagesDropped,
    SubscriptionFailed,
    ChannelEnded,
    SettlingRefused,
    HandlerFailed,
)
