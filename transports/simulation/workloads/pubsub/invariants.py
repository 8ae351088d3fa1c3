"""Invariants of subscribers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from streamcore.pubsub import Kind
from streamcore.testing.model.arguments import glob

from ...world.invariants import Oracle
from .records import CHANNELS, Channel, Name, Publisher, SubscriberHabits, SubscriptionRecord

if TYPE_CHECKING:
    from streamcore.pubsub import Message


class Judged(Protocol):
    """A subscriber, as the invariants know it."""

    publisher: Publisher
    habits: SubscriberHabits
    oracles: SubscriberInvariants
    wanted: dict[Name, bool]
    records: dict[Name, SubscriptionRecord]

    @property
    def label(self) -> str: ...

    # The address of the node whose channels and patterns it heard at a moment.
    def node_at(self, moment: float) -> str: ...


class NeverSilent(Oracle):
    """*PubSub, sharded too*: at most once, in order per channel, never silent: a gap comes before the next message.

    In a cluster, a message of a channel or a pattern is excused that comes from another node, while the subscriber's node is parted from
    that for so short a time that it does not notice, or is not asked: no server tells. After healing the whole desired set is confirmed,
    and published messages come.
    """

    def heard(self, subscriber: Judged, name: Name, message: Message[bytes], *, handled: bool) -> None:
        """A subscriber is handed a message."""
        kind, text = name
        what = f"{subscriber.label}, {kind.what} {text.decode()}: message {message.data[:9].decode()!r} of {message.channel.decode()}"
        record = subscriber.records.get(name)
        if record is None:
            self.violated(f"{what} was never asked for")
            return
        number = int(message.data.partition(b" ")[0])
        channel = kind is Kind.SHARD, message.channel
        is_late = number <= record.asked[channel] and handled in record.before  # it has lain in an inbox since
        if handled is not record.has_handler and not is_late:
            subscriber.oracles.handlers.violated(f"{what} {'is' if handled else 'is not'} given to a handler")
        if number > subscriber.publisher.published[channel]:
            self.violated(f"{what} was never published")
        if record.ended is not None and number > record.ended[channel]:
            self.violated(f"{what} comes after its end was confirmed")
        self._follows(subscriber, record, channel, number, what)
        record.last[message.channel] = number

    def _follows(
        self, subscriber: Judged, record: SubscriptionRecord, channel: Channel, number: int, what: str
    ) -> None:
        last = record.last.get(channel[1])
        if last is not None and number <= last:
            self.violated(f"{what} comes after message {last}")
        expected = last if last is not None else record.since[channel] if record.since is not None else None
        is_told = record.excused is not None and channel[1] not in record.excused
        missing = range(number if expected is None else expected + 1, number)
        if missing and not is_told and not self._is_parted(subscriber, channel, missing):
            self.violated(f"{what} comes after {expected}, and no gap was told")
        if (
            record.excused is not None and subscriber.habits.handled == 0.0
        ):  # else another inbox may have told of the gap
            record.excused.add(channel[1])

    def _is_parted(self, subscriber: Judged, channel: Channel, numbers: range) -> bool:
        """Whether a short partition has kept these messages from the subscriber's node."""
        missing = [subscriber.publisher.unheard.get((channel, number)) for number in numbers]
        return all(one is not None and subscriber.node_at(one.moment) in one.addresses for one in missing)

    def owed(self, subscriber: Judged) -> str:
        """The messages that have not come to a subscriber so far."""
        for name in subscriber.wanted:
            record = subscriber.records[name]
            for channel in self._channels(name):
                since = record.since[channel] if record.since is not None else 0
                last = max(record.last.get(channel[1], 0), since)
                if last < subscriber.publisher.due[channel]:
                    return f"{subscriber.label} has got {channel[1].decode()} up to {last}, and there are more"
        return ""

    def _channels(self, name: Name) -> list[Channel]:
        kind, text = name
        if kind is Kind.PATTERN:
            return [(False, channel) for channel in CHANNELS if glob(text)(channel)]
        return [(kind is Kind.SHARD, text)]


class HandlersKept(Oracle):
    """*PubSub, link lost*: the whole desired set, handlers included, is restored."""


class InboxBounded(Oracle):
    """*PubSub, slow consumer*: bounded queue: ``block``, ``drop_oldest``, ``drop_newest``."""

    READ = 25  # messages that may come in one piece, and are taken whole

    def taken(self, subscriber: Judged, messages: int) -> None:
        """So many messages lay there."""
        habits = subscriber.habits
        most = habits.queue_size + (self.READ if habits.when_full == "block" else 0)
        if messages > most:
            self.violated(f"{subscriber.label} had {messages} messages in its inbox, and {most} are allowed")


@dataclass
class SubscriberInvariants:
    """All of them, as subscribers tell them."""

    silent: NeverSilent
    handlers: HandlersKept
    bounded: InboxBounded
