"""Replies about streams and groups, for scripted peers."""

from __future__ import annotations

from typing import Any

from streamcore.testing.resp import entry


def info(
    last: str = "0-0",
    *,
    length: int = 0,
    added: int | None = None,
    first: str | None = None,
    deleted: str = "0-0",
    newest: str = "",
) -> dict[str, Any]:
    """A reply to XINFO STREAM; unless told otherwise nothing was ever removed, and the last entry is there."""
    return {
        "length": length,
        "last-generated-id": last,
        "max-deleted-entry-id": deleted,
        "entries-added": length if added is None else added,
        "groups": 0,
        "first-entry": None if first is None else entry(first),
        "last-entry": entry(newest or last) if length else None,
    }


def listed(delivered: str = "0-0", *, name: str = "g", place: int | None = None, consumers: int = 1) -> dict[str, Any]:
    """A group in a reply to XINFO GROUPS."""
    return {"name": name, "consumers": consumers, "pending": 0, "last-delivered-id": delivered, "entries-read": place}


NOTHING_PENDING = [0, None, None, None]
