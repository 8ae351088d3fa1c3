"""When settlements leave, over which link, and what their answers tell.

They ride in front of the next read. When none leaves in time, the reading link sends them by themselves; where a read
blocks it, they go over the *acking* link, which exists only from then on.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import TYPE_CHECKING, Any, Final

from ..connection.exchange import Exchange
from ..connection.link import AT_ONCE
from ..engine.degradation import DELAYS, LETTERS
from ..engine.script import WAIT, Script, ScriptRunner, Steps
from ..entries import GroupBatch
from ..errors import UNAVAILABLE, NoGroupError, OutOfMemoryError, ReplyError, about
from ..events import SettlingRefused
from ..keys import delayed_nacks
from .pending import Acks
from .settlements import Burial, Nack, Settlement

if TYPE_CHECKING:
    from .read_loop import GroupReading

PATIENCE: Final = 1.0
"""Seconds until a full server is asked again."""
LONG_PATIENCE: Final = 5.0
"""Seconds until a server is asked again that refuses to write a dead letter, or when entries are to come again."""


class Settling:
    """The settlements of one consumer on their way."""

    def __init__(self, consumer: GroupReading[Any]) -> None:
        self._consumer = consumer
        self.due: float | None = None  # when they shall have left
        self.at_once = False  # they shall leave now
        self._rode = False  # some have left since the timer was set
        self._retry_at: float | None = None  # when what the server has refused leaves again
        self._told: dict[tuple[bytes, bytes], str] = {}  # why, by stream and id, as far as that was told
        self._runner: ScriptRunner | None = None  # of the acking link

    # -- the application's side ---------------------------------------------------------------------------------------

    def note(self, batch: GroupBatch[Any]) -> None:
        """A batch has its first settlement since the last collection; called in any thread."""
        consumer = self._consumer
        consumer.pending.note(batch)
        if self.due is None:
            self.due = AT_ONCE
            consumer.on_wakeup()
        elif consumer.starved:
            consumer.on_wakeup()

    def flush_soon(self) -> None:
        """Send what there is when the engine is asked for its timer."""
        self.at_once, self.due = True, AT_ONCE

    @property
    def timer(self) -> float | None:
        """When ``elapse`` is due."""
        if self._consumer.starved and self._consumer.pending.noted:
            return AT_ONCE
        if self._retry_at is None or (self.due is not None and self.due < self._retry_at):
            return self.due
        return self._retry_at

    # -- parts of the links' stories ----------------------------------------------------------------------------------

    def collect(self) -> Acks | None:
        """What leaves with the next write."""
        self._rode, self.at_once = True, False
        if self._consumer.returns.unsent:  # they do not ride
            self.due = AT_ONCE
        pending = self._consumer.pending
        pending.collect()
        if not pending.unsent:
            return None
        commands, ride = pending.take()
        return Acks(commands, ride, self._consumer.options.request_timeout)

    def confirm(self, acks: Acks) -> None:
        """The server has answered. Raises where it refuses."""
        consumer, late = self._consumer, list[Settlement]()
        for one, command, answer in zip(acks.ride, acks.commands, acks.replies, strict=True):
            if isinstance(answer, NoGroupError):  # with the group, nothing is pending
                continue
            if isinstance(answer, ReplyError):
                answer.command = command[0]
                self._put_off(one, answer)
                consumer.degradation.is_forbidden(LETTERS if isinstance(one, Burial) else DELAYS, command, answer)
                late.append(one)
                continue
            self._forget(one)
            for event in one.heed(answer):
                consumer.emit(event)
            if isinstance(one, Nack):
                consumer.expect(one.stream, one.delay)
        consumer.pending.confirm(acks.ride, late)

    def _put_off(self, one: Settlement, error: ReplyError) -> None:
        """What needs a key of its own, or memory, stays pending and waits; whatever else is settled goes on. Raises all other errors."""
        consumer, patience = self._consumer, PATIENCE
        if not isinstance(error, OutOfMemoryError):
            if error.code in UNAVAILABLE or not isinstance(one, (Burial, Nack)):
                raise error
            patience = LONG_PATIENCE
            if fresh := [id_ for id_ in one.ids if self._told.get((one.stream, id_)) != error.code]:
                self._told |= {(one.stream, id_): error.code for id_ in fresh}
                key = one.letters if isinstance(one, Burial) else delayed_nacks(one.stream, consumer.member.group)
                consumer.emit(SettlingRefused(one.stream, tuple(fresh), key, about(error, "key", key)))
        self._retry_at = min(consumer.now + patience, self._retry_at or inf)

    def _forget(self, one: Settlement) -> None:
        """It was refused before, perhaps, and is told now."""
        if self._told:
            for id_ in one.ids:
                self._told.pop((one.stream, id_), None)

    def retry(self) -> None:
        """What the server has refused leaves with the next ride."""
        self._retry_at = None
        self._consumer.pending.retry()

    def lose(self, rides: Iterable[Acks]) -> None:
        """The replies of these will never come: send them again as soon as there is a connection."""
        pending = self._consumer.pending
        pending.lose(acks.ride for acks in rides)
        if pending.unsent:
            self.flush_soon()

    def begin(self) -> None:
        """Count anew what is in hand on a new connection of the reading link, and send again the settlements that no link has in flight.

        A signal handler may have raised in the middle of their way.
        """
        pending = self._consumer.pending
        pending.recount()
        if (self._runner is None or not self._runner.link.unanswered) and (rides := pending.rides):
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
        yield from self._consumer.returns.run()

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

    def _story(self) -> Script:
        """The story of the acking link."""
        assert self._runner is not None
        lineage = self._consumer.lineage
        origin = yield from lineage.ask()
        while True:
            while not lineage.may_tell(origin):
                yield WAIT
            yield from self._renew()
            yield from self.send()
            self._runner.link.succeeded()

    def _renew(self) -> Steps[None]:
        """Renew what is in hand while the reading link cannot do it: its read waits in the server."""
        consumer = self._consumer
        while consumer.renewal.due and consumer.blocked:
            yield from consumer.renewal.run()
            if self.at_once:
                yield from self.send()

    # -- time ---------------------------------------------------------------------------------------------------------

    def elapse(self, now: float) -> None:
        """The time is ``now``."""
        consumer = self._consumer
        if self._retry_at is not None and now >= self._retry_at:
            self.retry()
            self.flush_soon()
        if self.due == AT_ONCE and not self.at_once:
            self.due = now + consumer.member.ack_delay / 2
        if self.due is None or now < self.due:
            return
        self.due = None
        consumer.pending.collect()
        if not (consumer.pending.unsent or consumer.returns.unsent):
            self.at_once = False
        elif self._rode and not self.at_once:
            self._rode = False  # they ride with the reads; those of now have half of the delay left to do so, too
            self.due = now + consumer.member.ack_delay / 2
        else:
            self.at_once = True
            consumer.wake()
            self.wake_runner()

    def proven(self) -> None:
        """What there is to settle is still what the server has: the acking link may have waited for that."""
        if self._runner is not None:
            self._runner.wake()

    def wake_runner(self) -> None:
        """Send over the acking link what the reading link, being blocked, cannot send."""
        consumer = self._consumer
        if self._runner is None and consumer.blocked:
            self._runner = ScriptRunner(consumer, self._story, "acks")
            self._runner.link.open()
        if self._runner is not None:
            self._runner.wake()
