"""The subscriptions of a link: desired names and the server's confirmations, made equal over any number of connections.

A ``Subscription`` is *wanted* or not, the server was *told* so on the present connection or not, and has *confirmed*
that it is in force or not. ``sync`` tells untold changes; on a new connection that is everything. Commands are
answered in order, so the last command holds in the end, and an answer to an earlier command does no harm.

A refusal counts for all names of a command. So each is told by a command of its own then, and the refused names are
asked for again after a back-off: permissions may be given back. Un-subscribing always names its channels: without
names, the number of answers would be known to the server only, if it takes away a shard channel at the same moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf
from typing import Any, Final, Protocol

from ..connection.exchange import Exchange, Subscribing
from ..connection.link import Link
from ..engine.context import EngineContext
from ..engine.degradation import UNSUBSCRIBING, Degradation
from ..engine.router import ANYWHERE, Route
from ..errors import UNAVAILABLE, ConnectionLost, RemoteProtocolError, ReplyError
from ..events import Event
from ..sense import MISSHAPEN
from .message import Kind

NAMES: Final = 500
"""The most names of a command."""
READ_SIZE: Final = 16 << 10
"""Bytes of a read. It holds many small messages; more of them would not stay in the processor's cache."""
_LISTED: Final = 5


class Subscription:
    """A name with its states. ``refusal`` is the server's last error where it would not do as wanted.

    ``muted``: its messages are dropped, until the connection ends or it is wanted again.
    """

    __slots__ = ("command", "confirmed", "handler", "kind", "muted", "name", "refusal", "told", "wanted")

    def __init__(self, kind: Kind, name: bytes) -> None:
        self.kind = kind
        self.name = name
        self.handler: Any = None
        self.wanted = False
        self.told = False
        self.confirmed = False
        self.muted = False
        self.refusal: ReplyError | None = None
        self.command: SubscriptionCommand | None = None  # the last command about it that is not answered

    @property
    def is_settled(self) -> bool:
        """Whether the last command is confirmed; an earlier command's answer may agree with it, and not hold."""
        return self.confirmed is self.wanted and self.command is None


class SubscriptionCommand(Subscribing):
    """A SUBSCRIBE or UNSUBSCRIBE of names of the same kind, on its way."""

    __slots__ = ("subscriptions", "wanted")

    def __init__(self, subscriptions: Sequence[Subscription], timeout: float) -> None:
        kind, self.wanted = subscriptions[0].kind, subscriptions[0].wanted
        word = kind.subscribe if self.wanted else kind.unsubscribe
        super().__init__(word, [subscription.name for subscription in subscriptions], timeout)
        self.subscriptions = subscriptions


class SubscriptionOwner(Protocol):
    """The owner of a subscription table: it receives messages, answers, losses and refusals."""

    def subscriptions_up(self, subscriptions: SubscriptionTable, *, again: bool) -> None: ...
    def subscriptions_answered(self, subscriptions: SubscriptionTable, exchange: Exchange) -> None: ...
    def subscriptions_lost(
        self, subscriptions: SubscriptionTable, names: Sequence[bytes] | None, error: Exception
    ) -> None: ...
    def subscriptions_refused(self, subscriptions: SubscriptionTable, refused: Sequence[Subscription]) -> None: ...
    def subscriptions_pushed(self, subscriptions: SubscriptionTable, pushes: list[list[Any]]) -> None: ...
    def subscriptions_down(self, subscriptions: SubscriptionTable, error: Exception, *, was_up: bool) -> None: ...


class Desired(Protocol):
    """The subscriptions that an engine desires, over a link or over several: by kind and name in ``table``."""

    table: dict[Kind, dict[bytes, Subscription]]

    def want(self, kind: Kind, name: bytes, handler: Any) -> Subscription: ...
    def unwant(self, subscription: Subscription) -> None: ...
    def sync(self) -> None: ...
    def open(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    @property
    def is_up(self) -> bool: ...
    @property
    def is_idle(self) -> bool: ...
    @property
    def is_tracked(self) -> bool: ...
    @property
    def has_handlers(self) -> bool: ...


class SubscriptionTable:
    """The subscriptions of a link by kind and name.

    ``special``: their messages are not for the buffer. ``retry``: when refused subscriptions are asked for again.
    ``degradation``: what the present connection leaves out for want of a right; ``emit`` emits its events.
    ``slot_of``: commands are of names with the same slot. ``tracks``: the link is for invalidated keys as well, and
    ``is_tracked`` while the server tells them.
    """

    def __init__(
        self,
        engine: EngineContext,
        owner: SubscriptionOwner,
        emit: Callable[[Event], None],
        *,
        name: str = "main",
        route: Route = ANYWHERE,
        slot_of: Callable[[bytes], int] | None = None,
        tracks: bool = True,
    ) -> None:
        self.table: dict[Kind, dict[bytes, Subscription]] = {kind: {} for kind in Kind}
        self.special: set[Subscription] = set()
        self.degradation = Degradation(emit)
        self.retry = engine.new_timer(self._ask_again)
        self.tracks = tracks
        self.is_tracked = False
        self._slot_of = slot_of
        self._engine = engine
        self._owner = owner
        self._stale: dict[Subscription, None] = {}  # changes that the server may have to be told
        self._refused: dict[Subscription, None] = {}
        self._news: list[Subscription] = []  # refused, and not reported to the owner yet
        self._retries = 0
        self._unanswered = 0
        self._in_force = False  # whether a subscription was confirmed on this connection
        self._up_before = self._was_up = False
        self.link = engine.new_link(self, name, route)
        self.link.read_size = READ_SIZE

    # -- desired subscriptions ----------------------------------------------------------------------------------------

    def want(self, kind: Kind, name: bytes, handler: Any) -> Subscription:
        """Desire a subscription, with this handler, if any; ``sync`` sends the SUBSCRIBE."""
        names = self.table[kind]
        subscription = names.get(name)
        if subscription is None:
            subscription = names[name] = Subscription(kind, name)
        if not subscription.wanted:
            subscription.wanted = True
            subscription.refusal = None
            self._stale[subscription] = None
        elif subscription.refusal is not None:  # ask again: it may be granted by now
            subscription.refusal = None
            del self._refused[subscription]
            self._stale[subscription] = None
        subscription.handler = handler
        subscription.muted = False
        (self.special.discard if handler is None else self.special.add)(subscription)
        return subscription

    def unwant(self, subscription: Subscription) -> None:
        """Desire a subscription no more; ``sync`` sends the UNSUBSCRIBE."""
        if subscription.wanted:
            subscription.wanted = False
            subscription.refusal = None
            self._refused.pop(subscription, None)
            self._stale[subscription] = None
            self._forget_if_over(subscription)

    def mute(self, subscription: Subscription) -> None:
        """Drop the messages of a subscription from now on."""
        subscription.muted = True
        self.special.add(subscription)

    def sync(self) -> None:
        """Send SUBSCRIBE and UNSUBSCRIBE for all changes that the server was not told."""
        if not self.link.is_up:
            return
        stale, self._stale = self._stale, {}
        groups: dict[tuple[Kind, bool, int], list[Subscription]] = {}
        for subscription in stale:
            if subscription.wanted != subscription.told:
                slot = 0 if self._slot_of is None else self._slot_of(subscription.name)
                groups.setdefault((subscription.kind, subscription.wanted, slot), []).append(subscription)
        for group in groups.values():
            for at in range(0, len(group), NAMES):
                self._send_command(group[at : at + NAMES])

    @property
    def is_idle(self) -> bool:
        """Whether no message is to be expected: names that the server has not let go of yet still count."""
        return not any(
            subscription.wanted or subscription.refusal is None
            for names in self.table.values()
            for subscription in names.values()
        )

    @property
    def has_handlers(self) -> bool:
        """Whether a subscription has a handler."""
        return any(subscription.handler for subscription in self.special)

    @property
    def awaits_answers(self) -> bool:
        """Whether the server's confirmation of a SUBSCRIBE or UNSUBSCRIBE is due."""
        return self._unanswered > 0

    def _send_command(self, subscriptions: Sequence[Subscription]) -> None:
        command = SubscriptionCommand(subscriptions, self._engine.options.request_timeout)
        for subscription in subscriptions:
            subscription.told, subscription.command = subscription.wanted, command
        self._unanswered += 1
        self.link.send(command)
        self.link.resume()  # however full the buffer is: the answer has to be read

    def _forget_if_over(self, subscription: Subscription) -> None:
        if not (subscription.wanted or subscription.told or subscription.confirmed or subscription.command is not None):
            self.table[subscription.kind].pop(subscription.name, None)
            self.special.discard(subscription)
            self._stale.pop(subscription, None)

    # -- the link -----------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Want a connection from now on."""
        self.link.open()

    def pause(self) -> None:
        """Stop reading, unless an answer is due."""
        if not self.awaits_answers:
            self.link.pause()

    def resume(self) -> None:
        """Read on."""
        self.link.resume()

    @property
    def is_up(self) -> bool:
        """Whether the link is up."""
        return self.link.is_up

    def link_up(self, link: Link) -> None:
        if self._was_up:  # a signal handler has raised while the loss of the former connection was told
            self.link_down(link, ConnectionLost("the loss of the connection was interrupted"), [], [])
        again, self._was_up, self._up_before = self._up_before, True, True
        self.degradation.begin()
        self._owner.subscriptions_up(self, again=again)
        if link.is_up:  # the application, told of the connection, may have closed the engine
            self._stale = {subscription: None for names in self.table.values() for subscription in names.values()}
            self.sync()

    def link_answered(self, link: Link, exchange: Exchange) -> None:
        if not link.is_up:  # dropped for an earlier reply of the same read
            return
        if not isinstance(exchange, SubscriptionCommand):
            self._owner.subscriptions_answered(self, exchange)
            return
        self._unanswered -= 1
        reply = exchange.replies[-1]
        if isinstance(reply, ReplyError):
            self._refuse(exchange, reply)
        else:
            link.succeeded()
            self._confirm(exchange)
        self._owner.subscriptions_answered(self, exchange)
        if self._news and not self._unanswered:
            news, self._news = self._news, []
            self._owner.subscriptions_refused(
                self, [subscription for subscription in news if subscription.refusal is not None]
            )

    def link_pushed(self, link: Link, pushes: list[list[Any]]) -> None:
        """Have the owner dispatch pushes; drop the link of a server whose pushes make no sense."""
        if not link.is_up:
            return
        try:
            self._owner.subscriptions_pushed(self, pushes)
        except MISSHAPEN as error:
            link.drop(RemoteProtocolError(f"the server has pushed what makes no sense: {error!r}"))

    def link_down(self, link: Link, error: Exception, sent: list[Exchange], unsent: list[Exchange]) -> None:
        for names in self.table.values():
            for subscription in list(names.values()):
                subscription.told = subscription.confirmed = False
                subscription.command = None
                self._forget_if_over(subscription)
        self._unanswered = 0
        self.retry.set(inf)
        if self._in_force:
            self._owner.subscriptions_lost(self, None, error)
            self._in_force = False
        was_up, self._was_up = self._was_up, False
        self._owner.subscriptions_down(self, error, was_up=was_up)

    def revoked(self, kind: Kind, name: bytes) -> bool:
        """Note that the server has ended a subscription, and ask again: it may tell where a shard channel is now.

        False where the push is the answer to our own command, since an earlier push was taken for it.
        """
        subscription = self.table[kind].get(name)
        if subscription is None or not subscription.confirmed:
            return False
        subscription.told = subscription.confirmed = False
        self._stale[subscription] = None
        self._forget_if_over(subscription)
        if subscription.wanted:
            why = ConnectionLost(f"{self.link.address} has ended the subscription to a {kind.what}")
            self._owner.subscriptions_lost(self, [name], why)
        self.sync()
        return True

    # -- the server's word --------------------------------------------------------------------------------------------

    def _confirm(self, command: SubscriptionCommand) -> None:
        healed: list[Subscription] = []
        for subscription in command.subscriptions:
            subscription.confirmed = command.wanted
            if subscription.command is command:
                subscription.command = None
            if command.wanted and subscription.refusal is not None and subscription.wanted:
                healed.append(subscription)
            self._forget_if_over(subscription)
        self._in_force |= command.wanted
        if healed:
            why = named(healed)
            for subscription in healed:
                subscription.refusal = None
                del self._refused[subscription]
            self._owner.subscriptions_lost(self, [subscription.name for subscription in healed], why)
        if not self._refused:
            self._retries = 0

    def _refuse(self, command: SubscriptionCommand, error: ReplyError) -> None:
        current = [subscription for subscription in command.subscriptions if subscription.command is command]
        for subscription in current:
            subscription.told, subscription.command = subscription.confirmed, None
        if not command.wanted:
            for subscription in current:
                if subscription.confirmed:
                    subscription.refusal = error
                    self.mute(subscription)
                else:
                    self._forget_if_over(subscription)  # it had been refused as well
            self.degradation.is_forbidden(UNSUBSCRIBING, (command.subscriptions[0].kind.unsubscribe,), error)
        elif len(command.subscriptions) > 1 and error.code not in UNAVAILABLE:
            for subscription in current:
                self._send_command([subscription])
        else:
            for subscription in current:
                if subscription.refusal is None or subscription.refusal.code != error.code:
                    self._news.append(subscription)
                subscription.refusal = error
                self._refused[subscription] = None
            if current and self.retry.at == inf:
                self.retry.set(self._engine.clock.now + self._backoff())
                self._retries += 1

    def _backoff(self) -> float:
        """Seconds until the next retry."""
        options = self._engine.options
        return min(options.backoff_initial * 2.0 ** min(self._retries, 32), options.backoff_max) * self._engine.random()

    def _ask_again(self, now: float) -> None:
        """Ask again for refused subscriptions: the back-off is over."""
        self.retry.set(inf)
        self._stale.update(self._refused)
        self.sync()


def find(table: Mapping[bytes, Subscription], names: Iterable[bytes]) -> list[Subscription]:
    """Return the desired subscriptions of these names; without names, all of the table."""
    found = [table[name] for name in names if name in table] if names else list(table.values())
    return [subscription for subscription in found if subscription.wanted]


def named(refused: Sequence[Subscription]) -> ReplyError:
    """Add the names to the error of subscriptions that were refused for the same reason."""
    [error, *_] = (subscription.refusal for subscription in refused if subscription.refusal is not None)
    what = refused[0].kind.what + ("s" if len(refused) > 1 else "")
    listed = ", ".join(repr(subscription.name.decode(errors="replace")) for subscription in refused[:_LISTED])
    more = f" and {len(refused) - _LISTED} more" if len(refused) > _LISTED else ""
    return type(error)(error.code, f"{error.message} ({what} {listed}{more})", refused[0].kind.subscribe)
