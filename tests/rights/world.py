"""A user of a server who has some rights and no others, and what is sent in his name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final
from urllib.parse import urlsplit

from streamcore.events import Degraded, Event
from tests.support.raw import Argument, Raw
from transports.asyncio import Client, connect
from transports.embedded import EmbeddedServer

USER: Final = "worker"
PASSWORD: Final = "secret"
CONTAINERS: Final = frozenset({"client", "config", "xgroup", "xinfo"})
MARK: Final = "that was all"
BASE: Final = ("hello", "client|setinfo", "ping")
"""What every connection sends; HELLO needs no right."""

HIDDEN: Final = ("client|", "config|")
"""Commands that MONITOR does not show; the server counts them for all clients together."""

_CALLS: Final = re.compile(rb"cmdstat_([\w|]+):calls=(\d+)")
_LINE: Final = re.compile(rb"^[\d.]+ \[\d+ (\S+)\] (.*)$", re.DOTALL)
_WORD: Final = re.compile(rb'"((?:[^"\\]|\\.)*)"')


class Administrator:
    """A connection that may do everything, and counts what it does."""

    def __init__(self, raw: Raw) -> None:
        self.done: Counter[str] = Counter()
        self._raw = raw

    def __call__(self, *words: Argument) -> Any:
        """Run a command; its reply."""
        self.done[right((str(words[0]).lower(), *(word for word in words[1:2] if isinstance(word, str))))] += 1
        return self._raw(*words)


class World:
    """One server, emptied. ``raw`` may do everything; ``events`` is what the user's client was told."""

    def __init__(self, server: EmbeddedServer) -> None:
        self._others: list[Raw] = [Raw(server.address)]
        self.raw = Administrator(self._others[0])
        self.events: list[Event] = []
        self._server = server
        self._ears: Raw | None = None
        self.raw("FLUSHALL")
        self.raw("SCRIPT", "FLUSH")

    def close(self) -> None:
        """Take the user his rights, and hang up."""
        self.raw("ACL", "DELUSER", USER)
        for one in self._others:
            one.close()

    def knows(self, command: str) -> bool:
        """Whether the server has a command."""
        return bool(self.raw("COMMAND", "INFO", command) != [None])

    def allow(self, rules: Iterable[str]) -> None:
        """Give the user these rights, and no others."""
        self.raw("ACL", "SETUSER", USER, "reset", "on", f">{PASSWORD}", "-@all", *rules)

    def connect(self, *, database: int = 0, **options: Any) -> AbstractAsyncContextManager[Client]:
        """The user's client."""
        where = urlsplit(self._server.url)
        url = where._replace(netloc=f"{USER}:{PASSWORD}@{where.netloc}", path=f"/{database}").geturl()
        return connect(url, on_event=self.events.append, request_timeout=1.0, **options)

    def other(self) -> Raw:
        """Somebody else's connection."""
        self._others.append(Raw(self._server.address))
        return self._others[-1]

    @property
    def degraded(self) -> list[Degraded]:
        """What the user's client has told that it does without."""
        return [event for event in self.events if isinstance(event, Degraded)]

    # -- what is sent -------------------------------------------------------------------------------------------------

    def listen(self) -> None:
        """Record from now on."""
        self._ears = self.other()
        self._ears("MONITOR")
        self.raw("CONFIG", "RESETSTAT")
        self.raw.done.clear()

    def used(self) -> set[str]:
        """The commands that the user has run since then, those within scripts, too, by their names in rules of an ACL."""
        found = {right(words) for words in self._shown()}
        stats: bytes = self.raw("INFO", "commandstats")
        for name, calls in _CALLS.findall(stats):
            hidden = name.decode()
            if hidden.startswith(HIDDEN) and int(calls) > self.raw.done[hidden]:
                found.add(hidden)
        return found - {"config|resetstat"}

    def _shown(self) -> set[tuple[str, ...]]:
        """What MONITOR has shown of the user: words, the first in lower case."""
        assert self._ears is not None
        ours = {b"%b:%d" % (host.encode(), port) for host, port in (one.socket.getsockname() for one in self._others)}
        self.raw("ECHO", MARK)
        found: set[tuple[str, ...]] = set()
        while True:
            line = _LINE.match(self._ears.read())
            assert line is not None
            words = tuple(word.decode(errors="replace") for word in _WORD.findall(line[2]))
            if words[1:] == (MARK,):
                return found
            if line[1] not in ours:
                found.add((words[0].lower(), *words[1:]))


def right(words: tuple[str, ...]) -> str:
    """The name of a command in a rule of an ACL."""
    return f"{words[0]}|{words[1].lower()}" if words[0] in CONTAINERS else words[0]
