"""What must hold of subscribers, and their cast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from streamcore.pubsub import Kind
from streamcore.testing.model.arguments import glob

from ...world.invariants import EventsInOrder, Oracle
from .subscriber import CHANNELS, Channel, Ear, Hearing, Listener, Name, Tower

if TYPE_CHECKING:
    from streamcore.pubsub import Message

    from ...context import Scene
    from ...world.plan import Size


class NeverSilent(Oracle):
    """*PubSub, sharded too*: at most once, in order per channel, never silent: a gap comes before the next message.

    After healing the whole desired set is confirmed, and what is published comes.
    """

    def heard(self, listener: Listener, name: Name, message: Message[bytes], *, handled: bool) -> None:
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

    def _follows(self, listener: Listener, hearing: Hearing, channel: Channel, number: int, what: str) -> None:
        last = hearing.last.get(channel[1])
        if last is not None and number <= last:
            self.violated(f"{what} comes after message {last}")
        expected = last if last is not None else hearing.since[channel] if hearing.since is not None else None
        is_excused = hearing.excused is not None and channel[1] not in hearing.excused
        if expected is not None and number > expected + 1 and not is_excused:
            self.violated(f"{what} comes after {expected}, and no gap was told")
        if hearing.excused is not None and listener.ear.handled == 0.0:  # else another inbox may have told of the gap
            hearing.excused.add(channel[1])

    def owed(self, listener: Listener) -> str:
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

    def taken(self, listener: Listener, messages: int) -> None:
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


def cast_listeners(scene: Scene, size: Size, events: EventsInOrder) -> None:
    """Put subscribers on the stage, and somebody who publishes."""
    world = scene.world
    lots = world.lots("cast of listeners")
    scene.host.server.output_limit = 40_000
    oracles = ListenerOracles(NeverSilent(world), HandlersKept(world), InboxBounded(world))
    tower = Tower(scene)
    for number in range(1, size.members + 2):
        listener = Listener(world, f"listener-{number}", tower, Ear.drawn(lots), oracles, events)
        scene.enter(listener)
