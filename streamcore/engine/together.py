"""Do the same for many streams at once: what is asked about each leaves in one write with what is asked about the others.

A part of a script that only asks, and waits for the answers, may run beside others like it, on one link. They go in step: the
next questions of all of them are one exchange, so that a page of streams costs as many round trips as a single one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeVar

from ..connection.exchange import Exchange
from .script import WAIT, Steps

T = TypeVar("T")

PAGE: Final = 50
"""Streams that are asked about in one exchange."""


def pages(streams: Sequence[T], most: int = PAGE) -> Iterator[list[T]]:
    """Streams, as many at a time as are asked about at once: ``PAGE``, or ``most`` where that is less."""
    size = max(1, min(PAGE, most))
    for at in range(0, len(streams), size):
        yield list(streams[at : at + size])


def together(parts: Sequence[Steps[T]]) -> Steps[list[T]]:
    """Run parts of a script in step, and return what they return. Raises what the first of them raises that does."""
    results: dict[int, T] = {}
    running = dict(enumerate(parts))
    answers: dict[int, Exchange | None] = dict.fromkeys(running)
    try:
        while running:
            asked: dict[int, Exchange] = {}
            for number, part in list(running.items()):
                try:
                    step = part.send(answers[number])
                except StopIteration as end:
                    results[number] = end.value
                    del running[number]
                    continue
                assert isinstance(step, Exchange), "it does not only ask"
                waits = part.send(None)
                assert waits is WAIT, "it asks one thing at a time"
                asked[number] = step
            if asked:
                yield from _exchange(list(asked.values()))
                answers = dict(asked)
    finally:
        for part in running.values():
            part.close()
    return [results[number] for number in range(len(parts))]


def _exchange(asked: list[Exchange]) -> Steps[None]:
    """Have several exchanges answered by one."""
    whole = Exchange(
        [command for one in asked for command in one.commands],
        max(one.timeout for one in asked),
        b"".join(one.data for one in asked),
    )
    yield whole
    while (yield WAIT) is None:
        pass
    replies: Iterator[Any] = iter(whole.replies)
    for one in asked:
        one.replies = [next(replies) for _ in range(one.size)]
