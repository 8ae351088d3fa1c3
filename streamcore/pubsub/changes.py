"""Calls that change subscriptions, and the state of subscriptions that the application can see.

A call waits for the server's confirmation. Until it ends, its refusals are its own; those of subscriptions that no call
waits for are told as ``SubscriptionFailed``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeVar

from ..engine.context import EngineContext
from ..engine.pending_change import PendingChange
from ..errors import UNAVAILABLE, ReplyError
from ..events import SubscriptionFailed
from .message import Kind
from .subscriptions import Desired, Subscription, find, named

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


class SubscriptionChanges:
    """The calls that change the subscriptions of a table, and wait for the server's confirmation."""

    def __init__(self, engine: EngineContext, subscriptions: Desired) -> None:
        self._engine = engine
        self._subscriptions = subscriptions
        self._waiting: list[SubscriptionChange] = []

    def subscribe(self, kind: Kind, wanted: Mapping[bytes, Any]) -> SubscriptionChange:
        """Desire these names, with their handlers (SUBSCRIBE); a handler that they had is replaced."""
        table = self._subscriptions.table[kind]
        known = {name for name in wanted if name in table and table[name].wanted}
        wants = [self._subscriptions.want(kind, name, handler) for name, handler in wanted.items()]
        added = (subscription for subscription in wants if subscription.name not in known)
        return self._begin(SubscriptionChange(wants, added, wanted=True))

    def unsubscribe(self, kind: Kind, unwanted: Iterable[bytes] = ()) -> SubscriptionChange:
        """Desire these names no more (UNSUBSCRIBE); without names, none of the kind."""
        found = find(self._subscriptions.table[kind], unwanted)
        for subscription in found:
            self._subscriptions.unwant(subscription)
        return self._begin(SubscriptionChange(found, (), wanted=False))

    def give_up(self, change: SubscriptionChange) -> None:
        """Cancel a change that is not done, whose caller has left; names that another call waits for stay."""
        self._waiting.remove(change)
        if change.done or self._engine.closed:
            return
        for subscription in change.added:
            other = next(
                (other for other in self._waiting if other.wanted and subscription in other.subscriptions), None
            )
            if other is not None:
                other.added[subscription] = None
            else:
                self._subscriptions.unwant(subscription)
        self._sync()

    def keep(self, change: SubscriptionChange) -> None:
        """Forget a change, whose caller has left, without taking it back."""
        self._waiting.remove(change)

    def failures(self, refused: Iterable[Subscription]) -> Iterator[SubscriptionFailed]:
        """Build the events of refusals, but for names that a waiting call will raise them for."""
        reasons: dict[tuple[Kind, str], list[Subscription]] = {}
        for subscription in refused:
            if subscription.refusal is not None and not any(
                subscription in change.subscriptions for change in self._waiting
            ):
                reasons.setdefault((subscription.kind, subscription.refusal.code), []).append(subscription)
        for (kind, _), alike in reasons.items():
            yield SubscriptionFailed(kind.what, tuple(subscription.name for subscription in alike), named(alike))

    def _begin(self, change: SubscriptionChange) -> SubscriptionChange:
        self._waiting.append(change)
        self._sync()
        return change

    def _sync(self) -> None:
        self._subscriptions.sync()
        self._engine.on_wakeup()


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
