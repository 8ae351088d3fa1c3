"""Appending once however often it is sent: the server remembers the id that it gave to a message of a producer.

Redis 8.6 does so in XADD itself (IDMP). Elsewhere a script does it, in one step with its XADD, in a hash beside the stream, in
the same slot. Both forget: the hash keeps the last ``WINDOW`` messages of a producer, for ``WINDOW_SECONDS`` after its last
one; IDMP what XCFGSET says, 100 messages for 100 seconds unless it was changed. So never more messages of a producer are in
doubt at once than are remembered. A message stays with the way by which it was sent first: the other one has not seen it.
A repetition is a write of its own (PEXPIRE), or WAIT behind it would speak of nothing.
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
"""What Redis 8.6 remembers unless it was told otherwise."""

MAX_ARGUMENTS: Final = 7900
"""Lua's ``unpack`` takes no more than about 8,000."""


class Memory:
    """How the present server remembers what one producer has sent. ``window``: how many messages, for ``seconds``.

    ``token`` draws names that nobody else has.
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
        # Of this run only: what a former one has numbered shall not be taken for what this one sends.
        self._run = token()
        self._numbers = count(1)
        self._has_script = False

    def meet(self, server: Mapping[bytes, Any]) -> list[Command[Any]]:
        """There is a new connection; what to ask the server before anything is sent, for ``learn``."""
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
        """Take in the window from what was answered: the stream's own wins. What was refused tells nothing."""
        for question, reply in zip(self._questions, replies, strict=False):
            self._degradation.is_forbidden(ASKING_WINDOW, question.args, reply)
            if isinstance(reply, dict):
                told = {word.removeprefix(b"stream-"): value for word, value in cast("dict[bytes, Any]", reply).items()}
                self.window = _whole(told.get(b"idmp-maxsize")) or self.window
                self.seconds = _whole(told.get(b"idmp-duration")) or self.seconds

    def message_id(self, given: Name | None) -> bytes:
        """A message's name: the given one, or a new one."""
        return b"%b-%d" % (self._run, next(self._numbers)) if given is None else name("message_id", given)

    def wire(self, command: Command[Any], message_id: bytes, *, native: bool) -> Command[Any]:
        """An XADD with its message id, in the form in which it is sent."""
        if native:
            args = (*command.args[:2], "IDMP", self.producer_id, message_id, *command.args[2:])
            return Command(args, traits=command.traits)
        call = APPEND_ONCE.evalsha if self._has_script else APPEND_ONCE.eval
        self._has_script = True
        args = (message_id, WINDOW, int(WINDOW_SECONDS * 1000), *command.args[2:])
        return call([self._stream, self._key], args)

    def forget_script(self) -> None:
        """The server does not have the script any more."""
        self._has_script = False


def appended_once(command: Command[Any], id_: object) -> Command[Any]:
    """An XADD that may be sent again: what its caller changes meanwhile changes nothing. Refuses what cannot be one."""
    if not isinstance(id_, str) or id_ != "*":
        raise InvalidArgument("an idempotent producer needs id='*': a repetition answers the id that was chosen first")
    if len(command.args) > MAX_ARGUMENTS:
        raise InvalidArgument(f"an idempotent producer's entry has at most {MAX_ARGUMENTS // 2} fields; send fewer")
    if any(isinstance(arg, (bytearray, memoryview)) for arg in command.args):
        args = tuple(bytes(arg) if isinstance(arg, (bytearray, memoryview)) else arg for arg in command.args)
        return Command(args, command.parse, command.traits)
    return command


def _whole(told: object) -> int:
    """A number of a configuration, or of XINFO; 0 for anything else."""
    return int(told) if isinstance(told, int) or (isinstance(told, bytes) and told.isdigit()) else 0
