"""How an embedded cluster comes back to its beginning, whatever a test has done to it.

Every step looks at the nodes, and changes only what is not as it was. Where a step is refused, because the nodes are changing
something themselves, it is made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from streamcore.commands import raw

from .members import Home, Members
from .moves import cancel_atomic_moves, give, move_classic
from .node import EmbeddedNode
from .roles import attach, promote, remove, take_over
from .views import Views, slots_of

CHANGES: Final = 4  # that may each take as long as a change may, on a machine that is busy


def heal(members: Members) -> None:
    """Repeat the steps until everything is as at the beginning."""

    def is_home_or_nearer() -> bool:
        _resume(members)
        members.restore_configuration()
        cancel_atomic_moves(members.up())
        if _is_home(members):
            return True
        _replace_the_dead(members)
        _wake(members)
        members.meet()
        members.wait_for("the nodes agree about roles", lambda: members.views().agree_about_roles())
        _end_moves(members)
        members.wait_agreed("all moves of slots have ended")
        _restore_primaries(members)
        _restore_slots(members)
        _restore_replicas(members)
        for node in list(members.added):
            remove(members, node)
        members.wait_for("all nodes find the cluster in order", members.is_ready)
        return _is_home(members)

    members.wait_for("the cluster is as at its beginning", is_home_or_nearer, members.timeout * CHANGES)
    members.wait_ready()


def _is_home(members: Members) -> bool:
    if members.added or not all(home.node.is_up() for home in members.homes):
        return False
    views = members.views()
    moving = any(views.own(node).migrating or views.own(node).importing for node in views)
    ids = {home.node.id for home in members.homes}
    return (
        not moving
        and views.are_acquainted(ids)
        and views.agree(lambda view: all(view[home.node.id].primary == _primary_id(home) for home in members.homes))
        and views.agree(lambda view: all(view[home.node.id].slots == _slots(home) for home in members.homes))
        and views.agree_about_addresses()
        and members.is_ready()
    )


def _primary_id(home: Home) -> str | None:
    return None if home.primary is None else home.primary.id


def _slots(home: Home) -> list[tuple[int, int]]:
    return [(home.slots[0], home.slots[-1])] if home.slots else []


def _resume(members: Members) -> None:
    """Let all processes go on, also those that the test has stopped by itself."""
    for node in members.nodes:
        if node.is_running():
            node.resume()


def _replace_the_dead(members: Members) -> None:
    """Let a replica take over from each dead primary, so that its data is not lost when it comes back empty.

    That is quicker, too: a primary that starts does not serve for two seconds.
    """
    alive = members.by_id()
    replicas: dict[str, EmbeddedNode] = {}
    for node in sorted(alive.values(), key=EmbeddedNode.offset):
        view = node.known()
        primary = view[node.id].primary
        if primary is not None and primary not in alive and primary in view and view[primary].slots:
            replicas[primary] = node  # the last has the most data
    for replica in replicas.values():
        take_over(members, replica)


def _wake(members: Members) -> None:
    for home in members.homes:
        if not home.node.is_started():
            home.node.start()
        elif not home.node.is_running():
            home.node.restart()


def _end_moves(members: Members) -> None:
    """Finish classic moves that have begun, since their keys are on both nodes; their ends may have changed roles."""
    views = members.views()
    ends = {node: views.own(node) for node in views if views.own(node).primary is None}
    moves = {(slot, node.id, to) for node, own in ends.items() for slot, to in own.migrating.items()}
    moves |= {(slot, start, node.id) for node, own in ends.items() for slot, start in own.importing.items()}
    pairs: dict[tuple[EmbeddedNode, EmbeddedNode], list[int]] = {}
    for slot, source_id, target_id in sorted(moves):
        source, target = _primary_of(views, source_id), _primary_of(views, target_id)
        if source is None or target is None or source is target:
            continue
        if any(first <= slot <= last for first, last in source.known()[source.id].slots):
            pairs.setdefault((source, target), []).append(slot)
    for (source, target), slots in pairs.items():
        # While it imports, Redis does not let it hear of a new owner.
        target.ask_all([raw("CLUSTER", "SETSLOT", slot, "STABLE") for slot in slots])
        members.wait_for(
            f"{target} knows that {source} has {len(slots)} slots", partial(_are_known, target, slots, source)
        )
        move_classic(slots, source, target, ends, replaces=True)  # both may have a key by now
    for node in ends:
        own = node.known()[node.id]
        node.ask_all([raw("CLUSTER", "SETSLOT", slot, "STABLE") for slot in (*own.migrating, *own.importing)])


def _are_known(node: EmbeddedNode, slots: Sequence[int], owner: EmbeddedNode) -> bool:
    return set(slots) <= set(slots_of(node.known()[owner.id]))


def _primary_of(views: Views, id_: str) -> EmbeddedNode | None:
    """The present primary of a node's shard, by the node's own word."""
    nodes = {node.id: node for node in views}
    if id_ not in nodes:
        return None
    primary = views.own(nodes[id_]).primary
    return nodes[id_] if primary is None else nodes.get(primary)


def _restore_primaries(members: Members) -> None:
    """Let nodes that were primaries be primaries, with the data of the nodes that have replaced them."""
    primaries = [home.node for home in members.homes if home.primary is None]
    for node in primaries:
        followed = members.view()[node.id].primary
        if followed is None:
            continue
        if followed in {each.id for each in primaries}:  # of another shard, whose data is not its own
            node.ask(raw("CLUSTER", "RESET", "SOFT"))
            members.meet()
            members.wait_agreed(f"{node} is a primary", lambda view, id_=node.id: view[id_].primary is None)  # type: ignore[misc]
        else:
            promote(members, node)


def _restore_slots(members: Members) -> None:
    for home in members.homes:
        if home.slots and home.node.known()[home.node.id].slots != _slots(home):
            give(members, home.slots, home.node)


def _restore_replicas(members: Members) -> None:
    view = members.view()
    homes = [(home.node, home.primary) for home in members.homes if home.primary is not None]
    attach(members, [(node, primary) for node, primary in homes if view[node.id].primary != primary.id])
