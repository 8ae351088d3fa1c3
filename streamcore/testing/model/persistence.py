"""The disk of a server, from which it starts after a power failure: an image, and the journal behind it as far as synchronised.

As with servers, with ``appendonly yes`` it has every answered write (``appendfsync always``), all but the last second
(``everysec``) or all but the last half minute (``no``); without ``appendonly``, the data of the last save. A process that is
killed loses no write that way, since the kernel has it: that is a failure of power with no loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from .journal import Journal, Write
from .values import Value

Image = list[tuple[dict[bytes, Value], dict[bytes, int]]]

UNSYNCED: Final = {b"always": 0.0, b"everysec": 1.0, b"no": 30.0}  # seconds
MANY: Final = 20_000  # writes that are kept before they are put into the image


class Saved(Protocol):
    """The server whose data a disk keeps: its configuration, its journal and its clock."""

    config: dict[bytes, bytes]
    journal: Journal
    now: float

    # Copy all data.
    def snapshot(self) -> Image: ...

    # The data that some writes make of an image.
    def repeated(self, image: Image, writes: Sequence[Write]) -> Image: ...


class Disk:
    """The disk of a server. ``image`` is its data at ``position`` of the server's journal."""

    def __init__(self, server: Saved) -> None:
        self._server = server
        self.appends = False  # to an append-only file
        self.save()

    def save(self) -> None:
        """Save all data now (SAVE)."""
        self.image: Image = self._server.snapshot()
        self.position = self._server.journal.end

    def configured(self) -> None:
        """Apply a changed configuration: where an append-only file begins, it begins with all data."""
        begins = not self.appends
        self.appends = self._server.config[b"appendonly"] == b"yes"
        if self.appends and begins:
            self.save()

    def synced(self) -> int:
        """The position up to which no write can be lost now."""
        server = self._server
        if not self.appends:
            return self.position
        return max(self.position, server.journal.aged(UNSYNCED[server.config[b"appendfsync"]], server.now))

    def catch_up(self) -> None:
        """Put writes into the image where they are many, so that the journal can forget them."""
        if self.appends and self._server.journal.end - self.position > MANY:
            self._build(self.synced())

    def fail(self, lose: int | None) -> int | None:
        """Cut the power, and build the image that is left; return its position, or None where no write is lost.

        At most ``lose`` writes are lost, or a few less, because units are whole; None: all that can be lost.
        """
        journal, position = self._server.journal, self.synced()
        if self.appends and lose is not None:
            position = journal.boundary(max(position, journal.end - lose))
        if self.appends and position == journal.end:
            return None
        self._build(position)
        return position

    def _build(self, position: int) -> None:
        """Repeat the writes between the image and a position in the image."""
        writes = self._server.journal.between(self.position, position)
        if writes:
            self.image = self._server.repeated(self.image, writes)
        self.position = position
