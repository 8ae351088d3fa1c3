"""CLIENT TRACKING, as those need it who keep copies: the server tells all keys that change, of some prefixes (BCAST).

What has changed while the server was busy with what one client has sent is told behind the answers, one push for each prefix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .arguments import Words, syntax_error
from .protocol import OK, Failure, Reply

if TYPE_CHECKING:
    from .session import Session


@dataclass(frozen=True, slots=True)
class Tracking:
    """What one session tracks."""

    prefixes: tuple[bytes, ...]
    noloop: bool


class Tracked:
    """What has changed and is not told yet. ``sessions`` are those that track."""

    def __init__(self) -> None:
        self.sessions: dict[Session, Tracking] = {}
        self._changed: dict[bytes, Session | None] = {}  # with the last one that has written it
        self._flushed = False

    def changed(self, key: bytes, by: Session | None) -> None:
        """A key was written."""
        self._changed[key] = by

    def flushed(self) -> None:
        """All keys have gone."""
        self._flushed = True
        self._changed.clear()

    def tell(self) -> None:
        """Tell all that there is to tell."""
        if self._flushed:
            self._flushed = False
            for session in self.sessions:
                _push(session, None)
        if self._changed:
            changed, self._changed = self._changed, {}
            for session, tracking in list(self.sessions.items()):
                keys = sorted(key for key, by in changed.items() if not (tracking.noloop and by is session))
                for prefix in tracking.prefixes:
                    if found := [key for key in keys if key.startswith(prefix)]:
                        _push(session, found)


def _push(session: Session, keys: list[bytes] | None) -> None:
    if session.protocol == 3:
        session.push(b"invalidate", keys)


def track(s: Session, args: list[bytes]) -> Reply:
    """CLIENT TRACKING ON or OFF."""
    word, *rest = args
    if word.upper() == b"OFF" and not rest:
        s.server.onlookers.tracked.sessions.pop(s, None)
        return OK
    if word.upper() != b"ON":
        raise syntax_error()
    options, prefixes, flags = Words(rest), list[bytes](), set[bytes]()
    for option in options:
        if option == b"PREFIX":
            prefixes.append(options.take())
        elif option in {b"BCAST", b"NOLOOP"}:
            flags.add(option)
        else:
            raise Failure("ERR this server in memory tracks by BCAST only, without REDIRECT, OPTIN and OPTOUT")
    if b"BCAST" not in flags:
        if prefixes:
            raise Failure("ERR PREFIX option requires BCAST mode to be enabled")
        raise Failure("ERR this server in memory tracks by BCAST only")
    former = s.server.onlookers.tracked.sessions.get(s)
    known = list(former.prefixes) if former is not None else []
    for at, prefix in enumerate(prefixes):
        for other in (*known, *prefixes[:at]):
            if prefix.startswith(other) or other.startswith(prefix):
                shown, with_ = prefix.decode(errors="replace"), other.decode(errors="replace")
                raise Failure(
                    f"ERR Prefix '{shown}' overlaps with an existing prefix '{with_}'. Prefixes for a single client must not overlap."
                )
    s.server.onlookers.tracked.sessions[s] = Tracking(
        (*known, *(prefixes or ([] if known else [b""]))), b"NOLOOP" in flags
    )
    return OK
