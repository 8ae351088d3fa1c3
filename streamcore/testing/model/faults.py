"""Injected failures of commands: denied to the user, failing a few times, or of the whole server.

A command is named by its word, or by two words, such as ``XGROUP CREATE``; a script fails by the commands that it calls.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from .protocol import Denied, Failure

# An error of the whole server, by its word, spares commands without this flag; any other spares commands with "l".
_ONLY: Final = {"READONLY": "w", "MISCONF": "w", "NOREPLICAS": "w", "OOM": "m"}


CONTAINERS: Final = frozenset({"ACL", "CLIENT", "CLUSTER", "CONFIG", "PUBSUB", "SCRIPT", "SENTINEL", "XGROUP", "XINFO"})
"""Commands that have subcommands, and are refused by the names of these."""


class Faults:
    """The failures to inject. ``unavailable`` is the error of a server that cannot do its work, such as ``LOADING ...``."""

    def __init__(self) -> None:
        self.denied: set[str] = set()
        self.unavailable: str | None = None
        self._next: dict[str, deque[str]] = {}

    def fail_next(self, command: str, error: str, times: int = 1) -> None:
        """Let the next ``times`` calls of a command fail with an error, and do nothing."""
        self._next.setdefault(command.upper(), deque()).extend([error] * times)

    def check(self, word: bytes, words: Sequence[bytes], flags: str) -> None:
        """Raise the ``Failure`` that is injected for this command, if any."""
        if not (self.denied or self._next or self.unavailable):
            return
        name = word.decode(errors="replace")
        both = f"{name} {words[1].decode(errors='replace').upper()}" if len(words) > 1 else name
        for named in (name, both):
            if named in self.denied:
                raise Denied((both if name in CONTAINERS else name).lower().replace(" ", "|"))
            if self._next.get(named):
                raise Failure(self._next[named].popleft())
        if self.unavailable is not None:
            only = _ONLY.get(self.unavailable.split(" ")[0])
            if only in flags if only else "l" not in flags:
                raise Failure(self.unavailable)
