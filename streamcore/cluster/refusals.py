"""The errors by which a node refuses commands that another node may execute, or the same node later."""

from __future__ import annotations

from typing import Final, cast

from ..errors import (
    AskError,
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
from ..requests.request import Request, Transaction

REFUSED: Final = frozenset(
    {MovedError, AskError, TryAgainError, ClusterDownError, LoadingError, MasterDownError, ReadOnlyError}
)
"""The errors of a node that has executed nothing."""

MAYBE_REFUSED: Final = REFUSED | {ExecAbortError}
"""The types of replies by which a request may have been refused."""


def refusal_of(request: Request) -> ReplyError | None:
    """Find the error by which a node has refused a request as a whole; None where it has executed a part of it, or failed for good."""
    if isinstance(request, Transaction):
        multi, *queued, outcome = request.replies
        if type(outcome) in REFUSED:
            return _named(outcome, "EXEC")
        if type(outcome) is ExecAbortError and not isinstance(multi, ReplyError):
            pairs = zip(request.inside, queued, strict=True)
            return next((_named(reply, command.name) for command, reply in pairs if type(reply) in REFUSED), None)
        return None
    if not REFUSED.issuperset(map(type, request.replies)):
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
