"""Members that only wait, on servers that do not notice it."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from streamcore.errors import NoGroupError, ReplyError
from streamcore.group.presence import BEHIND_ALL, Presence
from streamcore.testing.pair import Pair
from tests.core.support.scripted_member import entered, joined

OLD = {b"server": b"redis", b"version": b"7.0.15"}
NEW = {b"server": b"redis", b"version": b"7.2.0"}


def old(**options: Any) -> tuple[Any, Pair]:
    """A member of a group on such a server, whose first read waits."""
    consumer, pair = entered(block=1, **options)
    consumer.members[0].loop.presence.connected(OLD)
    return consumer, pair


@pytest.mark.parametrize(
    ("server", "patience", "at"), [(OLD, 100.0, 1025.0), (NEW, 100.0, inf), (OLD, None, inf), ({}, 4, 1001.0)]
)
def test_it_is_shown_where_waiting_does_not_show_it(
    server: dict[bytes, bytes], patience: float | None, at: float
) -> None:
    consumer, _ = joined(remove_idle_consumers=patience)
    presence = Presence(consumer.members[0].loop.context)
    assert presence.at == inf
    presence.connected(server)
    assert presence.at == at


def test_by_asking_for_nothing_behind_all_entries() -> None:
    consumer, pair = old(streams=["s", "t"], remove_idle_consumers=4, audit_interval=100)
    pair.server.commands.clear()
    pair.advance(1.1)
    pair.server.answer(None)
    asked = pair.server.expect("XREADGROUP", "GROUP", "g", "c", "COUNT", 1, "STREAMS", "s", "t")
    assert asked[-2:] == [BEHIND_ALL.encode()] * 2
    pair.server.answer({"s": [], "t": []})
    pair.server.expect("XREADGROUP", "GROUP", "g", "c", "COUNT", 2, "BLOCK")
    assert consumer.members[0].loop.presence.at == consumer.now + 1


@pytest.mark.parametrize(
    ("error", "is_up"), [(NoGroupError("NOGROUP", "gone"), True), (ReplyError("LOADING", "not now"), False)]
)
def test_what_is_refused_is_met_by_the_next_read(error: ReplyError, is_up: bool) -> None:
    _, pair = old(remove_idle_consumers=4, audit_interval=100)
    pair.advance(1.1)
    pair.server.answer(None)
    pair.server.answer(error)
    assert pair.server.link.is_up is is_up
