"""What is left of the data when the power fails: an image, and the journal behind it, as far as that has been synchronised.

As with servers: with ``appendonly yes`` and ``appendfsync always`` all that was answered; with ``everysec`` all but the last
second, with ``no`` all but the last half minute; without ``appendonly`` what was saved last. A process that is killed loses nothing
that way, since the kernel has it: that is a failure of power which loses nothing.
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
    """The server whose data a disk keeps."""

    config: dict[bytes, bytes]
    journal: Journal
    now: float

    # Copy all data.
    def snapshot(self) -> Image: ...

    # The data that some writes make of an image.
    def repeated(self, image: Image, writes: Sequence[Write]) -> Image: ...


class Disk:
    """The disk of a server. ``image`` is of the position ``position`` of the server's journal."""

    def __init__(self, server: Saved) -> None:
        self._server = server
        self.appends = False  # to an append-only file
        self.save()

    def save(self) -> None:
        """All of the data is on the disk now."""
        self.image: Image = self._server.snapshot()
        self.position = self._server.journal.end

    def configured(self) -> None:
        """The configuration has changed: where an append-only file begins, it begins with all that there is."""
        begins = not self.appends
        self.appends = self._server.config[b"appendonly"] == b"yes"
        if self.appends and begins:
            self.save()

    def synced(self) -> int:
        """The position up to which nothing can be lost now."""
        server = self._server
        if not self.appends:
            return self.position
        return max(self.position, server.journal.aged(UNSYNCED[server.config[b"appendfsync"]], server.now))

    def catch_up(self) -> None:
        """Put writes into the image where they are many, so that the journal can forget them."""
        if self.appends and self._server.journal.end - self.position > MANY:
            self._build(self.synced())

    def fail(self, lose: int | None) -> int | None:
        """The power fails; the position up to which all is left in the image, None: nothing is lost.

        At most ``lose`` writes are lost, or a few less, because units are whole; None: all that can be.
        """
        journal, position = self._server.journal, self.synced()
        if self.appends and lose is not None:
            position = journal.boundary(max(position, journal.end - lose))
        if self.appends and position == journal.end:
            return None
        self._build(position)
        return position

    def _build(self, position: int) -> None:
        """Repeat what was written since the image was made."""
        writes = self._server.journal.between(self.position, position)
        if writes:
            self.image = self._server.repeated(self.image, writes)
        self.position = position
