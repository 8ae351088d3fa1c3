"""What must hold of subscribers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from streamcore.pubsub import Kind
from streamcore.testing.model.arguments import glob

from ...world.invariants import Oracle
from .records import CHANNELS, Channel, Ear, Hearing, Name, Tower

if TYPE_CHECKING:
    from streamcore.pubsub import Message


class Judged(Protocol):
    """A subscriber, as the invariants know it."""

    tower: Tower
    ear: Ear
    oracles: ListenerOracles
    wanted: dict[Name, bool]
    hearings: dict[Name, Hearing]

    @property
    def label(self) -> str: ...


class NeverSilent(Oracle):
    """*PubSub, sharded too*: at most once, in order per channel, never silent: a gap comes before the next message.

    After healing the whole desired set is confirmed, and what is published comes.
    """

    def heard(self, listener: Judged, name: Name, message: Message[bytes], *, handled: bool) -> None:
        """A subscriber is handed a message."""
        kind, text = name
        what = f"{listener.label}, {kind.what} {text.decode()}: message {message.data[:9].decode()!r} of {message.channel.decode()}"
        hearing = listener.hearings.get(name)
        if hearing is None:
            self.violated(f"{what} was never asked for")
            return
        number = int(message.data.partition(b" ")[0])
        channel = kind is Kind.SHARD, message.channel
        is_late = number <= hearing.asked[channel] and handled in hearing.before  # it has lain in an inbox since
        if handled is not hearing.has_handler and not is_late:
            listener.oracles.handlers.violated(f"{what} {'is' if handled else 'is not'} given to a handler")
        if number > listener.tower.published[channel]:
            self.violated(f"{what} was never published")
        if hearing.ended is not None and number > hearing.ended[channel]:
            self.violated(f"{what} comes after its end was confirmed")
        self._follows(listener, hearing, channel, number, what)
        hearing.last[message.channel] = number

    def _follows(self, listener: Judged, hearing: Hearing, channel: Channel, number: int, what: str) -> None:
        last = hearing.last.get(channel[1])
        if last is not None and number <= last:
            self.violated(f"{what} comes after message {last}")
        expected = last if last is not None else hearing.since[channel] if hearing.since is not None else None
        is_excused = hearing.excused is not None and channel[1] not in hearing.excused
        if expected is not None and number > expected + 1 and not is_excused:
            self.violated(f"{what} comes after {expected}, and no gap was told")
        if hearing.excused is not None and listener.ear.handled == 0.0:  # else another inbox may have told of the gap
            hearing.excused.add(channel[1])

    def owed(self, listener: Judged) -> str:
        """What has not come to a subscriber so far."""
        for name in listener.wanted:
            hearing = listener.hearings[name]
            for channel in self._channels(name):
                since = hearing.since[channel] if hearing.since is not None else 0
                last = max(hearing.last.get(channel[1], 0), since)
                if last < listener.tower.due[channel]:
                    return f"{listener.label} has got {channel[1].decode()} up to {last}, and there are more"
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

    def taken(self, listener: Judged, messages: int) -> None:
        """So many messages lay there."""
        ear = listener.ear
        most = ear.queue_size + (self.READ if ear.when_full == "block" else 0)
        if messages > most:
            self.violated(f"{listener.label} had {messages} messages in its inbox, and {most} are allowed")


@dataclass
class ListenerOracles:
    """All of them, as subscribers tell them."""

    silent: NeverSilent
    handlers: HandlersKept
    bounded: InboxBounded
