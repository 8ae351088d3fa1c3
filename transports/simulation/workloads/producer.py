"""A producer: appends entries of its own names, and looks at the fate of each.

An idempotent producer may name its messages itself: it sends a message in doubt again, with the same message id, also from its next
process. Others, and producers whose messages are named by the engine, never do.
"""

from __future__ import annotations

import re
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Final

from streamcore import ClosedError, ConnectionLost, DeliveryUnknown, Producer, ReplyError, StreamcoreError

from ..world.actor import OPTIONS, Program
from ..world.invariants import Oracle
from ..world.stream_log import Key, fields_of

if TYPE_CHECKING:
    from streamcore.requests import Request

    from ..world.driver import Node, World
    from ..world.invariants import EventsInOrder
    from ..world.stream_log import StreamLog
    from .group.delivery_log import DeliveryLog

_ID: Final = re.compile(rb"\$\d+\r\n(\d+-\d+)\r\n")

PATIENCE: Final = OPTIONS.request_timeout + 0.2
"""Seconds within which every send ends, whatever happens; a paused process cannot."""


class AtMostOneCopy(Oracle):
    """*Producer.send*: no blind retry; *idempotent*: at most a single copy within the window, however often it is sent."""

    def __init__(self, world: World, history: StreamLog) -> None:
        super().__init__(world)
        self.history = history
        self.never: dict[bytes, str] = {}  # names that were told to be not sent, or refused; and in which words

    def note(self, stream: bytes) -> None:
        """Look at the entries appended since the last time."""
        self.history.note(stream)

    def look(self) -> None:
        for name, counts in self.history.copies.items():
            if name in self.never:
                self.violated(f"{name.decode()} is in the stream, and its producer was told: {self.never[name]}")
            if max(counts.values()) > 1:
                self.violated(f"{name.decode()} is in the stream {max(counts.values())} times")

    def judge(self) -> None:
        self.look()


class IdMeansThere(Oracle):
    """*Producer.send*: an id returned = the entry was in H at that moment."""

    def answered(self, sender: Sender, name: bytes, id_: tuple[int, int]) -> None:
        """An id has come back."""
        history = sender.log.history
        history.note(sender.stream)
        key = history.keys.get(name)
        given = Key(sender.stream, b"%d-%d" % id_, name)
        if (key is None or key.id != given.id) and given not in history.strayed:
            self.violated(f"{sender.label} was given the id {id_[0]}-{id_[1]} for {name.decode()}, which is not there")


class HeardIsHeard(Oracle):
    """*Any request*: its own reply, also where the bytes behind it are no reply: complete replies are delivered first."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._come: set[tuple[str, bytes]] = set()  # to which process, and which id

    def come(self, sender: Sender, data: bytes) -> None:
        """These replies have come, and then rubbish."""
        self._come.update((sender.label, id_) for id_ in _ID.findall(data))

    def unknown(self, sender: Sender, name: bytes) -> None:
        """A producer is told that the fate of an entry is unknown."""
        history = sender.log.history
        history.note(sender.stream)
        key = history.keys.get(name)
        if key is not None and (sender.label, key.id) in self._come:
            self.violated(f"{sender.label} was sent the id of {name.decode()}, and does not know it")


class SendsEnd(Oracle):
    """*Producer.send*: the fate of an entry is known within the request timeout, in any case."""

    def late(self, sender: Sender, name: bytes) -> None:
        """It is not."""
        self.violated(f"{sender.label} does not know what became of {name.decode()}, {PATIENCE:g} s after it was sent")


class Sender(Program):
    """A producer with a plan: so many entries, at times that are drawn."""

    def __init__(
        self,
        world: World,
        name: str,
        log: DeliveryLog,
        stream: bytes,
        plan: tuple[int, float],
        judges: tuple[AtMostOneCopy, IdMeansThere, SendsEnd, HeardIsHeard],
        events: EventsInOrder,
    ) -> None:
        super().__init__(world, name)
        self.log = log
        self.stream = stream
        lots = world.lots(f"plan of {name}")
        lot = lots.random()
        self.idempotent = lot < 0.5
        self.has_id = lot < 0.4
        self.repeats = lot < 0.3  # it names its messages
        self.linger = lots.choice([0.0, 0.0, 0.01])
        self._copies, self._ids, self._ends, self._hears = judges
        self._events = events
        self._open: dict[bytes, Request] = {}
        self._doubtful: dict[bytes, None] = {}  # to be sent again
        self._pauses = 0
        entries, seconds = plan
        self._schedule(lots, entries, seconds)

    def _schedule(self, lots: Random, entries: int, seconds: float) -> None:
        number, at = 0, 0.0
        while number < entries:
            burst = lots.choice([1, 1, 2, 4, 12])
            for _ in range(min(burst, entries - number)):
                number += 1
                name = b"%b:%d" % (self.name.encode(), number)
                self.log.sent.add(name)
                self.world.after(at, partial(self._due, name))
            at += 2 * lots.random() * seconds * burst / entries

    def begin(self) -> Producer:
        engine = Producer(
            self.stream,
            linger=self.linger,
            idempotent=self.idempotent,
            producer_id=self.name if self.has_id else None,
            **self.named_engine_options(),
        )
        engine.on_event = lambda event: self.world.tell(self.label, f"hears of {event!r}" if self.world.tells else "")
        self._events.listen(self.label, engine)
        return engine

    def ends(self, node: Node) -> None:
        if self.repeats:
            self._doubtful.update(dict.fromkeys(self._open))

    def forget(self) -> None:
        self._open.clear()

    def look(self) -> bool:
        if self.node is not None:
            self._events.take(self.node)
            if self._doubtful and self.engine.is_ready:
                again, self._doubtful = self._doubtful, {}
                for name in again:
                    self.send(name)
                return True
        return False

    def _due(self, name: bytes) -> None:
        """It is time to send this entry; a process that is dead, or stands still, never does."""
        node = self.node
        if node is not None and not node.paused:
            self.send(name)

    def send(self, name: bytes) -> None:
        """Append an entry now."""
        engine: Producer = self.engine
        flat = fields_of(name)
        pairs = dict(zip(flat[::2], flat[1::2], strict=True))
        done = partial(self._answered, name, self.label)
        message_id = name if self.repeats else None
        try:
            request = self._open[name] = engine.send(pairs, done, message_id=message_id)
        except StreamcoreError as error:
            self.world.violated("NoCrash", f"{self.label} cannot send: {error!r}")
        else:
            self.later(PATIENCE, partial(self._patience_ends, name, request, self._pauses))

    def _patience_ends(self, name: bytes, request: Request, pauses: int) -> None:
        if not request.finished and self._pauses == pauses:
            self._ends.late(self, name)

    def _answered(self, name: bytes, label: str, request: Request) -> None:
        self._open.pop(name, None)
        try:
            id_ = request.answer()
        except DeliveryUnknown as error:
            self.world.tell(label, f"does not know what became of {name.decode()}: {error}")
            self._hears.unknown(self, name)
            if self.repeats:
                self._doubtful[name] = None
        except ClosedError:
            self.world.tell(label, f"did not send {name.decode()}: closed")
        except ConnectionLost as error:
            self.world.tell(label, f"could not send {name.decode()}: {error}")
            if error.sent:
                self.world.violated("NoCrash", f"{label} was told {error!r}, and not DeliveryUnknown")
            self._not_there(name, str(error))
        except ReplyError as error:
            self.world.tell(label, f"was refused {name.decode()}: {error}")
            self._not_there(name, str(error))
        else:
            self.world.tell(label, f"has sent {name.decode()} as {id_}")
            self._ids.answered(self, name, tuple(id_))

    def _not_there(self, name: bytes, why: str) -> None:
        if not self.repeats:  # an earlier process may have sent it
            self._copies.never[name] = why

    def cancel(self, lot: float) -> str | None:
        node = self.node
        if node is None or node.paused or not self._open:
            return None
        name = list(self._open)[int(lot * len(self._open))]
        self._open.pop(name).finished = True
        return f"its wait for the id of {name.decode()}"

    def overhears(self, data: bytes) -> None:
        self._hears.come(self, data)

    def paused(self) -> None:
        """It stands still: its requests take longer."""
        self._pauses += 1

    def missing(self) -> str:
        if self._doubtful or any(not request.finished for request in self._open.values()):
            return f"{self.label} does not know what became of some entries"
        return ""
