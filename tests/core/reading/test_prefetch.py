from __future__ import annotations

from typing import Any

import pytest

from streamcore.arguments import pick
from streamcore.engine.engine import EngineOptions
from streamcore.engine.script import Script, ScriptRunner
from streamcore.entries import Batch
from streamcore.errors import ClosedError, InvalidArgument, ReplyError, ReplyTooLarge
from streamcore.events import Connected, CountReduced, Disconnected, Event, StaleConnectionKilled
from streamcore.options import Options
from streamcore.reading.engine import ReadingEngine
from streamcore.reading.prefetch import Prefetch
from streamcore.reading.reader import Reader, waiting
from streamcore.testing.pair import Pair


def batch(name: str = "s", size: int = 0) -> Batch[bytes]:
    return Batch(name.encode(), [[b"1-0", [b"f", b"v"]]], size=size)


class TestPrefetch:
    def test_hands_out_in_order_of_arrival(self) -> None:
        prefetch: Prefetch[Batch[bytes]] = Prefetch(5, 100)
        batches = [batch(), batch()]
        assert prefetch.pop() is None
        for each in batches:
            prefetch.add(each)
        assert len(prefetch) == 2
        assert [prefetch.pop(), prefetch.pop(), prefetch.pop()] == [*batches, None]

    def test_unanswered_reads_count_like_batches(self) -> None:
        prefetch: Prefetch[Batch[bytes]] = Prefetch(2, 100)
        assert [prefetch.has_room(in_flight) for in_flight in (0, 1, 2)] == [True, True, False]
        prefetch.add(batch())
        assert [prefetch.has_room(in_flight) for in_flight in (0, 1)] == [True, False]
        prefetch.add(batch())
        assert not prefetch.has_room(0)
        prefetch.pop()
        assert prefetch.has_room(0)

    def test_bytes_are_freed_when_they_are_handed_out(self) -> None:
        prefetch: Prefetch[Batch[bytes]] = Prefetch(100, 50)
        prefetch.add(batch(size=49))
        assert prefetch.has_room(0)
        prefetch.add(batch(size=1))
        assert not prefetch.has_room(0)
        prefetch.pop()
        assert prefetch.has_room(0)

    def test_a_dropped_stream_frees_its_room(self) -> None:
        prefetch: Prefetch[Batch[bytes]] = Prefetch(2, 100)
        for name in ("a", "b"):
            prefetch.add(batch(name, size=50))
        assert [one.key for one in prefetch.drop(b"a")] == [b"a"]
        assert prefetch.has_room(0)
        assert [one.key for one in (prefetch.pop(), prefetch.pop()) if one is not None] == [b"b"]

    def test_what_is_put_back_is_next_and_takes_room_again(self) -> None:
        prefetch: Prefetch[Batch[bytes]] = Prefetch(2, 100)
        batches = [batch(), batch(), batch()]
        for each in batches:
            prefetch.add(each)
        assert [prefetch.pop(), prefetch.pop()] == batches[:2]
        assert prefetch.has_room(0)
        for each in reversed(batches[:2]):
            prefetch.put_back(each)
        assert not prefetch.has_room(0)
        assert [prefetch.pop(), prefetch.pop(), prefetch.pop(), prefetch.pop()] == [*batches, None]

    def test_how_far_the_application_has_come(self) -> None:
        """What lies between batches belongs behind those that were taken or dropped, and before those that are here."""
        prefetch: Prefetch[Batch[bytes]] = Prefetch(9, 100)
        assert prefetch.reached == 0
        for name in "abcb":
            prefetch.add(batch(name))
        reached = [prefetch.reached]
        prefetch.pop()
        reached.append(prefetch.reached)
        prefetch.drop(b"b")  # the second and the fourth
        reached.append(prefetch.reached)
        third = prefetch.pop()
        reached.append(prefetch.reached)
        assert third is not None
        prefetch.put_back(third)
        reached.append(prefetch.reached)
        assert reached == [0, 1, 2, 4, 3]


class Sums(ReadingEngine[Batch[bytes]]):
    """An engine whose reader asks, again and again, and keeps the answers."""

    def __init__(self, *commands: tuple[Any, ...], **options: Any) -> None:
        super().__init__(**pick(options, EngineOptions.__annotations__))
        self.commands = commands
        self.answers: list[list[Any]] = []
        self.reader = Reader[Batch[bytes]](self, self, hand_over=self.hand_over, **options)
        self.add_reader(self.reader)
        self.reader.runner.link.open()
        self._other = ScriptRunner(self.reader, self.read, "other")

    def open_other(self) -> None:
        self._other.link.open()

    def arrive(self, batch: Batch[bytes]) -> None:
        self.reader.prefetch.add(batch)

    def take(self) -> Batch[bytes] | None:
        batch = self.reader.take()
        if batch is None:
            self.check()
        return batch

    def hand_over(self, batch: Batch[bytes]) -> None:
        """A batch is taken."""

    def read(self) -> Script:
        while True:
            self.answers.append((yield from self.reader.ask(*self.commands)))

    def emit(self, event: Event) -> None:
        self.reader.place(event)

    def want_more(self) -> None:
        self.reader.runner.wake()

    def lose_connection(self, error: Exception, *, was_up: bool) -> None:
        """It keeps nothing that a connection has told."""

    def goes_on_without(self, error: ReplyTooLarge) -> bool:
        return False


OVERSIZED = b"$2000\r\n" + b"x" * 1500


def events(pair: Pair) -> list[Event]:
    return [event for event in pair.events() if not isinstance(event, Connected)]


class TestReader:
    @pytest.mark.parametrize(
        ("options", "why"),
        [
            ({"count": 0}, "count must be at least 1, not 0"),
            ({"count": -5}, "count must be at least 1, not -5"),
            ({"block": 0}, "block must be more than 0 seconds"),
            ({"block": 16}, "block=16 is longer than the keep-alive of 15 s; lower it"),
            ({"prefetch": 0}, "prefetch must be at least 1"),
            ({"prefetch_bytes": 0}, "prefetch_bytes must be at least 1"),
            ({"decode": "utf-9"}, "decode='utf-9' is not a text encoding"),
        ],
    )
    def test_refuses_bad_options(self, options: dict[str, Any], why: str) -> None:
        with pytest.raises(InvalidArgument, match=why):
            Sums(**options)

    def test_takes_what_has_arrived_and_then_raises_what_ended_it(self) -> None:
        reader = Sums()
        reader.arrive(arrived := batch())
        seen = [reader.has_batch]
        reader.close()
        assert reader.take() is arrived
        seen.append(reader.has_batch)
        assert seen == [True, False]
        with pytest.raises(ClosedError, match="this Sums is closed"):
            reader.take()

    def test_an_event_has_its_place_between_the_batches(self) -> None:
        reader = Sums()
        batches = [batch(), batch(), batch()]
        told: list[object] = []
        for number, each in enumerate(batches):
            reader.emit(StaleConnectionKilled(number))
            reader.arrive(each)
        while reader.has_batch:
            while reader.has_event_in_place:
                told.append(reader.next_event_in_place())
            told.append(reader.take())
        expected = [thing for number, each in enumerate(batches) for thing in (StaleConnectionKilled(number), each)]
        assert told == expected
        assert reader.next_event_in_place() is None

    def test_an_event_waits_for_batches_that_were_put_back(self) -> None:
        reader = Sums()
        reader.arrive(first := batch())
        reader.emit(StaleConnectionKilled(1))
        due = [reader.has_event_in_place]
        assert reader.take() is first
        due.append(reader.has_event_in_place)
        reader.reader.put_back(first)
        due.append(reader.has_event_in_place)
        assert due == [False, True, False]
        assert reader.take() is first
        assert reader.next_event_in_place() == StaleConnectionKilled(1)

    def test_taking_wakes_the_story(self) -> None:
        reader = Sums(("PING",))
        pair = Pair(reader)
        assert reader.take() is None
        pair.server.expect("PING")
        pair.server.answer("PONG")
        assert reader.answers == [[b"PONG"]]

    @pytest.mark.parametrize("moment", ["before it is taken", "taken", "handed over"])
    def test_a_batch_that_a_signal_handler_keeps_from_the_application_is_the_next(self, moment: str) -> None:
        class Interrupted(Sums):
            waits = True

            def alarm(self, now: str) -> None:
                if now == moment and self.waits:
                    self.waits = False
                    raise KeyboardInterrupt

            def hand_over(self, batch: Batch[bytes]) -> None:
                self.alarm("taken")

        class Alarming(ScriptRunner):
            def wake(self) -> None:
                reader.alarm("handed over")
                super().wake()

        class Late(Prefetch[Batch[bytes]]):
            def pop(self) -> Batch[bytes] | None:
                reader.alarm("before it is taken")
                return super().pop()

        reader = Interrupted()
        reader.reader.prefetch = Late(5, 100)
        reader.reader.runner = Alarming(reader.reader, reader.read)
        batches = [batch(), batch()]
        for each in batches:
            reader.arrive(each)
        with pytest.raises(KeyboardInterrupt):
            reader.take()
        assert [reader.take(), reader.take(), reader.take()] == [*batches, None]

    def test_a_refusal_names_its_command(self) -> None:
        reader = Sums(("XLEN", "s"), ("XPENDING", "s", "g"))
        Pair(reader).server.answer(1, ReplyError("NOGROUP", "no such group"))
        [[length, refusal]] = reader.answers
        assert length == 1
        assert str(refusal) == "NOGROUP no such group (in reply to XPENDING)"

    def test_asking_obeys_the_request_timeout(self) -> None:
        pair = Pair(Sums(("PING",), options=Options(request_timeout=0.5)))
        pair.advance(0.4)
        assert events(pair) == []
        pair.advance(0.1)
        assert [type(event) for event in events(pair)] == [Disconnected]

    @pytest.mark.parametrize(("block", "sent"), [(5, 5000), (0.25, 250), (0.0001, 1)])
    def test_never_waits_for_ever(self, block: float, sent: int) -> None:
        assert waiting(block) == ("BLOCK", sent)

    def test_a_reply_over_the_limit_halves_the_count_until_it_is_one(self) -> None:
        reader = Sums(("READ",), count=5, options=Options(max_reply=1000, backoff_max=1.0))
        pair = Pair(reader)
        for shrunk in (2, 1):
            pair.server.reply(OVERSIZED)
            assert CountReduced(shrunk) in pair.events()
            assert reader.reader.count == shrunk
            pair.advance(1.0)
        pair.server.reply(OVERSIZED)
        with pytest.raises(ReplyTooLarge, match="limit of 1000 bytes"):
            reader.take()

    def test_other_losses_leave_the_count_alone(self) -> None:
        reader = Sums(("READ",), count=5, options=Options(max_reply=1000))
        pair = Pair(reader)
        pair.server.close()
        reader.open_other()
        pair.settle()
        pair.peer("other").reply(OVERSIZED)
        assert reader.reader.count == 5
        assert [type(event) for event in events(pair)] == [Disconnected, Disconnected]
