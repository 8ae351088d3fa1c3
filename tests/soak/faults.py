"""What the nemesis did, and which entries may come once more because of it.

This is the stated bound. An entry may be handed over once, and once more for each of these:

- a worker died, left, or was stopped for longer than ``claim_idle``: what was pending under its name at that time;
- the server died: what was pending in the group, since the outage may be longer than ``claim_idle``;
- a group was destroyed: what it had delivered above the mark at which it was created again;
- the worker gave the entry back itself (``nack``).

Nothing may come again because a connection broke, the server paused, or entries were trimmed or deleted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from streamcore import StreamId

DELETED: Final = "stream deleted"
Ids: TypeAlias = dict[str, list[str]]  # by stream


@dataclass
class Fault:
    """``again``: what may come once more. ``destroyed``: a stream whose group was, up to the id that it had delivered."""

    at: float
    kind: str
    detail: str = ""
    again: Ids = field(default_factory=dict)
    destroyed: str | None = None
    delivered: str = "0-0"

    def add(self, ids: Ids) -> None:
        for stream, more in ids.items():
            self.again[stream] = sorted({*self.again.get(stream, ()), *more})


def write(path: Path, faults: Iterable[Fault]) -> None:
    path.write_text(json.dumps([asdict(fault) for fault in faults]))


def above(id_: str, mark: str) -> bool:
    return StreamId.parse(id_) > StreamId.parse(mark)
