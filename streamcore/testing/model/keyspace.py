"""One database: keys, their values, and when they expire. Plain data, which ``copied`` copies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from .values import Value, copied, wrong_type

V = TypeVar("V", bound=Value)

DATABASES: Final = 16
"""Of one server."""


class Keyspace:
    """A database. ``touched`` is called with each key that is written, and whether those shall look who wait for it.

    ``expired`` is called with each key that has expired.
    """

    def __init__(
        self, touched: Callable[[Keyspace, bytes, bool], None], expired: Callable[[Keyspace, bytes], None]
    ) -> None:
        self.values: dict[bytes, Value] = {}
        self.expiries: dict[bytes, int] = {}  # in milliseconds
        self.ms = 0  # the server's time
        self._touched = touched
        self._expired = expired

    def touch(self, key: bytes, *, wakes: bool = True) -> None:
        """The key was written; ``wakes``: in a way that may serve who waits for it, or makes the waiting vain."""
        self._touched(self, key, wakes)

    def raw(self, key: bytes) -> Value | None:
        """What a key holds, whatever it is."""
        if key in self.expiries and self.expiries[key] <= self.ms:
            self.remove(key)
            self._expired(self, key)
        return self.values.get(key)

    def find(self, key: bytes, kind: type[V]) -> V | None:
        """What a key holds. Raises WRONGTYPE where that is something else."""
        value = self.raw(key)
        if value is None:
            return None
        if type(value) is not kind:
            raise wrong_type()
        return value

    def make(self, key: bytes, kind: type[V]) -> V:
        """What a key holds, from now on at least nothing of that kind."""
        value = self.find(key, kind)
        if value is None:
            value = kind()
            self.values[key] = value
        return value

    def put(self, key: bytes, value: Value, expiry: int | None = None) -> None:
        """Let a key hold a value, whatever it held."""
        self.values[key] = value
        self.expiries.pop(key, None)
        if expiry is not None:
            self.expiries[key] = expiry
        self.touch(key)

    def remove(self, key: bytes) -> bool:
        """Delete a key; whether it was there."""
        self.expiries.pop(key, None)
        if self.values.pop(key, None) is None:
            return False
        self.touch(key)
        return True

    def tidy(self, key: bytes, *, changed: bool = True) -> None:
        """A key was written, if it has ``changed``; what is empty is no key any more. Streams stay."""
        if not changed:
            if not self.values[key]:
                del self.values[key]
        elif not self.values[key]:
            self.remove(key)
        else:
            self.touch(key)

    def __iter__(self) -> Iterator[bytes]:
        return iter([key for key in list(self.values) if self.raw(key) is not None])

    def clear(self) -> None:
        """Delete all keys."""
        for key in list(self.values):
            self.remove(key)

    def restore(self, values: dict[bytes, Value], expiries: dict[bytes, int]) -> None:
        """Hold a copy of what was held at another time."""
        self.values = {key: copied(value) for key, value in values.items()}
        self.expiries = expiries.copy()
