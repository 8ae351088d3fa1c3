"""Publish and subscribe: the subscriber's side."""

from .asking import Call, Handler, Handlers, PubSubOptions, with_handlers
from .changes import Change, Standing, Subscriptions
from .engine import PubSub
from .key_events import KeyEvent, keyspace_patterns, notifies
from .message import Kind, Message, MessageKind

__all__ = [
    "Call",
    "Change",
    "Handler",
    "Handlers",
    "KeyEvent",
    "Kind",
    "Message",
    "MessageKind",
    "PubSub",
    "PubSubOptions",
    "Standing",
    "Subscriptions",
    "keyspace_patterns",
    "notifies",
    "with_handlers",
]
