"""Subscribers of one channel: loops that somebody writes over XREAD, and ours."""

from __future__ import annotations

from typing import Any

from benchmarks.contestants.loops import run
from benchmarks.job import Job

COUNT = 500
ROOM = "room"


class Meter:
    """Starts the clock at the first message, and stops it n messages later."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._seen = -1

    def got(self, messages: int) -> bool:
        """True when it was the last one."""
        if self._seen < 0:
            self._job.start()
            self._seen = 0
            messages -= 1
        self._seen += messages
        if self._seen < self._job.n:
            return False
        self._job.finish(self._job.n)
        return True


def hand_written(job: Job) -> None:
    from benchmarks.contestants.hand_written import receiver
    from benchmarks.raw import open_socket, pack

    sock = open_socket(job.host, job.port)
    reply, last, meter = receiver(sock), b"0", Meter(job)
    job.ready()
    while True:
        sock.sendall(pack(("XREAD", "COUNT", COUNT, "BLOCK", 5000, "STREAMS", job.stream, last)))
        [[_, entries]] = reply()
        messages = [(entry_id, fields[1]) for entry_id, fields in entries]
        last = messages[-1][0]
        if meter.got(len(messages)):
            return


def hand_written_latency(job: Job) -> None:
    from benchmarks.contestants.hand_written import latency_asyncio_streams

    job.options["kind"] = "follow"
    latency_asyncio_streams(job)


async def _redis_py(job: Job) -> None:
    from benchmarks.contestants.redis_py import BLOCK, open_async

    client: Any = await open_async(job, socket_timeout=None)
    last, meter = b"0", Meter(job)
    job.ready()
    while True:
        [[_, entries]] = await client.xread({job.stream: last}, count=COUNT, block=BLOCK)
        messages = [(entry_id, fields[b"data"]) for entry_id, fields in entries]
        last = messages[-1][0]
        if meter.got(len(messages)):
            break
    await client.aclose()


def redis_py(job: Job) -> None:
    run(job, _redis_py)


async def _redis_py_latency(job: Job) -> None:
    from benchmarks.contestants.redis_py import BLOCK, open_async

    client: Any = await open_async(job, socket_timeout=None)
    last = b"0"
    job.ready()
    while len(job.samples) < job.n:
        [[_, entries]] = await client.xread({job.stream: last}, block=BLOCK)
        for _, fields in entries:
            job.sample(fields[b"data"])
        last = entries[-1][0]
    await client.aclose()


def redis_py_latency(job: Job) -> None:
    run(job, _redis_py_latency)


async def _ours(connection: Any, job: Job) -> None:
    meter = Meter(job)
    async with connection as client, client.channels() as channels:
        await channels.subscribe(ROOM)
        job.ready()
        async for _message in channels:
            if meter.got(1):
                return


async def _ours_latency(connection: Any, job: Job) -> None:
    async with connection as client, client.channels() as channels:
        await channels.subscribe(ROOM)
        job.ready()
        async for message in channels:
            if job.sample(message.data):
                return


def ours_asyncio(job: Job) -> None:
    from transports.asyncio import connect

    run(job, lambda job: _ours(connect(job.url), job))


def ours_asyncio_latency(job: Job) -> None:
    from transports.asyncio import connect

    run(job, lambda job: _ours_latency(connect(job.url), job))


def ours_trio(job: Job) -> None:
    import trio

    from transports.trio import connect

    trio.run(_ours, connect(job.url), job)


def ours_trio_latency(job: Job) -> None:
    import trio

    from transports.trio import connect

    trio.run(_ours_latency, connect(job.url), job)


def ours_blocking(job: Job) -> None:
    from transports.blocking import connect

    meter = Meter(job)
    with connect(job.url) as client, client.channels() as channels:
        channels.subscribe(ROOM)
        job.ready()
        for _message in channels:
            if meter.got(1):
                return


def ours_blocking_latency(job: Job) -> None:
    from transports.blocking import connect

    with connect(job.url) as client, client.channels() as channels:
        channels.subscribe(ROOM)
        job.ready()
        for message in channels:
            if job.sample(message.data):
                return
