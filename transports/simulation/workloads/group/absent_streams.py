"""Streams that are gone: a member that has known a stream waits for the next of its name, and does not put it back."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from streamcore import GroupConsumer

from ...world.engine_state import has_known
from .invariants import GroupOracle

if TYPE_CHECKING:
    from streamcore.testing.model import Session


class NotPutBack(GroupOracle):
    """*The stream is gone*: no member creates a stream that it has known, where it would stay as an empty key."""

    def command(self, session: Session, words: list[bytes]) -> None:
        """The server is about to run a command."""
        if words[:2] != [b"XGROUP", b"CREATE"] or words[-1] != b"MKSTREAM":
            return
        for member in self.log.members:
            engine = None if member.node is None else member.node.engine
            if not isinstance(engine, GroupConsumer) or engine.nonce != session.name:
                continue
            if has_known(engine, words[2]):
                self.world.after(0.0, partial(self.violated, f"{member.label} puts {words[2].decode()} back"))
