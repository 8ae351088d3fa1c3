"""Streams and channels as server-sent events, for any ASGI application: Starlette, FastAPI, Litestar, or none of them.

A browser's ``EventSource`` comes back by itself when its connection breaks, and says which event was its last. Since
the id of an event is the id of a stream's entry, it goes on right behind that, and loses nothing that the stream still has.
"""

from .channels import channel_events
from .response import EventStream, Source
from .streams import stream_events
from .wire import BadLastEventId, ServerSentEvent, last_event_id

__all__ = [
    "BadLastEventId",
    "EventStream",
    "ServerSentEvent",
    "Source",
    "channel_events",
    "last_event_id",
    "stream_events",
]
