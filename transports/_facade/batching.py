"""The rows of ``send_many`` on their way: drawn as they come, few of them here at a time, their ids in order.

A piece of rows is a single request of a direct producer, and a request for each row of any other. A piece leaves when it is full, or
is 10 ms old when the next row comes. Nothing more is drawn while 10,000 rows are unanswered, or the producer has no room. The
first row that has no id ends it: rows that were sent before are waited for, so that the error can tell.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from time import monotonic
from typing import Any, Final, cast

from streamcore.commands import Command
from streamcore.entries import StreamId
from streamcore.errors import InvalidArgument, StreamcoreError
from streamcore.producer.producer import MAX_UNANSWERED, Producer
from streamcore.requests import Request

CHUNK: Final = 1000
CHUNK_BYTES: Final = 1 << 20
"""Rows, and bytes, of a piece that leaves well in one write."""
AGE: Final = 0.01
"""Seconds after which a piece leaves that is not full."""


class Rows:
    """A call of ``send_many``. Calls of the engine are ``submit``, ``has_room``, ``is_settled`` and ``give_up``."""

    def __init__(self, engine: Producer) -> None:
        self._engine = engine
        self._ids: list[StreamId | None] = []
        self._unanswered: deque[Request] = deque()
        self._rows_unanswered = 0
        self._drawn = 0
        self._drawn_to_the_end = False
        self._row: int | None = None  # the first that has no id, and why
        self._error: Exception | None = None

    # -- drawing ------------------------------------------------------------------------------------------------------

    @property
    def wants_more(self) -> bool:
        """Whether to draw another row."""
        return not self._drawn_to_the_end and self._error is None

    def draw(self, source: Iterator[Any]) -> list[Command[Any]]:
        """Draw a piece of rows; empty at the end."""
        piece: list[Command[Any]] = []
        nbytes, began = 0, monotonic()
        while self.wants_more and len(piece) < CHUNK and nbytes < CHUNK_BYTES:
            try:
                fields = next(source)
            except StopIteration:
                self._drawn_to_the_end = True
            except Exception as error:  # noqa: BLE001  # of the application's own iterator: raised when all else is known
                self.fail(error)
            else:
                for command in self.add(fields):
                    piece.append(command)
                    nbytes += len(command.data)
                if monotonic() - began > AGE:
                    break
        return piece

    def add(self, fields: Any) -> list[Command[Any]]:
        """Take in a row that was drawn, as a piece of its own; a row that is no entry ends the drawing."""
        try:
            command = self._engine.entry(fields)
        except InvalidArgument as error:
            self.fail(InvalidArgument(f"row {self._drawn}, counted from 0: {error}"))
            return []
        self._drawn += 1
        return [command]

    def fail(self, error: Exception) -> None:
        """The next row has not come."""
        if self._error is None:
            self._row, self._error = self._drawn, error

    # -- sending ------------------------------------------------------------------------------------------------------

    def submit(self, piece: list[Command[Any]]) -> None:
        """Send a piece."""
        engine = self._engine
        if engine.is_direct:
            self._unanswered.append(engine.submit(piece, _nobody))
        else:
            self._unanswered += engine.append_all(piece, _nobody)
        self._rows_unanswered += len(piece)

    def has_room(self) -> bool:
        """Whether another piece may be sent. Raises the error that ended the engine."""
        self._engine.check()
        self._collect()
        return self._rows_unanswered < MAX_UNANSWERED and self._engine.has_room

    def is_settled(self) -> bool:
        """Whether everything that was sent is answered, or was given up."""
        self._collect()
        return not self._unanswered

    def give_up(self) -> None:
        """Cancel the rows that have not left yet: the caller has left."""
        for request in self._unanswered:
            request.finished = True

    def _collect(self) -> None:
        """Take in the answers, in their order."""
        unanswered = self._unanswered
        while unanswered and unanswered[0].finished:
            request = unanswered.popleft()
            self._rows_unanswered -= len(request.asked)
            lost = request.error is not None and len(request.asked) == 1
            answers = [] if lost else request.came()
            for answer in answers:
                self._answered(answer)
            for _ in range(len(request.asked) - len(answers)):
                self._answered(request.error)

    def _answered(self, answer: Any) -> None:
        row = len(self._ids)
        if isinstance(answer, StreamId):
            self._ids.append(answer)
            return
        self._ids.append(None)
        if self._row is None or row < self._row:
            self._row, self._error = row, answer

    # -- the end ------------------------------------------------------------------------------------------------------

    def result(self) -> list[StreamId]:
        """The ids of all rows. Raises the error of the first row that has none, with the ids of the others, as far as they are known."""
        error, self._error = self._error, None
        if error is None:
            return cast("list[StreamId]", self._ids)
        raise self._told(error)

    def _told(self, error: Exception) -> Exception:
        there = sum(id_ is not None for id_ in self._ids)
        error.add_note(
            f"in send_many, at row {self._row}, counted from 0; of {len(self._ids)} rows that were sent, {there} have an id"
        )
        if isinstance(error, StreamcoreError):
            error.row, error.ids = self._row, self._ids
        return error


def _nobody(request: Request) -> None:
    """``send_many`` looks at ``finished``."""
