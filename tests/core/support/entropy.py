"""Entropy for engines under test: no two draws are alike, and no generator is asked."""

from __future__ import annotations

from itertools import count

_numbers = count(1)


def entropy(size: int) -> bytes:
    """So many bytes that nobody else draws in this process."""
    return next(_numbers).to_bytes(size, "big")
