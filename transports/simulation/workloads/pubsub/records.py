"""The messages that are published, and the share that each subscriber has got.

Messages are numbered by the publisher, channel by channel, so that a missing message shows.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from streamcore.pubsub import Kind

from ...faults.cluster import NODE_TIMEOUT
from ...world.actor import REFRESH
from ...world.cluster_site import ClusterSite

if TYPE_CHECKING:
    from ...context import Scene

CHANNELS: Final = (b"a", b"b", b"c", b"ab")
Name = tuple[Kind, bytes]
Channel = tuple[bool, bytes]
"""Whether it is a shard channel, and its name."""

ALL: Final[list[Channel]] = [(is_shard, name) for is_shard in (False, True) for name in CHANNELS]


UNNOTICED: Final = NODE_TIMEOUT + 1.2 * REFRESH
"""Seconds within which a node that is parted from the others notices it, and is asked by its subscribers."""


class Unheard(NamedTuple):
    """A message that was published at ``moment``, and came to no subscriber at the nodes of these ``addresses``."""

    moment: float
    addresses: frozenset[str]


class Publisher:
    """The publisher of messages, which no fault befalls. ``published``: the number of the last message of each channel.

    ``unheard``: by channel and number, the messages that a partition kept from nodes before their subscribers can have heard of it.
    """

    def __init__(self, scene: Scene) -> None:
        self.published: Counter[Channel] = Counter()
        self.unheard: dict[tuple[Channel, int], Unheard] = {}
        self.due: Counter[Channel] = Counter()  # what was published before the last round
        self._scene = scene
        self._lots = scene.world.lots("tower")
        scene.world.after(0.05, self._send)

    def _send(self) -> None:
        """Publish in a channel; once the world has healed, in each again and again, so that all subscribers can catch up."""
        world, lots = self._scene.world, self._lots
        if not world.faulty:
            self.due = Counter(self.published)
            for channel in ALL:
                self._publish(channel, 1)
            world.after(0.5, self._send)
            return
        burst = lots.choice([1, 1, 2, 4, 12, 40])
        self._publish(lots.choice(ALL), burst)
        world.after(0.12 * lots.random() * min(burst, 12) ** 0.5, self._send)

    def _publish(self, channel: Channel, messages: int) -> None:
        store = self._scene.store
        if store.takes(channel[1]):
            away = frozenset[str]()
            if isinstance(store, ClusterSite) and not channel[0]:
                away = store.out_of_reach(channel[1], within=UNNOTICED)
            for _ in range(messages):
                self.published[channel] += 1
                if away:
                    self.unheard[channel, self.published[channel]] = Unheard(self._scene.world.now, away)
                data = b"%d " % self.published[channel] + b"." * self._lots.choice([0, 0, 300])
                store.do(b"SPUBLISH" if channel[0] else b"PUBLISH", channel[1], data)


@dataclass(frozen=True)
class SubscriberHabits:
    """The settings of a subscriber, and its pace."""

    queue_size: int
    when_full: Any
    handled: float  # the part of the names that have handlers
    slow: float

    @classmethod
    def drawn(cls, lots: Random) -> SubscriberHabits:
        """Draw the habits of a new role."""
        return cls(
            lots.choice([3, 10, 10_000]),
            lots.choice(["block", "drop_oldest", "drop_newest"]),
            lots.choice([0.0, 0.0, 0.5]),
            lots.choice([0.0, 0.1, 0.3]),
        )


@dataclass
class SubscriptionRecord:
    """The messages that a process has got of a subscription. ``since``: the number of messages when the server had confirmed it."""

    has_handler: bool
    asked: Counter[Channel] = field(default_factory=Counter)  # what was published when it was asked for
    before: frozenset[bool] = frozenset()  # whether the subscriptions to this name before this one had handlers
    since: Counter[Channel] | None = None
    last: dict[bytes, int] = field(default_factory=dict)  # by channel
    excused: set[bytes] | None = None  # channels that have had their message since a gap was told; None: no gap
    ended: Counter[Channel] | None = None  # what was published when the server had confirmed its end
