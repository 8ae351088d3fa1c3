"""A member of a group, as the records and the invariants know it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ...world.driver import Node
    from ...world.engine_state import Watch
    from ...world.stream_log import Key


class Participant(Protocol):
    """A role in the group. ``consumer`` is its name there, ``label`` that of the present process; ``node`` is None between two."""

    node: Node | None
    consumer: bytes

    @property
    def label(self) -> str: ...

    # What the present process has seen of a stream.
    def watch(self, stream: bytes) -> Watch | None: ...

    # Whether the present process has seen what there is in a stream, and will miss what goes.
    def knows(self, stream: bytes) -> bool: ...

    # Whether what a living member was handed then may count as idle by now.
    def may_claim(self, handed_at: float) -> bool: ...

    # When the server has read what is handed over now.
    def delivered_at(self, key: Key, deliveries: int) -> float: ...
