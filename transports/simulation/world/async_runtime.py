"""An async runtime in virtual time: tasks, and a driver that lets the public async face run on a node.

A task is a coroutine that is *parked* between two steps. A change of an engine of the process lets all of its parked
tasks look again, in the order in which they were started; there is no other way to wait. A task may be cancelled
wherever it is parked: at once, or by a *fuse* that counts the times it has been, so that every yield point of the face is met. As in
asyncio a task is cancelled once, and may wait on its way out. When the process dies, nothing waits any more.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from streamcore.commands import Command
from streamcore.engine.engine import Engine
from streamcore.requests import Request, Submit
from transports.address import Target

from .driver import Node
from .scheduler import Violation

if TYPE_CHECKING:
    from .actor import Program

T = TypeVar("T")
Work: TypeAlias = Callable[[], Coroutine[Any, Any, Any]]


class Cancelled(BaseException):
    """A task was cancelled."""


class Died(BaseException):
    """The process is gone: nothing is done any more, not even in ``finally``."""


class _Parking:
    def __await__(self) -> Generator[None, Any, Any]:
        return (yield)


class Task:
    """A coroutine on its way, begun when it is its turn. ``fuse``: how often it may be parked before it is cancelled."""

    def __init__(self, work: Work, fuse: int | None = None) -> None:
        self.done = False
        self.value: Any = None
        self.error: BaseException | None = None
        self.fuse = fuse
        self.cancelled = False
        self.ask: Callable[[], Any] | None = None  # what it waits for; asked without waking the task
        self.deadline: float | None = None
        self._begin = work
        self._work: Coroutine[Any, Any, Any] | None = None
        self._told = False  # of the cancellation

    def cancel(self) -> None:
        """Raise ``Cancelled`` where it is parked, when it is its turn."""
        self.cancelled = True

    def look(self, now: float) -> None:
        """Go on if the answer is there, or it is too late for that; else park once more."""
        answer: Any = None
        error: BaseException | None = None
        if self.cancelled and not self._told:
            self._told, error = True, Cancelled()
        elif self.ask is not None:
            try:
                answer = self.ask()
            except Violation:
                raise
            except (Exception, Cancelled, Died) as raised:  # noqa: BLE001  # it is raised where the task waits
                error = raised
            if not answer and error is None and (self.deadline is None or now < self.deadline):
                self._parked()
                return
        self._go_on(answer, error)

    def _go_on(self, answer: Any, error: BaseException | None) -> None:
        self.ask = self.deadline = None
        try:
            if error is None:
                self._running().send(answer)
            else:
                self._running().throw(error)
        except StopIteration as stop:
            self.done, self.value = True, stop.value
        except Violation:
            raise
        except (Exception, Cancelled, Died) as raised:  # noqa: BLE001  # whoever waits for the task gets it
            self.done, self.error = True, raised
        else:
            self._parked()

    def _parked(self) -> None:
        if self.fuse is not None:
            self.fuse -= 1
            if self.fuse <= 0:
                self.fuse = None
                self.cancel()

    def _running(self) -> Coroutine[Any, Any, Any]:
        if self._work is None:
            self._work = self._begin()
        return self._work

    def die(self) -> None:
        """The process is gone."""
        if not self.done:
            self.done = True
            if self._work is None:
                return
            try:
                self._work.throw(Died())
            except (Exception, Died):  # noqa: BLE001  # whatever its last words are, nobody hears them
                return
            raise RuntimeError(f"{self._work} goes on after its process has died")


class Process:
    """The tasks and the nodes of one process. ``progress`` counts waits that have ended."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.world = program.world
        self.nodes: list[Node] = []
        self.alive = True
        self.way_out: type[BaseException] = Died
        self.progress = 0
        self.current: Task | None = None
        self._tasks: list[Task] = []

    # -- tasks --------------------------------------------------------------------------------------------------------

    def start(self, work: Work, fuse: int | None = None) -> Task:
        """A new task, which begins when it is its turn."""
        task = Task(work, fuse)
        self._tasks.append(task)
        self.progress += 1
        self.look_soon()
        return task

    def look(self) -> bool:
        """Let every parked task look again; whether any of them got on."""
        if self.current is not None or not self.alive or self.is_paused:
            return False
        before = self.progress
        for task in self._tasks.copy():
            if not self._step(task):
                return True
            if task.done:
                self._tasks.remove(task)
                self.progress += 1
            elif task.cancelled and not task._told:  # noqa: SLF001  # its other half
                self.look_soon()
        return self.progress > before

    def _step(self, task: Task) -> bool:
        """Whether the process has survived it."""
        self.current = task
        task.look(self.world.now)
        self.current = None
        return self.alive

    def look_soon(self) -> None:
        """Let tasks look again, though nothing has happened to an engine."""
        self.later(0.0, self._look_on)

    def _look_on(self) -> None:
        """Look as long as any task gets on: another task may have waited for it."""
        if self.look():
            self.look_soon()

    def later(self, seconds: float, action: Callable[[], object]) -> None:
        """Call a function in so many seconds, if the process is there then; a paused process does so afterwards."""

        def act() -> None:
            if self.alive and self.is_paused:
                self.world.after(0.02, act)
            elif self.alive:
                action()

        self.world.after(seconds, act)

    async def park(self, ask: Callable[[], Any] | None = None, deadline: float | None = None) -> Any:
        """Wait until something has happened; or until ``ask`` has an answer, or it is too late for an answer: the last answer."""
        self.check()
        task = self.current
        assert task is not None
        task.ask, task.deadline = ask, deadline
        try:
            answer = await _Parking()
        except GeneratorExit:  # the whole world is thrown away, by an oracle
            self.alive, self.way_out = False, GeneratorExit
            raise
        self.check()
        return answer

    def check(self) -> None:
        """Raises ``Died`` where nothing may be done any more."""
        if not self.alive:
            raise self.way_out

    async def until(self, ask: Callable[[], T], within: float | None = None) -> T:
        """Ask until the answer is true; after ``within`` seconds, the last answer."""
        answer: T = ask()
        if not answer and within is None:
            answer = await self.park(ask)
        elif not answer and within is not None and within > 0:
            self.later(within, self._look_on)
            answer = await self.park(ask, self.world.now + within)
        self.progress += 1
        return answer

    async def sleep(self, seconds: float) -> None:
        """Let so much virtual time pass."""
        await self.until(lambda: False, seconds)

    async def join(self, task: Task) -> Any:
        """Wait for a task, and return its value or raise its error; cancelled, cancel it."""
        try:
            await self.until(lambda: task.done)
        except Cancelled:
            task.cancel()
            await self.until(lambda: task.done)
            raise
        if task.error is not None:
            raise task.error
        return task.value

    async def together(self, tasks: list[Task]) -> None:
        """Wait for all; when a task has failed, or the caller is cancelled, cancel the others."""

        def all_done() -> bool:
            return all(task.done for task in tasks)

        try:
            await self.until(lambda: all_done() or any(task.error is not None for task in tasks))
        finally:
            if self.alive and not all_done():
                for task in tasks:
                    task.cancel()
                self.look_soon()
                await self.until(all_done)
        errors = [task.error for task in tasks if task.error is not None and not isinstance(task.error, Cancelled)]
        if errors:
            raise BaseExceptionGroup("tasks have failed", errors)

    # -- the process --------------------------------------------------------------------------------------------------

    @property
    def is_paused(self) -> bool:
        """Whether it stands still."""
        return any(node.paused and node.alive for node in self.nodes)

    def die(self, *, silently: bool) -> None:
        """Nothing of it goes on."""
        self.alive = False
        for node in self.nodes:
            if node.alive:
                node.kill(silently=silently)
        for task in self._tasks:
            if task is not self.current:
                task.die()


class Driver:
    """Runs an engine of a process, by the protocol of ``transports._facade.runtime``."""

    def __init__(self, process: Process, engine: Engine, target: Target) -> None:
        self.process = process
        self.target = target
        process.check()
        program, number = process.program, len(process.nodes)
        self.node = Node(
            process.world, program, engine, f"{program.label}/{number}", f"{program.seeded_label}/{number}"
        )
        process.nodes.append(self.node)
        process.program.node = self.node
        self._spawned: list[Task] = []
        self.flush()

    @property
    def is_home(self) -> bool:
        """True: there is no other world."""
        return True

    async def close_at_home(self, close: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Not called: there is no other event loop."""
        raise NotImplementedError

    def check_home(self) -> None:
        """Raises ``Died`` in a process that has ended; there is no other event loop."""
        self.process.check()

    def flush(self) -> None:
        """Move the outputs of the engine, soon and in no time."""
        self.node.engine.on_wakeup()

    async def until(
        self, ask: Callable[[], T], within: float | None = None, worth: Callable[[], bool] | None = None
    ) -> T:
        """Ask until the answer is true, again only when that is ``worth`` it."""
        self.flush()
        answer = ask()
        if not answer:

            def ask_again() -> T:
                return ask() if worth is None or worth() else answer

            answer = await self.process.until(ask_again, within)
        self.flush()
        return answer

    async def checkpoint(self) -> None:
        """Let others run."""
        self.process.look_soon()
        await self.process.park()
        self.process.progress += 1

    async def linger(self, done: Callable[[], bool], within: float) -> bool:
        """``until`` on the way out."""
        return await self.until(done, within)

    async def request(self, submit: Submit, commands: Sequence[Command[Any]]) -> Request:
        """Submit commands, and wait until they are finished."""
        request = submit(commands, lambda _: None)
        try:
            await self.until(lambda: request.finished)
        except BaseException:
            request.finished = True
            raise
        return request

    def spawn(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do something beside the application's tasks."""
        self._spawned.append(self.process.start(work))

    def soon(self, function: Callable[[], object]) -> None:
        """Call a function of the engine, and let everybody look."""

        def call() -> None:
            function()
            self.flush()
            self.process.look()

        self.process.later(0.0, call)

    def call(self, function: Callable[[], T]) -> T:
        """Call a function of the engine; nothing here could come in between."""
        return function()

    def aside(self, work: Callable[[], object]) -> None:
        """Call something outside of the engine: nothing of it can be seen there."""
        work()

    async def together(self, work: Callable[[], Coroutine[Any, Any, None]], count: int) -> None:
        """Run so many tasks of a kind."""
        await self.process.together([self.process.start(work) for _ in range(count)])

    def is_stray(self, error: BaseException) -> bool:
        """Whether the cancellation is that of something which the present task has awaited."""
        task = self.process.current
        return isinstance(error, Cancelled) and task is not None and not task.cancelled

    async def aclose(self) -> None:
        """Let the engine's sockets be closed, and end the spawned tasks."""
        for task in self._spawned:
            if task is not self.process.current:
                task.cancel()
        self.process.look_soon()
        await self.process.until(lambda: all(task.done or task is self.process.current for task in self._spawned))
        if self.node.alive:
            self.node.pump()
            self.node.kill()
