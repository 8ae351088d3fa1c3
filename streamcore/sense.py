"""Checks of the entries that a server has sent: ``[id, [field, value, ...]]``.

A reply's shape is checked where it is received, at no cost to speak of, or where it is read. A reply that makes no
sense is the server's fault, and told so in the place of that reply. No error quotes the reply: it is the application's
data.
"""

from __future__ import annotations

from typing import Any, Final

from .errors import RemoteProtocolError

MISSHAPEN: Final = (AttributeError, BytesWarning, IndexError, KeyError, TypeError, ValueError)
"""The errors of reading a reply that has another shape."""


def senseless(what: str) -> RemoteProtocolError:
    """Make the error of a reply that is not ``what`` the command has to answer, such as "the fields of an entry"."""
    return RemoteProtocolError(f"the server has sent something else than {what}")


def unread(error: Exception) -> Exception:
    """Explain why fields cannot be read: they are no text, or missing."""
    return error if isinstance(error, UnicodeDecodeError) else senseless("the fields of an entry")


def ids_in(entries: list[Any]) -> list[bytes]:
    """Return the ids of entries.

    Raises ``RemoteProtocolError`` for an entry without id and fields, or an id that is not bytes.
    """
    try:
        ids = [id_ for id_, _ in entries]
        b"".join(ids)  # takes nothing but bytes
    except (TypeError, ValueError):
        raise senseless("entries") from None
    return ids
