"""Run a part of a script for many streams at once: their questions leave in a single write.

A part of a script that only asks, and waits for the answers, may run beside others like it, on the same link. They go in
step: the next questions of all parts are a single exchange, so that a page of streams costs as many round trips as a single
stream.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeVar

from ..connection.exchange import Exchange
from .script import WAIT, Steps

T = TypeVar("T")

PAGE: Final = 50
"""Streams that an exchange asks about."""


def pages(streams: Sequence[T], most: int = PAGE) -> Iterator[list[T]]:
    """Split streams into pages of ``PAGE``, or of ``most`` where that is less."""
    size = max(1, min(PAGE, most))
    for at in range(0, len(streams), size):
        yield list(streams[at : at + size])


def together(parts: Sequence[Steps[T]]) -> Steps[list[T]]:
    """Run parts of a script in step, and return their results. Raises the first error of a part."""
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
    """Have several exchanges answered by a single exchange on the wire."""
    whole = Exchange(
        [command for exchange in asked for command in exchange.commands],
        max(exchange.timeout for exchange in asked),
        b"".join(exchange.data for exchange in asked),
    )
    yield whole
    while (yield WAIT) is None:
        pass
    replies: Iterator[Any] = iter(whole.replies)
    for exchange in asked:
        exchange.replies = [next(replies) for _ in range(exchange.size)]
