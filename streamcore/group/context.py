"""The context that every part of a member of a consumer group works in: its place in the group, its server, the time.

A part takes this context, and by name the state that it works on: the pending entries, the redelivery queue, the prefetch.
So each constructor tells all that its part may touch, parts do not reach into each other, and the read loop, which holds them
all, is imported by none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..connection.exchange import Arguments
from ..engine.script import Replies, Steps
from ..reading.reader import Reader
from .options import Membership


class GroupContext:
    """Asks the server, emits events, tells the time, and knows the member's options, identity and streams.

    ``nonce``: the name of the member's connections, which no other process draws; empty without entropy. ``wake`` resumes
    the script of the reading link. ``touch`` has the deadline of the member derived anew, and may be called in any thread: no
    input ends without it that has changed the state which the deadline follows from (``ReadLoop.timer``). ``take_turn`` has the application ask
    the member for a batch, in its turn, until asking it is of no use (``Member.is_passive``). ``absent``: the streams that do not
    exist, kept by ``AbsentStreams``.
    """

    def __init__(self, reader: Reader[Any], member: Membership, nonce: bytes) -> None:
        self.member = member
        self.nonce = nonce
        self.wake = reader.runner.wake
        self.touch: Callable[[], None]
        self.take_turn: Callable[[], None]
        self.emit = reader.emit
        self.random = reader.engine.random
        self.degradation = reader.degradation
        self.request_timeout = reader.request_timeout
        self.block = reader.block
        self.absent: dict[bytes, None] = {}
        self._reader = reader
        self.clock = reader.engine.clock

    def ask(self, *commands: Arguments) -> Steps[Replies]:
        """Send commands in an exchange, and return their replies; a refusal names its command."""
        return self._reader.ask(*commands)

    @property
    def now(self) -> float:
        """The time that the driver told last, in seconds."""
        return self.clock.now

    @property
    def count(self) -> int:
        """Entries of each stream in a read, at most; halved when a reply was too large."""
        return self._reader.count

    def wake_driver(self) -> None:
        """Have the driver ask for levels and timers again; may be called in any thread."""
        self._reader.engine.on_wakeup()

    @property
    def is_paused(self) -> bool:
        """Whether the application takes no entries for now."""
        return self._reader.paused

    @property
    def looks(self) -> int:
        """Streams that may be asked about in an exchange."""
        return self._reader.portions.looks

    @property
    def present(self) -> list[bytes]:
        """The streams of the member that exist, and are read."""
        absent, streams = self.absent, self.member.streams
        return [stream for stream in streams if stream not in absent] if absent else list(streams)
