"""Loops around a socket and hiredis, written for one job each: the limit that a library is measured against.

They know things a library cannot: that nothing fails, that no other reply comes, how many entries there are. For the
same reason they do not BLOCK: a real consumer would, and its acknowledgements would then need a second connection.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from benchmarks.entries import POOL, flat
from benchmarks.job import Job
from benchmarks.raw import MORE, RECV_SIZE, make_reader, open_socket, pack


def receiver(sock: socket.socket) -> Callable[[], Any]:
    """A function that gives the next reply. The buffer is reused, and hiredis is never fed more than it holds."""
    reader = make_reader()
    buffer: Any = bytearray(RECV_SIZE)  # the stub of hiredis does not know that it takes any buffer
    gets, feed, recv_into = reader.gets, reader.feed, sock.recv_into

    def reply() -> Any:
        while (reply := gets()) is MORE:
            feed(buffer, 0, recv_into(buffer))
        return reply

    return reply


def xreadgroup(job: Job, *options: str | int) -> bytes:
    group = ("XREADGROUP", "GROUP", job.group, job.consumer, "COUNT", job.count)
    return pack((*group, *options, "STREAMS", job.stream, ">"))


# -- groups ----------------------------------------------------------------------------------------------------------


def group_sequential(job: Job) -> None:
    """Read, wait, acknowledge the batch, wait."""
    sock = open_socket(job.host, job.port)
    reply, send = receiver(sock), sock.sendall
    read, xack = xreadgroup(job), ("XACK", job.stream, job.group)
    seen = 0
    job.start()
    while seen < job.n:
        send(read)
        [[_, entries]] = reply()
        seen += len(entries)
        send(pack((*xack, *[entry[0] for entry in entries])))
        reply()
    job.finish(seen)


def group_prefetch(job: Job) -> None:
    """``options["reads"]`` reads are always in flight; the acknowledgement of a batch rides with the next read."""
    sock = open_socket(job.host, job.port)
    reply, send = receiver(sock), sock.sendall
    read, xack = xreadgroup(job), ("XACK", job.stream, job.group)
    seen, n = 0, job.n
    job.start()
    send(read * job.options["reads"])
    while seen < n:
        batch = reply()
        if type(batch) is list:  # not the count of acknowledged entries, nor the nil of a read behind the last entry
            entries = batch[0][1]
            seen += len(entries)
            send(pack((*xack, *[entry[0] for entry in entries])) + read)
    job.finish(seen)


def group_prefetch_dicts(job: Job) -> None:
    """The same with two reads in flight, and every entry made into a dict: for those who look at each field."""
    sock = open_socket(job.host, job.port)
    reply, send = receiver(sock), sock.sendall
    read, xack = xreadgroup(job), ("XACK", job.stream, job.group)
    seen, n = 0, job.n
    job.start()
    send(read * 2)
    while seen < n:
        batch = reply()
        if type(batch) is list:
            ids = []
            for entry_id, fields in batch[0][1]:
                ids.append(entry_id)
                dict(zip(fields[::2], fields[1::2], strict=True))
                seen += 1
            send(pack((*xack, *ids)) + read)
    job.finish(seen)


# -- following -------------------------------------------------------------------------------------------------------


def follow_sequential(job: Job) -> None:
    """Read, wait, read on from the last entry."""
    sock = open_socket(job.host, job.port)
    reply, send = receiver(sock), sock.sendall
    seen, last, n, xread = 0, b"0", job.n, ("XREAD", "COUNT", job.count, "STREAMS", job.stream)
    job.start()
    while seen < n:
        send(pack((*xread, last)))
        [[_, entries]] = reply()
        seen += len(entries)
        last = entries[-1][0]
    job.finish(seen)


def follow_prefetch(job: Job) -> None:
    """The next read is sent before the batch is handled, one entry at a time."""
    sock = open_socket(job.host, job.port)
    reply, send = receiver(sock), sock.sendall
    seen, n, xread = 0, job.n, ("XREAD", "COUNT", job.count, "STREAMS", job.stream)
    job.start()
    send(pack((*xread, b"0")))
    while seen < n:
        [[_, entries]] = reply()
        send(pack((*xread, entries[-1][0])))
        for _entry_id, _fields in entries:
            seen += 1
    job.finish(seen)


# -- producing -------------------------------------------------------------------------------------------------------


def produce_pipeline(job: Job) -> None:
    """Pipelines of ``options["size"]`` commands, ``options["flights"]`` of them in flight; every ID is read."""
    size, flights = job.options["size"], job.options["flights"]
    pool = [("XADD", job.stream, "*", *flat(fields)) for fields in job.fields()]
    chunks = [pool[first : first + size] for first in range(0, POOL, size)] * (job.n // POOL)
    sock = open_socket(job.host, job.port)
    reply, send = receiver(sock), sock.sendall
    seen = sent = 0
    job.start()
    for chunk in chunks:
        send(b"".join([pack(command) for command in chunk]))
        sent += size
        if sent - seen >= size * flights:
            seen += len([reply() for _ in range(size)])
    seen += len([reply() for _ in range(sent - seen)])
    job.finish(seen)


# -- latency ---------------------------------------------------------------------------------------------------------
# Following: XREAD BLOCK. Groups: XREADGROUP BLOCK, and the acknowledgement rides with the next read. A reply has one
# entry, or several when this process was held up.


def next_read(job: Job) -> Callable[[list[bytes]], bytes]:
    """The command that waits for the entry behind these, with the acknowledgement of these if it is a group."""
    if job.options["kind"] == "follow":
        return lambda ids: pack(("XREAD", "BLOCK", 5000, "STREAMS", job.stream, ids[-1] if ids else b"0"))
    read = xreadgroup(job, "BLOCK", 5000)
    return lambda ids: pack(("XACK", job.stream, job.group, *ids)) + read if ids else read


def handle(job: Job, reply: Any) -> list[bytes]:
    """The handler; gives the IDs, none if this reply is that of an acknowledgement."""
    if type(reply) is not list:
        return []
    [[_, entries]] = reply
    for _, [_, sent] in entries:
        job.sample(sent)
    return [entry[0] for entry in entries]


def latency_blocking(job: Job) -> None:
    sock = open_socket(job.host, job.port)
    reply, send, command = receiver(sock), sock.sendall, next_read(job)
    send(command([]))
    job.ready()
    while len(job.samples) < job.n:
        if ids := handle(job, reply()):
            send(command(ids))


class LatencyProtocol(asyncio.Protocol):
    """The handler runs in the loop's callback: there is no shorter way in asyncio."""

    def __init__(self, job: Job, done: asyncio.Future[None]) -> None:
        self.job, self.done = job, done
        self.reader, self.command = make_reader(), next_read(job)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self.command([]))
        self.job.ready()

    def data_received(self, data: bytes) -> None:
        self.reader.feed(data)
        while (reply := self.reader.gets()) is not MORE:
            if ids := handle(self.job, reply):
                self.transport.write(self.command(ids))
        if len(self.job.samples) >= self.job.n and not self.done.done():
            self.done.set_result(None)


async def _latency_protocol(job: Job) -> None:
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    await loop.create_connection(lambda: LatencyProtocol(job, done), job.host, job.port)
    await done


def latency_asyncio(job: Job) -> None:
    from benchmarks.contestants.loops import run

    run(job, _latency_protocol)


async def _latency_streams(job: Job) -> None:
    """The handler runs in a task that waits for the bytes: what a person writes by hand."""
    incoming, outgoing = await asyncio.open_connection(job.host, job.port)
    reader, command = make_reader(), next_read(job)
    outgoing.write(command([]))
    job.ready()
    while len(job.samples) < job.n:
        reader.feed(await incoming.read(RECV_SIZE))
        while (reply := reader.gets()) is not MORE:
            if ids := handle(job, reply):
                outgoing.write(command(ids))


def latency_asyncio_streams(job: Job) -> None:
    from benchmarks.contestants.loops import run

    run(job, _latency_streams)


async def _latency_trio(job: Job) -> None:
    import trio

    stream = await trio.open_tcp_stream(job.host, job.port)
    reader, command = make_reader(), next_read(job)
    await stream.send_all(command([]))
    job.ready()
    while len(job.samples) < job.n:
        reader.feed(await stream.receive_some(RECV_SIZE))
        while (reply := reader.gets()) is not MORE:
            if ids := handle(job, reply):
                await stream.send_all(command(ids))


def latency_trio(job: Job) -> None:
    import trio

    trio.run(_latency_trio, job)


# -- pub/sub ---------------------------------------------------------------------------------------------------------


def pubsub_receive(job: Job) -> None:
    sock = open_socket(job.host, job.port)
    reply = receiver(sock)
    sock.sendall(pack(("HELLO", "3")) + pack(("SUBSCRIBE", job.stream)))
    for _handshake in range(2):
        reply()
    seen, n = 0, job.n
    job.ready()
    reply()
    job.start()
    while seen < n:
        _, _, _ = reply()
        seen += 1
    job.finish(seen)
