"""Running a coroutine on the loop that the job asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from benchmarks.job import Job

J = TypeVar("J", bound=Job)

TASKS = 100
"""How many tasks write at once in the concurrent producers."""


def run(job: J, main: Callable[[J], Coroutine[Any, Any, None]]) -> None:
    """``options={"loop": "uvloop"}`` picks uvloop; otherwise it is asyncio's own loop."""
    factory = None
    if job.options.get("loop") == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main(job))


async def in_tasks(n: int, send: Callable[[int], Awaitable[object]]) -> int:
    """``TASKS`` tasks which together call ``send`` n times, each waiting for its reply before the next."""

    async def task(numbers: range) -> int:
        done = 0
        for number in numbers:
            await send(number)
            done += 1
        return done

    return sum(await asyncio.gather(*[task(range(first, n, TASKS)) for first in range(TASKS)]))
