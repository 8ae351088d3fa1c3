"""The link of a lane, where an engine has a single server."""

from __future__ import annotations

from streamcore.connection.link import Link
from streamcore.engine.lane import Lane


def link_of(lane: Lane) -> Link:
    """Take a lane for the link that it is."""
    assert isinstance(lane, Link)
    return lane
