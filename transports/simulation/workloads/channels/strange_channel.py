"""A channel whose key is a stream now and a string then, since others use it, beside the channels of everybody."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from streamcore import ClosedError, ConnectionLost, ReplyError, RequestTimeout, WrongTypeError

if TYPE_CHECKING:
    from ...context import Scene
    from ...world.async_runtime import Process
    from ..application import Faced

ROOM: Final = "strange"
EVERY: Final = 0.9
"""Seconds, about, for which its key is what it is."""


def disturb(scene: Scene, key: bytes) -> None:
    """Others take the key for a string, and delete it, in turns, until the world heals; a message comes now and then."""
    world, lots = scene.world, scene.world.lots("strange channel")

    def turn(taken: bool) -> None:
        if not world.faulty:
            scene.host.do(b"DEL", key)
            return
        if scene.takes_writes:
            if taken:
                scene.host.do(b"SET", key, b"no stream")
                world.fault("channel of another type", f"{key.decode()} is taken for a string")
            else:
                scene.host.do(b"DEL", key)
                scene.host.do(b"XADD", key, b"*", b"data", b"hello")
        world.after(EVERY * lots.random(), partial(turn, not taken))

    world.after(EVERY * lots.random(), partial(turn, True))


async def sit_there(program: Faced, process: Process, hub: Any) -> None:
    """Be in the channel, and join it again whenever it has come to its end."""
    while not program.leaving:
        try:
            async with hub.subscriber() as subscriber:
                await subscriber.subscribe(ROOM, history=program.draw.choice([0, 5]))
                items = aiter(subscriber.with_events())
                while not program.leaving:
                    await process.join(process.start(partial(_next, items)))
        except WrongTypeError as error:
            if f"(channel {ROOM.encode()!r})" not in str(error) and f"(channel {ROOM!r})" not in str(error):
                raise
            program.world.tell(program.label, f"has lost the strange channel: {error}")
        except (RequestTimeout, ConnectionLost, ReplyError) as error:
            program.world.tell(program.label, f"cannot join the strange channel: {error}")
        except ClosedError:
            if not program.leaving:
                raise
        await process.sleep(0.1)


async def _next(items: Any) -> Any:
    return await anext(items)
