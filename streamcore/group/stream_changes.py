"""Streams that a group consumer begins or ceases to read while it runs.

A stream joins between two reads: its group is made sure of, and what is pending for us in it is recovered, before it is read
with the others; so that one which cannot join leaves no trace in their reads. A read that blocks meanwhile is ended. Where
reading waits until the application has taken what is here, nobody waits for the recovery: that comes when there is room.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..engine.script import Steps
from ..engine.together import pages, together
from ..errors import UNAVAILABLE, ReplyError
from ..stream_id import ZERO

if TYPE_CHECKING:
    from .read_loop import GroupReading


class Joining:
    """A stream that is to be read. ``poll`` tells when it is, and raises why it cannot be."""

    def __init__(self, stream: bytes) -> None:
        self.stream = stream
        self.done = False
        self.error: Exception | None = None

    def poll(self) -> bool:
        if self.error is not None:
            raise self.error
        return self.done


class Joinings:
    """Those of one consumer."""

    def __init__(self, consumer: GroupReading[Any]) -> None:
        self._consumer = consumer
        self._wanted: list[Joining] = []
        self._joined: list[bytes] = []  # of which what is pending for us is to be recovered

    def __bool__(self) -> bool:
        return bool(self._wanted or self._joined)

    @property
    def waiting(self) -> bool:
        """Whether somebody waits for a stream to join."""
        return bool(self._wanted)

    def add(self, stream: bytes) -> Joining | None:
        """One more; None where it is read, or joins, already."""
        if stream in self._consumer.member.streams or any(one.stream == stream for one in self._wanted):
            return None
        joining = Joining(stream)
        self._wanted.append(joining)
        return joining

    def give_up(self, joining: Joining) -> None:
        """Nobody waits for it any more."""
        if joining in self._wanted:
            self._wanted.remove(joining)

    def run(self) -> Steps[None]:
        """Let them join, and recover what is theirs; with nothing in flight."""
        yield from self.enter()
        while self._joined:
            for stream in self._joined:
                self._consumer.claims.meet(stream)
            self._joined = []
            yield from self._consumer.upkeep.recover()

    def enter(self) -> Steps[None]:
        """Let them join; with nothing in flight."""
        consumer = self._consumer
        for joining in self._wanted.copy():
            try:
                yield from consumer.upkeep.enter_stream(joining.stream)
            except ReplyError as error:
                if error.code in UNAVAILABLE:  # it joins over the next connection
                    raise
                joining.error = error
                consumer.upkeep.forget(joining.stream)
            else:
                if joining not in self._wanted:  # given up meanwhile
                    consumer.upkeep.forget(joining.stream)
                    continue
                joining.done = True
                self._joined.append(joining.stream)
                consumer.member.streams.append(joining.stream)
            self.give_up(joining)

    def look_for_absent(self) -> Steps[None]:
        """Find out which of the streams that are waited for exist by now, and begin to read them."""
        consumer, absent = self._consumer, self._consumer.absent_streams
        absent.put_off()
        waiting = list(consumer.context.absent)
        for part in absent.find():
            found = yield from part
            for page in pages(found, consumer.context.looks):
                yield from together([self._meet(stream) for stream in page if stream in absent])
        for stream in waiting:
            if stream not in absent and stream in consumer.member.streams:
                yield from consumer.claims.recover(stream)

    def _meet(self, stream: bytes) -> Steps[None]:
        consumer = self._consumer
        yield from consumer.upkeep.ensure_group(stream)
        if stream not in consumer.absent_streams:
            consumer.claims.begin(stream, ZERO)
            consumer.upkeep.rota.came(stream)
