"""The features of a server, told by its reply to HELLO: never by the texts of its errors, which differ and change.

``Feature`` is a row for each product: the first version that has it. A product that is not in the row does not have
it, and neither has a server that does not tell its version.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from itertools import takewhile
from typing import Any, TypeAlias

Version: TypeAlias = tuple[int, ...]


class Feature(Enum):
    """The first version of each product that has a feature."""

    IDMP = (("redis", (8, 6)),)
    """XADD that appends once however often it is sent."""
    GROUP_PLACE = (("redis", (8, 0)), ("valkey", (9, 1)))
    """A group's ``entries-read`` is its place in the stream, also behind trimmed entries, and after a failover."""
    SEEN_WAITING = (("valkey", (7, 2)), ("redis", (7, 2)))
    """A consumer of a group is heard of with each read, also where that brings nothing."""
    WAITAOF = (("redis", (7, 2)), ("valkey", (7, 2)))
    """Waiting for the disk."""

    def of(self, server: Mapping[bytes, Any]) -> bool:
        """Tell whether a server has the feature, by its reply to HELLO."""
        product = server.get(b"server")
        return any(name.encode() == product and version_of(server) >= first for name, first in self.value)

    def __str__(self) -> str:
        since = " or ".join(f"{name.title()} {'.'.join(map(str, first))}" for name, first in self.value)
        return f"{self.name} ({since} is the first that has it)"


def version_of(server: Mapping[bytes, Any]) -> Version:
    """Parse the version of a HELLO reply into numbers, up to the first part that is none: ``8.6-rc1`` is ``(8, 6)``."""
    told = server.get(b"version")
    parts = told.split(b".") if isinstance(told, bytes) else []
    return tuple(map(int, takewhile(bytes.isdigit, (part.partition(b"-")[0] for part in parts))))


def name_of(server: Mapping[bytes, Any]) -> str:
    """Name a server by its HELLO reply, such as ``redis 7.0.15``."""
    words = (server.get(b"server"), server.get(b"version"))
    return " ".join(word.decode(errors="replace") for word in words if isinstance(word, bytes)) or "this server"
