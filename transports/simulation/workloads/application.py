"""Programs that are written as users write them: a process of tasks, which use the public async face.

A subclass has the work of a process, ``live``, and the errors that may end it, ``expects``. The process may be cancelled as a whole, or only
in its present wait, and by a fuse at a point that no fault would find.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from streamcore import StreamcoreError
from streamcore.engine.engine import EngineOptions
from transports._facade._async import Client
from transports._facade.settings import Settings
from transports.address import Target

from ..world.actor import ADDRESS, OPTIONS, Program
from ..world.async_runtime import Cancelled, Driver, Process, Task, Work

FUSES: Final = 0.08
"""How many of the waits have one."""


@dataclass(frozen=True)
class Seeded(Settings):
    """The settings of ``connect``, with lots of the simulation's."""

    given: EngineOptions = field(default_factory=EngineOptions)

    def engine(self) -> EngineOptions:
        return {**super().engine(), **self.given}


class Faced(Program):
    """``process`` is the present process, and ``main`` its first task; ``leaving``: it was told to end in order."""

    process: Process | None = None
    main: Task | None = None
    leaving = False
    guarded: Task | None = None

    # -- to be written ------------------------------------------------------------------------------------------------

    async def live(self, process: Process) -> None:
        """The work of a process, until it ends."""
        raise NotImplementedError

    def expects(self, error: StreamcoreError) -> bool:
        """Whether that may end a process."""
        raise NotImplementedError

    def begin(self) -> Any:
        raise NotImplementedError("the tasks of a process make its engines")

    def begins(self) -> None:
        """A process is about to begin."""

    def over(self) -> None:
        """A process has ended; its memory is not forgotten yet."""

    # -- a life -------------------------------------------------------------------------------------------------------

    def connect(self, process: Process) -> Client:
        """A client, not entered yet."""
        given = self.named_engine_options()
        return Client(
            partial(Driver, process), Seeded(Target(ADDRESS), OPTIONS, asks=False, cluster=self.cluster, given=given)
        )

    def start(self) -> None:
        self._comes_back = False
        if self.process is None and not self.retires:
            self.incarnation += 1
            self.draw = self.world.lots(f"{self.seeded_as} {self.incarnation}")
            self.process = Process(self)
            self.begins()
            self.main = self.process.start(partial(self._main, self.process))

    def crash(self, *, silently: bool, away: float) -> None:
        if self.process is not None:
            self.world.tell(self.label, "dies" + (", and its machine with it" if silently else ""))
            self._end(silently=silently)
            self.come_back(away)

    def look(self) -> bool:
        return self.process is not None and self.process.look()

    async def _main(self, process: Process) -> None:
        try:
            await self.live(process)
            self.world.tell(self.label, "has left")
        except Cancelled:
            self.world.tell(self.label, "was cancelled")
        except Exception as error:  # noqa: BLE001  # judged
            self.world.tell(self.label, f"is told: {type(error).__name__}: {error}")
            if not (isinstance(error, StreamcoreError) and self.expects(error)):
                self.world.violated("NoCrash", f"{self.label} was ended by {error!r}")
        for node in process.nodes:
            if node.alive:
                self.world.violated("NothingLeaks", f"{self.label} has ended, and {node.engine.label} is open")
        self._end()
        self.come_back(0.2 + self.draw.random())

    def _end(self, *, silently: bool = False) -> None:
        process, self.process = self.process, None
        self.node = None
        if process is not None:
            self.over()
            process.die(silently=silently)
            self.main = self.guarded = None
            self.leaving = False
            self.forget()

    async def all_of(self, process: Process, *works: Work) -> None:
        """Do these things at once; raises the first error of them."""
        try:
            await process.together([process.start(work) for work in works])
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None

    # -- cancellation -------------------------------------------------------------------------------------------------

    def fuse(self) -> int | None:
        """Now and then: how often a wait is let park before it is cancelled; a little longer than everything else fails."""
        world = self.world
        if (not world.faulty and world.now > world.healed_at + 0.5) or self.draw.random() > FUSES:
            return None
        return self.draw.choice([1, 1, 2, 3, 5])

    async def interruptibly(self, process: Process, work: Work, *, fuse: int | None) -> Any:
        """Wait for something that may be cancelled alone; None then."""
        task = self.guarded = process.start(work, fuse)
        try:
            return await process.join(task)
        except Cancelled:
            if not task.cancelled or self.main is None or self.main.cancelled:
                raise
            if fuse is not None:
                self.world.fault("cancelled wait", f"{self.label} is cancelled in what it waits for")
            return None
        finally:
            self.guarded = None

    def cancel(self, lot: float) -> str | None:
        process, main = self.process, self.main
        if process is None or main is None or main.cancelled or process.is_paused:
            return None
        if self.guarded is not None and lot < 0.9:
            what, task = "what it waits for", self.guarded
        else:
            what, task = "all that it does", main
        task.cancel()
        process.look_soon()
        return what

    def leave(self, lot: float) -> bool:
        process, main = self.process, self.main
        if process is None or main is None or self.leaving or main.cancelled or process.is_paused:
            return False
        self.leaving = True
        self.world.tell(self.label, "leaves")
        self.ask_to_leave(main, lot)
        process.look_soon()
        return True

    def ask_to_leave(self, main: Task, lot: float) -> None:
        """Let the process end in order."""
        if lot > 0.5:
            main.cancel()
