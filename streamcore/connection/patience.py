"""How long a link waits for an answer that is late."""

from __future__ import annotations

from typing import Final

LATE: Final = 0.1
"""Seconds behind a deadline after which a driver counts as held up, by a handler that blocks its loop, say."""

MAX_EXCUSES: Final = 3
"""How often in a row a late driver gets ``LATE`` again, to read the bytes in its socket."""

SLOWEST: Final = 16 << 10
"""Bytes a second. A server that sends or takes fewer while its answer is due counts as silent."""

LONGEST: Final = 10
"""Times its timeout: an answer is awaited no longer, however many bytes come in front of it."""
