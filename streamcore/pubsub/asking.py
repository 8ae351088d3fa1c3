"""How the application says what it wants to subscribe to, and which keywords there are."""

# Callers without a type checker pass anything.
# pyright: reportUnnecessaryIsInstance=false

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, TypedDict, TypeVar

from ..arguments import Name, Seconds, name
from ..errors import InvalidArgument
from .inbox import WhenFull
from .message import Kind, Message

T = TypeVar("T", bytes, str)

Handler: TypeAlias = Callable[[Message[T]], object]
"""Is called with each message, instead of handing it over; on an async runtime it may be a coroutine function."""
Handlers: TypeAlias = Mapping[str, Handler[T]] | Mapping[bytes, Handler[T]]
Invalidated: TypeAlias = Callable[[frozenset[bytes] | None], object]


class Call(NamedTuple):
    """A handler, and what to call it with: a message, or the keys of ``on_invalidate``."""

    handler: Callable[[Any], object]
    argument: Any


def size_of_calls(calls: Sequence[Call]) -> int:
    """How large the data of their messages is."""
    return sum(len(call.argument.data) for call in calls)


class PubSubOptions(TypedDict, total=False):
    """Keywords of ``PubSub``, explained there."""

    ignore_subscribe_messages: bool
    retry_policy: None
    subscription_timeout: Seconds
    unsubscription_timeout: Seconds
    max_idle_seconds: Seconds
    queue_size: int
    queue_bytes: int
    when_full: WhenFull
    lazy: bool
    track: Name | Iterable[Name]
    on_invalidate: Invalidated


def names(what: str, given: Name | Iterable[Name]) -> list[bytes]:
    """One name or several."""
    if not isinstance(given, Iterable):
        raise InvalidArgument(f"{what} must be one name or several, not {given!r}")
    listed: list[Any] = [given] if isinstance(given, (str, bytes, bytearray, memoryview)) else list(given)
    return [name(what, one) for one in listed]


def with_handlers(
    kind: Kind, given: Iterable[Name | Mapping[Any, Any]], handlers: Mapping[Any, Any]
) -> dict[bytes, Any]:
    """Names, some of them in mappings to their handlers, as one mapping; the others have None for a handler."""
    found: dict[bytes, Any] = {}
    for one in (*given, handlers):
        if not isinstance(one, Mapping):
            found[name(kind.what, one)] = None
            continue
        for key, handler in one.items():
            if handler is not None and not callable(handler):
                raise InvalidArgument(f"the handler of {kind.what} {key!r} must be something to call, not {handler!r}")
            found[name(kind.what, key)] = handler
    return found
