"""What goes wrong with requests and with what is produced: replies to others, repetitions, refusals."""

from __future__ import annotations

from typing import Final

from .mutant import Mutant

QUEUE: Final = "streamcore.requests.queue"
REQUESTS_OF: Final = "streamcore.requests.multiplexer"
ACCUMULATOR: Final = "streamcore.producer.accumulator"

REQUESTS: Final = (
    Mutant(
        "unread-reply-to-the-next",
        "streamcore.connection.connection",
        "exchange = fifo[0]\n                answers",
        'while len(fifo) > 1 and getattr(fifo[0], "finished", False):\n'
        "                    fifo.popleft()\n"
        "                exchange = fifo[0]\n                answers",
        "issue 6: a connection with an unread reply is used again; each caller gets its predecessor's reply",
        scenario="client",
    ),
    Mutant(
        "retried-xadd",
        QUEUE,
        "if request.repeatable and not self.bound:",
        "if not self.bound:",
        "issue 6: a command whose reply was lost is sent again, though it may have been executed",
    ),
    Mutant(
        "sent-told-as-unsent",
        REQUESTS_OF,
        'return ConnectionLost(f"the reply was lost, the server may have executed the request: {error}", sent=True)',
        'return ConnectionLost(f"the reply was lost, the server may have executed the request: {error}", sent=False)',
        "an error that says that nothing was sent, so that the caller sends it again",
        scenario="client",
    ),
    Mutant(
        "deadline-never",
        QUEUE,
        "request.deadline = now + request.timeout",
        "request.deadline = now + request.timeout * 1000",
        "a request that ends when its connection does",
    ),
    Mutant(
        "no-witness",
        "streamcore.requests.witness",
        "if self._is_harmless():\n            self._link.open()",
        "if self._is_harmless():\n            pass",
        "a request's deadline is also the detector of a dead link: the repetition that is promised never comes",
        scenario="requests",
    ),
    Mutant(
        "busy-taken-for-dead",
        "streamcore.requests.witness",
        "if self._is_harmless():\n            self._link.open()",
        'self._suspect.drop(ConnectionLost("silent", sent=True))',
        "clients that give up a connection whose server is busy, and make it busier",
        scenario="requests",
    ),
    Mutant(
        "farewell-not-believed",
        QUEUE,
        "link.take_for_unreadable(exchange)",
        "pass",
        "behind a command that the server could not read, everything is said to have been executed, perhaps",
        scenario="requests",
    ),
    Mutant(
        "resent-although-executed",
        "streamcore.connection.connection",
        "return waiting[:1] if waiting[0].was_unreadable() else",
        "return [] if waiting[0].was_unreadable() else",
        "what stands before a command that the server could not read is sent again with it, and executed twice",
        scenario="requests",
    ),
    Mutant(
        "message-id-drawn-anew",
        "streamcore.producer.deduplication",
        "args = (message_id, WINDOW, int(WINDOW_SECONDS * 1000), *command.args[2:])",
        'args = (b"%d" % next(self._numbers), WINDOW, int(WINDOW_SECONDS * 1000), *command.args[2:])',
        "a retry under another message id: the copy that idempotence was to prevent",
    ),
    Mutant(
        "accumulator-repeats-blindly",
        ACCUMULATOR,
        "return self._deduplication is not None\n        if isinstance",
        "return True\n        if isinstance",
        "issue 6: an XADD whose reply was lost is sent again",
    ),
    Mutant(
        "refusals-reset-the-backoff",
        ACCUMULATOR,
        "self._queue.link.attempts = self._refusals",
        "self._queue.link.attempts = 0",
        "a server that loads, or is a replica, is asked in a hot loop",
    ),
)
