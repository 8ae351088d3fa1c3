"""When settlements leave, and what their answers tell.

They ride in front of the next read. When none leaves in time, the reading link sends them by themselves; where a read
blocks it, they go over the acking link (``ack_loop``).
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import Any, Final

from ..connection.exchange import Exchange
from ..connection.link import AT_ONCE
from ..engine.degradation import DELAYS, LETTERS
from ..engine.script import WAIT, Steps
from ..entries import GroupBatch
from ..errors import UNAVAILABLE, NoGroupError, OutOfMemoryError, ReplyError, about
from ..events import SettlingRefused
from ..keys import delayed_nacks
from .context import GroupContext
from .idling import Idling
from .in_flight import InFlight
from .pending import Acks, Pending
from .release import Release
from .renewal import Renewal
from .settlements import Burial, Nack, Settlement

PATIENCE: Final = 1.0
"""Seconds until a full server is asked again."""
LONG_PATIENCE: Final = 5.0
"""Seconds until a server is asked again that refuses to write a dead letter, or when entries are to come again."""


class Settling:
    """Sends settlements, over the link that its caller runs on, and what is given back behind them."""

    def __init__(
        self,
        context: GroupContext,
        pending: Pending,
        in_flight: InFlight,
        idling: Idling,
        release: Release,
        renewal: Renewal,
    ) -> None:
        self._context = context
        self._pending = pending
        self._in_flight = in_flight
        self._idling = idling
        self._release = release
        self._renewal = renewal
        self.due: float | None = None  # when they shall have left
        self.at_once = False  # they shall leave now
        self._rode = False  # some have left since the timer was set
        self._retry_at: float | None = None  # when what the server has refused leaves again
        self._told: dict[tuple[bytes, bytes], str] = {}  # why, by stream and id, as far as that was told

    # -- the application's side ---------------------------------------------------------------------------------------

    def note(self, batch: GroupBatch[Any]) -> None:
        """Note the first settlement of a batch since the last collection; called in any thread."""
        self._pending.note(batch)
        if self.due is None:
            self.due = AT_ONCE
        elif not self._in_flight.starved:
            return
        self._context.touch()
        self._context.wake_driver()

    def flush_soon(self) -> None:
        """Send what there is as soon as the engine is asked for its timer."""
        self.at_once, self.due = True, AT_ONCE
        self._context.touch()

    @property
    def at(self) -> float | None:
        """When ``elapse`` is due."""
        if self._in_flight.starved and self._pending.noted:
            return AT_ONCE
        if self._retry_at is None or (self.due is not None and self.due < self._retry_at):
            return self.due
        return self._retry_at

    # -- parts of the links' stories ----------------------------------------------------------------------------------

    def collect(self) -> Acks | None:
        """Collect the settlements that leave with the next write."""
        self._rode, self.at_once = True, False
        if self._release.unsent:  # which does not ride
            self.due = AT_ONCE
            self._context.touch()
        pending = self._pending
        pending.collect()
        if not pending.unsent:
            return None
        commands, ride = pending.take()
        return Acks(commands, ride, self._context.request_timeout)

    def confirm(self, acks: Acks) -> None:
        """Tell what the server has answered. Raises where it refuses."""
        context, late = self._context, list[Settlement]()
        for one, command, answer in zip(acks.ride, acks.commands, acks.replies, strict=True):
            if isinstance(answer, NoGroupError):  # with the group, nothing is pending
                continue
            if isinstance(answer, ReplyError):
                answer.command = command[0]
                self._put_off(one, answer)
                context.degradation.is_forbidden(LETTERS if isinstance(one, Burial) else DELAYS, command, answer)
                late.append(one)
                continue
            self._forget(one)
            for event in one.heed(answer):
                context.emit(event)
            if isinstance(one, Nack):
                self._idling.give_back(one.stream, one.delay)
        self._pending.confirm(acks.ride, late)
        if late and (self._in_flight.blocked or self._in_flight.resting):  # else it begins before the next read
            self._renewal.begin()

    def _put_off(self, one: Settlement, error: ReplyError) -> None:
        """Let a settlement wait that needs a key of its own, or memory; all others go on. Raises all other errors."""
        context, patience = self._context, PATIENCE
        if not isinstance(error, OutOfMemoryError):
            if error.code in UNAVAILABLE or not isinstance(one, (Burial, Nack)):
                raise error
            patience = LONG_PATIENCE
            if fresh := [id_ for id_ in one.ids if self._told.get((one.stream, id_)) != error.code]:
                self._told |= {(one.stream, id_): error.code for id_ in fresh}
                key = one.letters if isinstance(one, Burial) else delayed_nacks(one.stream, context.member.group)
                context.emit(SettlingRefused(one.stream, tuple(fresh), key, about(error, "key", key)))
        self._retry_at = min(context.now + patience, self._retry_at or inf)
        context.touch()

    def _forget(self, one: Settlement) -> None:
        """Forget that a settlement was refused before."""
        if self._told:
            for id_ in one.ids:
                self._told.pop((one.stream, id_), None)

    def retry(self) -> None:
        """Send what the server has refused with the next ride."""
        self._retry_at = None
        self._pending.retry()

    def lose(self, rides: Iterable[Acks]) -> None:
        """Queue settlements again whose replies will never come, for the next connection."""
        pending = self._pending
        pending.lose(acks.ride for acks in rides)
        if pending.unsent:
            self.flush_soon()

    def begin(self, *, is_awaited: bool) -> None:
        """Count anew what is in hand on a new connection of the reading link, and send again the settlements that no link has in flight.

        A signal handler may have raised in the middle of their way. ``is_awaited``: the acking link has some in flight.
        """
        pending = self._pending
        pending.recount()
        if not is_awaited and (rides := pending.rides):
            pending.lose(rides)
            self.flush_soon()

    def send(self) -> Steps[None]:
        """Send what there is, and wait for the answer; or, where nothing shall leave, until something changes."""
        if not self.at_once:
            yield WAIT
            return
        if (acks := self.collect()) is not None:
            try:
                yield acks
                while (yield WAIT) is None:
                    pass
                self.confirm(acks)
            except BaseException:
                self.lose([acks])
                raise
        yield from self.give_back()

    def give_back(self) -> Steps[None]:
        """Give back what is to be given back; again on the next connection, if the reply does not come."""
        try:
            yield from self._release.run()
        except BaseException:
            self.flush_soon()
            raise

    def send_before(self, read: Exchange) -> Steps[None]:
        """Send what there is, and a read behind it; wait for both answers."""
        acks = self.collect()
        try:
            if acks is not None:
                yield acks
            yield read
            while (answered := (yield WAIT)) is not read:
                if acks is not None and answered is acks:
                    self.confirm(acks)
                    acks = None
        except BaseException:
            if acks is not None:
                self.lose([acks])
            raise

    # -- time ---------------------------------------------------------------------------------------------------------

    def elapse(self, now: float) -> bool:
        """Find out whether settlements are to leave at the time ``now``, in seconds, without waiting for a read."""
        pending, delay = self._pending, self._context.member.ack_delay
        if self._retry_at is not None and now >= self._retry_at:
            self.retry()
            self.flush_soon()
        if self.due == AT_ONCE and not self.at_once:
            self.due = now + delay / 2
        if self.due is None or now < self.due:
            return False
        self.due = None
        pending.collect()
        if not (pending.unsent or self._release.unsent):
            self.at_once = False
        elif self._rode and not self.at_once:
            self._rode = False  # they ride with the reads; those of now have half of the delay left to do so, too
            self.due = now + delay / 2
        else:
            self.at_once = True
        return self.at_once
