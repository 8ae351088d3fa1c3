"""The budget of a group's upkeep: the work goes first, and no command is longer for what is pending, or for the names there are.

Two trials of the calm bring much of it at a time: names of consumers that are gone, and a list of entries that an earlier run of a
member has left pending.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from streamcore.scripts.group import REMOVE

from ...world.actor import RECOVERY
from ...world.invariants import Oracle
from .member import Member

if TYPE_CHECKING:
    from streamcore.testing.model import Session

    from ...steady_state.trials import Calm
    from ...world.scheduler import World
    from .delivery_log import Book

ROWS: Final = 500
"""Rows of the pending list that one command may ask for, and entries that it may claim."""
NAMES: Final = 40
"""Consumers that one script may remove."""
GONE: Final = 130
"""Consumers that are gone at a time."""
REMOVED: Final = 5.0 * 1.5 + RECOVERY
"""Seconds within which these are removed: once and a half of ``remove_idle_consumers``, and what a reconnect may take."""
LEFT: Final = 40
"""Entries that an earlier run has left pending."""


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


class NamesRemoved(Oracle):
    """*Consumers that are gone for good* are removed, however many there are."""


class RedeliveredTogether(Oracle):
    """*It comes back*: where no counter condemns, a long list that an earlier run has left costs few round trips."""


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


def leave_names(calm: Calm, book: Book) -> None:
    """Many consumers are gone for good; in one world of four."""
    if calm.world.lots("names").random() > 0.25:
        return
    stream = calm.world.lots("stream of the names").choice(book.streams)
    members = [one for one in book.members if type(one) is Member and one.node is not None and not one.is_twin]
    if not any(one.engine.idle_consumers.at < float("inf") for one in members) or book.of(stream) is None:
        return  # to all of them it was forbidden
    names = [b"gone-%d" % number for number in range(GONE)]
    for name in names:
        calm.scene.host.do(b"XGROUP", b"CREATECONSUMER", stream, book.group, name)
    calm.world.tell("operator", f"{GONE} consumers of {stream.decode()} are gone")
    calm.run(REMOVED)
    group = book.of(stream)
    left = [name for name in names if group is not None and name in group.consumers]
    if left:
        NamesRemoved(calm.world).violated(
            f"{len(left)} of {GONE} consumers are still in the group of {stream.decode()}"
        )


def leave_a_list(calm: Calm, book: Book) -> None:
    """A member comes back, and finds many entries that its earlier run has read ahead; in one world of four."""
    members = [one for one in book.members if not one.is_twin]
    first = members[0]
    plain = type(first) is Member and first.habits.max_deliveries is None and first.habits.count > 3
    if calm.world.lots("list").random() > 0.25 or not plain or any(one.node is None for one in members):
        return
    host, stream = calm.scene.host, book.streams[0]
    for member in members:
        member.crash(silently=False, away=2.0 if member is not first else 1.0)
    names = [calm.append(book, stream, b"calm") for _ in range(LEFT)]
    host.do(b"XREADGROUP", b"GROUP", book.group, first.consumer, b"COUNT", b"1000", b"STREAMS", stream, b">")
    book.tenures.note()
    trips = [0]

    def comes(data: bytes) -> None:
        is_own = data.rfind(b"XREADGROUP") >= 0 and not data.endswith(b"$1\r\n>\r\n")
        trips[0] += is_own and first.consumer in data

    host.before = comes
    calm.run(2.0)
    host.before = None
    handed = sum(book.fate(calm.key(name)).times > 0 for name in names)
    if handed == LEFT and trips[0] > LEFT // 2:
        RedeliveredTogether(calm.world).violated(f"{LEFT} entries of an earlier run took {trips[0]} round trips")
    calm.run(RECOVERY)
