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
        "self._stale = {subscription: None for names in self.table.values() for subscription in names.values()}",
        "self._stale = {subscription: None for names in self.table.values() for subscription in names.values()}\n"
        "            self.special.clear()",
        "issue 6: subscriptions are restored after a reconnect, and their handlers are not",
        scenario="pubsub",
    ),
    Mutant(
        "channel-lost-while-resubscribing",
        SUBSCRIBER,
        "for subscription in list(names.values()):",
        "for subscription in [subscription for subscription in names.values() if subscription.confirmed]:",
        "issue 6: what was not confirmed when the connection broke again is never subscribed to any more",
        scenario="pubsub",
    ),
    Mutant(
        "patterns-not-restored",
        SUBSCRIBER,
        "subscription.told = subscription.confirmed = False\n                subscription.command = None",
        'subscription.told = subscription.confirmed = subscription.confirmed and subscription.kind.what == "pattern"'
        "\n                subscription.command = None",
        "clients that restore channels after a reconnect, and forget that there are patterns",
        scenario="pubsub",
    ),
    Mutant(
        "subscription-gap-untold",
        SUBSCRIBER,
        "if self._in_force:",
        "if False:",
        "all clients: what was published while the connection was lost is missed in silence",
        scenario="pubsub",
    ),
    Mutant(
        "shard-channel-taken-away-for-ever",
        SUBSCRIBER,
        "subscription.told = subscription.confirmed = False\n        self._stale[subscription] = None",
        "subscription.told = subscription.confirmed = True\n        self._stale[subscription] = None",
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
        "for subscription in current:\n                self._send_command([subscription])",
        "for subscription in current:\n                subscription.refusal = error",
        "one forbidden name among many: none of them is subscribed to",
        scenario="pubsub",
    ),
    Mutant(
        "drops-untold",
        INBOX,
        "self._untold = 0\n            self._markers -= 1\n            emit(event)",
        "self._untold = 0\n            self._markers -= 1",
        "messages are dropped in silence",
        scenario="pubsub",
    ),
    Mutant(
        "gap-behind-the-next-message",
        INBOX,
        "self._count(1, _is_beside(marker))\n        self._items.append(marker)",
        "self._count(1, _is_beside(marker))\n        self._items.appendleft(marker)",
        "a gap that is told in another place than its own",
        scenario="pubsub",
    ),
)
