"""The member and group of an event.

The parts of a member that emit events need not know their member; it adds its name and group afterwards.
"""

from __future__ import annotations

from dataclasses import field, fields, replace
from typing import Any, TypeVar

from .frozen import frozen

E = TypeVar("E")


@frozen(kw_only=True)
class OfMember:
    """An event of a member of a group, where the member is known: ``consumer``, of a ``group``."""

    group: bytes = field(default=b"", compare=False)
    consumer: bytes = field(default=b"", compare=False)


def named(event: E, group: bytes, consumer: bytes) -> E:
    """Copy an event with the member's name and group, if it has fields for them that are empty."""
    known: Any = event
    names = {"group": group, "consumer": consumer}
    missing: dict[str, Any] = {
        slot.name: names[slot.name] for slot in fields(known) if slot.name in names and not getattr(known, slot.name)
    }
    return replace(known, **missing) if missing else event
