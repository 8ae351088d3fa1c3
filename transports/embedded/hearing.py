"""Whether the nodes of an embedded cluster pass messages on to each other.

For some tenths of a second after a change of roles, servers take ``PUBLISH``, answer it, and tell no other node. No command says
so: a message has to be published at every node, and heard at every other.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from secrets import token_hex
from typing import Final

from streamcore.commands import publish

from .node import EmbeddedNode

ROUND: Final = 0.05  # seconds for messages to be heard, before they are published again


def await_hearing(nodes: Sequence[EmbeddedNode], timeout: float) -> bool:
    """Wait until each node hears each; returns whether they do, ``timeout`` seconds later at most. Raises ``OSError``."""
    channel = f"embedded:{token_hex(8)}"
    deadline = time.monotonic() + timeout
    with ExitStack() as stack:
        ears = [stack.enter_context(node.listen(channel)) for node in nodes]
        wanted = {node.id.encode() for node in nodes}
        heard = [set[bytes]() for _ in ears]
        while time.monotonic() < deadline:
            missing = set[bytes]().union(*(wanted - messages for messages in heard))
            if not missing:
                return True
            for node in nodes:
                if node.id.encode() in missing:
                    node.ask(publish(channel, node.id))
            until = time.monotonic() + ROUND
            for ear, messages in zip(ears, heard, strict=True):
                while wanted - messages and time.monotonic() < until:
                    messages.update(ear.messages(until - time.monotonic()))
    return False
