"""To which member of which group something has happened.

The parts of a member that find out what has happened need not know who they belong to; whoever tells it puts that in.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

E = TypeVar("E")


@dataclass(frozen=True, slots=True, kw_only=True)
class OfMember:
    """What happens to a member of a group says which one it is, where the member is known: ``consumer``, of a ``group``."""

    group: bytes = field(default=b"", compare=False)
    consumer: bytes = field(default=b"", compare=False)


def named(event: E, group: bytes, consumer: bytes) -> E:
    """The same event, telling to which member of which group it happened, as far as it has room for that and does not."""
    known: Any = event
    names = {"group": group, "consumer": consumer}
    missing: dict[str, Any] = {
        one.name: names[one.name] for one in fields(known) if one.name in names and not getattr(known, one.name)
    }
    return replace(known, **missing) if missing else event
