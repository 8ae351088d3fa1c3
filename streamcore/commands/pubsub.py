"""Commands of publish and subscribe.

SUBSCRIBE and its relatives are answered by pushes, a push for each name, so no client takes them: an engine does, on a
link of its own, and always with names; a server answers UNSUBSCRIBE without names by a number of pushes that only it
knows. A shard channel lives in the slot of its name, as a key does.
"""

from __future__ import annotations

from typing import Any, Final

from ..arguments import Name, name
from ..errors import InvalidArgument
from ..resp3 import Argument
from .command import ALL_KEYS, ASK_SERVER, NO_KEYS, SERVER, WRITE, Command, LinkUse, Traits
from .replies import mapping

_PUSHES: Final = Traits(NO_KEYS, use=LinkUse.FORBIDDEN)
_SHARD_PUSHES: Final = Traits(ALL_KEYS, use=LinkUse.FORBIDDEN)


def publish(channel: Name, message: Argument) -> Command[int]:
    """Send a message to a channel; answers its number of receivers, on a cluster only this node's (``PUBLISH``)."""
    return Command(("PUBLISH", name("channel", channel), message), traits=SERVER)


def spublish(shardchannel: Name, message: Argument) -> Command[int]:
    """Send a message to a shard channel; answers how many got it at this node (``SPUBLISH``)."""
    return Command(("SPUBLISH", name("shardchannel", shardchannel), message), traits=WRITE)


def subscribe(*channels: Name) -> Command[None]:
    """Get the messages of channels, as pushes (``SUBSCRIBE``)."""
    return Command(("SUBSCRIBE", *_names("channel", channels)), traits=_PUSHES)


def psubscribe(*patterns: Name) -> Command[None]:
    """Get the messages of all channels whose names fit a pattern (``PSUBSCRIBE``)."""
    return Command(("PSUBSCRIBE", *_names("pattern", patterns)), traits=_PUSHES)


def ssubscribe(*shardchannels: Name) -> Command[None]:
    """Get the messages of shard channels; all of them must be in the same slot (``SSUBSCRIBE``)."""
    return Command(("SSUBSCRIBE", *_names("shardchannel", shardchannels)), traits=_SHARD_PUSHES)


def unsubscribe(*channels: Name) -> Command[None]:
    """End subscriptions to channels (``UNSUBSCRIBE``)."""
    return Command(("UNSUBSCRIBE", *_names("channel", channels)), traits=_PUSHES)


def punsubscribe(*patterns: Name) -> Command[None]:
    """End subscriptions to patterns (``PUNSUBSCRIBE``)."""
    return Command(("PUNSUBSCRIBE", *_names("pattern", patterns)), traits=_PUSHES)


def sunsubscribe(*shardchannels: Name) -> Command[None]:
    """End subscriptions to shard channels (``SUNSUBSCRIBE``)."""
    return Command(("SUNSUBSCRIBE", *_names("shardchannel", shardchannels)), traits=_SHARD_PUSHES)


def pubsub_channels(pattern: Name | None = None) -> Command[list[bytes]]:
    """List the channels with subscribers by name, all or by a pattern (``PUBSUB CHANNELS``)."""
    return Command(("PUBSUB", "CHANNELS", *_pattern(pattern)), traits=ASK_SERVER)


def pubsub_numsub(*channels: Name) -> Command[dict[bytes, int]]:
    """How many connections have subscribed to each of the channels, by name; without names, none (``PUBSUB NUMSUB``)."""
    return Command(("PUBSUB", "NUMSUB", *(name("channel", given) for given in channels)), _counts, ASK_SERVER)


def pubsub_numpat() -> Command[int]:
    """How many different patterns are subscribed to (``PUBSUB NUMPAT``)."""
    return Command(("PUBSUB", "NUMPAT"), traits=ASK_SERVER)


def pubsub_shardchannels(pattern: Name | None = None) -> Command[list[bytes]]:
    """List the shard channels with subscribers at this node (``PUBSUB SHARDCHANNELS``)."""
    return Command(("PUBSUB", "SHARDCHANNELS", *_pattern(pattern)), traits=ASK_SERVER)


def pubsub_shardnumsub(*shardchannels: Name) -> Command[dict[bytes, int]]:
    """How many connections have subscribed to each of the shard channels at this node, by name (``PUBSUB SHARDNUMSUB``)."""
    named = [name("shardchannel", given) for given in shardchannels]
    return Command(("PUBSUB", "SHARDNUMSUB", *named), _counts, ASK_SERVER)


def _counts(reply: Any) -> dict[bytes, int]:
    return mapping(reply)


def _pattern(pattern: Name | None) -> list[bytes]:
    return [] if pattern is None else [name("pattern", pattern)]


def _names(what: str, names: tuple[Name, ...]) -> list[bytes]:
    if not names:
        raise InvalidArgument(f"name at least one {what}")
    return [name(what, given) for given in names]
