"""What goes wrong with subscriptions: restored in part, or in silence."""

from __future__ import annotations

from typing import Final

from .mutant import Mutant

SUBSCRIBER: Final = "streamcore.pubsub.subscriptions"
INBOX: Final = "streamcore.pubsub.buffer"
ENGINE: Final = "streamcore.pubsub.engine"

PUBSUB: Final = (
    Mutant(
        "handlers-forgotten",
        SUBSCRIBER,
        "self._stale = {one: None for names in self.table.values() for one in names.values()}",
        "self._stale = {one: None for names in self.table.values() for one in names.values()}\n"
        "            self.special.clear()",
        "issue 6: subscriptions are restored after a reconnect, and their handlers are not",
        scenario="pubsub",
    ),
    Mutant(
        "channel-lost-while-resubscribing",
        SUBSCRIBER,
        "for one in list(names.values()):",
        "for one in [one for one in names.values() if one.confirmed]:",
        "issue 6: what was not confirmed when the connection broke again is never subscribed to any more",
        scenario="pubsub",
    ),
    Mutant(
        "patterns-not-restored",
        SUBSCRIBER,
        "one.told = one.confirmed = False\n                one.telling = None",
        'one.told = one.confirmed = one.confirmed and one.kind.what == "pattern"\n                one.telling = None',
        "clients that restore channels after a reconnect, and forget that there are patterns",
        scenario="pubsub",
    ),
    Mutant(
        "subscription-gap-untold",
        SUBSCRIBER,
        "if in_force:",
        "if False:",
        "all clients: what was published while the connection was lost is missed in silence",
        scenario="pubsub",
    ),
    Mutant(
        "shard-channel-taken-away-for-ever",
        SUBSCRIBER,
        "one.told = one.confirmed = False\n        self._stale[one] = None",
        "one.told = one.confirmed = True\n        self._stale[one] = None",
        "the server's sunsubscribe (its slot has moved) ends the subscription, and nobody asks again",
        scenario="pubsub",
    ),
    Mutant(
        "refused-subscription-given-up",
        SUBSCRIBER,
        "self._stale.update(self._refused)",
        "self._refused.clear()",
        "a channel that was refused once is never asked for again, though permissions are back",
        scenario="pubsub",
    ),
    Mutant(
        "refusal-condemns-all",
        SUBSCRIBER,
        "for one in current:\n                self._tell([one])",
        "for one in current:\n                one.refusal = error",
        "one forbidden name among many: none of them is subscribed to",
        scenario="pubsub",
    ),
    Mutant(
        "drops-untold",
        INBOX,
        "if untold:\n            emit(MessagesDropped(untold))",
        "if False:\n            emit(MessagesDropped(untold))",
        "messages are dropped in silence",
        scenario="pubsub",
    ),
    Mutant(
        "gap-behind-the-next-message",
        INBOX,
        "self._count(odd, 1)\n        self._items.append(odd)",
        "self._count(odd, 1)\n        self._items.appendleft(odd)",
        "a gap that is told in another place than its own",
        scenario="pubsub",
    ),
)
