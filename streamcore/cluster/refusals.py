"""The errors by which a node refuses commands that another node may execute, or the same node later."""

from __future__ import annotations

from typing import Final, cast

from ..errors import (
    AskError,
    BusyError,
    ClusterDownError,
    ExecAbortError,
    LoadingError,
    MasterDownError,
    MovedError,
    ReadOnlyError,
    RedirectRefusedError,
    ReplyError,
    SlotRedirect,
    TryAgainError,
)
from ..requests.request import OR_BUSY, Request, Transaction

REFUSED: Final = frozenset(
    {MovedError, AskError, TryAgainError, ClusterDownError, LoadingError, MasterDownError, ReadOnlyError}
)
"""The errors of a node that has executed nothing."""

_REFUSED_OR_BUSY: Final = REFUSED | OR_BUSY
"""The same for requests that rather wait for the end of a script than fail."""

MAYBE_REFUSED: Final = REFUSED | {ExecAbortError, BusyError}
"""The types of replies by which a request may have been refused."""


def refusal_of(request: Request) -> ReplyError | None:
    """Find the error by which a node has refused a request as a whole; None where it has executed a part of it, or failed for good."""
    refused = _REFUSED_OR_BUSY if BusyError in request.not_now else REFUSED
    if isinstance(request, Transaction):
        multi, *queued, outcome = request.replies
        if type(outcome) in refused:
            return _named(outcome, "EXEC")
        if type(outcome) is ExecAbortError and not isinstance(multi, ReplyError):
            pairs = zip(request.inside, queued, strict=True)
            return next((_named(reply, command.name) for command, reply in pairs if type(reply) in refused), None)
        return None
    if not refused.issuperset(map(type, request.replies)):
        return None
    return _named(request.replies[0], request.asked[0].name)


def unfollowed(redirect: SlotRedirect, told_by: object) -> RedirectRefusedError:
    """Make the error of a redirect whose address may not be followed: it tells the remedy."""
    announced = f"{told_by} announces {redirect.host}:{redirect.port}"
    remedy = f"{announced}, which may not be followed: pass address_map= or follow="
    return RedirectRefusedError(redirect.code, f"{redirect.message} ({remedy})", redirect.command)


def _named(reply: object, command: str) -> ReplyError:
    error = cast(ReplyError, reply)
    error.command = command
    return error
