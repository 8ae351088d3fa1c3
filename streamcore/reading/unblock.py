"""End a read that blocks in the server (``CLIENT UNBLOCK``), because a change cannot wait for it.

A link that blocks executes nothing that is sent behind the read. So the read is ended from outside, by ``CLIENT
UNBLOCK`` with the id of its connection, over a link that exists from the first time on. The server may come to that
command before it has come to the read, which then blocks all the same: the command is repeated. Where the command is
forbidden the connection is dropped instead; the read is sent again on the next.
"""

from __future__ import annotations

from math import inf
from typing import Final

from ..connection.link import AT_ONCE
from ..engine.context import EngineContext
from ..engine.degradation import ENDING_READS, Degradation
from ..engine.lane import Lane
from ..engine.router import Beside
from ..engine.script import WAIT, Script, ScriptHost, ScriptRunner, Steps, call
from ..errors import ConnectionLost, ReplyError

AGAIN: Final = 0.01  # seconds


class Unblocker:
    """Ends the blocked reads of a link, from a link of its own, which ``host`` makes."""

    def __init__(self, engine: EngineContext, host: ScriptHost, link: Lane, degradation: Degradation) -> None:
        self._host = host
        self._link = link
        self._degradation = degradation
        self._timeout = engine.options.request_timeout
        self._is_refused = False  # and that was told: the connection does not outlive it, so once until it is granted
        self._wanted = False
        self._timer = engine.new_timer(self.elapse)
        self._runner: ScriptRunner | None = None

    def unblock(self) -> None:
        """End the present read, as soon as the driver tells the time."""
        self._wanted = True
        self._timer.set(AT_ONCE)
        if not self._link.is_shared:
            self._control()

    def _control(self) -> ScriptRunner:
        """The runner of the link for ``CLIENT UNBLOCK``, from the first time on."""
        if self._runner is None:
            self._runner = ScriptRunner(self._host, self._story, "control", Beside(self._link), shared=True)
            self._runner.link.open()
        return self._runner

    def open(self) -> None:
        """Open the link again after ``close``, where there was one."""
        if self._runner is not None:
            self._runner.link.open()

    def close(self) -> None:
        """Close the link, where there is one: nothing is read."""
        self.done()
        if self._runner is not None:
            self._runner.link.close()

    def done(self) -> None:
        """Note that the read has returned, for any reason."""
        if self._wanted:
            self._wanted = False
            self._timer.set(inf)

    @property
    def wanted(self) -> bool:
        """Whether a read is to be ended, and has not returned."""
        return self._wanted

    def elapse(self, now: float) -> None:
        """Send CLIENT UNBLOCK if it is due at ``now``, in seconds, and again after a while."""
        if now >= self._timer.at and self._link.end_wait():
            self._timer.set(inf)
        elif now >= self._timer.at:
            self._timer.set(now + AGAIN)
            self._control().wake()

    def _story(self) -> Script:
        assert self._runner is not None
        while True:
            if self.wanted and self._link.is_up and self._runner.link.address == self._link.address:
                yield from self._unblock()
            yield WAIT

    def _unblock(self) -> Steps[None]:
        assert self._runner is not None
        link = self._link
        if not link.client_id:
            link.drop(ConnectionLost("dropped, since a read that blocks cannot be ended: the server tells no id of it"))
            return
        unblock = ("CLIENT", "UNBLOCK", link.client_id)
        [reply] = yield from call(unblock, timeout=self._timeout)
        self._runner.link.succeeded()
        was_refused, self._is_refused = self._is_refused, isinstance(reply, ReplyError)
        if isinstance(reply, ReplyError) and not was_refused:
            self._degradation.refused(ENDING_READS, unblock, reply)
        if isinstance(reply, ReplyError) and self.wanted:
            link.drop(ConnectionLost(f"dropped, since a read that blocks may not be ended: {reply}"))
