"""A Redis and Valkey streaming engine that performs no I/O: bytes in, bytes out, time in.

Start with ``transports.asyncio``, ``transports.trio``, ``transports.anyio`` or ``transports.blocking``; use the engines
here to embed the protocol in a loop of your own (``docs/drivers.md``).
"""

from .commands import Command
from .consumer import Consumer
from .engine import Engine
from .entries import Batch, Entry, GroupBatch, GroupEntry, StreamId
from .errors import (
    AuthenticationError,
    BusyGroupError,
    ClosedError,
    ConcurrentUseError,
    ConnectFailed,
    ConnectionLost,
    DeliveryUnknown,
    ForkedError,
    InvalidArgument,
    InvalidURL,
    MissingExtra,
    NoGroupError,
    NoPermissionError,
    RemoteProtocolError,
    ReplyError,
    RequestTimeout,
    StreamcoreError,
    WrongTypeError,
)
from .events import Event
from .group import GroupConsumer
from .link import Link
from .options import Address, Login, Options, UnixAddress
from .producer import Producer
from .requests import Request, Requests
from .version import VERSION as __version__  # noqa: N811  # the name that everybody looks for

__all__ = [
    "Address",
    "AuthenticationError",
    "Batch",
    "BusyGroupError",
    "ClosedError",
    "Command",
    "ConcurrentUseError",
    "ConnectFailed",
    "ConnectionLost",
    "Consumer",
    "DeliveryUnknown",
    "Engine",
    "Entry",
    "Event",
    "ForkedError",
    "GroupBatch",
    "GroupConsumer",
    "GroupEntry",
    "InvalidArgument",
    "InvalidURL",
    "Link",
    "Login",
    "MissingExtra",
    "NoGroupError",
    "NoPermissionError",
    "Options",
    "Producer",
    "RemoteProtocolError",
    "ReplyError",
    "Request",
    "RequestTimeout",
    "Requests",
    "StreamId",
    "StreamcoreError",
    "UnixAddress",
    "WrongTypeError",
    "__version__",
]
