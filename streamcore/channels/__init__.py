"""Channels with a history: publish, subscribe, look back, for any number of subscribers of one reader."""

from __future__ import annotations

from typing import Unpack

from ..engine.engine import EngineOptions
from ..scripts.channels import PUBLISH
from .message import ChannelMessage, Naming, UnreadableMessage
from .options import ChannelsKind, ChannelsOptions, Settings
from .publisher import Store
from .pubsub_hub import BroadcastHub
from .stream_hub import StreamHub
from .subscriber import Inbox
from .subscribers import Hub, Joining, Subscribers


def hub_engine(settings: Settings, naming: Naming, **engine: Unpack[EngineOptions]) -> StreamHub | BroadcastHub:
    """The engine of the kind that was asked for."""
    return (StreamHub if settings.is_streams else BroadcastHub)(settings, naming, **engine)


__all__ = [
    "PUBLISH",
    "BroadcastHub",
    "ChannelMessage",
    "ChannelsKind",
    "ChannelsOptions",
    "Hub",
    "Inbox",
    "Joining",
    "Naming",
    "Settings",
    "Store",
    "StreamHub",
    "Subscribers",
    "UnreadableMessage",
    "hub_engine",
]
