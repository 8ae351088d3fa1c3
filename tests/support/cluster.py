"""Questions that tests ask the nodes of an embedded cluster, apart from its own code."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import hiredis

from streamcore.commands import key_slot
from tests.support.raw import Raw
from transports.embedded import EmbeddedCluster, EmbeddedNode

KEY = "{orders}:1"
SLOT = key_slot(KEY)


def wait_until(condition: Callable[[], bool], *, within: float = 20) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def ask(node: EmbeddedNode, *command: str | int, readonly: bool = False) -> Any:
    """A reply, or the text of an error."""
    with Raw(node.port) as raw:
        if readonly:
            raw("READONLY")
        try:
            return raw(*command)
        except hiredis.ReplyError as error:
            return str(error)


def roles(cluster: EmbeddedCluster) -> list[str]:
    return [ask(node, "ROLE")[0].decode() for node in cluster.nodes]


def moved(node: EmbeddedNode, slot: int = SLOT) -> str:
    return f"MOVED {slot} 127.0.0.1:{node.port}"


def is_home(cluster: EmbeddedCluster) -> bool:
    """As at the beginning, in the eyes of every node."""
    primaries = cluster.nodes[:3]
    edges = [0, 5461, 10922, 16384]
    for node in cluster.nodes:
        found = {
            (first, last, primary[1], *(replica[1] for replica in replicas))
            for first, last, primary, *replicas in ask(node, "CLUSTER", "SLOTS")
        }
        wanted = {
            (edges[n], edges[n + 1] - 1, primary.port, cluster.nodes[3 + n].port) for n, primary in enumerate(primaries)
        }
        if found != wanted or b"->-" in ask(node, "CLUSTER", "NODES") or b"-<-" in ask(node, "CLUSTER", "NODES"):
            return False
        if b"cluster_state:ok" not in ask(node, "CLUSTER", "INFO"):
            return False
        if any(flag in ask(node, "CLUSTER", "NODES") for flag in (b"handshake", b"noaddr")):
            return False
    return roles(cluster) == ["master"] * 3 + ["slave"] * 3


def another(cluster: EmbeddedCluster, node: EmbeddedNode) -> EmbeddedNode:
    """A primary of the beginning that is not this."""
    return next(other for other in cluster.nodes[:3] if other is not node)
