"""The subscriptions of a link: desired names and the server's confirmations, made equal over any number of connections.

A ``Subscription`` is *wanted* or not, the server was *told* so on the present connection or not, and has *confirmed*
that it is in force or not. ``sync`` tells untold changes; on a new connection that is everything. Commands are
answered in order, so the last command holds in the end, and an answer to an earlier command does no harm.

A refusal counts for all names of a command. So they are told one by one then, and the refused names, known now, are
asked for again after a back-off: permissions may be given back. Un-subscribing always names its channels: without
names, the number of answers would be known to the server only, if it takes away a shard channel at the same moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol

from ..connection.exchange import Exchange, Subscribing
from ..connection.link import Link
from ..errors import UNAVAILABLE, ReplyError
from .message import Kind

NAMES: Final = 500
"""The most names of a command."""
_LISTED: Final = 5


class Subscription:
    """A name with its states. ``refusal`` is the server's last error where it would not do as wanted."""

    __slots__ = ("command", "confirmed", "handler", "kind", "name", "refusal", "told", "wanted")

    def __init__(self, kind: Kind, name: bytes) -> None:
        self.kind = kind
        self.name = name
        self.handler: Any = None
        self.wanted = False
        self.told = False
        self.confirmed = False
        self.refusal: ReplyError | None = None
        self.command: SubscriptionCommand | None = None  # the last command about it that is not answered

    @property
    def is_settled(self) -> bool:
        """Whether the last command is confirmed; an earlier command's answer may agree with it, and not hold."""
        return self.confirmed is self.wanted and self.command is None


class SubscriptionCommand(Subscribing):
    """A SUBSCRIBE or UNSUBSCRIBE of one kind's names, on its way."""

    __slots__ = ("subscriptions", "wanted")

    def __init__(self, subscriptions: Sequence[Subscription], timeout: float) -> None:
        kind, self.wanted = subscriptions[0].kind, subscriptions[0].wanted
        word = kind.subscribe if self.wanted else kind.unsubscribe
        super().__init__(word, [one.name for one in subscriptions], timeout)
        self.subscriptions = subscriptions


class SubscriptionOwner(Protocol):
    """The engine of a subscription table: it makes the link, and receives messages, losses and refusals."""

    def new_subscriptions_link(self, subscriptions: SubscriptionTable) -> Link: ...
    def subscriptions_up(self, subscriptions: SubscriptionTable) -> None: ...
    def subscriptions_answered(self, subscriptions: SubscriptionTable, command: SubscriptionCommand) -> None: ...
    def subscriptions_lost(
        self, subscriptions: SubscriptionTable, names: Sequence[bytes] | None, error: Exception
    ) -> None: ...
    def subscriptions_refused(self, subscriptions: SubscriptionTable, refused: Sequence[Subscription]) -> None: ...
    def exchange_answered(self, exchange: Exchange) -> None: ...
    def subscriptions_pushed(self, subscriptions: SubscriptionTable, pushes: list[list[Any]]) -> None: ...
    def subscriptions_down(self, subscriptions: SubscriptionTable, error: Exception) -> None: ...
    def backoff(self, attempts: int) -> float: ...


class SubscriptionTable:
    """The subscriptions of a link by kind and name. ``special``: their messages are not for the buffer."""

    def __init__(self, owner: SubscriptionOwner, timeout: float) -> None:
        self.table: dict[Kind, dict[bytes, Subscription]] = {kind: {} for kind in Kind}
        self.special: set[Subscription] = set()
        self.retry_at: float | None = None
        self._owner = owner
        self._timeout = timeout
        self._stale: dict[Subscription, None] = {}  # changes that the server may have to be told
        self._refused: dict[Subscription, None] = {}
        self._news: list[Subscription] = []  # refused, and not reported to the owner yet
        self._retries = 0
        self._unanswered = 0
        self._in_force = False  # whether something was confirmed on this connection
        self.link = owner.new_subscriptions_link(self)

    # -- desired subscriptions ----------------------------------------------------------------------------------------

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
        """Desire a subscription no more."""
        if one.wanted:
            one.wanted = False
            one.refusal = None
            self._refused.pop(one, None)
            self._stale[one] = None
            self._forget_if_over(one)

    def find(self, kind: Kind, names: Iterable[bytes]) -> list[Subscription]:
        """Return the desired subscriptions of these names; without names, all of the kind."""
        table = self.table[kind]
        found = [table[name] for name in names if name in table] if names else list(table.values())
        return [one for one in found if one.wanted]

    def sync(self) -> None:
        """Send the commands of all changes that the server was not told."""
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
        """Whether no message is to be expected: names that the server has not let go of yet still count."""
        return not any(one.wanted or one.refusal is None for names in self.table.values() for one in names.values())

    @property
    def awaits_answers(self) -> bool:
        """Whether a confirmation is due."""
        return self._unanswered > 0

    def _tell(self, subscriptions: Sequence[Subscription]) -> None:
        command = SubscriptionCommand(subscriptions, self._timeout)
        for one in subscriptions:
            one.told, one.command = one.wanted, command
        self._unanswered += 1
        self.link.send(command)
        self.link.resume()  # however full the buffer is: the answer has to be read

    def _forget_if_over(self, one: Subscription) -> None:
        if not (one.wanted or one.told or one.confirmed or one.command is not None):
            self.table[one.kind].pop(one.name, None)
            self.special.discard(one)
            self._stale.pop(one, None)

    # -- events of the link -------------------------------------------------------------------------------------------

    def link_up(self, link: Link) -> None:
        self._owner.subscriptions_up(self)
        if link.is_up:  # the application, told of the connection, may have closed the engine
            self._stale = {one: None for names in self.table.values() for one in names.values()}
            self.sync()

    def link_answered(self, link: Link, exchange: Exchange) -> None:
        if not link.is_up:  # dropped for an earlier reply of the same read
            return
        if not isinstance(exchange, SubscriptionCommand):
            self._owner.exchange_answered(exchange)
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
            self._owner.subscriptions_refused(self, [one for one in news if one.refusal is not None])

    def link_pushed(self, link: Link, pushes: list[list[Any]]) -> None:
        if link.is_up:
            self._owner.subscriptions_pushed(self, pushes)

    def link_down(self, link: Link, error: Exception, sent: list[Exchange], unsent: list[Exchange]) -> None:
        for names in self.table.values():
            for one in list(names.values()):
                one.told = one.confirmed = False
                one.command = None
                self._forget_if_over(one)
        self._unanswered = 0
        self.retry_at = None
        in_force, self._in_force = self._in_force, False
        if in_force:
            self._owner.subscriptions_lost(self, None, error)
        self._owner.subscriptions_down(self, error)

    def revoked(self, kind: Kind, name: bytes, error: Exception) -> bool:
        """Note that the server has ended a subscription, and ask again: it may tell where a shard channel is now.

        False where the push is the answer to our own command, since an earlier push was taken for it.
        """
        one = self.table[kind].get(name)
        if one is None or not one.confirmed:
            return False
        one.told = one.confirmed = False
        self._stale[one] = None
        self._forget_if_over(one)
        if one.wanted:
            self._owner.subscriptions_lost(self, [name], error)
        self.sync()
        return True

    # -- the server's word --------------------------------------------------------------------------------------------

    def _confirm(self, command: SubscriptionCommand) -> None:
        healed: list[Subscription] = []
        for one in command.subscriptions:
            one.confirmed = command.wanted
            if one.command is command:
                one.command = None
            if command.wanted and one.refusal is not None and one.wanted:
                healed.append(one)
            self._forget_if_over(one)
        self._in_force |= command.wanted
        if healed:
            why = named(healed)
            for one in healed:
                one.refusal = None
                del self._refused[one]
            self._owner.subscriptions_lost(self, [one.name for one in healed], why)
        if not self._refused:
            self._retries = 0

    def _refuse(self, command: SubscriptionCommand, error: ReplyError) -> None:
        current = [one for one in command.subscriptions if one.command is command]
        for one in current:
            one.told, one.command = one.confirmed, None
        if not command.wanted:
            for one in current:
                if one.confirmed:
                    one.refusal = error
                    self.special.add(one)  # its messages are dropped, until the connection ends
                else:
                    self._forget_if_over(one)  # it had been refused as well
        elif len(command.subscriptions) > 1 and error.code not in UNAVAILABLE:
            for one in current:
                self._tell([one])
        else:
            for one in current:
                if one.refusal is None or one.refusal.code != error.code:
                    self._news.append(one)
                one.refusal = error
                self._refused[one] = None
            if current and self.retry_at is None:
                self.retry_at = self._owner.backoff(self._retries)
                self._retries += 1

    # -- time ---------------------------------------------------------------------------------------------------------

    def elapse(self, now: float) -> None:
        """Ask again for refused subscriptions, when the back-off is over at ``now``, in seconds."""
        if self.retry_at is not None and now >= self.retry_at:
            self.retry_at = None
            self._stale.update(self._refused)
            self.sync()


def named(refused: Sequence[Subscription]) -> ReplyError:
    """Add the names to the error of subscriptions that were refused for the same reason."""
    [error, *_] = (one.refusal for one in refused if one.refusal is not None)
    what = refused[0].kind.what + ("s" if len(refused) > 1 else "")
    listed = ", ".join(repr(one.name.decode(errors="replace")) for one in refused[:_LISTED])
    more = f" and {len(refused) - _LISTED} more" if len(refused) > _LISTED else ""
    return type(error)(error.code, f"{error.message} ({what} {listed}{more})", refused[0].kind.subscribe)
