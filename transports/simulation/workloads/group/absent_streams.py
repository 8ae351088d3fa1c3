"""Streams that are gone: whoever has known one waits for the next of its name, and does not put it back."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from streamcore import GroupConsumer
from streamcore.group.absent_streams import LOOK

from ...steady_state.invariants import Prompt
from .invariants import GroupOracle

if TYPE_CHECKING:
    from streamcore.testing.model import Session

    from ...steady_state.trials import Calm
    from .delivery_log import Book


class NotPutBack(GroupOracle):
    """*The stream is gone*: no member creates one that it has known, where it would stay as an empty key."""

    def command(self, session: Session, words: list[bytes]) -> None:
        """The server is about to run a command."""
        if words[:2] != [b"XGROUP", b"CREATE"] or words[-1] != b"MKSTREAM":
            return
        for member in self.book.members:
            engine = None if member.node is None else member.node.engine
            if not isinstance(engine, GroupConsumer) or engine.nonce != session.name:
                continue
            if words[2] in engine.setup._known:  # noqa: SLF001  # nobody else can know
                self.world.after(0.0, partial(self.violated, f"{member.label} puts {words[2].decode()} back"))


def come_back(calm: Calm, book: Book) -> None:
    """Each stream that is waited for comes back with an entry: that is handed over as soon as its stream was looked for."""
    for stream in book.streams:
        if book.of(stream) is None:
            name = calm.append(book, stream, b"calm")
            calm.run_soon(LOOK)
            calm.handed(book, name, Prompt(calm.world), f" and the {LOOK:g} s after which its stream is looked for")
