"""Entropy for engines under test: no two draws are alike, and no generator is asked."""

from __future__ import annotations

from itertools import count

_numbers = count(1)


def entropy(size: int) -> bytes:
    """Draw ``size`` bytes that no other draw in this process has."""
    return next(_numbers).to_bytes(size, "big")
