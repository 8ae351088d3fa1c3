"""How nodes of an embedded cluster change their roles, and how they leave it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from streamcore.commands import flushall, raw

from .members import Members
from .moves import give
from .node import EmbeddedNode
from .server import EmbeddedServerError
from .views import View, slots_of


def promote(members: Members, replica: EmbeddedNode) -> None:
    """Let a replica change roles with its primary, as in ``CLUSTER FAILOVER``: writes wait, and nothing is lost.

    No votes are asked for (``TAKEOVER``): within four seconds of a vote about the same primary, Redis refuses the next, and the replica asks
    again only after eight.
    """
    id_ = members.view()[replica.id].primary
    if id_ is None:
        return
    primary = members.by_id().get(id_)
    if primary is None:
        take_over(members, replica)
        return
    members.wait_for(f"{replica} follows its primary", replica.is_linked)
    try:
        primary.ask(raw("CLIENT", "PAUSE", round(members.timeout * 1000), "WRITE"))
        sent = primary.offset()
        members.wait_for(f"{replica} has the data of its primary", lambda: replica.offset() >= sent)
        take_over(members, replica)
        members.wait_agreed(f"{primary} is a replica of {replica}", partial(_follows, primary.id, replica.id))
    finally:
        with suppress(OSError):
            primary.ask(raw("CLIENT", "UNPAUSE"))


def wait_replicated(members: Members) -> None:
    """Wait until each replica that can answer has the data that its primary has now."""
    views = members.views()
    by_id = {node.id: node for node in views}
    followed = {node: by_id.get(views.own(node).primary or "") for node in views}
    sent = {node: primary.offset() for node, primary in followed.items() if primary is not None}
    members.wait_for(
        "the replicas have the data of their primaries",
        lambda: all(node.is_linked() and node.offset() >= offset for node, offset in sent.items()),
    )


def take_over(members: Members, replica: EmbeddedNode) -> None:
    """Let a replica become the primary of its shard, without its primary and without an election (``TAKEOVER``)."""
    replica.ask(raw("CLUSTER", "FAILOVER", "TAKEOVER"))
    members.wait_agreed(f"{replica} is a primary", lambda view: view[replica.id].primary is None)


def attach(members: Members, pairs: Sequence[tuple[EmbeddedNode, EmbeddedNode]]) -> None:
    """Let nodes without slots, each the first of a pair, follow a primary, the second, and copy its data; all at once."""
    view = members.view()
    for node, primary in pairs:
        if view[node.id].primary is None:
            node.ask(flushall())  # only a primary without keys may become a replica
        node.ask(raw("CLUSTER", "REPLICATE", primary.id))
    for node, primary in pairs:
        members.wait_agreed(f"{node} is a replica of {primary}", partial(_follows, node.id, primary.id))
        members.wait_for(f"{node} follows {primary}", node.is_linked)


def remove(members: Members, node: EmbeddedNode) -> None:
    """Let a node leave in order: its slots go to the other primaries, its replicas to the first of these, and it ends."""
    if not node.is_started():
        raise EmbeddedServerError(f"{node} does not belong to the embedded cluster")
    view = next((other.known() for other in members.up() if other is not node), {})
    others = [other for other in members.primaries() if other is not node]
    slots = slots_of(view[node.id]) if node.id in view else []
    if not others:
        raise EmbeddedServerError(f"{node} is the only primary, and its slots cannot go anywhere")
    for number, other in enumerate(others):
        part = slots[len(slots) * number // len(others) : len(slots) * (number + 1) // len(others)]
        if part:
            give(members, part, other)
    attach(
        members,
        [
            (replica, others[0])
            for replica in members.up()
            if replica.id in view and view[replica.id].primary == node.id
        ],
    )
    node.kill()
    node.stop()
    if node in members.added:
        members.added.remove(node)
    members.meet()


def _follows(replica: str, primary: str, view: View) -> bool:
    return view[replica].primary == primary
