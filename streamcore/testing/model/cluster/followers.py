"""What becomes of a node's clients when slots change their owner: blocked readers, and subscribers of shard channels."""

from __future__ import annotations

from ..protocol import Failure, Reply
from ..session import Session
from .context import NodeContext
from .gate import DOWN, NOT_SERVED, moved
from .keys import slot_of
from .view import Change


def release_blocked(node: NodeContext) -> None:
    """Answer the blocked sessions whose slot this node does not serve any more."""
    for session in list(node.waiting.sessions):
        if (refusal := _refusal(node, session)) is not None:
            node.unblock(session, refusal)


def _refusal(node: NodeContext, session: Session) -> Reply:
    block, view = session.blocked, node.view
    if block is None or not block.keys:
        return None
    if view.is_down:
        return Failure(DOWN)
    slot = slot_of(block.keys[0])
    owner = view.owner(slot)
    if owner is None:
        return Failure(NOT_SERVED)
    if (
        session in node.readers
        and view.myself.primary == owner.id
        and "w" not in node.flags_of(session.last_word.upper())
    ):
        return None
    return None if owner is view.myself or slot in view.importing else moved(node, slot)


def release_channels(node: NodeContext, changes: list[Change], shard: bytes) -> None:
    """Unsubscribe sessions from the channels of slots that have left the shard, which ``shard`` was the primary of.

    A replica that takes its primary's place keeps them with Redis 7.0, and with its successors unsubscribes them.
    """
    stays = None if node.flavour.modern else node.id
    gone = {slot for one in changes if one.old == shard and one.new != stays for slot in one.slots}
    for session in list(node.sessions.values()) if gone else ():
        for channel in [one for one in session.shards if slot_of(one) in gone]:
            del session.shards[channel]
            session.push(b"sunsubscribe", channel, len(session.shards))
