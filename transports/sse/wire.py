r"""Server-sent events as bytes, and the id that a browser comes back with.

An event is a block of ``field: value`` lines, ended by an empty line. The format knows three ends of a line (``\r\n``, ``\n``
and ``\r``) and no escape: a value that has them takes one ``data`` line for each of its lines, and the browser joins these by
``\n``. Other characters that Python would split at (``\u2028``, ``\x0b``, ...) are ordinary here. A block without data is no
event for the page, but its id counts: the browser returns it after a break.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs

from streamcore.arguments import Seconds, seconds
from streamcore.entries import StreamId
from streamcore.errors import InvalidArgument

COMMENT: Final = b":\n\n"
"""A block that says nothing: it keeps proxies from taking a silent connection for a dead one."""

_LINE_END: Final = re.compile(rb"\r\n|\r|\n")
_UNUSABLE: Final = re.compile("[\r\n\0\ud800-\udfff]")  # an id with NUL is ignored by browsers; surrogates are no UTF-8
_TOKEN: Final = re.compile("[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile("[\t\x20-\x7e\x80-\xff]*")
_OURS: Final = frozenset({"content-type", "content-length", "transfer-encoding"})


class BadLastEventId(InvalidArgument):
    """A request says that it goes on behind an event whose id none of ours can be; it is answered by status 400."""


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """An event for a page: ``data`` (None: no event, only the other fields), its ``event`` name (None: ``"message"``) and ``id``.

    ``retry``: after how many seconds the browser is to come back from now on. Raises ``InvalidArgument`` for a name or an
    id that has the end of a line, or NUL, in it, or is no UTF-8, and for data that is neither text nor bytes.
    """

    data: str | bytes | None = None
    event: str | None = None
    id: str | None = None
    retry: Seconds | None = None

    def __post_init__(self) -> None:
        if self.data is not None and not isinstance(self.data, (str, bytes)):
            raise InvalidArgument(
                f"data must be text, bytes or None, not {type(self.data).__name__}; encode() makes it"
            )
        for what in ("event", "id"):
            value: Any = getattr(self, what)
            if value is None:
                continue
            if not isinstance(value, str):
                raise InvalidArgument(f"{what} must be text, not {type(value).__name__}")
            if _UNUSABLE.search(value):
                raise InvalidArgument(f"{what} {value!r} has the end of a line, NUL or half a character in it")
        if self.retry is not None:
            seconds("retry", self.retry, zero=True)

    def __bytes__(self) -> bytes:
        lines = []
        if self.retry is not None:
            lines.append(b"retry: %d" % round(seconds("retry", self.retry, zero=True) * 1000))
        if self.event is not None:
            lines.append(b"event: " + self.event.encode())
        if self.id is not None:
            lines.append(b"id: " + self.id.encode())
        if self.data is not None:
            data = self.data.encode(errors="replace") if isinstance(self.data, str) else self.data
            lines += [b"data: " + line for line in _LINE_END.split(data)]
        return b"\n".join([*lines, b"\n"])


def checked_headers(given: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Headers as a server takes them. Raises ``InvalidArgument`` for headers that would break the answer, or belong to it."""
    found = []
    for key, value in given.items():
        if not _TOKEN.fullmatch(key):
            raise InvalidArgument(f"{key!r} is no name of a header: letters, digits and hyphens")
        if key.lower() in _OURS:
            raise InvalidArgument(f"the header {key} belongs to the format of server-sent events; leave it out")
        if not _VALUE.fullmatch(value):
            raise InvalidArgument(f"the header {key} cannot be {value!r}: one line of Latin-1")
        found.append((key.lower().encode(), value.encode("latin-1")))
    return found


def last_event_id(scope: Any, parameter: str | None = "lastEventId") -> StreamId | None:
    """The id that the request (its ASGI scope) goes on behind: its header ``Last-Event-ID``, else its query parameter.

    The header wins: the browser keeps it up to date, while the address is that of the first request. None where there is
    neither, or an empty id. Raises ``BadLastEventId``.
    """
    headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
    given = next((value for key, value in headers if key.lower() == b"last-event-id"), b"")
    if not given and parameter is not None:
        asked = parse_qs(scope.get("query_string", b""), keep_blank_values=True)
        given = asked.get(parameter.encode(), [b""])[-1]
    if not given:
        return None
    try:
        return StreamId.parse(given)
    except InvalidArgument:
        shown = given[:40].decode("ascii", "replace")
        raise BadLastEventId(f"Last-Event-ID {shown!r} is not one of ours; these look like 1526919030474-55") from None
