"""Channels with a history, for any number of subscribers.

A publisher, and hubs: with a reader and a cursor for each subscriber, or with a subscription for all of them.
"""

from __future__ import annotations

from typing import Unpack

from ..engine.engine import EngineOptions
from ..scripts.channels import PUBLISH
from .message import ChannelMessage, Naming, UnreadableMessage
from .options import ChannelsKind, ChannelsOptions, Settings
from .publisher import Publisher
from .pubsub_hub import BroadcastHub
from .stream_hub import StreamHub
from .subscriber import Subscriber
from .subscribers import Hub, Subscribers


def hub_engine(settings: Settings, naming: Naming, **engine: Unpack[EngineOptions]) -> StreamHub | BroadcastHub:
    """Make the engine of a hub, of the kind in the settings."""
    return (StreamHub if settings.is_streams else BroadcastHub)(settings, naming, **engine)


__all__ = [
    "PUBLISH",
    "BroadcastHub",
    "ChannelMessage",
    "ChannelsKind",
    "ChannelsOptions",
    "Hub",
    "Naming",
    "Publisher",
    "Settings",
    "StreamHub",
    "Subscriber",
    "Subscribers",
    "UnreadableMessage",
    "hub_engine",
]
