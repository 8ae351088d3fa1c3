"""Commands on channels that need no subscription: publish, look back, clear away.

Publishing to streams is a script, atomic for all of its channels: XADD with MAXLEN, and PEXPIRE. Each message carries
a *nonce*. When a reply was lost, the request is sent again with the word that it may have been run: then the script
looks for the nonce among the last entries of each channel first, and appends no second copy. A repetition leaves a
*mark* beside the first channel, for an attempt that was sent before it and is run behind it: each attempt asks for its
own mark first. The script's hash is sent, and its source where the server does not know it. Where the mark is
forbidden, or cannot lie in the slot of the channel, the message is sent without.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import count
from math import ceil
from typing import Any, Final, TypeAlias

from ..arguments import Name, Seconds, positive, seconds
from ..commands import Command, publish, scan
from ..commands.command import READ
from ..engine.degradation import MARKING
from ..engine.router import ANYWHERE, Route
from ..entries import StreamId
from ..errors import (
    ConnectionLost,
    CrossSlotError,
    InvalidArgument,
    NoPermissionError,
    NoScriptError,
    ReplyError,
    RequestTimeout,
    StreamcoreError,
)
from ..keys import publication_mark
from ..requests import Multiplexer, Request, Transaction
from ..requests.request import OR_BUSY
from ..resp3 import Argument
from ..resp3.encoder import to_bytes
from ..scripts.channels import PUBLISH
from .message import FIELD, ChannelMessage, Naming, Unreadable, messages_in
from .options import ChannelsKind, Settings

LOOKS_BACK: Final = 1000
"""How many messages of a channel may come between an attempt to publish and its repetition."""
_SCANNED: Final = 500

_AGAIN: Final = -9  # where the script's first argument stands in its command
_MARKED: Final = "1"
_UNMARKED: Final = "0"
_Call: TypeAlias = Callable[[Iterable[Name], Iterable[Argument]], Command[Any]]


class PatientRequest(Request):
    """A request that waits while a script keeps the server busy (``BUSY``)."""

    __slots__ = ()
    not_now = OR_BUSY


class PatientTransaction(Transaction):
    """A transaction that waits while a script keeps the server busy (``BUSY``)."""

    __slots__ = ()
    not_now = OR_BUSY


class Publication(PatientRequest):
    """A message on its way to streams. It may be sent again: a repetition says to the script that it repeats."""

    __slots__ = ("_engine", "_keys", "_refusal")

    def __init__(self, engine: Multiplexer, command: Command[Any], done: Callable[[Request], None]) -> None:
        super().__init__([command], done, engine.options.request_timeout)
        self.repeatable = True
        self._engine = engine
        self._keys = command.keys
        self._refusal: ReplyError | None = None  # of the attempt with a mark

    def repeat(self) -> None:
        """Mark the command as a repetition: the reply is lost, and the message may be there."""
        super().repeat()
        self._become(PUBLISH.eval if self.asked[0].name == "EVAL" else PUBLISH.evalsha, "1")

    def finish(self, error: StreamcoreError | None = None) -> None:
        """End the request, unless the server needs the script's source, or the message is to be sent without a mark."""
        reply = None if self.finished or error is not None else self.replies[0]
        if isinstance(reply, NoScriptError):
            self._send(PUBLISH.eval)
        elif isinstance(reply, (NoPermissionError, CrossSlotError)) and self.asked[0].args[-1] == _MARKED:
            self._refusal = reply
            self._send(PUBLISH.eval if self.asked[0].name == "EVAL" else PUBLISH.evalsha)
        else:
            if isinstance(self._refusal, NoPermissionError) and reply is not None and not isinstance(reply, ReplyError):
                self._engine.degradation.refused(MARKING, ("SET", self._keys[-1]), self._refusal)
            super().finish(error)

    def _send(self, call: _Call) -> None:
        self.replies = []
        self._become(call, self.asked[0].args[_AGAIN])
        self._engine.put(self)

    def _become(self, call: _Call, again: Argument) -> None:
        keys, (*args, marked) = self._keys, self.asked[0].args[_AGAIN + 1 :]
        if self._refusal is not None:
            keys, marked = keys[:-1], _UNMARKED
        command = call(keys, (again, *args, marked))
        self.asked, self.commands, self.data = [command], (command.args,), command.data


class Publisher:
    """Publishes in the channels of a prefix, on the server of ``requests``, or on its cluster, and looks back.

    Another engine may be set for ``requests``, once the server has told that it is a node of a cluster.
    """

    def __init__(self, requests: Multiplexer, settings: Settings, naming: Naming) -> None:
        self.requests = requests
        self._settings = settings
        self._naming = naming
        self._run = requests.token("publishing with a history") if settings.is_streams else b""
        self._numbers = count(1)

    @property
    def kind(self) -> ChannelsKind:
        """The kind of the channels on the server."""
        return "streams" if self._settings.is_streams else "pubsub"

    @property
    def has_history(self) -> bool:
        """Whether messages are kept."""
        return self._settings.is_streams

    def key(self, channel: Name) -> bytes:
        """Return the key of a channel."""
        return self._naming.key(channel)

    def publications(self, data: Argument, channels: Name | Iterable[Name]) -> list[Command[Any]]:
        """Build the commands that publish a message, for ``publish``; several of them belong in a transaction.

        Raises ``CrossSlotError`` where channels with a history are of several slots of a cluster.
        """
        keys, sent = self._naming.keys(channels), to_bytes(data)
        if not self.has_history:
            return [publish(key, sent) for key in keys]
        settings = self._settings
        how, nonce = "~" if settings.approximate else "=", b"%b-%d" % (self._run, next(self._numbers))
        ttl = settings.ttl_ms
        args = ("0", nonce, how, settings.maxlen, ttl, FIELD, sent, LOOKS_BACK)
        if not keys:
            return []
        route = self._common_route(keys)
        if self.requests.degradation.is_without(MARKING) or not self._lies_on(route, publication_mark(keys[0], nonce)):
            return [PUBLISH.evalsha(keys, (*args, _UNMARKED))]
        return [PUBLISH.evalsha((*keys, publication_mark(keys[0], nonce)), (*args, _MARKED))]

    def _lies_on(self, route: Route, key: bytes) -> bool:
        return route == ANYWHERE or self.requests.route(key) == route

    def _common_route(self, keys: Sequence[bytes]) -> Route:
        """Find the route to some channels. Raises ``CrossSlotError`` where they are of several slots."""
        first, *others = keys
        route = self.requests.route(first)
        for other in others:
            if not self._lies_on(route, other):
                names = " and ".join(
                    repr(key.removeprefix(self._naming.prefix).decode(errors="replace")) for key in (first, other)
                )
                raise CrossSlotError(
                    "CROSSSLOT",
                    f"the channels {names} are of two slots, and a message is appended to all of its channels or to none: "
                    "put a tag in the prefix of all channels, as in channels(prefix='{shop}'), or publish in each by itself",
                )
        return route

    def publish(self, commands: Sequence[Command[Any]], done: Callable[[Request], None]) -> Request:
        """Send the commands of ``publications``. Raises as ``Multiplexer.submit`` does."""
        if not self.has_history:
            kind = PatientRequest if len(commands) == 1 else PatientTransaction
            return self.requests.put(kind(commands, done, self.requests.options.request_timeout))
        [command] = commands
        return self.requests.put(Publication(self.requests, command, done))

    def rounds(self, timeout: Seconds | None) -> int:
        """How often to try within ``timeout`` seconds: each attempt may take a request timeout."""
        within = 0.0 if timeout is None else seconds("timeout", timeout)
        return max(1, ceil(within / self.requests.options.request_timeout))

    def again(self, commands: Sequence[Command[Any]], error: StreamcoreError) -> list[Command[Any]]:
        """Build the next attempt after an attempt that has ended by ``error``. Raises a final ``error``."""
        refused = type(error) in OR_BUSY  # the same errors as of a single attempt
        if not refused and not isinstance(error, (ConnectionLost, RequestTimeout)):
            raise error
        if self.has_history:
            [command] = commands
            return [PUBLISH.evalsha(command.keys, ("1", *command.args[_AGAIN + 1 :]))]
        if not refused and (not isinstance(error, ConnectionLost) or error.sent):
            raise error
        return [*commands]

    def published(self, request: Request) -> list[StreamId | None]:
        """Return the ids of a message in its channels. Raises the error of the request."""
        if self.has_history:
            ids: list[StreamId | None] = request.answer()
            return ids
        answers = request.answers()
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return [None] * len(answers)

    def history(self, channel: Name, limit: int | None = None) -> Command[list[ChannelMessage[Any]]]:
        """Build the XREVRANGE of a channel's last messages, oldest first.

        A message that is no text is an ``UnreadableMessage``, in its place.
        """
        if not self.has_history:
            raise InvalidArgument("kind='pubsub' keeps no history; use kind='streams'")
        key = self._naming.key(channel)
        most = self._settings.history if limit is None else positive("limit", limit, zero=True)
        parse = partial(self._parse_history, self._naming.channel(key))
        # COUNT 0 would be answered by nothing at all.
        return Command(("XREVRANGE", key, "+", "-", "COUNT", max(most, 1)), parse if most else _nothing, READ)

    def _parse_history(self, channel: Any, entries: list[Any]) -> list[ChannelMessage[Any]]:
        found = self._naming.messages(channel, messages_in(entries)[::-1])
        return [message.kept if isinstance(message, Unreadable) else message for message in found]

    def scan(self, cursor: int) -> Command[Any]:
        """Build the SCAN of some keys of the prefix."""
        if not self._naming.prefix:
            raise InvalidArgument("flush_all needs a prefix: without one, everybody's streams would be deleted")
        return scan(cursor, match=self._naming.pattern, count=_SCANNED, type="stream")


def _nothing(_: object) -> list[Any]:
    """Return no messages: no history was asked for."""
    return []
