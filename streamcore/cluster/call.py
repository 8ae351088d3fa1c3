"""A pipeline over several nodes: its commands are split into parts, by node, and their replies put together in their places.

A part is a request of its own: it may be refused, sent elsewhere or lost while others are answered. Of a part that was refused
in part, the refused commands go on as smaller parts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from ..commands import Command
from ..errors import StreamcoreError
from ..requests.request import Request, parse_answer

_UNANSWERED: Final = object()


class Call:
    """The commands of a caller, over several nodes. ``done`` is called once, when all parts are answered or lost.

    A caller that no longer waits sets ``finished``: what is unsent then is never sent.
    """

    def __init__(self, asked: Sequence[Command[Any]], done: Callable[[Any], None], timeout: float) -> None:
        self.asked = asked
        self.timeout = timeout
        self._done = done
        self._answers: list[Any] = [_UNANSWERED] * len(asked)  # replies, and the errors of parts
        self._left = len(asked)
        self._parts: list[Part] = []
        self._finished = False

    def part(self, places: Sequence[int]) -> Part:
        """Make the part with the commands at these places."""
        made = Part(self, places)
        self._parts.append(made)
        return made

    @property
    def finished(self) -> bool:
        """Whether the caller has the answers, or waits no longer."""
        return self._finished

    @finished.setter
    def finished(self, value: bool) -> None:
        self._finished = value
        for part in self._parts:
            part.finished = value

    def take(self, places: Sequence[int], replies: Sequence[Any]) -> None:
        """Put replies, or errors of commands that were lost, in their places."""
        for place, reply in zip(places, replies, strict=True):
            self._answers[place] = reply
        self._left -= len(places)
        if not self._left and not self._finished:
            self._finished = True
            self._done(self)

    def answers(self) -> list[Any]:
        """Parse the replies; the answer of a command that was refused, or of a part that was lost, is its error.

        Raises the error of the parts where nothing was answered.
        """
        if all(type(reply) is _Lost for reply in self._answers):
            raise self._answers[0].error
        return self.outcomes()

    def outcomes(self) -> list[Any]:
        """Parse the replies as ``answers``, also where nothing was answered."""
        return [
            reply.error if type(reply) is _Lost else parse_answer(command, reply)
            for command, reply in zip(self.asked, self._answers, strict=True)
        ]

    def came(self) -> list[Any]:
        """Parse the replies that have come, in order, up to the first command without a reply."""
        came: list[Any] = []
        for command, reply in zip(self.asked, self._answers, strict=True):
            if reply is _UNANSWERED or type(reply) is _Lost:
                break
            came.append(parse_answer(command, reply))
        return came


class _Lost:
    """The place of a command whose part has ended by an error."""

    __slots__ = ("error",)

    def __init__(self, error: StreamcoreError) -> None:
        self.error = error


class Part(Request):
    """The commands of a call that leave together for a node."""

    __slots__ = ("call", "places")

    def __init__(self, call: Call, places: Sequence[int]) -> None:
        super().__init__([call.asked[place] for place in places], self._finish, call.timeout)
        self.call = call
        self.places = places

    def pieces(self, refused: Sequence[int], slot_of: Callable[[Command[Any]], int | None]) -> dict[int | None, Part]:
        """End this part: keep its replies, and make a part for the ``refused`` commands of each slot."""
        self.finished = True
        rest = [at for at in range(len(self.places)) if at not in set(refused)]
        slots: dict[int | None, list[int]] = {}
        for at in refused:
            slots.setdefault(slot_of(self.asked[at]), []).append(self.places[at])
        pieces = {slot: self.call.part(places) for slot, places in slots.items()}
        self.call.take([self.places[at] for at in rest], [self.replies[at] for at in rest])
        return pieces

    def _finish(self, _: Request) -> None:
        if self.error is None:
            self.call.take(self.places, self.replies)
        else:
            self.call.take(self.places, [_Lost(self.error)] * len(self.places))
