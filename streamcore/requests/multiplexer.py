"""Commands of many callers over a shared link: requests submitted while the socket is busy leave in a single write.

No caller's command may hold up or change another's. So a command that blocks, or a WATCH with its transaction, runs on a
dedicated link: ``lease`` gives a free or a new link, up to ``MAX_LEASES``; released, it is kept for a while. A request, a
transaction too, is an ``Exchange``: its commands are contiguous on the wire.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import Any, Final, Protocol, TypeAlias, Unpack

from ..arguments import ReadFrom
from ..commands import Command
from ..commands.command import WRITE, LinkUse, forbidden
from ..connection.exchange import Exchange
from ..connection.handshake import is_permanent
from ..connection.link import AT_ONCE, Link, Owner
from ..engine.degradation import Degradation
from ..engine.engine import Engine, EngineOptions
from ..engine.router import ANYWHERE, Beside, Route
from ..errors import ConnectionLost, InvalidArgument, RequestTimeout, StreamcoreError
from ..process_bound import ProcessBound
from .nodes import ServerNode, Tour
from .queue import RequestQueue, because
from .request import Request, Transaction

MAX_LEASES: Final = 16
IDLE: Final = 10.0
"""Seconds for which a released link is kept."""

_WATCHES: Final = frozenset({"WATCH", "UNWATCH"})
_UNWATCH: Final[Command[Any]] = Command(("UNWATCH",), traits=WRITE)

Done: TypeAlias = Callable[[Request], None]


class Multiplexer(Engine):
    """Send commands, in the order of ``submit``, over a shared link, which is dialled again whenever its connection is lost."""

    _request: type[Request] = Request
    """The kind of the requests that ``submit`` makes."""

    def __init__(self, **engine: Unpack[EngineOptions]) -> None:
        super().__init__(**engine)
        self._dedicated: list[DedicatedQueue] = []
        self.degradation = Degradation(self._emit)
        """The optional work that the client leaves out for want of a right."""
        self._main = RequestQueue(self)
        self._main.link.open()

    @property
    def label(self) -> str:
        """The name of the engine in messages: a client."""
        return "Client" if type(self) is Multiplexer else type(self).__name__

    # -- the user's side ----------------------------------------------------------------------------------------------

    @property
    def is_ready(self) -> bool:
        """Whether the shared link is up."""
        return self._main.link.is_up

    @property
    def has_room(self) -> bool:
        """Whether less than ``max_outgoing`` bytes are queued and unanswered; wait before submitting more."""
        return self._main.queued < self.options.max_outgoing

    def no_room(self) -> ConnectionLost:
        """Make the error of a request that has waited for room as long as it may."""
        unanswered = f"{self._main.queued} bytes of requests before it are unanswered"
        return ConnectionLost(f"nothing was sent within {self.options.request_timeout:g} s: {unanswered}")

    def submit(self, commands: Sequence[Command[Any]], done: Done, read_from: ReadFrom | None = None) -> Request:
        """Send commands together, as a request. Raises ``InvalidArgument`` or ``ClosedError`` before anything is queued.

        ``read_from``: the nodes of a cluster that are to answer reads; a single server answers all.
        """
        self.check()
        for command in commands:
            if command.traits.use is not LinkUse.SHARED:
                raise unshared(command)
        request = self._request(commands, done, self.options.request_timeout)
        self._main.submit(request)
        self.on_wakeup()
        return request

    def transact(self, commands: Sequence[Command[Any]], done: Done) -> Request:
        """Send commands between MULTI and EXEC. Raises as ``submit`` does."""
        return self.put(Transaction(commands, done, self.options.request_timeout))

    def put(self, request: Request) -> Request:
        """Send a request of the caller's own kind. Raises ``ClosedError``."""
        self.check()
        self._main.submit(request)
        self.on_wakeup()
        return request

    def lease(self, commands: Sequence[Command[Any]] = ()) -> DedicatedLink | None:
        """Lease a dedicated link to the caller until it is released; None while ``MAX_LEASES`` of them are taken.

        ``commands``: the first that will be sent over it; in a cluster their keys tell to which node it has to lead.
        """
        self.check()
        queue = next((queue for queue in self._dedicated if queue.is_free), None)
        if queue is None:
            if len(self._dedicated) >= MAX_LEASES:
                return None
            queue = DedicatedQueue(self)
            self._dedicated.append(queue)
        return DedicatedLink(self, queue)

    # -- the servers behind it ----------------------------------------------------------------------------------------

    def nodes(self) -> list[ServerNode]:
        """List the servers: a standalone server alone."""
        link = self._main.link
        return [ServerNode("", link.address, "replica" if link.server.get(b"role") == b"replica" else "primary")]

    def at(self, node: ServerNode) -> AtNode:
        """Send commands to a certain node: there is no other."""
        return self

    def each(self, nodes: Sequence[ServerNode], commands: Sequence[Command[Any]], done: Callable[[Any], None]) -> Any:
        """Send a command to each of some nodes: there is a single node."""
        return self.submit(commands, done)

    def tour(self) -> Tour:
        """Begin a tour of the nodes whose keys are all keys."""
        return Tour(self.nodes())

    def _end(self, error: Exception | None) -> None:
        super()._end(error)
        for queue in (self._main, *self._dedicated):
            queue.finish_all(f"the client was closed{because(error)}")

    # -- calls of the request queues ----------------------------------------------------------------------------------

    def new_queue_link(self, queue: RequestQueue) -> Link:
        """Make the link of a request queue: the shared main link, or a dedicated link."""
        name = f"lease-{len(self._dedicated) + 1}" if isinstance(queue, DedicatedQueue) else "main"
        return self.new_link(queue, name, self.queue_route())

    def queue_route(self) -> Route:
        """Find the route of the links: any server will do."""
        return ANYWHERE

    def new_witness_link(self, witness: Owner, suspect: Link) -> Link:
        """Make a link that exists while the main link is in doubt."""
        return self.new_link(witness, "witness", Beside(suspect))

    def queue_up(self, queue: RequestQueue, *, again: bool) -> None:
        """Report that the link of a request queue is connected.

        A dedicated link that was closed while it was free, and is leased again, does not count as recovered.
        """
        if isinstance(queue, DedicatedQueue):
            again, queue.afresh = again and not queue.afresh, False
        else:
            self.degradation.begin()
        self.report_up(queue.link, again=again)

    def queue_down(self, queue: RequestQueue, error: Exception, *, was_up: bool) -> None:
        """Report that the link of a request queue is lost.

        The requests of a dedicated link that can never be connected end at once.
        """
        if isinstance(queue, DedicatedQueue):
            if not queue.leased:
                return  # closed, because it was not leased
            if is_permanent(error) and not queue.link.server:
                queue.finish_all(str(error))
                return
        self.report_down(queue.link, error, was_up=was_up)

    def lost(self, error: Exception) -> ConnectionLost:
        """Make the error of a request that was sent, and whose reply will never come."""
        return ConnectionLost(f"the reply was lost, the server may have executed the request: {error}", sent=True)

    def late(self, why: str) -> StreamcoreError:
        """Make the error of a request that was sent, and not answered in time."""
        return RequestTimeout(why)


class AtNode(Protocol):
    """Sends commands to a certain node; see ``Multiplexer`` for the functions."""

    def submit(self, commands: Sequence[Command[Any]], done: Done) -> Request: ...
    def transact(self, commands: Sequence[Command[Any]], done: Done) -> Request: ...
    def lease(self, commands: Sequence[Command[Any]] = ()) -> DedicatedLink | None: ...


class DedicatedQueue(RequestQueue):
    """The queue of a dedicated link: leased, or kept for the next lease."""

    leased = False
    afresh = False  # closed while it was not leased, and wanted again: that is no recovery
    _free_since = AT_ONCE

    @property
    def is_free(self) -> bool:
        """Whether the link can be leased: it is not leased, and every request is answered."""
        return not self.leased and self.is_clean

    def take(self) -> None:
        """Lease the link: open it, and forget the connection of the last lease."""
        self.leased, self.bound, self.broken = True, False, None
        self.afresh |= not self.link.wants_connection
        self._set_timer()
        self.link.open()

    def doubt(self) -> None:
        """Ignore a doubt: a command that blocks is silent for long, and a bound queue repeats nothing."""

    def give_back(self) -> None:
        """Take the link back; close it where commands are unanswered, so that the server stops working on them."""
        self.leased, self._free_since = False, AT_ONCE
        if not self.is_clean:
            self.bound = True  # nothing is kept for another connection
            self._close()
            self.finish_all("its caller has gone")
        self._set_timer()

    def link_answered(self, link: Link, exchange: Exchange) -> None:
        super().link_answered(link, exchange)
        self.bound = not self._refused

    def _set_timer(self) -> None:
        if self.leased:
            super()._set_timer()
        else:
            self._timer.set(self._free_since + IDLE)

    def elapse(self, now: float) -> None:
        """Close a link that was free for ``IDLE`` seconds; end requests whose deadlines have passed."""
        if not self.leased:
            if self._free_since == AT_ONCE:
                self._free_since = now
            else:
                self._close()
        super().elapse(now)

    def _close(self) -> None:
        self._free_since = inf
        self.link.close()


class DedicatedLink(ProcessBound):
    """A link that is the caller's until ``release``.

    Once it has been answered it is bound to its connection: the server's state of it (WATCH) must not be lost in
    silence. Raises ``ConnectionLost`` from then on if the connection breaks.
    """

    def __init__(self, engine: Multiplexer, queue: DedicatedQueue) -> None:
        self._engine = engine
        self._queue: DedicatedQueue | None = queue
        self._watching = False
        queue.take()
        engine.on_wakeup()

    def submit(self, commands: Sequence[Command[Any]], done: Done) -> Request:
        """Send commands as ``Multiplexer.submit``, WATCH too; the request timeout grows by their BLOCK, in seconds."""
        for command in commands:
            if command.traits.use is LinkUse.FORBIDDEN and command.name not in _WATCHES:
                raise forbidden(command)
        block = sum([command.traits.block for command in commands])
        request = self._submit(Request(commands, done, self._engine.options.request_timeout + block))
        self._watching |= any(command.name == "WATCH" for command in commands)
        return request

    def transact(self, commands: Sequence[Command[Any]], done: Done) -> Request:
        """Send a transaction as ``Multiplexer.transact``; a changed watched key raises ``WatchedKeyChanged``."""
        request = self._submit(Transaction(commands, done, self._engine.options.request_timeout))
        self._watching = False
        return request

    def release(self) -> None:
        """Give the link back, and give up unanswered requests; releasing again does nothing."""
        queue, self._queue = self._queue, None
        if queue is not None:
            queue.give_back()
            if self._watching and queue.link.is_up and queue.broken is None:
                queue.submit(Request([_UNWATCH], _ignored, self._engine.options.request_timeout))
            self._engine.on_wakeup()

    @property
    def _open_queue(self) -> DedicatedQueue:
        self._engine.check()
        if self._queue is None:
            raise InvalidArgument("this link was released; lease another one")
        return self._queue

    def _submit(self, request: Request) -> Request:
        queue = self._open_queue
        if queue.broken is not None:
            raise queue.broken
        queue.submit(request)
        self._engine.on_wakeup()
        return request


def unshared(command: Command[Any]) -> InvalidArgument:
    """Make the error of a command that may not run on a shared link."""
    if command.traits.use is LinkUse.FORBIDDEN:
        return forbidden(command)
    return InvalidArgument(f"{command.name} would block everybody's commands; lease a link for it")


def _ignored(request: Request) -> None:
    """Ignore the reply to UNWATCH."""
