"""Hubs of channels and the scripted servers behind them; every question beside the reader comes in a transaction."""

from __future__ import annotations

from typing import Any

from streamcore.channels import BroadcastHub, ChannelMessage, Naming, Settings, StreamHub, Subscriber
from streamcore.entries import StreamId
from streamcore.errors import ReplyError, reply_error
from streamcore.events import Event
from streamcore.options import Options
from streamcore.testing.pair import Pair
from streamcore.testing.resp import Simple, entry
from tests.core.support.streams import info

NO_KEY = ReplyError("ERR", "no such key")
NEVER, GONE = -1, -2  # PTTL of a key that does not expire, and of a missing key
QUEUED = Simple("QUEUED")
WRONG = reply_error("WRONGTYPE Operation against a key")
BUSY = reply_error("BUSY a script runs")
FORBIDDEN = reply_error("NOPERM not for you")
ABORTED = reply_error("EXECABORT discarded")


def message(id_: str, data: str) -> list[Any]:
    """An entry that carries a message."""
    return entry(id_, data=data, nonce="n")


class Hub:
    """A hub of streams, its driver, and its first subscriber."""

    def __init__(self, *, decode: str | None = "utf-8", timeout: float = 5.0, **options: Any) -> None:
        settings = Settings(prefix="", **options)
        self.engine = StreamHub(settings, Naming(settings.prefix, decode), options=Options(request_timeout=timeout))
        self.pair = Pair(self.engine)
        self.subscriber = self.engine.subscribers.first
        self._page: str | None = None  # the id behind which a page was asked for

    def asked(self, *words: Any) -> None:
        """Expect the next question beside the reader: XINFO STREAM, PTTL and the command ``words``, in a MULTI."""
        self.pair.settle()
        peer = self.pair.peer("history")
        peer.expect("MULTI")
        peer.expect("XINFO", "STREAM")
        peer.expect("PTTL")
        command = peer.expect(*words)
        self._page = command[2].decode() if words[0] == "XRANGE" else None
        peer.expect("EXEC")

    def tell(self, about: Any, entries: Any, ttl: int = NEVER) -> None:
        """Answer that question; a page begins with the entry that it was asked for behind, where that entry is there."""
        if self._page is not None and isinstance(about, dict) and about["first-entry"] is not None:
            first, last = (StreamId.parse(id_) for id_ in (about["first-entry"][0], about["last-generated-id"]))
            if first <= StreamId.parse(self._page) <= last:
                entries = [message(self._page, "read"), *entries]
        self.pair.peer("history").answer(Simple("OK"), QUEUED, QUEUED, QUEUED, [about, ttl, entries])

    def join(
        self, subscriber: Subscriber, channel: str = "a", at: str = "5-0", added: int = 5, ttl: int = NEVER
    ) -> None:
        """Have a subscriber join a channel that has messages."""
        joining = self.engine.join(subscriber, channel)
        self.asked("XREVRANGE", channel)
        self.tell(info(at, length=added, first="1-0"), [message(at, "old")], ttl)
        assert joining.poll()
        self.engine.end(joining)

    def read(self, *streams: str) -> None:
        """Answer the reader until its XREAD waits in the server; its streams and ids must be ``streams``."""
        self.pair.settle()
        reader = self.pair.server
        while len(reader.commands) > 1 and reader.commands[1][0] == b"XINFO":
            self.begin(reader.expect("XRANGE")[1])
        while reader.commands and reader.commands[0][0] == b"XINFO":
            self.begin(reader.commands[0][2])
        command = reader.expect("XREAD")
        listed = command[command.index(b"STREAMS") + 1 :]
        assert [word.decode() for word in listed] == [*streams]

    def begin(self, key: bytes) -> None:
        """Answer the reader's question about a channel that it meets: as it was when a subscriber joined it."""
        cursor = next(
            change.cursor for change in self.engine._channels._readers.of(key).changes if change.cursor.stream == key
        )
        assert cursor.continuity is not None
        at, added = str(cursor.continuity.cursor), cursor.continuity.added
        self.pair.server.expect("XINFO", "STREAM", key)
        there = [[message(at, "old")]] if cursor.continuity.anchor() is not None else []
        self.pair.server.answer(*there, info(at, length=added or 0, first="1-0") if added else NO_KEY)

    def bring(self, channel: str, *messages: list[Any], proof: Any = ()) -> None:
        """Answer the reader's XREAD by messages; before, where it has asked for it, the ``proof`` of the messages before."""
        self.pair.server.answer(*proof, {channel: [*messages]})

    def got(self, subscriber: Subscriber | None = None) -> list[str]:
        """Take the data of the messages that a subscriber has received."""
        found: list[str] = []
        while items := self.engine.take_for(subscriber or self.subscriber):
            found += [item.data for item in items if isinstance(item, ChannelMessage)]
        return found

    def seen(self, subscriber: Subscriber | None = None) -> list[str | Event]:
        """Take the data of a subscriber's messages, with the events between them."""
        found: list[Any] = []
        while items := self.engine.take_for(subscriber or self.subscriber, events=True):
            found += [item.data if isinstance(item, ChannelMessage) else item for item in items]
        return found


def joined(at: str = "5-0", added: int = 5, **options: Any) -> Hub:
    """A hub whose first subscriber is in the channel ``a``, and whose reader waits for messages."""
    hub = Hub(**options)
    hub.join(hub.subscriber, "a", at, added)
    hub.read("a", at)
    hub.seen()
    return hub


def broadcast(**options: Any) -> tuple[BroadcastHub, Pair]:
    """A hub of pub/sub, and its driver."""
    settings = Settings(kind="pubsub", prefix="", **options)
    engine = BroadcastHub(settings, Naming(settings.prefix, "utf-8"))
    return engine, Pair(engine)
