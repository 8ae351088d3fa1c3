"""The findings of a process that looked for the connection of its predecessor by name (``streamcore/group/stale_connections.py``).

A process is taken for dead, with entries in hand or not, where the connection is not there that the lease on its name tells of: it may
have none at that moment, or have been refused when it wanted to tell of another (a server that is full refuses every script).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamcore.testing.model import Session
    from streamcore.testing.model.session import Context


class Predecessors:
    """The connections of named processes, and which of them were looked for."""

    def __init__(self) -> None:
        self._names: dict[tuple[Context, int], bytes] = {}
        self._stood: dict[tuple[bytes, bytes], bool] = {}  # by the names of who looked and who was looked for: at first

    def before_command(self, session: Session, words: list[bytes]) -> None:
        """A server is about to run a command of a program."""
        if session.name:
            self._names[session.server, session.number] = session.name  # numbers begin anew with each run
        if [word.upper() for word in words[:3]] == [b"CLIENT", b"LIST", b"ID"]:
            number = int(words[3])
            former = self._names.get((session.server, number), b"")
            self._stood.setdefault((session.name, former), number in session.server.sessions)

    def was_gone(self, name: bytes, former: bytes) -> bool:
        """Whether the connection of a process was not there when another process looked for it first, by their names."""
        return not self._stood.get((name, former), True)
