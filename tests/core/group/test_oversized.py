"""Entries that are larger than a reply may be: the reading goes on around them, or ends with the error; nothing spins."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.errors import ReplyTooLarge
from streamcore.events import CountReduced, DeadLettered, PossibleLoss
from streamcore.group.consumer import GroupConsumer
from streamcore.options import Options
from streamcore.testing.net import Net
from tests.core.support.entropy import entropy
from tests.core.support.server import Server

LIMIT = Options(max_reply=200_000, backoff_initial=0.01, backoff_max=0.1)


def consume(server: Server, **options: Any) -> tuple[GroupConsumer[bytes], Net]:
    # XINFO STREAM, which looks for gaps, has the first and the last entry in its reply.
    arguments: dict[str, Any] = {"count": 8, "detect_gaps": None, "max_deliveries": 3, "options": LIMIT}
    arguments |= {"entropy": entropy, **options}
    consumer: GroupConsumer[bytes] = GroupConsumer("s", group="g", consumer="c", **arguments)
    return consumer, Net(server, consumer)


def work_off(consumer: GroupConsumer[bytes], net: Net) -> list[str]:
    """What is handed over, and acknowledged, while some seconds pass."""
    seen = []
    for _ in range(40):
        net.advance(0.1)
        while (batch := consumer.take()) is not None:
            seen += [str(entry.id) for entry in batch]
            batch.ack()
            net.serve()
    return seen


def test_many_entries_that_are_too_large_together_come_in_smaller_parts() -> None:
    server = Server()
    for number in range(1, 9):
        server.add("s", f"{number}-0", data="x" * 60_000)
    consumer, net = consume(server)
    assert sorted(work_off(consumer, net)) == [f"{number}-0" for number in range(1, 9)]
    assert CountReduced(4) in net.pair.events()
    assert server.group().order == []


def test_one_that_is_too_large_by_itself_becomes_a_dead_letter_and_the_others_are_handed_over() -> None:
    server = Server()
    for number in range(1, 9):
        server.add("s", f"{number}-0", data="x" * (500_000 if number == 4 else 10))
    consumer, net = consume(server)
    assert sorted(work_off(consumer, net)) == [f"{number}-0" for number in range(1, 9) if number != 4]
    [told] = [event for event in net.pair.events() if isinstance(event, DeadLettered)]
    assert (told.id, told.deliveries, told.reason) == (b"4-0", 0, "larger than max_reply")
    assert server.group().order == []


def test_one_that_was_handed_over_before_too() -> None:
    server = Server()
    server.do("XGROUP", "CREATE", "s", "g", "0", "MKSTREAM")
    server.add("s", "1-0", data="x" * 500_000)
    server.do("XREADGROUP", "GROUP", "g", "c", "COUNT", 1, "STREAMS", "s", ">")
    server.add("s", "2-0")
    consumer, net = consume(server, count=1)
    assert work_off(consumer, net) == ["2-0"]
    [told] = [event for event in net.pair.events() if isinstance(event, DeadLettered)]
    assert (told.id, told.deliveries) == (b"1-0", 1)


def test_without_dead_letters_it_is_an_error_and_stays_pending() -> None:
    server = Server()
    server.add("s", "1-0", data="x" * 500_000)
    consumer, net = consume(server, max_deliveries=None)
    with pytest.raises(ReplyTooLarge):
        work_off(consumer, net)
    assert len(server.group().order) == 1


def test_without_acknowledgements_it_is_lost_and_that_is_said_or_an_error() -> None:
    server = Server()
    server.add("s", "1-0", data="x" * 500_000)
    consumer, net = consume(server, ack="none", max_deliveries=None)
    assert work_off(consumer, net) == []
    assert PossibleLoss(8) in net.pair.events()
    server = Server()
    server.add("s", "1-0", data="x" * 500_000)
    consumer, net = consume(server, ack="none", max_deliveries=None, count=1)
    with pytest.raises(ReplyTooLarge):
        work_off(consumer, net)
