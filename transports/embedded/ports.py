"""Ports for embedded clusters: from 16000 to 19999, since a node's bus is 10,000 above, and has to stay below the ephemeral range.

A client that keeps dialling a dead node in the ephemeral range could connect to itself.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from random import SystemRandom
from typing import Final

from .node import BUS
from .questions import HOST
from .server import EmbeddedServerError

PORTS: Final = range(16_000, 20_000)
LAST_PORT: Final = 22_767  # the bus of a higher port would be in the ephemeral range of Linux


def free_base(count: int) -> int:
    """The first of ``count`` ports in a row without a listener now, neither there nor on their buses."""
    draw = SystemRandom()
    for _ in range(1000):
        base = draw.randrange(PORTS.start, PORTS.stop - count + 1)
        if all(_is_free(port) and _is_free(port + BUS) for port in range(base, base + count)):
            return base
    raise EmbeddedServerError(f"no {count} free ports in a row between {PORTS.start} and {PORTS.stop}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe, suppress(OSError):
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((HOST, port))
        return True
    return False
