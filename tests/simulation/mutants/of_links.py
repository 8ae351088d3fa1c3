"""What goes wrong with one connection: deadlines, back-off, keep-alive, and what a write or a chunk has left over."""

from __future__ import annotations

from typing import Final

from .mutant import Mutant

LINK: Final = "streamcore.connection.link"
PATIENCE: Final = "streamcore.connection.patience"
CONNECTION: Final = "streamcore.connection.connection"
SCRIPT: Final = "streamcore.engine.script"

LINKS: Final = (
    Mutant(
        "backoff-never-resets",
        LINK,
        'useful work, and not only greeted."""\n        self.attempts = 0',
        'useful work, and not only greeted."""',
        "issue 6: after a day of short breaks each reconnect takes the longest back-off",
    ),
    Mutant(
        "backoff-never-grows",
        PATIENCE,
        "doublings = min(max(attempts - 1, 0), 32)",
        "doublings = 0",
        "clients with a constant retry: a fleet of them keeps a server down that comes back",
    ),
    Mutant(
        "no-backoff",
        LINK,
        "now + backoff(self._options, self.attempts) * self._random())",
        "now)",
        "clients that dial again at once: a hot loop while the server is down",
    ),
    Mutant(
        "no-keepalive",
        LINK,
        'self.send(Own(("PING",), self._options.keepalive_answer))',
        "pass",
        "clients without a health check on idle connections: a half-open one is never found",
        scenario="pubsub",
    ),
    Mutant(
        "silence-tolerated",
        LINK,
        'self.drop(ConnectionLost(f"{self.address} did not answer in time", sent=True))',
        "self._heard = now",
        "clients without a read deadline: a half-open connection is waited for, for ever",
    ),
    Mutant(
        "timer-early",
        LINK,
        "timeout, most = connection.waiting[0].timeout, self._most",
        "timeout, most = connection.waiting[0].timeout * 0.4, self._most",
        "issue 6: a timer that fires early; a healthy connection is dropped before its deadline",
    ),
    Mutant(
        "bytes-keep-a-dead-link-alive",
        LINK,
        "if self.patience.is_news(connection, completed):",
        "if self.patience.is_news(connection, completed) or True:",
        "clients whose deadline is one of reading: each byte that comes, of a push too, begins it anew",
        scenario="requests",
    ),
    Mutant(
        "flood-without-an-end",
        PATIENCE,
        "min(waited, (LONGEST - 1) * timeout - self._earned)",
        "waited",
        "a proxy that sends for ever, and fast, and answers nothing: the wait for an answer has no limit",
        scenario="requests",
    ),
    Mutant(
        "completions-lost-before-an-error",
        LINK,
        "for item in completed:",
        "for item in completed if connection.error is None else ():",
        "issue 6: what a chunk had completed before its bytes broke the protocol is dropped",
    ),
    Mutant(
        "partial-write-loses-the-rest",
        CONNECTION,
        "self._chunks[0] = memoryview(data)[n:]",
        "del self._chunks[:1]",
        "a driver or core that takes a short write for a whole one",
    ),
    Mutant(
        "unordered-pushes",
        CONNECTION,
        "if not fifo or not fifo[0].is_confirmed_by(reply):",
        "if not fifo or not fifo[0].subscribes:",
        "a message that comes between SUBSCRIBE and its confirmation is taken for the answer",
        scenario="pubsub",
    ),
    Mutant(
        "events-out-of-place",
        "streamcore.reading.reader",
        "self._events.add(event, self.prefetch.added)",
        "self._events.add(event, 0)",
        "errors and gaps told beside the data, not in order with it",
    ),
    Mutant(
        "change-not-noted",
        LINK,
        "        self._outputs[self] = None\n        if not self._connection.waiting:",
        "        if not self._connection.waiting:",
        "a link that has something to send, and is not among those that have changed: no driver asks it",
    ),
    Mutant(
        "deadline-not-noted",
        LINK,
        "        self._deadlines[self] = _NEVER if deadline is None else deadline",
        "        pass",
        "a link that dials or backs off, and has no timer: it waits for ever",
    ),
    Mutant(
        "lost-wake-up",
        SCRIPT,
        'the time has changed."""\n        if self._waiting:',
        'the time has changed."""\n        if False:',
        "issue 6: whoever waits for the application is not told that the application has moved",
    ),
)
