"""The notations of subscriptions, and the keywords of subscribers."""

# Callers without a type checker pass anything.
# pyright: reportUnnecessaryIsInstance=false

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple, TypeAlias, TypedDict, TypeVar

from ..arguments import Name, ReadFrom, Seconds, name
from ..errors import InvalidArgument
from ..options import Options
from .buffer import WhenFull
from .message import Kind, Message

T = TypeVar("T", bytes, str)

SILENCE: Final = 3.0
"""Seconds within which a silent node of a cluster is found: another node can take its place."""

Handler: TypeAlias = Callable[[Message[T]], object]
"""A function that is called with each message; on an async runtime it may be a coroutine function."""
Handlers: TypeAlias = Mapping[str, Handler[T]] | Mapping[bytes, Handler[T]]
Invalidated: TypeAlias = Callable[[frozenset[bytes] | None], object]


class Call(NamedTuple):
    """A handler, and its argument: a message, or the keys of ``on_invalidate``."""

    handler: Callable[[Any], object]
    argument: Any


def size_of_calls(calls: Sequence[Call]) -> int:
    """Count the bytes or characters of the data of the calls' messages."""
    return sum(len(call.argument.data) for call in calls)


class PubSubOptions(TypedDict, total=False):
    """Keywords of ``PubSub``, explained there."""

    ignore_subscribe_messages: bool
    """Keep the server's word on subscriptions from the application (True)."""
    retry_policy: None
    """Refused: the link is dialled for ever, and its back-off begins anew after each success (None)."""
    subscription_timeout: Seconds
    """Seconds within which a call, or entering, has the server's confirmations, else it fails (1)."""
    unsubscription_timeout: Seconds
    """Seconds within which the end of a subscription is confirmed, else it fails (0.1)."""
    max_idle_seconds: Seconds
    """A dead link is found within so many seconds (15)."""
    queue_size: int
    """At most so many messages wait for the application (10,000)."""
    queue_bytes: int
    """At most so many bytes of messages wait, too (67,108,864)."""
    when_full: WhenFull
    """With a full queue, ``"block"`` the reading, ``"drop_oldest"`` or ``"drop_newest"`` message (``"block"``)."""
    lazy: bool
    """Calls do not wait for the server's word (False)."""
    track: Name | Iterable[Name]
    """Prefixes of the keys that ``on_invalidate`` is for (None: all keys)."""
    on_invalidate: Invalidated
    """Is called with the keys that have changed, or with None: all may have (None)."""


class ShardedPubSubOptions(PubSubOptions, total=False):
    """Keywords of a subscriber to shard channels."""

    read_from: ReadFrom
    """The node of a cluster at which a channel is subscribed to: the ``"primary"`` of its slot, a ``"replica"``, or ``"any"`` (``"primary"``; of a client: its own)."""


def watchful(options: Options, idle: float, *, is_routed: bool) -> Options:
    """Set the keep-alive of links on which a server may have nothing to tell: a dead link is found within ``idle`` seconds.

    ``is_routed``: another node can take the server's place, so that it is found within ``SILENCE`` seconds.
    """
    found = min(idle, SILENCE) if is_routed else idle
    return replace(options, keepalive_idle=found * 2 / 3, keepalive_answer=found / 3)


def names(what: str, given: Name | Iterable[Name]) -> list[bytes]:
    """Parse a name, or several. Raises ``InvalidArgument``, which calls them ``what``."""
    if not isinstance(given, Iterable):
        raise InvalidArgument(f"{what} must be one name or several, not {given!r}")
    listed: list[Any] = [given] if isinstance(given, (str, bytes, bytearray, memoryview)) else list(given)
    return [name(what, each) for each in listed]


def with_handlers(
    kind: Kind, given: Iterable[Name | Mapping[Any, Any]], handlers: Mapping[Any, Any]
) -> dict[bytes, Any]:
    """Merge names, and mappings of names to handlers, into a single mapping; a name alone has None for a handler."""
    found: dict[bytes, Any] = {}
    for item in (*given, handlers):
        if not isinstance(item, Mapping):
            found[name(kind.what, item)] = None
            continue
        for key, handler in item.items():
            if handler is not None and not callable(handler):
                raise InvalidArgument(f"the handler of {kind.what} {key!r} must be something to call, not {handler!r}")
            found[name(kind.what, key)] = handler
    return found
