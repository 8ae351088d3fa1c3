"""What a replica shows of streams: whether it has all that is known of them, and whether a batch came without a gap.

Nothing is judged by that: a replica that does not show it may lag, and only the primary knows.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, islice
from typing import Any

from ..engine.script import Replies, Steps
from ..errors import UNAVAILABLE, ReplyError
from ..reading.stream_history import History
from .cursor import StreamCursor


def have_copies(ask: Callable[..., Steps[Replies]], streams: list[StreamCursor]) -> Steps[bool]:
    """Ask a replica whether it has all that is known of streams, as a part of a script.

    Raises the ``ReplyError`` of a node that cannot serve now.
    """
    asked = [(cursor, cursor.check_commands()) for cursor in streams]
    replies = iter((yield from ask(*chain.from_iterable(commands for _, commands in asked))))
    found = [_has_copy(cursor, *islice(replies, len(commands))) for cursor, commands in asked]
    return all(found)


def is_proven_by_copy(cursor: StreamCursor, word: str, reply: Any) -> bool:
    """Tell whether a replica has answered the question of a stream (``word``: its command), and has all that is known.

    Raises the ``ReplyError`` of a node that cannot serve now.
    """
    continuity = cursor.continuity
    assert continuity is not None, "it is read"
    if word == "XINFO":
        history = _history(reply)
        return history is not None and history.last >= continuity.cursor
    return _is_answer(reply) and continuity.finds_anchor(reply) and continuity.is_proven(reply)


def _has_copy(cursor: StreamCursor, *replies: Any) -> bool:
    """Tell whether a replica has all that is known of a stream, by its replies to ``check_commands``."""
    continuity = cursor.continuity
    assert continuity is not None, "its place was found at the primary"
    *anchor, info = replies
    history = _history(info)
    has_anchor = all(_is_answer(reply) and continuity.finds_anchor(reply) for reply in anchor)
    return has_anchor and history is not None and continuity.is_reached(history)


def _history(info: Any) -> History | None:
    """Parse the reply of ``XINFO STREAM``; None where it was refused for another reason than that there is no stream."""
    if _is_answer(info):
        return History.of(info)
    return History() if info.code == "ERR" else None


def _is_answer(reply: Any) -> bool:
    """Tell whether a reply is no error. Raises the error of a node that cannot serve now."""
    if isinstance(reply, ReplyError) and reply.code in UNAVAILABLE:
        raise reply
    return not isinstance(reply, ReplyError)
