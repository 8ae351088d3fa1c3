"""Commands of many callers over one link: what is submitted while the socket is busy leaves in one write.

Nobody's command may hold up or change anybody else's. So one that blocks, or a WATCH with what depends on it, runs on a
link that its caller has leased: ``lease`` gives one that is free, or a new one, up to ``MAX_LEASES``; released, it is kept
for a while. A request, a transaction too, is one ``Exchange``: its commands are contiguous on the wire.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias, Unpack

from ..commands import Command
from ..commands.command import WRITE, LinkUse, forbidden
from ..connection.exchange import Exchange
from ..connection.handshake import is_permanent
from ..connection.link import AT_ONCE, Link, Owner
from ..engine.degradation import Degradation
from ..engine.engine import Engine, EngineOptions
from ..errors import ConnectionLost, InvalidArgument, RequestTimeout, StreamcoreError
from ..process_bound import ProcessBound
from .queue import Line, because
from .request import Request, Transaction

MAX_LEASES: Final = 16
IDLE: Final = 10.0
"""Seconds for which a link is kept that nobody leases."""

_WATCHES: Final = frozenset({"WATCH", "UNWATCH"})
_UNWATCH: Final[Command[Any]] = Command(("UNWATCH",), traits=WRITE)

Done: TypeAlias = Callable[[Request], None]


class Multiplexer(Engine):
    """Send commands, in the order of ``submit``, over one link that is renewed for ever."""

    def __init__(self, **engine: Unpack[EngineOptions]) -> None:
        super().__init__(**engine)
        self._spare: list[Spare] = []
        self.degradation = Degradation(self._emit)
        """What the client does without because its user may not do it."""
        self._main = Line(self)
        self._main.link.open()

    @property
    def label(self) -> str:
        """A client, to whoever uses it."""
        return "Client" if type(self) is Multiplexer else type(self).__name__

    # -- the user's side ----------------------------------------------------------------------------------------------

    @property
    def is_ready(self) -> bool:
        """Whether the server has been reached, and has let us in."""
        return self._main.link.is_up

    @property
    def has_room(self) -> bool:
        """Whether less is queued and unanswered than ``max_outgoing`` bytes; wait before submitting more."""
        return self._main.queued < self.options.max_outgoing

    def no_room(self) -> ConnectionLost:
        """The error of a request that has waited for room as long as it may."""
        unanswered = f"{self._main.queued} bytes of requests before it are unanswered"
        return ConnectionLost(f"nothing was sent within {self.options.request_timeout:g} s: {unanswered}")

    def submit(self, commands: Sequence[Command[Any]], done: Done) -> Request:
        """Send commands together. Raises ``InvalidArgument`` or ``ClosedError`` before anything is queued."""
        self.check()
        for command in commands:
            if command.traits.use is not LinkUse.SHARED:
                raise _unshared(command)
        request = Request(commands, done, self.options.request_timeout)
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

    def lease(self) -> DedicatedLink | None:
        """A link for the caller alone, until it is released; None while ``MAX_LEASES`` of them are taken."""
        self.check()
        spare = next((spare for spare in self._spare if spare.is_free), None)
        if spare is None:
            if len(self._spare) >= MAX_LEASES:
                return None
            spare = Spare(self)
            self._spare.append(spare)
        return DedicatedLink(self, spare)

    def _end(self, error: Exception | None) -> None:
        super()._end(error)
        for line in (self._main, *self._spare):
            line.finish_all(f"the client was closed{because(error)}")

    # -- what the lines ask -------------------------------------------------------------------------------------------

    def new_line_link(self, line: Line) -> Link:
        """The first link is everybody's."""
        return self.new_link(line, f"lease-{len(self._spare) + 1}" if isinstance(line, Spare) else "main")

    def new_witness_link(self, witness: Owner) -> Link:
        """A link that exists while the main one is in doubt."""
        return self.new_link(witness, "witness")

    def line_up(self, line: Line, *, again: bool) -> None:
        if isinstance(line, Spare):
            again, line.afresh = again and not line.afresh, False
        else:
            self.degradation.begin()
        self.report_up(line.link, again=again)

    def line_down(self, line: Line, error: Exception, *, was_up: bool) -> None:
        if isinstance(line, Spare):
            if not line.leased:
                return  # closed, because nobody leased it
            if is_permanent(error) and not line.link.server:
                line.finish_all(str(error))
                return
        self.report_down(line.link, error, was_up=was_up)

    def lost(self, error: Exception) -> ConnectionLost:
        """The error of a request that was sent, and whose reply will never come."""
        return ConnectionLost(f"the reply was lost, the server may have executed the request: {error}", sent=True)

    def late(self, why: str) -> StreamcoreError:
        """The error of a request that was sent, and not answered in time."""
        return RequestTimeout(why)

    # -- time ---------------------------------------------------------------------------------------------------------

    def _timer(self) -> float | None:
        due = self._main.timer()
        for spare in self._spare:
            at = spare.timer()
            if at is not None and (due is None or at < due):
                due = at
        return due

    def _elapse(self, now: float) -> None:
        self._main.elapse(now)
        for spare in self._spare:
            spare.elapse(now)


class Spare(Line):
    """A link that is leased, or kept for the next one who leases it."""

    leased = False
    afresh = False  # closed, because nobody leased it, and wanted again: that is no recovery
    _free_since = AT_ONCE

    @property
    def is_free(self) -> bool:
        return not self.leased and self.is_clean

    def take(self) -> None:
        self.leased, self.bound, self.broken = True, False, None
        self.afresh |= not self.link.wants_connection
        self.link.open()

    def doubt(self) -> None:
        """Whatever blocks is silent for long, and a bound line repeats nothing."""

    def give_back(self) -> None:
        """What is unanswered reaches nobody any more: a server that still works on it shall stop."""
        self.leased, self._free_since = False, AT_ONCE
        if not self.is_clean:
            self.bound = True  # nothing is kept for another connection
            self.link.close()
            self.finish_all("its caller has gone")

    def link_answered(self, link: Link, exchange: Exchange) -> None:
        super().link_answered(link, exchange)
        self.bound = not self._refused

    def timer(self) -> float | None:
        if self.leased:
            return super().timer()
        if not self.link.wants_connection:
            return None
        return self._free_since if self._free_since == AT_ONCE else self._free_since + IDLE

    def elapse(self, now: float) -> None:
        super().elapse(now)
        if self.leased:
            return
        if self._free_since == AT_ONCE:
            self._free_since = now
        elif now >= self._free_since + IDLE:
            self.link.close()


class DedicatedLink(ProcessBound):
    """A link that is the caller's until ``release``.

    Once it has been answered it is bound to its connection: what the server was told (WATCH) must not be forgotten in
    silence. Raises ``ConnectionLost`` from then on if that breaks.
    """

    def __init__(self, engine: Multiplexer, spare: Spare) -> None:
        self._engine = engine
        self._spare: Spare | None = spare
        self._watching = False
        spare.take()
        engine.on_wakeup()

    def submit(self, commands: Sequence[Command[Any]], done: Done) -> Request:
        """As ``Multiplexer.submit``, and WATCH; the time that commands may block is added to the request timeout."""
        for command in commands:
            if command.traits.use is LinkUse.FORBIDDEN and command.name not in _WATCHES:
                raise forbidden(command)
        block = sum([command.traits.block for command in commands])
        request = self._submit(Request(commands, done, self._engine.options.request_timeout + block))
        self._watching |= any(command.name == "WATCH" for command in commands)
        return request

    def transact(self, commands: Sequence[Command[Any]], done: Done) -> Request:
        """As ``Multiplexer.transact``; if a watched key has changed the answers raise ``WatchedKeyChanged``."""
        request = self._submit(Transaction(commands, done, self._engine.options.request_timeout))
        self._watching = False
        return request

    def release(self) -> None:
        """Give the link back; what is unanswered is given up. Again does nothing."""
        spare, self._spare = self._spare, None
        if spare is not None:
            spare.give_back()
            if self._watching and spare.link.is_up and spare.broken is None:
                spare.submit(Request([_UNWATCH], _nobody, self._engine.options.request_timeout))
            self._engine.on_wakeup()

    @property
    def _line(self) -> Spare:
        self._engine.check()
        if self._spare is None:
            raise InvalidArgument("this link was released; lease another one")
        return self._spare

    def _submit(self, request: Request) -> Request:
        line = self._line
        if line.broken is not None:
            raise line.broken
        line.submit(request)
        self._engine.on_wakeup()
        return request


def _unshared(command: Command[Any]) -> InvalidArgument:
    if command.traits.use is LinkUse.FORBIDDEN:
        return forbidden(command)
    return InvalidArgument(f"{command.name} would block everybody's commands; lease a link for it")


def _nobody(request: Request) -> None:
    """Nobody waits for it."""
