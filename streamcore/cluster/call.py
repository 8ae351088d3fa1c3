"""A pipeline over several nodes: its commands are split into parts, by node, and their replies put together in their places.

A part is a request of its own: it may be refused, sent elsewhere or lost while others are answered. Of a part that was refused
in part, the refused commands go on as smaller parts. The deadline is the call's, whatever becomes of its parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from ..commands import Command
from ..connection.link import AT_ONCE
from ..errors import StreamcoreError
from ..requests.request import Request, parse_answer
from .journey import Journey
from .slots import slot_of

_UNANSWERED: Final = object()


class Call:
    """The commands of a caller, over several nodes. ``done`` is called once, when all parts are answered or lost.

    A caller that no longer waits sets ``finished``: what is unsent then is never sent.
    """

    def __init__(self, asked: Sequence[Command[Any]], done: Callable[[Any], None], timeout: float) -> None:
        self.asked = asked
        self.timeout = timeout
        self.deadline = AT_ONCE  # until the engine is told the time
        self.parts: list[Part] = []
        """The parts that were made so far, but for those that were split."""
        self._done = done
        self._answers: list[Any] = [_UNANSWERED] * len(asked)  # replies, and the errors of parts
        self._left = len(asked)
        self._finished = False

    def part(self, places: Sequence[int], slots: Iterable[int] = ()) -> Part:
        """Make the part with the commands at these places, whose keys are of these slots."""
        made = Part(self, places, tuple(slots))
        self.parts.append(made)
        return made

    @property
    def finished(self) -> bool:
        """Whether the caller has the answers, or waits no longer."""
        return self._finished

    @finished.setter
    def finished(self, value: bool) -> None:
        self._finished = value
        for part in self.parts:
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
    """The commands of a call that leave together for a node. ``places``: in the call."""

    __slots__ = ("call", "places")

    def __init__(self, call: Call, places: Sequence[int], slots: tuple[int, ...]) -> None:
        super().__init__([call.asked[place] for place in places], self._finish, call.timeout)
        self.call = call
        self.places = places
        self.journey = Journey(slots)

    def succeed(self, former: Part) -> None:
        """Go on for a part that has ended without an answer: from its place in the order, with its attempts."""
        self.sent, self.refusal = former.sent, former.refusal
        self.journey.number, self.journey.hops = former.journey.number, former.journey.hops

    def split(self, refused: Sequence[int]) -> list[Part]:
        """End this part: keep its replies, and make a part of the ``refused`` commands of each slot, told by their indexes."""
        slots = self.leave(refused)
        parts = [self.call.part(places, (slot,)) for slot, places in slots.items()]
        for part in parts:
            part.succeed(self)
        rest = sorted({*range(len(self.places))} - {*refused})
        self.call.take([self.places[at] for at in rest], [self.replies[at] for at in rest])
        return parts

    def leave(self, chosen: Sequence[int] | None = None) -> dict[int, list[int]]:
        """End this part without an answer; return the places of its commands, or of those ``chosen``, by slot."""
        self.finished = True
        self.call.parts.remove(self)
        slots: dict[int, list[int]] = {}
        for at in range(len(self.places)) if chosen is None else chosen:
            slot = slot_of(self.asked[at])
            assert slot is not None
            slots.setdefault(slot, []).append(self.places[at])
        return slots

    def _finish(self, _: Request) -> None:
        if self.error is None:
            self.call.take(self.places, self.replies)
        else:
            self.call.take(self.places, [_Lost(self.error)] * len(self.places))
