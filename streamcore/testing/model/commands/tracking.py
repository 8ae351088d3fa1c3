"""CLIENT TRACKING."""

from __future__ import annotations

from ..arguments import Words, syntax_error
from ..protocol import OK, Failure, Reply
from ..session import Session


def track(s: Session, args: list[bytes]) -> Reply:
    """CLIENT TRACKING ON or OFF."""
    word, *rest = args
    if word.upper() == b"OFF" and not rest:
        s.server.onlookers.untrack(s)
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
    known = s.server.onlookers.tracked_prefixes(s)
    for at, prefix in enumerate(prefixes):
        for other in (*known, *prefixes[:at]):
            if prefix.startswith(other) or other.startswith(prefix):
                shown, with_ = prefix.decode(errors="replace"), other.decode(errors="replace")
                raise Failure(
                    f"ERR Prefix '{shown}' overlaps with an existing prefix '{with_}'. Prefixes for a single client must not overlap."
                )
    added = prefixes or ([] if known else [b""])
    s.server.onlookers.track(s, (*known, *added), noloop=b"NOLOOP" in flags)
    return OK
