from __future__ import annotations

from typing import Any

import pytest

from streamcore.entries import StreamId
from streamcore.events import AckMissed, AcksConfirmed, DeadLettered, OwnershipLost, PendingEntriesDeleted
from streamcore.group.options import NACKED, Membership
from streamcore.group.settlements import Ack, Burial, Clear, Nack, Settlement
from streamcore.keys import delayed_nacks
from tests.core.support.members import deliver, delivery, idle_for, pending, times
from tests.core.support.server import Server


@pytest.fixture
def server() -> Server:
    """Three entries are pending for ``c``, and one for another member."""
    server = Server()
    deliver(server, "c", 1, 2, 3)
    deliver(server, "other", 4)
    return server


def member(**options: Any) -> Membership:
    return Membership.of("s", "g", "c", **options)


def tell(server: Server, settlement: Settlement, **options: Any) -> list[Any]:
    """Send it, and what the answer means."""
    return list(settlement.heed(server.do(*settlement.command(member(**options)))))


class TestAck:
    def test_settles_whoever_owns_the_entry(self, server: Server) -> None:
        assert tell(server, Ack(b"s", [b"1-0", b"4-0"])) == []
        assert server.group().order == [StreamId(2), StreamId(3)]

    def test_fewer_than_named_were_pending(self, server: Server) -> None:
        assert tell(server, Ack(b"s", [b"1-0", b"8-0", b"9-0"])) == [AckMissed(b"s", 2)]

    def test_a_repeated_one_misses_nothing(self, server: Server) -> None:
        again = Ack(b"s", [b"1-0"]).again()
        assert again == Ack(b"s", [b"1-0"], repeated=True)
        tell(server, again)
        assert tell(server, again) == []

    def test_tells_what_is_settled_where_asked_for(self, server: Server) -> None:
        ack = Ack(b"s", [b"1-0", b"2-0"], told=True)
        assert tell(server, ack) == [AcksConfirmed(b"s", (b"1-0", b"2-0"))]
        assert tell(server, ack.again()) == [AcksConfirmed(b"s", (b"1-0", b"2-0"))], "the answer before was lost"

    def test_does_not_tell_which_ones_are_where_it_cannot_know(self, server: Server) -> None:
        assert tell(server, Ack(b"s", [b"1-0", b"9-0"], told=True)) == [AckMissed(b"s", 1)]


class TestFencedAck:
    def test_settles_only_what_is_ours(self, server: Server) -> None:
        assert tell(server, Ack(b"s", [b"1-0", b"4-0"], fenced=True)) == [OwnershipLost(b"s", (b"4-0",))]
        assert server.group().order == [StreamId(2), StreamId(3), StreamId(4)]

    def test_nothing_is_ours(self, server: Server) -> None:
        assert tell(server, Ack(b"s", [b"4-0"], fenced=True)) == [OwnershipLost(b"s", (b"4-0",))]

    def test_a_repeated_one_has_lost_nothing(self, server: Server) -> None:
        ack = Ack(b"s", [b"1-0", b"2-0"], fenced=True)
        assert (tell(server, ack), tell(server, ack.again())) == ([], [])

    def test_tells_what_is_settled_and_what_is_not(self, server: Server) -> None:
        ack = Ack(b"s", [b"1-0", b"4-0"], fenced=True, told=True)
        assert tell(server, ack) == [AcksConfirmed(b"s", (b"1-0",)), OwnershipLost(b"s", (b"4-0",))]

    def test_a_repeated_one_whose_answer_was_lost_is_settled_by_now(self, server: Server) -> None:
        ack = Ack(b"s", [b"1-0"], fenced=True, told=True)
        server.do(*ack.command(member()))
        assert tell(server, ack.again()) == [AcksConfirmed(b"s", (b"1-0",))]

    def test_what_another_member_owns_was_not_settled_the_first_time_either(self, server: Server) -> None:
        """Seed 2009: said over a connection that was dead, claimed by somebody else, and said again."""
        server.do("XACK", "s", "g", "1-0")
        again = Ack(b"s", [b"1-0", b"2-0", b"4-0"], fenced=True, told=True).again()
        assert tell(server, again) == [AcksConfirmed(b"s", (b"1-0", b"2-0")), OwnershipLost(b"s", (b"4-0",))]
        assert pending(server, "other") == ["4-0"]

    def test_what_is_settled_already_was_not_settled_by_us(self, server: Server) -> None:
        server.do("XACK", "s", "g", "2-0")
        ack = Ack(b"s", [b"1-0", b"2-0", b"4-0"], fenced=True)
        assert tell(server, ack) == [OwnershipLost(b"s", (b"2-0", b"4-0"))]

    def test_the_group_is_gone(self, server: Server) -> None:
        server.do("XGROUP", "DESTROY", "s", "g")
        assert tell(server, Ack(b"s", [b"1-0"], fenced=True)) == [OwnershipLost(b"s", (b"1-0",))]


class TestNack:
    def test_gives_entries_to_nobody_and_they_may_be_claimed_at_once(self, server: Server) -> None:
        assert tell(server, Nack(b"s", [b"1-0", b"2-0"], 0.0)) == []
        assert pending(server, NACKED.decode()) == ["1-0", "2-0"]
        assert idle_for(server, delivery(server, 1)) == 60
        assert times(server)[1] == 1, "how often it was handed over does not change"

    def test_the_counter_is_set_right_where_nobody_may_have_seen_a_delivery(self, server: Server) -> None:
        tell(server, Nack(b"s", [b"1-0", b"4-0"], 0.0, counted=0))
        assert times(server) == {1: 0, 2: 1, 3: 1, 4: 1}

    def test_a_delay_makes_it_less_idle(self, server: Server) -> None:
        tell(server, Nack(b"s", [b"1-0"], 20.0))
        assert idle_for(server, delivery(server, 1)) == 40
        assert server.schedules == {}

    @pytest.mark.parametrize("idle", [10.0, None])
    def test_a_longer_one_is_kept_beside_the_stream(self, server: Server, idle: float | None) -> None:
        tell(server, Nack(b"s", [b"1-0"], 100.0), claim_idle=idle)
        assert idle_for(server, delivery(server, 1)) == 0
        assert server.schedules == {delayed_nacks(b"s", b"g"): {b"1-0": server.ms + 100_000}}

    def test_its_schedule_is_in_the_slot_of_the_stream(self) -> None:
        assert delayed_nacks(b"s", b"g") == b"{s}:later:g"
        assert delayed_nacks(b"a{s}b", b"g") == b"a{s}b:later:g"

    def test_does_nothing_to_what_is_not_ours(self, server: Server) -> None:
        assert tell(server, Nack(b"s", [b"1-0", b"4-0", b"9-0"], 100.0)) == [AckMissed(b"s", 2)]
        assert pending(server, "other") == ["4-0"]
        assert list(server.schedules[delayed_nacks(b"s", b"g")]) == [b"1-0"]

    def test_a_repeated_one_misses_nothing(self, server: Server) -> None:
        nack = Nack(b"s", [b"1-0"], 5.0)
        tell(server, nack)
        assert nack.again() == Nack(b"s", [b"1-0"], 5.0, repeated=True)
        assert tell(server, nack.again()) == []


class TestBurial:
    burial = Burial(b"s", [b"2-0"], b"s:dead", 3, b"too hot")

    def test_moves_the_entry_with_where_it_came_from_and_why(self, server: Server) -> None:
        [event] = tell(server, self.burial)
        letters = server.streams[b"s:dead"]
        [(id_, fields)] = letters.fields.items()
        assert event == DeadLettered(b"s", b"2-0", b"s:dead", bytes(StreamId(*id_)), 3, "too hot")
        assert dict(zip(fields[::2], fields[1::2], strict=True)) == {
            b"f": b"v",
            b"dead:reason": b"too hot",
            b"dead:attempts": b"3",
            b"dead:stream": b"s",
            b"dead:id": b"2-0",
            b"dead:group": b"g",
            b"dead:consumer": b"c",
        }
        assert pending(server, "c") == ["1-0", "3-0"]

    def test_a_repeated_one_moves_nothing_twice_and_tells_of_the_letter_all_the_same(self, server: Server) -> None:
        told = tell(server, self.burial)
        tell(server, self.burial._replace(ids=[b"1-0"]))
        assert tell(server, self.burial.again()) == told
        letters = server.streams[b"s:dead"]
        assert len(letters.ids) == 2

    @pytest.mark.parametrize("was_written", [False, True])
    def test_whose_letter_cannot_be_found(self, server: Server, was_written: bool) -> None:
        """Somebody else has settled the entry, or the letters were trimmed."""
        if was_written:
            tell(server, self.burial)
            server.do("XTRIM", "s:dead", "MAXLEN", 0)
        server.do("XACK", "s", "g", "2-0")
        assert tell(server, self.burial.again()) == []
        assert tell(server, self.burial) == [OwnershipLost(b"s", (b"2-0",))]

    @pytest.mark.parametrize("again", [False, True])
    def test_does_nothing_to_what_is_not_ours(self, server: Server, again: bool) -> None:
        assert tell(server, self.burial._replace(ids=[b"4-0"], repeated=again)) == [OwnershipLost(b"s", (b"4-0",))]
        assert b"s:dead" not in server.streams
        assert pending(server, "other") == ["4-0"]

    def test_of_a_deleted_entry_nothing_is_left(self, server: Server) -> None:
        server.do("XDEL", "s", "2-0")
        assert tell(server, self.burial) == [PendingEntriesDeleted(b"s", (b"2-0",))]
        assert pending(server, "c") == ["1-0", "3-0"]
        assert b"s:dead" not in server.streams

    def test_its_letters_may_have_a_name_of_their_own(self) -> None:
        assert (member().letters(b"s"), member(dead_letter_stream="morgue").letters(b"s")) == (b"{s}:dead", b"morgue")


class TestClear:
    clear = Clear(b"s", [b"1-0", b"2-0", b"4-0", b"9-0"])

    def test_forgets_what_is_not_in_the_stream_whoever_owns_it_and_leaves_the_rest_alone(self, server: Server) -> None:
        server.do("XDEL", "s", "2-0", "4-0")
        before = delivery(server, 1)
        assert tell(server, self.clear) == []
        assert server.group().order == [StreamId(1), StreamId(3)]
        assert delivery(server, 1) is before

    def test_may_be_repeated(self) -> None:
        assert self.clear.again() == self.clear
