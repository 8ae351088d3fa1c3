"""The data of a world, wherever it lies: on a single machine, or spread over the nodes of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from streamcore.testing.model import Session
    from streamcore.testing.model.values import Value

    from .scheduler import Scheduler


class Store(Protocol):
    """The keys that survive, and an operator who changes them."""

    @property
    def world(self) -> Scheduler: ...

    # The values of all keys.
    def values(self) -> Mapping[bytes, Value]: ...

    # The value of a key; None where it is not there.
    def value(self, key: bytes) -> Value | None: ...

    # Whether a key can be written: its server runs.
    def takes(self, key: bytes) -> bool: ...

    # Have a command run; no fault befalls it. Its first argument is its key.
    def do(self, *words: bytes) -> None: ...

    # Bound the bytes that a server keeps for a client that does not read.
    def limit_output(self, size: int) -> None: ...

    # Call a function with each command that a server is about to run for a client.
    def observe(self, told: Callable[[Session, list[bytes]], None]) -> None: ...
