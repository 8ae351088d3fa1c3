"""An entry on its way to a stream, and the batch in which it leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..commands import Command
from ..entries import StreamId
from ..requests import Request


class Outgoing(Request):
    """An entry, from its submission to its id."""

    __slots__ = ("flying", "id", "message_id", "native", "number")

    def __init__(
        self, command: Command[Any], done: Callable[[Request], None], timeout: float, message_id: bytes
    ) -> None:
        super().__init__([command], done, timeout)
        self.message_id = message_id
        self.number = 0
        self.flying = False
        self.id: StreamId | None = None  # once it is known, while the wait is not answered
        self.native: bool | None = None  # whether it was sent first by IDMP, or by the script


class Batch(Request):
    """Entries that leave together, and the wait behind them."""

    __slots__ = ("entries", "once")

    def __init__(
        self,
        entries: list[Outgoing],
        commands: Sequence[Command[Any]],
        done: Callable[[Request], None],
        timeout: float,
        *,
        once: bool,
    ) -> None:
        super().__init__(commands, done, timeout)
        self.entries = entries
        self.once = once

    def may_be_lost(self) -> bool:
        """Tell whether its entries are appended once, and no command in it makes the server wait."""
        return self.once

    def was_refused(self) -> bool:
        """Return False: each entry is judged by itself, for some may have been executed."""
        return False
