"""A caller's request, from ``submit`` to the answers.

A ``Request`` is a few commands that leave in a single write, a ``Transaction`` the same between MULTI and EXEC. Its replies
are parsed when the caller asks for the answers, in the caller's own time. A refused command has its ``ReplyError`` for
an answer, in its place; a reply that makes no sense is answered by a ``RemoteProtocolError``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, Final, TypeAlias, cast

from ..commands.command import WRITE, Command, LinkUse, forbidden
from ..connection.exchange import Exchange
from ..connection.link import AT_ONCE
from ..errors import (
    AskError,
    BusyError,
    ClusterDownError,
    ExecAbortError,
    InvalidArgument,
    LoadingError,
    MasterDownError,
    MovedError,
    ReadOnlyError,
    RemoteProtocolError,
    ReplyError,
    StreamcoreError,
    TryAgainError,
    UnreadableError,
    WatchedKeyChanged,
    is_interruption,
)

# The server executes nothing now: it loads its data, or is a replica, perhaps since a moment ago.
NOT_NOW: Final = frozenset({LoadingError, ReadOnlyError, MasterDownError})
OR_ELSEWHERE: Final = NOT_NOW | {MovedError, AskError, TryAgainError, ClusterDownError}
"""The same for requests about a slot of a cluster: its data are, or will be, at another node, and the link goes there."""
OR_BUSY: Final = NOT_NOW | {BusyError}
"""The same for requests that rather wait for the end of a script than fail."""
MAYBE_REFUSED: Final = OR_BUSY | OR_ELSEWHERE | {ExecAbortError, UnreadableError}
"""The types of a last reply by which a request may have been refused as a whole, or others behind it."""

_PACKAGE: Final = __name__.partition(".")[0]

TOO_OLD: Final = ("unknown", "syntax error", "invalid", "wrong number of arg")
"""Beginnings of errors for an unknown command or option; good enough for a hint, and for nothing else."""

SCRIPTS: Final = frozenset({"EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL", "FCALL_RO"})
"""Commands whose errors are the application's own texts."""

_MULTI: Final[Command[Any]] = Command(("MULTI",), traits=WRITE)
_EXEC: Final[Command[Any]] = Command(("EXEC",), traits=WRITE)


class Request(Exchange):
    """Commands of a caller. ``done`` is called once, when ``error`` or the ``replies`` are there; it must not raise.

    A caller that no longer waits sets ``finished``: ``done`` is not called then, and an unsent request is never sent.
    ``not_now`` are the errors by which a server says that it may execute them later. ``journey``: its way through a
    cluster; only there it is set.
    """

    not_now: ClassVar[frozenset[type[ReplyError]]] = NOT_NOW
    __slots__ = ("asked", "deadline", "done", "error", "finished", "journey", "refusal", "repeatable", "sent")
    journey: Any

    def __init__(self, asked: Sequence[Command[Any]], done: Callable[[Request], None], timeout: float) -> None:
        if len(asked) == 1:  # the usual case
            [command] = asked
            super().__init__((command.args,), timeout, command.data)
            self.repeatable = command.traits.repeatable
        else:
            encoded = b"".join([command.data for command in asked])
            super().__init__([command.args for command in asked], timeout, encoded)
            self.repeatable = all(command.traits.repeatable for command in asked)
        self.asked = asked
        self.done = done
        self.deadline = AT_ONCE  # until the engine is told the time
        self.finished = False
        self.sent = False  # over a connection that was lost, before this one
        self.refusal: ReplyError | None = None  # the error of a server that cannot serve now
        self.error: StreamcoreError | None = None

    def answers(self) -> list[Any]:
        """Parse the replies; a refused command's answer is its ``ReplyError``. Raises the request's error."""
        if self.error is not None:
            raise self.error
        return [parse_answer(command, reply) for command, reply in zip(self.asked, self.replies, strict=True)]

    def outcomes(self) -> list[Any]:
        """Parse the replies as ``answers``; the error of the request is the answer of each of its commands."""
        return self.answers() if self.error is None else [self.error] * len(self.asked)

    def came(self) -> list[Any]:
        """Parse the replies that have come, in order; of a lost request, the replies before the loss."""
        return [parse_answer(command, reply) for command, reply in zip(self.asked, self.replies, strict=False)]

    def answer(self) -> Any:
        """Parse the reply to a single command. Raises its ``ReplyError``, or the error that ended the request."""
        if self.error is not None:
            raise self.error
        answer = parse_answer(self.asked[0], self.replies[0])
        if isinstance(answer, Exception):
            raise answer
        return answer

    def was_refused(self) -> bool:
        """Tell whether the server has executed none of the commands, and may execute them later."""
        return self.not_now.issuperset(map(type, self.replies))

    def refuse(self) -> None:
        """Keep the refusal, and discard the replies: the request waits for a server that can serve."""
        pairs = zip(self.asked, self.replies, strict=True)
        self.refusal = next(_explained(reply, command) for command, reply in pairs if type(reply) in self.not_now)
        self.replies = []

    def may_be_lost(self) -> bool:
        """Tell whether losing its connection, after it was sent, costs nothing."""
        return self.repeatable or self.finished

    def was_unreadable(self) -> bool:
        """Tell whether the server could not parse the last answered command.

        A script may answer any text, and proves nothing by it.
        """
        return super().was_unreadable() and self.asked[len(self.replies) - 1].name not in SCRIPTS

    def was_cut_short(self) -> bool:
        """Complete the replies behind a command that the server could not parse: it ran none of the rest."""
        if not self.was_unreadable():
            return False
        last = cast(UnreadableError, self.replies[-1])
        self.replies += [UnreadableError(last.code, last.message) for _ in range(self.size - len(self.replies))]
        return True

    def repeat(self) -> None:
        """Discard the replies of an attempt whose fate is unknown, before the request is sent again."""
        self.replies.clear()

    def finish(self, error: StreamcoreError | None = None) -> None:
        """End the request, unless it has ended before."""
        if not self.finished:
            self.finished = True
            self.error = error
            self.done(self)


class Transaction(Request):
    """Commands between MULTI and EXEC: the server runs all of them with nothing in between, or none."""

    __slots__ = ("inside",)

    def __init__(self, asked: Sequence[Command[Any]], done: Callable[[Request], None], timeout: float) -> None:
        for command in asked:
            if command.traits.use is LinkUse.FORBIDDEN:
                raise forbidden(command)
            if command.traits.use is LinkUse.DEDICATED:
                raise InvalidArgument(f"{command.name} cannot be a part of a transaction: it blocks")
        super().__init__([_MULTI, *asked, _EXEC], done, timeout)
        self.inside = asked
        self.repeatable = all(command.traits.repeatable for command in asked)

    def answers(self) -> list[Any]:
        """Parse the replies to the commands; a command that failed in EXEC has its ``ReplyError``, in its place.

        Raises ``ExecAbortError`` where the server refused a command, hence all of them, and ``WatchedKeyChanged``.
        """
        if self.error is not None:
            raise self.error
        multi, *queued, outcome = self.replies
        if isinstance(multi, ReplyError):
            note = f"{multi.message}; it was MULTI that was refused: commands may have been executed one by one"
            raise type(multi)(multi.code, note, "MULTI")
        if isinstance(outcome, ReplyError):
            raise self._aborted(outcome, queued)
        if outcome is None:
            raise WatchedKeyChanged("a watched key was changed by another client; nothing was executed: try again")
        if not isinstance(outcome, list) or len(outcome) != len(self.inside):  # pyright: ignore[reportUnknownArgumentType]
            raise RemoteProtocolError("the reply to EXEC does not have one element for each command")
        return [parse_answer(command, reply) for command, reply in zip(self.inside, outcome, strict=True)]  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]

    def was_refused(self) -> bool:
        """Tell whether EXEC was refused, because a command was, for now: nothing was executed."""
        multi, *queued, outcome = self.replies
        return (
            type(outcome) is ExecAbortError
            and not isinstance(multi, ReplyError)
            and any(type(reply) in self.not_now for reply in queued)
        )

    def _aborted(self, outcome: ReplyError, queued: list[Any]) -> ReplyError:
        """Explain EXEC's error by its cause: the first command that the server would not queue."""
        for command, reply in zip(self.inside, queued, strict=True):
            if isinstance(reply, ReplyError):
                cause = _explained(reply, command)
                aborted = ExecAbortError(outcome.code, f"nothing was executed, because of: {cause}", "EXEC")
                aborted.__cause__ = cause
                return aborted
        return _explained(outcome, _EXEC)


Submit: TypeAlias = Callable[[Sequence[Command[Any]], Callable[[Request], None]], Request]
"""The function that submits a request to an engine; see ``Multiplexer.submit``."""


def parse_answer(command: Command[Any], reply: Any) -> Any:
    """Make the answer of a command from its reply; an error of the server, or of the parsing, is its answer."""
    if isinstance(reply, ReplyError):
        return _explained(reply, command)
    if command.parse is None:
        return reply
    try:
        return command.parse(reply)
    except UnicodeDecodeError as error:
        return error  # the caller asked for text, and it is none
    except Exception as error:
        if is_interruption(error) and _is_ours(command):
            raise
        # an error of one parser costs no other command its answer
        misshapen = RemoteProtocolError(f"the reply to {command.name} cannot be understood: {type(error).__name__}")
        misshapen.__cause__ = error
        return misshapen


def _is_ours(command: Command[Any]) -> bool:
    """Tell whether a command's parser is ours: it raises only Python's own errors; an application's may raise any."""
    parse: Any = command.parse
    while isinstance(parse, partial):  # ``Command.text`` wraps the parser
        parse = next((arg for arg in parse.args if callable(arg)), parse.func)
    module: str = getattr(parse, "__module__", "")
    return module.partition(".")[0] == _PACKAGE


def _explained(reply: ReplyError, command: Command[Any]) -> ReplyError:
    """The server's error, with the name of the command, and a hint if it may be too old for it."""
    reply.command = command.name
    needs = command.traits.needs
    if needs and reply.code == "ERR" and reply.message.lower().startswith(TOO_OLD) and needs not in reply.message:
        reply.message += f"; {command.name} in this form needs {needs}"
    return reply
