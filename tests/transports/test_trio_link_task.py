"""The task of a link on trio, and its socket that closes at the wrong moment."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import trio
import trio.testing

from transports._sockets import Wire
from transports.trio.link_task import LinkTask


def test_a_socket_that_closes_before_its_room_is_waited_for_ends_nothing() -> None:
    """A system task that raises ends the whole run of trio."""

    async def main() -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        link: Any = SimpleNamespace(read_size=1, data_to_send=lambda: bytes(1 << 16), data_sent=lambda _: None)
        driver: Any = SimpleNamespace(target=SimpleNamespace(credentials=None))
        task = LinkTask(driver, link)
        task._wire = Wire(link, ours)
        task.move()
        assert task._wire.full
        task._wire = None
        ours.close()
        await trio.testing.wait_all_tasks_blocked()
        theirs.close()

    trio.run(main)
