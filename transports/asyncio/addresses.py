"""Connecting to a name that has several addresses, on an event loop; see ``transports._addresses``."""

from __future__ import annotations

import asyncio
from socket import socket

from .._addresses import APART, Place, none_of, numeric, places


async def connect_first(host: str, port: int) -> socket:
    """Connect to the first address of a name that answers; see ``_addresses``. Raises ``OSError``."""
    loop = asyncio.get_running_loop()
    waiting = numeric(host, port) or await loop.run_in_executor(None, places, host, port)
    dialling: set[asyncio.Task[None]] = set()
    connected: list[socket] = []
    errors: list[OSError] = []
    try:
        try:
            while not connected and (waiting or dialling):
                if waiting:
                    dialling.add(loop.create_task(_connect(waiting.pop(0), connected, errors)))
                ended, dialling = await asyncio.wait(
                    dialling, timeout=APART if waiting else None, return_when=asyncio.FIRST_COMPLETED
                )
                for task in ended:
                    task.result()
        finally:
            for task in dialling:
                task.cancel()
            if dialling:
                await asyncio.wait(dialling)
    except BaseException:
        for sock in connected:
            sock.close()
        raise
    if not connected:
        raise none_of(errors)
    first, *others = connected
    for sock in others:
        sock.close()
    return first


async def _connect(place: Place, connected: list[socket], errors: list[OSError]) -> None:
    sock: socket | None = None
    try:
        sock = place.open()
        await asyncio.get_running_loop().sock_connect(sock, place.where)
    except BaseException as error:
        if sock is not None:
            sock.close()
        if not isinstance(error, OSError):
            raise
        errors.append(error if sock is None else place.failed(error))
    else:
        connected.append(sock)
