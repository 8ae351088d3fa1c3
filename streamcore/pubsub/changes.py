"""Calls that change subscriptions, and the state of subscriptions that the application can see."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Generic, NamedTuple, TypeVar

from ..engine.pending_change import PendingChange
from ..errors import UNAVAILABLE, ReplyError
from .subscriptions import Subscription, named

T = TypeVar("T", bytes, str)


class SubscriptionChange(PendingChange):
    """A call that subscribes or un-subscribes; done when the server has confirmed all of it (SUBSCRIBE and its kin).

    ``added`` are the subscriptions that were not desired before; a call that fails takes them back. ``wanted``: it
    subscribes.
    """

    def __init__(self, subscriptions: Sequence[Subscription], added: Iterable[Subscription], *, wanted: bool) -> None:
        super().__init__()
        self.subscriptions = frozenset(subscriptions)
        self.added = dict.fromkeys(added)  # in their order
        self.wanted = wanted
        self._left = list(subscriptions)

    def poll(self) -> bool:
        """Tell whether the server has confirmed all of it. Raises its refusal, once all others are confirmed.

        A refusal to un-subscribe is as good as done: no further message is handed over.
        """
        self._left = left = [
            subscription
            for subscription in self._left
            if subscription.wanted is self.wanted and not subscription.is_settled
        ]
        refused = [
            subscription
            for subscription in left
            if subscription.refusal is not None and subscription.refusal.code not in UNAVAILABLE
        ]
        if refused and len(refused) == len(left) and self.wanted:
            self.fail(named(refused))
        elif len(refused) == len(left):
            left.clear()
            self.finish()
        return super().poll()

    @property
    def refusal(self) -> ReplyError | None:
        """The server's refusal, while the change is not done; None where there is none."""
        refused = [subscription for subscription in self._left if subscription.refusal is not None]
        return named(refused) if refused else None


class Standing(NamedTuple, Generic[T]):
    """The names that are desired, the confirmed names among them, and the refused names, with the server's error."""

    desired: frozenset[T]
    confirmed: frozenset[T]
    failed: Mapping[T, ReplyError]


class Subscriptions(NamedTuple, Generic[T]):
    """The present subscriptions, kind by kind, or (``desired``, ``confirmed``, ``failed``) all kinds together."""

    channels: Standing[T]
    patterns: Standing[T]
    shard_channels: Standing[T]

    @property
    def desired(self) -> frozenset[T]:
        """All names that are desired."""
        return self.channels.desired | self.patterns.desired | self.shard_channels.desired

    @property
    def confirmed(self) -> frozenset[T]:
        """All names that the server has confirmed, over the present connection."""
        return self.channels.confirmed | self.patterns.confirmed | self.shard_channels.confirmed

    @property
    def failed(self) -> Mapping[T, ReplyError]:
        """All names that the server refuses, with its reason."""
        return {**self.channels.failed, **self.patterns.failed, **self.shard_channels.failed}


def standing(subscriptions: Iterable[Subscription], text: Callable[[bytes], T]) -> Standing[T]:
    """Sum up the subscriptions of a kind; ``text`` decodes a name for the application."""
    wanted = [subscription for subscription in subscriptions if subscription.wanted]
    return Standing(
        frozenset(text(subscription.name) for subscription in wanted),
        frozenset(text(subscription.name) for subscription in wanted if subscription.confirmed),
        MappingProxyType(
            {
                text(subscription.name): named([subscription])
                for subscription in wanted
                if subscription.refusal is not None
            }
        ),
    )
