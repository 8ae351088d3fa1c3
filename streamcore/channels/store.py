"""What is asked of the server about channels by anybody, subscribed or not: publish, look back, clear away.

Publishing to streams is a script, atomic for all of its channels: XADD with MAXLEN, and PEXPIRE. Each message carries a
*nonce*. When a reply was lost, the request is sent again with the word that it may have been run: then the script looks for
the nonce among the last entries of each channel first, and appends no second copy. Its hash is sent, and its source where
the server does not know it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import count
from math import ceil
from typing import Any, Final

from ..arguments import Name, Seconds, positive, seconds
from ..commands import Command, Script, publish, scan
from ..commands.command import READ
from ..entries import StreamId
from ..errors import ConnectionLost, InvalidArgument, NoScriptError, RequestTimeout, StreamcoreError
from ..requests import Request, Requests, Transaction
from ..requests.request import OR_BUSY
from ..resp3 import Argument
from ..resp3.encoder import to_bytes
from .message import FIELD, ChannelMessage, Naming, Unreadable, messages_in
from .options import ChannelsKind, Settings

LOOKS_BACK: Final = 1000
"""How many messages of a channel may come between an attempt to publish and its repetition."""
_SCANNED: Final = 500

# ARGV: again, nonce, '=' or '~', maxlen, ttl in ms or 0, field, data, how far to look back.
PUBLISH: Final = Script[list[StreamId]](
    """
    local function find(key)
        local last, left = '+', tonumber(ARGV[8])
        while left > 0 do
            local page = redis.call('XREVRANGE', key, last, '-', 'COUNT', 100)
            for _, entry in ipairs(page) do
                if entry[2][3] == 'nonce' and entry[2][4] == ARGV[2] then return entry[1] end
                last = '(' .. entry[1]
            end
            if #page < 100 then return false end
            left = left - 100
        end
        return false
    end
    if ARGV[5] ~= '0' and not redis.acl_check_cmd('PEXPIRE', KEYS[1], ARGV[5]) then
        return redis.error_reply("NOPERM User has no permissions to run the 'pexpire' command")
    end
    if #KEYS > 1 then
        for _, key in ipairs(KEYS) do redis.call('XLEN', key) end
    end
    local ids = {}
    for at, key in ipairs(KEYS) do
        local id = ARGV[1] == '1' and find(key)
        if not id then
            id = redis.call('XADD', key, 'MAXLEN', ARGV[3], ARGV[4], '*', ARGV[6], ARGV[7], 'nonce', ARGV[2])
        end
        if ARGV[5] ~= '0' then redis.call('PEXPIRE', key, ARGV[5]) end
        ids[at] = id
    end
    return ids
    """,
    lambda reply: list(map(StreamId.told, reply)),
)
_AGAIN: Final = -8  # where the script's first argument stands in its command


class Patient(Request):
    """It waits while a script keeps the server busy."""

    __slots__ = ()
    not_now = OR_BUSY


class PatientTransaction(Transaction):
    """The same between MULTI and EXEC."""

    __slots__ = ()
    not_now = OR_BUSY


class Publication(Patient):
    """A message on its way. It may be sent again, since it says so then: see the script."""

    __slots__ = ("_engine", "_keys")

    def __init__(self, engine: Requests, command: Command[Any], done: Callable[[Request], None]) -> None:
        super().__init__([command], done, engine.options.request_timeout)
        self.repeatable = True
        self._engine = engine
        self._keys = command.keys

    def repeat(self) -> None:
        """The reply is lost: the message may be there."""
        super().repeat()
        self._become(PUBLISH.eval if self.asked[0].name == "EVAL" else PUBLISH.evalsha, "1")

    def finish(self, error: StreamcoreError | None = None) -> None:
        """End, unless the server has to be told the source of the script."""
        if self.finished or error is not None or not isinstance(self.replies[0], NoScriptError):
            super().finish(error)
            return
        self.replies = []
        self._become(PUBLISH.eval, self.asked[0].args[_AGAIN])
        self._engine.put(self)

    def _become(self, call: Callable[[Iterable[Name], Iterable[Argument]], Command[Any]], again: Argument) -> None:
        command = call(self._keys, (again, *self.asked[0].args[_AGAIN + 1 :]))
        self.asked, self.commands, self.data = [command], (command.args,), command.data


class Store:
    """The channels of one prefix on the server of ``requests``."""

    def __init__(self, requests: Requests, settings: Settings, naming: Naming) -> None:
        self._requests = requests
        self._settings = settings
        self._naming = naming
        self._run = requests.token("publishing with a history") if settings.is_streams else b""
        self._numbers = count(1)

    @property
    def kind(self) -> ChannelsKind:
        """What the channels are on the server."""
        return "streams" if self._settings.is_streams else "pubsub"

    @property
    def has_history(self) -> bool:
        """Whether messages are kept."""
        return self._settings.is_streams

    def key(self, channel: Name) -> bytes:
        """The key of a channel."""
        return self._naming.key(channel)

    def publications(self, data: Argument, channels: Name | Iterable[Name]) -> list[Command[Any]]:
        """The commands by which a message is published, for ``publish``: one, or several that belong in a transaction."""
        keys, sent = self._naming.keys(channels), to_bytes(data)
        if not self.has_history:
            return [publish(key, sent) for key in keys]
        settings = self._settings
        how, nonce = "~" if settings.approximate else "=", b"%b-%d" % (self._run, next(self._numbers))
        ttl = settings.ttl_ms
        args = ("0", nonce, how, settings.maxlen, ttl, FIELD, sent, LOOKS_BACK)
        return [PUBLISH.evalsha(keys, args)] if keys else []

    def publish(self, commands: Sequence[Command[Any]], done: Callable[[Request], None]) -> Request:
        """Send what ``publications`` gave. Raises as ``Requests.submit`` does."""
        if not self.has_history:
            kind = Patient if len(commands) == 1 else PatientTransaction
            return self._requests.put(kind(commands, done, self._requests.options.request_timeout))
        [command] = commands
        return self._requests.put(Publication(self._requests, command, done))

    def rounds(self, timeout: Seconds | None) -> int:
        """How often to try within so many seconds: each attempt may take a request timeout."""
        within = 0.0 if timeout is None else seconds("timeout", timeout)
        return max(1, ceil(within / self._requests.options.request_timeout))

    def again(self, commands: Sequence[Command[Any]], error: StreamcoreError) -> list[Command[Any]]:
        """What to send next, after an attempt that has ended by ``error``. Raises that where it is final."""
        refused = type(error) in OR_BUSY  # the same errors as those of one attempt
        if not refused and not isinstance(error, (ConnectionLost, RequestTimeout)):
            raise error
        if self.has_history:
            [command] = commands
            return [PUBLISH.evalsha(command.keys, ("1", *command.args[_AGAIN + 1 :]))]
        if not refused and (not isinstance(error, ConnectionLost) or error.sent):
            raise error
        return [*commands]

    def published(self, request: Request) -> list[StreamId | None]:
        """The ids of a message in its channels. Raises what has gone wrong."""
        if self.has_history:
            ids: list[StreamId | None] = request.answer()
            return ids
        answers = request.answers()
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return [None] * len(answers)

    def history(self, channel: Name, limit: int | None = None) -> Command[list[ChannelMessage[Any]]]:
        """The last messages of a channel, oldest first; one that is no text is an ``UnreadableMessage``, in its place."""
        if not self.has_history:
            raise InvalidArgument("kind='pubsub' keeps no history; use kind='streams'")
        key = self._naming.key(channel)
        most = self._settings.history if limit is None else positive("limit", limit, zero=True)
        parse = partial(self._looked_back, self._naming.channel(key))
        # COUNT 0 would be answered by nothing at all.
        return Command(("XREVRANGE", key, "+", "-", "COUNT", max(most, 1)), parse if most else _nothing, READ)

    def _looked_back(self, channel: Any, entries: list[Any]) -> list[ChannelMessage[Any]]:
        found = self._naming.messages(channel, messages_in(entries)[::-1])
        return [one.kept if isinstance(one, Unreadable) else one for one in found]

    def scan(self, cursor: int) -> Command[Any]:
        """Some of the keys of the prefix."""
        if not self._naming.prefix:
            raise InvalidArgument("flush_all needs a prefix: without one, everybody's streams would be deleted")
        return scan(cursor, match=self._naming.pattern, count=_SCANNED, type="stream")


def _nothing(_: object) -> list[Any]:
    """No history was asked for."""
    return []
