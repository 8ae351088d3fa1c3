"""What is held is looked for in pieces, however much else is pending, and wherever."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.connection.exchange import Exchange
from streamcore.entries import StreamId
from streamcore.events import OwnershipLost
from streamcore.group import pending_pages as holdings
from streamcore.group.consumer import GroupConsumer
from streamcore.testing.net import Net
from tests.core.support.members import add, consume, deliver, events, idle_for, pending, take, take_all
from tests.core.support.server import Server

IDLE = 30.0


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holdings, "PAGE", 4)


def looks(server: Server) -> list[list[bytes]]:
    """Pages of our own list between two ids."""
    return [one for one in server.seen if is_look(one)]


def is_look(command: list[bytes]) -> bool:
    return command[0] == b"XPENDING" and len(command) == 7 and command[4] != b"+"


def scattered(server: Server, **options: Any) -> tuple[GroupConsumer[bytes], Net]:
    """Three entries are in hand; between them, and on both sides, an earlier run has left many that are not."""
    consumer, net = consume(
        server, backlog=False, audit_interval=1000.0, claim_idle=IDLE, renew=True, count=1, **options
    )
    for number in (100, 200, 300):
        add(server, number, number)
        net.serve()
        take_all(consumer, net)
    for number in range(1, 400):
        if StreamId(number) not in server.group().pending:
            server.group().deliver(StreamId(number), b"c", server.ms, 1)
    return consumer, net


def test_a_long_list_is_not_walked(server: Server) -> None:
    _, net = scattered(server)
    server.seen.clear()
    for _ in range(11):
        net.advance(1)
    first = [one[3] for one in looks(server)]
    assert first == [b"100-0", b"200-0", b"300-0"], "behind a page that is full, the next one begins at our next entry"
    renewed = [one for number, one in server.group().pending.items() if idle_for(server, one) < 5]
    assert len(renewed) == 3


def test_a_piece_after_the_other_with_reads_in_between(server: Server) -> None:
    consumer, net = consume(server, audit_interval=1000.0, claim_idle=IDLE, renew=True, count=20, block=0.5)
    add(server, 1, 20)
    net.serve()
    take_all(consumer, net)
    server.seen.clear()
    for _ in range(11):
        net.advance(1)
    kinds = {b"XREADGROUP": "read", b"XPENDING": "look"}
    order = [kinds[one[0]] for one in server.seen if is_look(one) or one[0] == b"XREADGROUP"]
    first = order.index("look")
    assert order[first : first + 3] == ["look", "read", "look"]
    assert max(idle_for(server, one) for one in server.group().pending.values()) < 5


def test_the_rest_of_it_is_renewed_while_a_read_blocks(server: Server) -> None:
    """By the acking link, which sends acknowledgements meanwhile."""
    consumer, net = consume(server, audit_interval=1000.0, claim_idle=IDLE, renew=True, count=20)
    add(server, 1, 20)
    net.serve()
    batches = take_all(consumer, net)

    def acknowledge(command: list[bytes]) -> None:
        if is_look(command) and len(looks(server)) == 3:
            batches[-1][-1].ack()
            consumer.flush()

    server.before = acknowledge
    server.seen.clear()
    for _ in range(11):
        net.advance(1)
    assert max(idle_for(server, one) for one in server.group().pending.values()) < 5
    assert "20-0" not in pending(server, "c")
    words = [one[0] for one in server.seen if is_look(one) or one[0] == b"XACK"]
    assert b"XACK" in words[:-1], "between two pieces"


@pytest.mark.parametrize("streams", [["s"], ["s", "t"]])
def test_what_others_have_taken_is_found_in_any_piece(server: Server, streams: list[str]) -> None:
    consumer, net = consume(server, streams=streams, count=10, max_in_flight=50)
    for stream in streams:
        add(server, 1, 10, stream)
    net.serve()
    take_all(consumer, net)
    for number in (1, 5, 10):
        server.do("XCLAIM", "s", "g", "other", 0, f"{number}-0", "JUSTID")
    net.advance(6)
    assert events(net)[-1] == OwnershipLost(b"s", (b"1-0", b"5-0", b"10-0"))


def test_what_is_settled_during_a_pass_is_not_looked_for(server: Server) -> None:
    consumer, net = consume(server, audit_interval=1000.0, claim_idle=IDLE, renew=True, count=4, prefetch=10)
    add(server, 1, 40)
    net.serve()
    batches = take_all(consumer, net)

    def settle(command: list[bytes]) -> None:
        if is_look(command):
            server.before = len
            for batch in batches[4:]:
                batch.ack()

    server.seen.clear()
    server.before = settle
    for _ in range(11):
        net.advance(1)
    assert max(int(one[3].split(b"-")[0]) for one in looks(server)) < 20
    assert max(idle_for(server, one) for one in server.group().pending.values()) < 5


def test_both_links_may_renew_the_same_piece_and_skip_none(server: Server) -> None:
    """A read that has blocked is answered while the acking link asks."""
    consumer, net = consume(server, audit_interval=1000.0, claim_idle=IDLE, renew=True, count=20)
    add(server, 1, 12)
    net.serve()
    take_all(consumer, net)
    first, second = consumer.members[0].loop.renewal.run(), consumer.members[0].loop.renewal.run()
    asked = [one for one in (next(first), next(second)) if isinstance(one, Exchange)]
    for story, exchange in zip((first, second), asked, strict=True):
        next(story)
        exchange.replies = [[]]
        with pytest.raises(StopIteration):
            story.send(exchange)
    assert asked[0].data == asked[1].data
    third = next(consumer.members[0].loop.renewal.run())
    assert isinstance(third, Exchange)
    assert third.commands[0][3] == b"2-0", "the second piece"


def test_nothing_is_renewed_of_a_stream_that_is_read_no_more(server: Server) -> None:
    consumer, net = consume(server, streams=["s", "t"], audit_interval=1000.0, claim_idle=IDLE, renew=True)
    add(server, 1, 2)
    net.serve()
    take_all(consumer, net)
    consumer.remove_stream("s")
    server.seen.clear()
    for _ in range(30):
        net.advance(1)
    assert looks(server) == []


def test_what_waits_is_looked_for_as_well(server: Server) -> None:
    deliver(server, "c", *range(1, 10))
    consumer, net = consume(server, count=10, max_deliveries=9)
    assert take(consumer, net) is not None
    for number in (2, 9):
        server.do("XCLAIM", "s", "g", "other", 0, f"{number}-0", "JUSTID")
    net.advance(6)
    assert consumer.members[0].loop.redelivery_queue.ids(b"s") == {b"%d-0" % number for number in range(3, 9)}


def test_pieces_are_in_the_order_of_the_ids(server: Server) -> None:
    """What was claimed later may be older."""
    deliver(server, "other", 1, 2, idle=0)
    consumer, net = consume(server, claim_idle=IDLE, count=2)
    add(server, 3, 4)
    net.serve()
    take_all(consumer, net)
    for one in server.group().pending.values():
        one.at -= 2000 * int(IDLE) * (one.consumer == b"other")
    for _ in range(20):
        net.advance(1)
    take_all(consumer, net)
    found = [
        piece.ids
        for piece in holdings.pieces(consumer.members[0].loop.holdings, list(consumer.members[0].membership.streams))
    ]
    assert found == [[b"3-0", b"4-0"], [b"1-0", b"2-0"]]
