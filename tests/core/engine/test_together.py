"""Parts of a script that go in step."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streamcore.engine.engine import Engine
from streamcore.engine.script import Script, ScriptRunner, Steps, call
from streamcore.engine.together import PAGE, pages, together
from streamcore.errors import ReplyError
from streamcore.testing.pair import Pair


class Parts(Engine):
    """Runs parts together, once, and keeps what they return."""

    def __init__(self, *parts: Steps[int]) -> None:
        super().__init__()
        self.parts = parts
        self.results: list[int] = []
        self.refusal: ReplyError | None = None
        self.runner = ScriptRunner(self, self._story)
        self.runner.link.open()

    def _story(self) -> Script:
        try:
            self.results = yield from together(self.parts)
        except ReplyError as error:
            self.refusal = error


def asks(*words: str) -> Steps[int]:
    total = 0
    for word in words:
        [reply] = yield from call((word,))
        total += reply
    return total


def test_the_questions_of_all_leave_together_and_each_gets_its_answers() -> None:
    engine = Parts(asks("A", "B"), asks(), asks("C"))
    pair = Pair(engine)
    assert [command[0] for command in pair.server.commands] == [b"A", b"C"]
    pair.server.commands.clear()
    pair.server.answer(1, 10)
    pair.server.expect("B")
    pair.server.answer(2)
    assert engine.results == [3, 0, 10]


def test_none_at_all_ask_nothing() -> None:
    pair = Pair(Parts())
    pair.server.expect_nothing()


def test_what_wakes_them_in_between_is_no_answer() -> None:
    engine = Parts(asks("A"))
    pair = Pair(engine)
    engine.runner.wake()
    pair.server.answer(7)
    assert engine.results == [7]


def test_where_part_of_them_fails_the_others_end() -> None:
    ended: list[str] = []

    def fails() -> Steps[int]:
        yield from call(("A",))
        raise ReplyError("NOPERM", "no")

    def waits() -> Steps[int]:
        try:
            yield from call(("B",))
            yield from call(("C",))
        finally:
            ended.append("B")
        return 1

    engine = Parts(waits(), fails())
    pair = Pair(engine)
    pair.server.answer(1, 2)
    assert (str(engine.refusal), ended) == ("NOPERM no", ["B"])


def test_a_lost_connection_ends_them_all() -> None:
    ended: list[int] = []

    def waits(number: int) -> Steps[int]:
        try:
            yield from call(("A",))
        finally:
            ended.append(number)
        return number

    pair = Pair(Parts(waits(1), waits(2)))
    pair.server.close()
    assert ended == [1, 2]


@pytest.mark.parametrize(("number", "sizes"), [(0, []), (1, [1]), (PAGE, [PAGE]), (PAGE + 1, [PAGE, 1])])
def test_pages(number: int, sizes: list[int]) -> None:
    found: Iterator[list[bytes]] = pages([b"s"] * number)
    assert [len(page) for page in found] == sizes


def test_smaller_pages_where_that_is_asked_for() -> None:
    assert [len(page) for page in pages([b"s"] * 5, 2)] == [2, 2, 1]
    assert [len(page) for page in pages([b"s"] * 2, 0)] == [1, 1]
