"""A program that asks for this and that, with the async face: commands, pipelines, transactions, optimistic locking, blocking reads.

Everything that it writes has a key of its own, which tells afterwards how often a request was executed. Several tasks share a
client; each of their waits may be cancelled wherever it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from streamcore import ConnectionLost, ReplyError, StreamcoreError, WatchedKeyChanged
from streamcore.commands import echo, get, incr, set_, xread
from streamcore.errors import ExecAbortError
from streamcore.testing.model.cluster.keys import slot_of
from transports._facade._async import Client, Transaction

from ..world.actor import OPTIONS
from ..world.async_runtime import Process, Task
from ..world.engine_state import engine_of, silence
from ..world.invariants import Oracle
from .application import Faced

if TYPE_CHECKING:
    from ..context import Scene
    from ..world.driver import World
    from ..world.invariants import EventsInOrder
    from ..world.plan import Size

TASKS: Final = 3
SHARED: Final = b"clerks:shared"
TAGS: Final = (b"{clerks:shared}", b"{b}", b"{c}")
"""The hash tags of keys in a cluster: the first is that of the shared key."""

PATIENCE: Final = OPTIONS.request_timeout * 2 + 0.5
"""Seconds within which a request is answered, one way or the other: its turn for a link, then its own deadline."""


class RepliesBelong(Oracle):
    """*Any request*: its own reply; a link with unread replies is never handed on."""

    def check(self, label: str, asked: bytes, answer: object) -> None:
        """The texts that the server has echoed."""
        if answer != asked:
            self.violated(f"{label} asked for the echo of {asked!r}, and got {answer!r}")


class ExecutedAsTold(Oracle):
    """*Any request*: an error says whether it was sent; a request that was not sent is never executed, and none twice.

    Told of every request by the key that it increments.
    """

    def __init__(self, world: World, scene: Scene) -> None:
        super().__init__(world)
        self._scene = scene
        self._unsent: list[bytes] = []
        self._asked: list[bytes] = []

    def value(self, key: bytes) -> int:
        """The server's present value of a key."""
        value: Any = self._scene.store.value(key)
        return 0 if value is None else int(bytes(value))

    def asks(self, key: bytes) -> None:
        """A request is about to be made."""
        self._asked.append(key)

    def unsent(self, key: bytes) -> None:
        """Its error says that it was not sent."""
        self._unsent.append(key)

    def look(self) -> None:
        for key in self._unsent:
            if self.value(key):
                self.violated(f"the request for {key.decode()} was said not to have been sent, and was executed")
        asked, self._asked = self._asked, []
        for key in asked:
            if (times := self.value(key)) > 1:
                self.violated(f"{key.decode()} was executed {times} times")

    def judge(self) -> None:
        self.look()


class AllOrNothing(Oracle):
    """*Any request*: of a transaction everything is executed, or nothing; keys that are read under WATCH are not changed meanwhile."""

    def __init__(self, world: World, scene: Scene) -> None:
        super().__init__(world)
        self._scene = scene

    def look(self) -> None:
        values: Mapping[bytes, Any] = self._scene.store.values()
        counts = Counter(key.rpartition(b":")[2] for key in values if key.startswith(b"clerks:"))
        if counts[b"left"] != counts[b"right"]:
            self.violated(
                f"{counts[b'left']} transactions have written their first key, and {counts[b'right']} their second"
            )
        shared = int(bytes(values.get(SHARED, b"0")))
        if shared != counts[b"commit"]:
            self.violated(f"{counts[b'commit']} transactions have counted themselves, and the count is {shared}")


class AnsweredInTime(Oracle):
    """*Any request*: its answer or its error comes within the deadlines of the client."""

    def check(self, label: str, what: str, seconds: float) -> None:
        """A request has ended after so many seconds, in which its process did not stand still."""
        if seconds > PATIENCE:
            self.violated(f"{label} waited {seconds:.2f} s for {what}, and {PATIENCE:g} s are the limit")


class ClientProgram(Faced):
    """A client's program."""

    def __init__(
        self,
        world: World,
        number: int,
        judges: tuple[RepliesBelong, ExecutedAsTold, AnsweredInTime],
        events: EventsInOrder,
    ) -> None:
        super().__init__(world, f"client-{number}", f"clerk-{number}")
        self._replies, self._executed, self._in_time = judges
        self._events = events
        self._asked = 0
        self._pauses = 0
        self._served: Counter[int] = Counter()  # by task, since all was well

    # -- a life -------------------------------------------------------------------------------------------------------

    def begins(self) -> None:
        self.world.tell(self.label, "starts")

    def expects(self, error: StreamcoreError) -> bool:
        return isinstance(error, ConnectionLost | ReplyError)

    def paused(self) -> None:
        self._pauses += 1

    def forget(self) -> None:
        self._served.clear()

    def missing(self) -> str:
        if self.process is None:
            return f"{self.name} has not started"
        unserved = [number for number in range(TASKS) if not self._served[number]]
        return f"task {unserved[0]} of {self.label} was not served" if unserved else ""

    async def live(self, process: Process) -> None:
        client = self.connect(process)
        self._events.listen(self.label, engine_of(client))
        silence(client)
        async with client:
            await self.all_of(process, *(partial(self._work, process, client, number) for number in range(TASKS)))

    def ask_to_leave(self, main: Task, lot: float) -> None:
        if lot > 0.5:
            main.cancel()

    # -- what a task does ---------------------------------------------------------------------------------------------

    async def _work(self, process: Process, client: Client, number: int) -> None:
        ways = (self._echo, self._echoes, self._count, self._move, self._lock, self._wait)
        while not self.leaving:
            way = ways[self.draw.choice([0, 0, 1, 1, 2, 2, 2, 3, 3, 4, 4, 5])]
            began, pauses = self.world.now, self._pauses
            key = self._key(number)
            task = process.start(partial(way, client, key), self.fuse())
            try:
                await process.join(task)
            except ConnectionLost as error:
                if not error.sent:
                    self._executed.unsent(key)
            except (ReplyError, WatchedKeyChanged, ExecAbortError):
                pass
            except BaseException:
                if not task.cancelled or self.main is None or self.main.cancelled:
                    raise
                self.world.fault("cancelled wait", f"{self.label} is cancelled in {way.__name__[1:]!r}")
            else:
                if not self.world.faulty:
                    self._served[number] += 1
            if pauses == self._pauses:
                self._in_time.check(self.label, way.__name__[1:], self.world.now - began)
            rest = 0.2 * self.draw.random() ** 2 if self.world.faulty else 0.4
            await process.sleep(0.02 + rest)

    def _key(self, number: int) -> bytes:
        self._asked += 1
        key = b"clerks:%b:%d:%d:%d" % (self.seeded_as.encode(), self.incarnation, number, self._asked)
        return key if self.cluster is None else b"%b%b" % (key, self.draw.choice(TAGS))

    async def _echo(self, client: Client, key: bytes) -> None:
        self._replies.check(self.label, key, await client.execute(echo(key)))

    async def _echoes(self, client: Client, key: bytes) -> None:
        asked = [b"%b/%d" % (key, n) for n in range(4)]
        for one, answer in zip(asked, await client.pipeline(echo(one) for one in asked), strict=True):
            if not isinstance(answer, ReplyError):
                self._replies.check(self.label, one, answer)

    async def _count(self, client: Client, key: bytes) -> None:
        self._executed.asks(key)
        self._replies.check(self.label, b"1", b"%d" % await client.execute(incr(key)))

    async def _move(self, client: Client, key: bytes) -> None:
        await client.transaction([incr(key + b":left"), incr(key + b":right")])

    async def _lock(self, client: Client, key: bytes) -> None:
        async def body(transaction: Transaction) -> None:
            value = await transaction.execute(get(SHARED))
            own = (key if self.cluster is None else key.partition(b"{")[0] + TAGS[0]) + b":commit"
            transaction.queue(set_(SHARED, int(value or 0) + 1), incr(own))

        await client.transact(body, watch=SHARED, attempts=3)

    async def _wait(self, client: Client, key: bytes) -> None:
        """A blocking command, on a link of its own."""
        if await client.execute(xread({b"clerks-never": "$"}, block=0.1)):
            self._replies.violated(f"{self.label} was given entries of a stream that does not exist")


def add_spread_clients(scene: Scene, size: Size, events: EventsInOrder) -> None:
    """Add clients to the scene of a cluster."""
    scene.used += [slot_of(tag) for tag in (*TAGS, b"clerks-never")]
    add_clients(scene, size, events)


def add_clients(scene: Scene, size: Size, events: EventsInOrder) -> None:
    """Add clients to the scene."""
    world = scene.world
    judges = RepliesBelong(world), ExecutedAsTold(world, scene), AnsweredInTime(world)
    scene.oracles += [*judges, AllOrNothing(world, scene)]
    for number in range(1, size.members + 1):
        program = ClientProgram(world, number, judges, events)
        scene.enter(program)
