"""The budget of a group's upkeep: the work goes first, and no command is longer for pending entries, or for the names there are."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from streamcore.scripts.group import REMOVE

from ...world.invariants import Oracle

if TYPE_CHECKING:
    from streamcore.testing.model import Session

    from ...world.driver import World

ROWS: Final = 500
"""Rows of the pending list that one command may ask for, and entries that it may claim."""
NAMES: Final = 40
"""Consumers that one script may remove."""


class UpkeepBounded(Oracle):
    """*Budget*: no command walks a list, or asks for more of it than a page; no script removes more than a few names."""

    def command(self, session: Session, words: list[bytes]) -> None:
        """The server is about to run a command."""
        if session.name and (wrong := _excess(words)):
            self.world.after(0.0, partial(self.violated, f"{wrong}: {b' '.join(words[:12])!r}"))


class WorkFirst(Oracle):
    """*Budget*: on each connection a read leaves before others' entries and names are looked after."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._have_read: WeakSet[Session] = WeakSet()

    def command(self, session: Session, words: list[bytes]) -> None:
        """The server is about to run a command."""
        if words[0] == b"XREADGROUP" and words[-1] == b">":
            self._have_read.add(session)
        elif session.name and session not in self._have_read and _is_about_others(words):
            self.world.after(0.0, partial(self.violated, f"{b' '.join(words[:6])!r} comes before the first read"))


def _excess(words: list[bytes]) -> str:
    match words:
        case [b"XPENDING", _, _, b"IDLE", *_]:
            return "it walks the whole list"
        case [b"XPENDING", _, _, _, _, count, *_] if int(count) > ROWS:
            return "the page is too large"
        case [b"XCLAIM", *_] if sum(b"-" in word for word in words[5:]) > ROWS:
            return "it claims too many"
        case [b"EVAL", source, keys, *_] if source == REMOVE.encode() and int(keys) - 1 > NAMES:
            return "it removes too many"
    return ""


def _is_about_others(words: list[bytes]) -> bool:
    match words:
        case [b"XPENDING", _, _, first, last, _]:
            return first != last
        case [b"XINFO", b"CONSUMERS", *_]:
            return True
    return False
