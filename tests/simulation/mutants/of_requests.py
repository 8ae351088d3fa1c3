"""What goes wrong with requests and with what is produced: replies to others, repetitions, refusals."""

from __future__ import annotations

from typing import Final

from .mutant import Mutant

LINE: Final = "streamcore.requests.line"
REQUESTS_OF: Final = "streamcore.requests.engine"
OUTBOX: Final = "streamcore.outbox"

REQUESTS: Final = (
    Mutant(
        "unread-reply-to-the-next",
        LINE,
        "request.finish(self._late(request))",
        "request.finish(self._late(request))\n"
        "                if self.link.is_up and self.link._connection and request in self.link._connection._fifo:\n"
        "                    self.link._connection._fifo.remove(request)",
        "issue 6: a connection with an unread reply is used again; each caller gets its predecessor's reply",
        cast="clerks",
    ),
    Mutant(
        "retried-xadd",
        LINE,
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
        cast="clerks",
    ),
    Mutant(
        "unsent-lost",
        LINE,
        'kept += cast("list[Request]", unsent)',
        "pass",
        "what had not left when the connection broke is forgotten; its callers wait",
        cast="clerks",
    ),
    Mutant(
        "refusal-loop",
        LINE,
        "self._refused.append(exchange)  # ``elapse`` drops the connection, once all answers have been told",
        "link.send(exchange)",
        "issue 6's redirect loop, as far as there are refusals without a cluster: sent again at once, for ever",
        cast="clerks",
    ),
    Mutant(
        "refusal-takes-all-back",
        "streamcore.requests.request",
        "return NOT_NOW.issuperset(map(type, self.replies))",
        "return any(type(reply) in NOT_NOW for reply in self.replies)",
        "a request of which a part was refused is sent again as a whole",
        cast="clerks",
    ),
    Mutant(
        "deadline-early",
        LINE,
        "request.deadline = now + request.timeout",
        "request.deadline = now + request.timeout * 0.4",
        "issue 6: a timer that fires early",
        cast="clerks",
    ),
    Mutant(
        "deadline-never",
        LINE,
        "request.deadline = now + request.timeout",
        "request.deadline = now + request.timeout * 1000",
        "a request that ends when its connection does",
    ),
    Mutant(
        "cancelled-request-executed",
        LINE,
        "if request.finished:\n                self.queued -= len(request.data)",
        "if False:\n                self.queued -= len(request.data)",
        "what its caller gave up before it had left is sent all the same",
        cast="clerks",
    ),
    Mutant(
        "order-lost-on-reconnect",
        LINE,
        "self._waiting.extendleft(reversed(kept))",
        "self._waiting.extend(kept)",
        "what waited for the next connection is overtaken by what came later",
        cast="clerks",
    ),
    Mutant(
        "submission-wakes-nobody",
        REQUESTS_OF,
        "request = Request(commands, done, self.options.request_timeout)\n"
        "        self._main.submit(request)\n        self.on_wakeup()",
        "request = Request(commands, done, self.options.request_timeout)\n        self._main.submit(request)",
        "issue 6: a lost wake-up; a request leaves when something else happens",
    ),
    Mutant(
        "message-id-drawn-anew",
        "streamcore.idempotence",
        "args = (message_id, WINDOW, int(WINDOW_SECONDS * 1000), *command.args[2:])",
        'args = (b"%d" % next(self._numbers), WINDOW, int(WINDOW_SECONDS * 1000), *command.args[2:])',
        "a retry under another message id: the copy that idempotence was to prevent",
    ),
    Mutant(
        "outbox-loses-what-was-in-flight",
        OUTBOX,
        "self._again(batch.entries)",
        "pass",
        "entries of a batch that had not left are forgotten with its connection",
    ),
    Mutant(
        "outbox-repeats-blindly",
        OUTBOX,
        "return self._memory is not None\n        if isinstance",
        "return True\n        if isinstance",
        "issue 6: an XADD whose reply was lost is sent again",
    ),
    Mutant(
        "refusals-reset-the-backoff",
        OUTBOX,
        "self._line.link.attempts = self._refusals",
        "self._line.link.attempts = 0",
        "a server that loads, or is a replica, is asked in a hot loop",
    ),
    Mutant(
        "not-durable-untold",
        OUTBOX,
        "return shortfall(self._durability, entry.id, confirmation)",
        "return None",
        "WAIT that finds no replica is taken for success",
    ),
)
