"""One link, and what it is to be subscribed to: desired state and the server's word, made equal over any number of connections.

A ``Subscription`` is *wanted* or not, the server was *told* so on the present connection or not, and has *confirmed* that it
is in force or not. ``sync`` tells what was not told yet; on a new connection that is everything. Commands are answered in
order, so what was told last holds in the end, and an answer to an earlier command does no harm.

A refusal counts for all names of a command. So they are told one by one then, and the culprits, known by name, are asked
for again after a back-off: permissions may be given back. Un-subscribing names what it means: without names, the number of
answers would be known to the server only, if it takes away a shard channel at the same moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol

from ..connection.exchange import Exchange, Subscribing
from ..connection.link import Link
from ..errors import UNAVAILABLE, ReplyError
from .message import Kind

NAMES: Final = 500
"""How many names one command has at most."""
_LISTED: Final = 5


class Subscription:
    """One name. ``refusal`` is the server's last word where it would not do what was wanted."""

    __slots__ = ("confirmed", "handler", "kind", "name", "refusal", "telling", "told", "wanted")

    def __init__(self, kind: Kind, name: bytes) -> None:
        self.kind = kind
        self.name = name
        self.handler: Any = None
        self.wanted = False
        self.told = False
        self.confirmed = False
        self.refusal: ReplyError | None = None
        self.telling: Telling | None = None  # the last command about it that is not answered

    @property
    def is_settled(self) -> bool:
        """Whether the server's last word is what is wanted: an earlier command's answer may say so, too, and not hold."""
        return self.confirmed is self.wanted and self.telling is None


class Telling(Subscribing):
    """A command about subscriptions of one kind, on its way."""

    __slots__ = ("subscriptions", "wanted")

    def __init__(self, subscriptions: Sequence[Subscription], timeout: float) -> None:
        kind, self.wanted = subscriptions[0].kind, subscriptions[0].wanted
        word = kind.subscribe if self.wanted else kind.unsubscribe
        super().__init__(word, [one.name for one in subscriptions], timeout)
        self.subscriptions = subscriptions


class Keeper(Protocol):
    """What a subscriber asks of, and tells, its engine."""

    def new_subscriber_link(self, subscriber: Subscriber) -> Link: ...
    def subscriber_up(self, subscriber: Subscriber) -> None: ...
    def subscriber_told(self, subscriber: Subscriber, telling: Telling) -> None: ...
    def subscriber_lost(self, subscriber: Subscriber, names: Sequence[bytes] | None, error: Exception) -> None: ...
    def subscriber_refused(self, subscriber: Subscriber, refused: Sequence[Subscription]) -> None: ...
    def subscriber_answered(self, exchange: Exchange) -> None: ...
    def subscriber_pushed(self, subscriber: Subscriber, pushes: list[list[Any]]) -> None: ...
    def subscriber_down(self, subscriber: Subscriber, error: Exception) -> None: ...
    def backoff(self, attempts: int) -> float: ...


class Subscriber:
    """One link, and its subscriptions by kind and name. ``special``: those whose messages are not for the inbox."""

    def __init__(self, keeper: Keeper, timeout: float) -> None:
        self.table: dict[Kind, dict[bytes, Subscription]] = {kind: {} for kind in Kind}
        self.special: set[Subscription] = set()
        self.retry_at: float | None = None
        self._keeper = keeper
        self._timeout = timeout
        self._stale: dict[Subscription, None] = {}  # of which the server may have to be told
        self._refused: dict[Subscription, None] = {}
        self._news: list[Subscription] = []  # of the refused ones, those that nobody has been told of
        self._retries = 0
        self._unanswered = 0
        self._in_force = False  # whether something was confirmed on this connection
        self.link = keeper.new_subscriber_link(self)

    # -- what is desired ----------------------------------------------------------------------------------------------

    def want(self, kind: Kind, name: bytes, handler: Any) -> Subscription:
        """Desire a subscription, with this handler, if any."""
        names = self.table[kind]
        one = names.get(name)
        if one is None:
            one = names[name] = Subscription(kind, name)
        if not one.wanted:
            one.wanted = True
            one.refusal = None
            self._stale[one] = None
        elif one.refusal is not None:  # ask again: it may be granted by now
            one.refusal = None
            del self._refused[one]
            self._stale[one] = None
        one.handler = handler
        (self.special.discard if handler is None else self.special.add)(one)
        return one

    def unwant(self, one: Subscription) -> None:
        """Desire it no more."""
        if one.wanted:
            one.wanted = False
            one.refusal = None
            self._refused.pop(one, None)
            self._stale[one] = None
            self._forget_if_over(one)

    def find(self, kind: Kind, names: Iterable[bytes]) -> list[Subscription]:
        """The subscriptions of these names, where they are desired; without names, all of the kind."""
        table = self.table[kind]
        found = [table[name] for name in names if name in table] if names else list(table.values())
        return [one for one in found if one.wanted]

    def sync(self) -> None:
        """Tell the server what it does not know yet."""
        if not self.link.is_up:
            return
        stale, self._stale = self._stale, {}
        groups: dict[tuple[Kind, bool], list[Subscription]] = {}
        for one in stale:
            if one.wanted != one.told:
                groups.setdefault((one.kind, one.wanted), []).append(one)
        for group in groups.values():
            for at in range(0, len(group), NAMES):
                self._tell(group[at : at + NAMES])

    @property
    def is_idle(self) -> bool:
        """Whether no message is to be expected: those of names that the server has not let go of yet still count."""
        return not any(one.wanted or one.refusal is None for names in self.table.values() for one in names.values())

    @property
    def awaits_answers(self) -> bool:
        """Whether the server's word on a subscription is due."""
        return self._unanswered > 0

    def _tell(self, subscriptions: Sequence[Subscription]) -> None:
        telling = Telling(subscriptions, self._timeout)
        for one in subscriptions:
            one.told, one.telling = one.wanted, telling
        self._unanswered += 1
        self.link.send(telling)
        self.link.resume()  # however full the inbox is: the answer has to be read

    def _forget_if_over(self, one: Subscription) -> None:
        if not (one.wanted or one.told or one.confirmed or one.telling is not None):
            self.table[one.kind].pop(one.name, None)
            self.special.discard(one)
            self._stale.pop(one, None)

    # -- what the link tells ------------------------------------------------------------------------------------------

    def link_up(self, link: Link) -> None:
        self._keeper.subscriber_up(self)
        if link.is_up:  # whoever was told may have closed the engine
            self._stale = {one: None for names in self.table.values() for one in names.values()}
            self.sync()

    def link_answered(self, link: Link, exchange: Exchange) -> None:
        if not link.is_up:  # dropped for what came before, in the same piece
            return
        if not isinstance(exchange, Telling):
            self._keeper.subscriber_answered(exchange)
            return
        self._unanswered -= 1
        reply = exchange.replies[-1]
        if isinstance(reply, ReplyError):
            self._refuse(exchange, reply)
        else:
            link.succeeded()
            self._confirm(exchange)
        self._keeper.subscriber_told(self, exchange)
        if self._news and not self._unanswered:
            news, self._news = self._news, []
            self._keeper.subscriber_refused(self, [one for one in news if one.refusal is not None])

    def link_pushed(self, link: Link, pushes: list[list[Any]]) -> None:
        if link.is_up:
            self._keeper.subscriber_pushed(self, pushes)

    def link_down(self, link: Link, error: Exception, sent: list[Exchange], unsent: list[Exchange]) -> None:
        for names in self.table.values():
            for one in list(names.values()):
                one.told = one.confirmed = False
                one.telling = None
                self._forget_if_over(one)
        self._unanswered = 0
        self.retry_at = None
        in_force, self._in_force = self._in_force, False
        if in_force:
            self._keeper.subscriber_lost(self, None, error)
        self._keeper.subscriber_down(self, error)

    def revoked(self, kind: Kind, name: bytes, error: Exception) -> bool:
        """The server has ended a subscription; asked again, it may tell where a shard channel lives now.

        False where this is the answer to a command of ours, since something of the kind was taken for it.
        """
        one = self.table[kind].get(name)
        if one is None or not one.confirmed:
            return False
        one.told = one.confirmed = False
        self._stale[one] = None
        self._forget_if_over(one)
        if one.wanted:
            self._keeper.subscriber_lost(self, [name], error)
        self.sync()
        return True

    # -- the server's word --------------------------------------------------------------------------------------------

    def _confirm(self, telling: Telling) -> None:
        healed: list[Subscription] = []
        for one in telling.subscriptions:
            one.confirmed = telling.wanted
            if one.telling is telling:
                one.telling = None
            if telling.wanted and one.refusal is not None and one.wanted:
                healed.append(one)
            self._forget_if_over(one)
        self._in_force |= telling.wanted
        if healed:
            why = named(healed)
            for one in healed:
                one.refusal = None
                del self._refused[one]
            self._keeper.subscriber_lost(self, [one.name for one in healed], why)
        if not self._refused:
            self._retries = 0

    def _refuse(self, telling: Telling, error: ReplyError) -> None:
        current = [one for one in telling.subscriptions if one.telling is telling]
        for one in current:
            one.told, one.telling = one.confirmed, None
        if not telling.wanted:
            for one in current:
                if one.confirmed:
                    one.refusal = error
                    self.special.add(one)  # what comes of it reaches nobody, until the connection ends
                else:
                    self._forget_if_over(one)  # it had been refused as well
        elif len(telling.subscriptions) > 1 and error.code not in UNAVAILABLE:
            for one in current:
                self._tell([one])
        else:
            for one in current:
                if one.refusal is None or one.refusal.code != error.code:
                    self._news.append(one)
                one.refusal = error
                self._refused[one] = None
            if current and self.retry_at is None:
                self.retry_at = self._keeper.backoff(self._retries)
                self._retries += 1

    # -- time ---------------------------------------------------------------------------------------------------------

    def elapse(self, now: float) -> None:
        """Ask again for what was refused, when it is time."""
        if self.retry_at is not None and now >= self.retry_at:
            self.retry_at = None
            self._stale.update(self._refused)
            self.sync()


def named(refused: Sequence[Subscription]) -> ReplyError:
    """The error of subscriptions that were refused for one reason; the server's own does not say which they are."""
    [error, *_] = (one.refusal for one in refused if one.refusal is not None)
    what = refused[0].kind.what + ("s" if len(refused) > 1 else "")
    listed = ", ".join(repr(one.name.decode(errors="replace")) for one in refused[:_LISTED])
    more = f" and {len(refused) - _LISTED} more" if len(refused) > _LISTED else ""
    return type(error)(error.code, f"{error.message} ({what} {listed}{more})", refused[0].kind.subscribe)
