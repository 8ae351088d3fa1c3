"""The questions of a hub beside its reader: which messages a subscriber has missed, and where it stands.

Each is a transaction about a channel, and only reads. On a single server they leave over a link of their own. In a cluster each
slot has a script, over the link to its node that all such scripts share: what is redirected, refused for now, or lost with its
connection, is asked again where the slot is then. Nothing of that ends a question; it ends with its answer, or when it is not
wanted any more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from ..commands import Command, key_slot
from ..connection.exchange import Exchange
from ..connection.link import Link, Owner
from ..engine.context import EngineContext
from ..engine.lane import Lane, LaneMoved, LaneOwner
from ..engine.link_events import connected, emit_loss
from ..engine.router import ANYWHERE, Beside, Route, Slot
from ..engine.script import WAIT, Script, ScriptRunner
from ..errors import ConnectionLost, ReplyError, RequestTimeout, StreamcoreError
from ..events import Event
from ..requests import Request, Transaction
from ..requests.queue import RequestQueue
from ..requests.request import OR_BUSY, OR_ELSEWHERE
from .publisher import PatientTransaction

_REFUSED: Final = OR_BUSY | OR_ELSEWHERE
"""The errors by which a server says that it executes nothing of a transaction, now or at all."""

FEW: Final = 64
"""Questions of a slot among which those that are not wanted any more are left alone."""


class Query(Protocol):
    """A question about a channel, by its ``key``."""

    @property
    def key(self) -> bytes: ...
    @property
    def is_wanted(self) -> bool: ...


Done = Callable[[Request], None]


class Pages(Protocol):
    """The way of the questions to the server."""

    @property
    def is_up(self) -> bool:
        """Whether a question can be sent at once."""
        ...

    def ask(self, query: Query, commands: Sequence[Command[Any]], done: Done) -> None:
        """Ask by a transaction of ``commands``; ``done`` is called with its answers."""
        ...

    def refuse(self, key: bytes, error: ReplyError) -> None:
        """Dial again by the back-off: a server that cannot serve now has answered a question about a channel."""
        ...

    def leave(self, key: bytes) -> None:
        """Forget the questions about a channel, which has no subscribers any more."""
        ...

    def trouble(self, keys: Sequence[bytes]) -> Exception | None:
        """Return why questions about these channels are not answered, where that is known."""
        ...

    def finish_all(self, why: str) -> None:
        """End the questions that are not answered."""
        ...


class PagesHub(EngineContext, Protocol):
    """The hub that asks. ``queue_is_up`` is called when questions can be sent again."""

    @property
    def title(self) -> str: ...
    def announce(self, event: Event) -> None: ...
    def report_up(self, link: Lane, *, again: bool) -> None: ...
    def report_down(self, link: Lane, error: Exception, *, was_up: bool) -> None: ...
    def queue_is_up(self) -> None: ...


class QueuedPages:
    """Questions to a single server, in a request queue."""

    def __init__(self, hub: PagesHub) -> None:
        self._hub = hub
        self.new_timer = hub.new_timer
        self._queue = RequestQueue(self)
        self._queue.link.open()  # the first join shall not wait for it: messages may come meanwhile

    @property
    def is_up(self) -> bool:
        """Whether the link is up."""
        return self._queue.link.is_up

    def ask(self, query: Query, commands: Sequence[Command[Any]], done: Done) -> None:
        """Ask over the link; a question that is not answered in time ends by ``RequestTimeout``."""
        self._queue.submit(PatientTransaction(commands, done, self._hub.options.request_timeout))

    def refuse(self, key: bytes, error: ReplyError) -> None:
        """Drop the connection to a server that cannot serve now."""
        self._queue.link.drop(error)

    def leave(self, key: bytes) -> None:
        """Do nothing: what is under way is answered in vain."""

    def trouble(self, keys: Sequence[bytes]) -> Exception | None:
        """Return the last error of the link."""
        return self._queue.link.error

    def finish_all(self, why: str) -> None:
        """End the questions that wait for a connection."""
        self._queue.finish_all(why)

    # -- calls of the request queue -----------------------------------------------------------------------------------

    def new_queue_link(self, queue: RequestQueue) -> Link:
        """Make the link beside the reader's."""
        return self._hub.new_link(queue, "history")

    def new_witness_link(self, witness: Owner, suspect: Link) -> Link:
        """Make a link that exists while the link beside the reader's is in doubt."""
        return self._hub.new_link(witness, "witness", Beside(suspect))

    def queue_up(self, queue: RequestQueue, *, again: bool) -> None:
        self._hub.queue_is_up()
        self._hub.report_up(queue.link, again=again)

    def queue_down(self, queue: RequestQueue, error: Exception, *, was_up: bool) -> None:
        self._hub.report_down(queue.link, error, was_up=was_up)

    def lost(self, error: Exception) -> ConnectionLost:
        """Make the error of a query whose reply will not come; it is harmless to ask again."""
        return ConnectionLost(f"the reply was lost: {error}", sent=True)

    def late(self, why: str) -> StreamcoreError:
        """Make the error of a query that is not answered in time."""
        return RequestTimeout(why)


class Question(Transaction):
    """A question to the node of a slot, for a ``query``."""

    __slots__ = ("query",)

    def __init__(self, query: Query, commands: Sequence[Command[Any]], done: Done, timeout: float) -> None:
        super().__init__(commands, done, timeout)
        self.query = query

    def attempt(self) -> Exchange:
        """Make an exchange of an attempt: the former may still be on its way over the same link, and be answered in vain."""
        return Exchange(self.commands, self.timeout, self.data)

    @property
    def refused_by(self) -> ReplyError | None:
        """The error by which a node has refused the transaction as a whole, for now or because another node serves its slot."""
        return next(
            (reply for reply in self.replies if isinstance(reply, ReplyError) and type(reply) in _REFUSED), None
        )


class SlotScript:
    """Asks the questions about a slot, at its node. ``keys``: the channels that were asked about and have subscribers."""

    def __init__(self, hub: PagesHub, slot: int) -> None:
        self.keys: set[bytes] = set()
        self.error: Exception | None = None
        self._hub = hub
        self._asked: dict[Question, None] = {}  # and not answered
        self._few = FEW
        self._is_closed = True
        self._has_moved = False  # and is not up there yet
        self.runner = ScriptRunner(self, self._story, f"history, slot {slot}", Slot(slot), shared=True)

    def ask(self, question: Question) -> None:
        """Ask a question, over the next connection too if need be."""
        self.keys.add(question.query.key)
        if len(self._asked) >= self._few:
            self._asked = {asked: None for asked in self._asked if asked.query.is_wanted}
            self._few = max(FEW, 2 * len(self._asked))
        self._asked[question] = None
        if self._is_closed:
            self._is_closed = False
            self.runner.link.open()
        self.runner.wake()

    def leave(self, key: bytes) -> None:
        """Forget the questions about a channel; close the lane where it was the last of the slot."""
        self.keys.discard(key)
        self._asked = {asked: None for asked in self._asked if asked.query.key != key}
        if not self.keys and not self._is_closed:
            self._is_closed, self._has_moved = True, False
            self.runner.link.close()

    def finish_all(self, why: str) -> None:
        """End all questions."""
        asked, self._asked = self._asked, {}
        for question in asked:
            question.finish(ConnectionLost(f"the reply was lost: {why}", sent=True))

    def _story(self) -> Script:
        while True:
            asked = [(question, question.attempt()) for question in self._asked]
            for _, attempt in asked:
                yield attempt
            for question, attempt in asked:
                while (yield WAIT) is None:
                    pass
                question.replies = attempt.replies
                if (refusal := question.refused_by) is not None:
                    raise refusal
                self.runner.link.succeeded()
                if question in self._asked:
                    del self._asked[question]
                    question.finish()
            if not self._asked:
                yield WAIT

    # -- the host of the script ---------------------------------------------------------------------------------------

    def new_lane(self, owner: LaneOwner, name: str = "main", route: Route = ANYWHERE, *, shared: bool = False) -> Lane:
        """Make the lane of the script."""
        return self._hub.new_lane(owner, name, route, shared=shared)

    def report_up(self, link: Lane, *, again: bool) -> None:
        """Tell the application that the node can be asked, unless the lane has only moved."""
        has_moved, self._has_moved = self._has_moved, False
        if not has_moved:
            self._hub.announce(connected(link, self._hub.title, again=again))

    def report_down(self, link: Lane, error: Exception, *, was_up: bool) -> None:
        """Tell the application of a lost connection, which loses nothing."""
        self.error = error
        if isinstance(error, LaneMoved):
            self._has_moved = True
        elif not (self._is_closed or self._hub.closed):
            emit_loss(self._hub.announce, link, error, self._hub.title, was_up=was_up)

    def fail(self, error: Exception) -> None:
        """End the engine by ``error``."""
        self._hub.fail(error)


class SlotPages:
    """Questions to the nodes of a cluster, by a script for each slot."""

    def __init__(self, hub: PagesHub) -> None:
        self._hub = hub
        self._scripts: dict[int, SlotScript] = {}

    @property
    def is_up(self) -> bool:
        """Return True: a slot's link comes with its first question."""
        return True

    def ask(self, query: Query, commands: Sequence[Command[Any]], done: Done) -> None:
        """Ask the node of the channel's slot, until it has answered."""
        slot = key_slot(query.key)
        script = self._scripts.get(slot)
        if script is None:
            script = self._scripts[slot] = SlotScript(self._hub, slot)
        script.ask(Question(query, commands, done, self._hub.options.request_timeout))

    def refuse(self, key: bytes, error: ReplyError) -> None:
        """Begin anew in the channel's slot."""
        self._scripts[key_slot(key)].runner.link.drop(error)

    def leave(self, key: bytes) -> None:
        """Forget the questions about a channel, and the link to its slot with the last of them."""
        self._scripts[key_slot(key)].leave(key)

    def trouble(self, keys: Sequence[bytes]) -> Exception | None:
        """Return the last error of the channels' slots."""
        scripts = [self._scripts[key_slot(key)] for key in keys]
        return next((script.error for script in scripts if script.error is not None), None)

    def finish_all(self, why: str) -> None:
        """End all questions."""
        for script in self._scripts.values():
            script.finish_all(why)
