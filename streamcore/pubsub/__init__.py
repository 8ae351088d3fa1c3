"""Publish and subscribe: the subscriber's side."""

from .asking import Call, Handler, Handlers, PubSubOptions, with_handlers
from .changes import Change, Standing, Subscriptions
from .engine import PubSub
from .key_events import KeyEvent, KeyWatch, keyspace_patterns
from .message import Kind, Message, MessageKind

__all__ = [
    "Call",
    "Change",
    "Handler",
    "Handlers",
    "KeyEvent",
    "KeyWatch",
    "Kind",
    "Message",
    "MessageKind",
    "PubSub",
    "PubSubOptions",
    "Standing",
    "Subscriptions",
    "keyspace_patterns",
    "with_handlers",
]
