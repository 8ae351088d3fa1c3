"""Entries that are appended once however often they are sent: the server remembers the id of each producer's message.

Redis 8.6 does so in XADD itself (IDMP). Elsewhere a script does it, in a step with its XADD, in a hash beside the
stream, in the same slot. Both forget: the hash keeps the last ``WINDOW`` messages of a producer, for
``WINDOW_SECONDS`` after its last message; IDMP keeps as many as XCFGSET says, 100 messages for 100 seconds unless it
was changed. So never more messages of a producer are in doubt at once than are remembered. A message stays with the
way of its first attempt, IDMP or script: the other has not seen it. A repetition is a write of its own (PEXPIRE), or
WAIT behind it would confirm nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, Final, cast

from ..arguments import Name, name
from ..commands import Command, raw
from ..connection.features import Feature
from ..engine.degradation import ASKING_WINDOW, Degradation
from ..errors import InvalidArgument
from ..keys import sent_messages
from ..scripts.producer import APPEND_ONCE

WINDOW: Final = 1000
WINDOW_SECONDS: Final = 100.0
NATIVE_WINDOW: Final = 100
"""Messages of a producer that Redis 8.6 remembers by default."""

MAX_ARGUMENTS: Final = 7900
"""The most arguments of an XADD in the script: Lua's ``unpack`` takes about 8,000."""


class Deduplication:
    """The messages of a producer that the server remembers. ``window``: how many, for ``seconds``.

    ``token`` draws names that no other process has.
    """

    def __init__(
        self, stream: bytes, producer_id: Name | None, token: Callable[[], bytes], degradation: Degradation
    ) -> None:
        self.producer_id = token() if producer_id is None else name("producer_id", producer_id)
        self.native = False
        self.window = WINDOW
        self.seconds = WINDOW_SECONDS
        self._stream = stream
        self._degradation = degradation
        self._key = sent_messages(stream, self.producer_id)
        # Of this run only: a message of a former run shall not be taken for a message of this run.
        self._run = token()
        self._numbers = count(1)
        self._has_script = False

    def meet(self, server: Mapping[bytes, Any]) -> list[Command[Any]]:
        """Choose IDMP or the script for a new connection; return the commands whose replies ``learn`` takes."""
        self._degradation.begin()
        self.native = Feature.IDMP.of(server)
        self._has_script = False
        self.window, self.seconds = (NATIVE_WINDOW if self.native else WINDOW), WINDOW_SECONDS
        if not self.native:
            return []
        return [*self._questions]

    @property
    def _questions(self) -> tuple[Command[Any], Command[Any]]:
        return raw("CONFIG", "GET", "stream-idmp-*"), raw("XINFO", "STREAM", self._stream)

    def learn(self, replies: list[Any]) -> None:
        """Take the window from the replies: the stream's own wins. A refusal tells nothing."""
        for question, reply in zip(self._questions, replies, strict=False):
            self._degradation.is_forbidden(ASKING_WINDOW, question.args, reply)
            if isinstance(reply, dict):
                told = {word.removeprefix(b"stream-"): value for word, value in cast("dict[bytes, Any]", reply).items()}
                self.window = _whole(told.get(b"idmp-maxsize")) or self.window
                self.seconds = _whole(told.get(b"idmp-duration")) or self.seconds

    def message_id(self, given: Name | None) -> bytes:
        """Return the given message id as bytes, or make the next: the run's name and a number."""
        return b"%b-%d" % (self._run, next(self._numbers)) if given is None else name("message_id", given)

    def wire(self, command: Command[Any], message_id: bytes, *, native: bool) -> Command[Any]:
        """Add a message id to an XADD, by IDMP or by the script."""
        if native:
            args = (*command.args[:2], "IDMP", self.producer_id, message_id, *command.args[2:])
            return Command(args, traits=command.traits)
        call = APPEND_ONCE.evalsha if self._has_script else APPEND_ONCE.eval
        self._has_script = True
        args = (message_id, WINDOW, int(WINDOW_SECONDS * 1000), *command.args[2:])
        return call([self._stream, self._key], args)

    def forget_script(self) -> None:
        """Send the script's source next time: the server does not have it any more."""
        self._has_script = False


def appended_once(command: Command[Any], id_: object) -> Command[Any]:
    """Copy an XADD that may be sent again, so that its caller cannot change it meanwhile.

    Raises ``InvalidArgument`` for an explicit id, or too many fields.
    """
    if not isinstance(id_, str) or id_ != "*":
        raise InvalidArgument("an idempotent producer needs id='*': a repetition answers the id that was chosen first")
    if len(command.args) > MAX_ARGUMENTS:
        raise InvalidArgument(f"an idempotent producer's entry has at most {MAX_ARGUMENTS // 2} fields; send fewer")
    if any(isinstance(arg, (bytearray, memoryview)) for arg in command.args):
        args = tuple(bytes(arg) if isinstance(arg, (bytearray, memoryview)) else arg for arg in command.args)
        return Command(args, command.parse, command.traits)
    return command


def _whole(told: object) -> int:
    """Parse a whole number of a configuration, or of XINFO; 0 for a reply of another shape."""
    return int(told) if isinstance(told, int) or (isinstance(told, bytes) and told.isdigit()) else 0
