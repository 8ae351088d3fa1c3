"""How long a link waits: for an answer beyond its timeout, and before it tries again."""

from __future__ import annotations

from typing import Final

from ..options import Options

LATE: Final = 0.1
"""Seconds behind a deadline after which a driver counts as held up, by a handler that blocks its loop, say."""

MAX_EXCUSES: Final = 3
"""How often in a row a late driver gets ``LATE`` again, to read the bytes in its socket."""

SLOWEST: Final = 16 << 10
"""Bytes a second. A server that sends or takes fewer while its answer is due counts as silent."""

LONGEST: Final = 10
"""Times its timeout: an answer is awaited no longer, however many bytes come in front of it."""


def backoff(options: Options, attempts: int) -> float:
    """Return the longest back-off after so many attempts, in seconds: it doubles, up to ``backoff_max``."""
    doublings = min(max(attempts - 1, 0), 32)
    return min(options.backoff_initial * 2.0**doublings, options.backoff_max)
