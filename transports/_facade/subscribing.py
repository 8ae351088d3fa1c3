"""What subscribers of all runtimes ask of their engine, always by way of the driver."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from streamcore.arguments import Name
from streamcore.errors import InvalidArgument, RequestTimeout, StreamcoreError
from streamcore.pubsub import Change, Kind, Message, PubSub, with_handlers

NO_HANDLERS: Final[Mapping[Any, Any]] = MappingProxyType({})
MESSAGES: Final = frozenset({"message", "pmessage", "smessage"})


def to_subscribe(
    kind: Kind, given: Iterable[Name | Mapping[Any, Any]], handlers: Mapping[Any, Any]
) -> dict[bytes, Any]:
    """Names with their handlers; at least one, since a subscription to nothing is a mistake of the caller's."""
    wanted = with_handlers(kind, given, handlers)
    if not wanted:
        raise InvalidArgument(f"name at least one {kind.what} to subscribe to")
    return wanted


def all_done(engine: PubSub[Any], changes: Sequence[Change]) -> bool:
    """Whether the server has confirmed all of them. Raises its refusal, and what ended the engine."""
    engine.check()
    return all(change.poll() for change in changes)


def unconfirmed(engine: PubSub[Any], changes: Sequence[Change]) -> StreamcoreError:
    """Why a subscription was not confirmed in time."""
    for change in changes:
        if change.refusal is not None:
            return change.refusal
    why = next((f": {link.error}" for link in engine.links() if link.error is not None), "")
    return RequestTimeout(f"no subscription was confirmed within {engine.subscription_timeout:g} s{why}")


def is_message(message: Message[Any]) -> bool:
    """Whether it is one, and not the server's word on a subscription."""
    return message.kind in MESSAGES


def take(engine: PubSub[Any], *, bare: bool) -> list[Message[Any]]:
    """The next messages; ``bare``, without the server's word on subscriptions."""
    while found := engine.take():
        messages = [*filter(is_message, found)] if bare else found
        if messages:
            return messages
    return found


def is_left(engine: PubSub[Any]) -> bool:
    """Whether its user has closed it: no handler is called any more. Where an error has ended it, what had arrived is handled."""
    return engine.closed and engine.error is None
