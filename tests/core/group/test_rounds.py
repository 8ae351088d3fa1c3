"""Whose turn it is among many streams."""

from __future__ import annotations

from streamcore.group.rounds import LONGEST, PIECE, PIECES, QUIET, Passes, Rounds


def named(number: int) -> list[bytes]:
    return [b"%d" % at for at in range(number)]


def round_of(rota: Rounds, now: float, streams: list[bytes], held: set[bytes]) -> tuple[list[bytes], float]:
    """All pieces of a round, each when it is due; and when the next round is."""
    taken = rota.piece(now, streams, held)
    while rota.at < now + 5.0:
        taken += rota.piece(rota.at, streams, held)
    return taken, rota.at


class TestRounds:
    def test_few_streams_are_looked_at_in_each(self) -> None:
        rota, streams = Rounds(5.0), named(QUIET)
        for now in (0.0, 5.0, 10.0):
            assert sorted(rota.piece(now, streams, ())) == sorted(streams)
            assert rota.at == now + 5

    def test_of_many_quiet_ones_some_have_their_turn_and_all_within_the_longest_time(self) -> None:
        rota, streams = Rounds(5.0), named(3000)
        seen: list[bytes] = []
        now = 0.0
        while now < LONGEST:
            taken, now = round_of(rota, now, streams, set())
            assert QUIET <= len(taken) <= len(streams) * 5 / LONGEST
            seen += taken
        assert sorted(seen) == sorted(streams)

    def test_what_is_in_hand_or_has_come_is_looked_at_in_each_round_beside_them(self) -> None:
        rota, streams = Rounds(5.0), named(1000)
        for now in (0.0, 5.0):
            rota.came(b"999")
            taken, _ = round_of(rota, now, streams, {b"998"})
            assert len(taken) == QUIET + 2
            assert {b"998", b"999"} <= set(taken)
        assert b"999" not in round_of(rota, 10.0, streams, set())[0]

    def test_a_large_round_goes_piece_by_piece_spread_over_its_time(self) -> None:
        rota, streams = Rounds(5.0), named(200)
        at: list[float] = []
        now = 0.0
        for _ in range(4):
            assert len(rota.piece(now, streams, set(streams))) == PIECE
            now = rota.at
            at.append(now)
        assert at == [1.25, 2.5, 3.75, 5.0]

    def test_pieces_are_never_too_many(self) -> None:
        streams = named(10_000)
        assert len(Rounds(5.0).piece(0.0, streams, set(streams))) == len(streams) // PIECES

    def test_what_was_due_while_a_read_waited_is_due_at_once(self) -> None:
        rota, streams = Rounds(5.0), named(PIECE * 2)
        rota.piece(0.0, streams, set(streams))
        rota.piece(9.0, streams, set(streams))
        assert rota.at == 5.0

    def test_after_a_new_connection_each_is_looked_at_once_when_a_former_one_cannot_be_served_any_more(self) -> None:
        rota, streams = Rounds(5.0), named(1000)
        rota.entered(100.0, 5.0)
        assert len(round_of(rota, 100.0, streams, set())[0]) == QUIET
        assert sorted(round_of(rota, 105.0, streams, set())[0]) == sorted(streams)
        assert len(round_of(rota, 110.0, streams, set())[0]) == QUIET

    def test_what_is_not_read_any_more_has_no_turn(self) -> None:
        rota, streams = Rounds(5.0), named(PIECE + 2)
        rota.piece(0.0, streams, set(streams))
        rota.forget(b"50")
        assert rota.piece(2.5, [b"51"], set()) == [b"51"]
        rota.forget(b"never")
        assert rota.piece(5.0, [b"51"], set()) == [b"51"]

    def test_it_may_be_put_off(self) -> None:
        rota = Rounds(5.0)
        rota.put_off(3.0)
        assert rota.at == 8.0


class TestPasses:
    def test_few_streams_are_looked_at_in_each(self) -> None:
        passes, streams = Passes(60.0), named(3)
        passes.begin(0.0, streams)
        passes.calm(b"1", 0.0)
        assert (passes.piece(), passes.is_through) == (streams, True)
        passes.begin(1.0, streams)
        assert passes.piece() == streams

    def test_of_many_those_are_left_out_in_which_nothing_can_be_left_yet(self) -> None:
        passes, streams = Passes(60.0), named(QUIET + 1)
        for stream in streams[1:]:
            passes.calm(stream, 10.0)
        passes.begin(69.0, streams)
        assert passes.piece() == [b"0"]
        passes.forget(b"5")
        passes.begin(69.5, streams)
        assert passes.piece() == [b"0", b"5"]
        passes.begin(70.0, streams)
        assert passes.piece() == streams

    def test_a_pass_goes_piece_by_piece_and_is_not_begun_anew(self) -> None:
        passes, streams = Passes(60.0), named(PIECE + 1)
        passes.begin(0.0, streams)
        assert (passes.piece(), passes.is_through) == (streams[:PIECE], False)
        passes.begin(1.0, streams)
        passes.put_back([b"7"])
        assert (passes.piece(), passes.is_through) == ([b"50", b"7"], True)
