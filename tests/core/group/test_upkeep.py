from __future__ import annotations

from typing import Any

from streamcore.errors import NoGroupError
from streamcore.group.member import GroupConsumer
from streamcore.testing.pair import Pair
from tests.core.support.entropy import entropy

GONE = NoGroupError("NOGROUP", "No such key 's' or consumer group 'g'")


def scripted(**options: Any) -> tuple[GroupConsumer[bytes], Pair]:
    """A consumer of ``s`` that has just connected to a scripted server."""
    arguments: dict[str, Any] = {"streams": "s", "group": "g", "consumer": "c", "exclusive": False, "detect_gaps": None}
    arguments |= {"entropy": entropy, **options}
    consumer: GroupConsumer[bytes] = GroupConsumer(**arguments)
    return consumer, Pair(consumer)
