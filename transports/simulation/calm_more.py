"""Trials of the calm that concern what a member sends once only: a dead letter, and the end of its former connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .history import BURIED
from .member import Member
from .oracles import Oracle

if TYPE_CHECKING:
    from .book import Book
    from .calm import Calm


class OneLetter(Oracle):
    """*Poison entry*: one script appends the dead letter and settles the entry; repeated after a lost reply it does nothing."""


def bury(calm: Calm, book: Book) -> None:
    """An entry is buried, and the server's word on that is lost with its connection."""
    host, stream, sent = calm.scene.host, book.streams[0], [0]
    letters = b"{%b}:dead" % stream
    before = len(calm.scene.history.stream(letters).ids)

    def comes(data: bytes) -> None:
        sent[0] += b"calm-unwanted" in data

    def cuts(_: bytes) -> bool:
        """The first reply behind it."""
        lost = sent[0] == 1
        sent[0] += lost
        return lost

    host.before, host.cuts = comes, cuts
    name = calm.append(book, stream, BURIED)
    calm.run(2.0)
    host.before = host.cuts = None
    fate = book.fate(calm.key(name))
    plain = any(type(one) is Member and one.label == fate.holder for one in book.members)
    written = len(calm.scene.history.stream(letters).ids) - before
    if plain and written != 1:
        OneLetter(calm.world).violated(f"{name.decode()} was buried once, and {written} letters tell of it")


def restart(calm: Calm, _: Book) -> None:
    """The server is started twice: connections get ids that others had before."""
    for _ in range(2):
        calm.scene.host.stop()
        calm.run(0.05)
        calm.scene.host.start()
        calm.world.tell("server", "is started again")
        calm.run(1.0)
