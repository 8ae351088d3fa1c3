"""A database of a server: keys, their values and their expiries. Plain data, which ``copied`` copies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from .values import Value, copied, wrong_type

V = TypeVar("V", bound=Value)

DATABASES: Final = 16
"""Databases of a server."""


class Keyspace:
    """A database. ``touched`` is called with each written key, and whether blocked sessions that wait for it shall look again.

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
        """Tell of a written key; ``wakes``: the write may serve sessions that wait for it, or make their waiting vain."""
        self._touched(self, key, wakes)

    def raw(self, key: bytes) -> Value | None:
        """The value of a key, of any kind; None without a key. A key that is due expires now."""
        if key in self.expiries and self.expiries[key] <= self.ms:
            self.remove(key)
            self._expired(self, key)
        return self.values.get(key)

    def find(self, key: bytes, kind: type[V]) -> V | None:
        """The value of a key, of a given kind; None without a key. Raises WRONGTYPE for a value of another kind."""
        value = self.raw(key)
        if value is None:
            return None
        if type(value) is not kind:
            raise wrong_type()
        return value

    def make(self, key: bytes, kind: type[V]) -> V:
        """The value of a key, of a given kind; an empty value is created where there is no key."""
        value = self.find(key, kind)
        if value is None:
            value = kind()
            self.values[key] = value
        return value

    def put(self, key: bytes, value: Value, expiry: int | None = None) -> None:
        """Set the value of a key, and its expiry in milliseconds of the wall clock; the former value may be of any kind."""
        self.values[key] = value
        self.expiries.pop(key, None)
        if expiry is not None:
            self.expiries[key] = expiry
        self.touch(key)

    def remove(self, key: bytes) -> bool:
        """Delete a key; return whether it existed."""
        self.expiries.pop(key, None)
        if self.values.pop(key, None) is None:
            return False
        self.touch(key)
        return True

    def tidy(self, key: bytes, *, changed: bool = True) -> None:
        """End a write of a key: tell of it, if the value has ``changed``, and delete the key of an empty value.

        For all but streams.
        """
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
        """Delete all keys, each with its own event."""
        for key in list(self.values):
            self.remove(key)

    def restore(self, values: dict[bytes, Value], expiries: dict[bytes, int]) -> None:
        """Replace all data by a copy of a snapshot's."""
        self.values = {key: copied(value) for key, value in values.items()}
        self.expiries = expiries.copy()
