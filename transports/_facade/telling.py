"""How an application hears of events beside the data: by ``on_event``, and in the log.

``on_event`` is called where the application uses the engine, before the next entry is handed over, and at once while it waits for
that. Clients and producers have no loop that waits, so that theirs is called aside, by the runtime. It may raise: where
it is called aside, the next use raises that.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic
from typing import Any, Final, TypeVar

from streamcore.engine.engine import Engine
from streamcore.events import LOSS, Connected, Event
from streamcore.requests import Multiplexer

from .logs import Journal

T = TypeVar("T")

NEWS: Final = object()
"""Instead of what is waited for: there are events to tell."""


class Telling:
    """Tells the events of an engine. Losses are warnings in the log, unless the application listens by ``on_event``."""

    def __init__(self, engine: Engine, on_event: Callable[[Event], object] | None) -> None:
        self.engine = engine
        self._on_event = on_event
        self._tells_aside = on_event is not None and isinstance(engine, Multiplexer)
        self._is_due = False  # somebody has been asked to tell
        self._raised: Exception | None = None  # by ``on_event``, aside
        self._journal = Journal(engine.title, monotonic, self._aside)
        engine.on_event = self._happened

    @property
    def listens(self) -> bool:
        """Whether the application wants events."""
        return self._on_event is not None

    def call(self, function: Callable[[], T]) -> T:
        """Call a function of the engine, which has no driver so far."""
        return function()

    def tell_events(self) -> None:
        """Hand the events so far to the application. Raises its error, also an error of a call aside."""
        if self._raised is not None:
            raised, self._raised = self._raised, None
            raise raised
        on_event = self._on_event
        while on_event is not None and self.engine.has_event:
            event = self.call(self.engine.next_event)
            if event is not None:  # another thread may have been faster
                on_event(event)

    def telling_events(self) -> TellingEvents:
        """Hand over the events up to the end of the block, also where it raises: they may tell why."""
        return TellingEvents(self)

    def or_news(self, ask: Callable[[], Any]) -> Callable[[], Any]:
        """The same question, answered by ``NEWS`` where its answer is not there yet and the application wants to hear of something."""
        if not self.listens:
            return ask
        engine = self.engine
        return lambda: (answer := ask()) or (NEWS if engine.has_event else answer)

    def log(self, kind: str, level: int, what: object, error: Exception | None = None) -> None:
        """Have a line written, unless there were many of its kind just now."""
        self._journal.note(kind, level, what, error)

    def _happened(self, event: Event) -> None:
        """Called in the middle of an input of the engine."""
        if isinstance(event, LOSS) and not self.listens:
            level = logging.WARNING
        else:
            level = logging.DEBUG if isinstance(event, Connected) else logging.INFO
        self._journal.note(type(event).__name__, level, event)
        if self._tells_aside and not self._is_due:
            self._is_due = True
            try:
                self._aside(self._tell_aside)
            except BaseException as failure:
                self._is_due = False
                if not isinstance(failure, RuntimeError):  # no loop, or no thread: at the next use, or at the end
                    raise

    def _tell_aside(self) -> None:
        self._is_due = False
        try:
            self.tell_events()
        except Exception as error:  # noqa: BLE001  # the application's own
            self._raised = error

    def _aside(self, work: Callable[[], object]) -> None:
        """Call a function outside of the engine, which has no driver so far."""
        work()


class TellingEvents:
    """A block, at the end of which events are told."""

    __slots__ = ("_telling",)

    def __init__(self, telling: Telling) -> None:
        self._telling = telling

    def __enter__(self) -> None:
        pass

    def __exit__(self, *raised: object) -> None:
        self._telling.tell_events()
