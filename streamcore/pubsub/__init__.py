"""Publish and subscribe: the subscriber's side.

Subscriptions, desired and confirmed; the dispatcher and its buffers; keyspace events; invalidations.
"""

from .changes import Standing, SubscriptionChange, Subscriptions
from .engine import PubSub
from .keyspace import KeyEvent, KeyWatch, keyspace_patterns
from .message import Kind, Message, MessageKind
from .options import Call, Handler, Handlers, PubSubOptions, ShardedPubSubOptions, with_handlers

__all__ = [
    "Call",
    "Handler",
    "Handlers",
    "KeyEvent",
    "KeyWatch",
    "Kind",
    "Message",
    "MessageKind",
    "PubSub",
    "PubSubOptions",
    "ShardedPubSubOptions",
    "Standing",
    "SubscriptionChange",
    "Subscriptions",
    "keyspace_patterns",
    "with_handlers",
]
