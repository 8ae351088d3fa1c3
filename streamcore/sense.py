"""Entries that a server has sent, and whether they are any: ``[id, [field, value, ...]]``.

What a reply is made of is looked at where it is taken in, at no cost to speak of, or where it is read. What makes no sense is the
server's fault, and told so in the place of that reply. No error quotes what was sent: it is the application's data.
"""

from __future__ import annotations

from typing import Any, Final

from .errors import RemoteProtocolError

MISSHAPEN: Final = (AttributeError, BytesWarning, IndexError, KeyError, TypeError, ValueError)
"""What comes of reading a reply that has another shape."""


def senseless(what: str) -> RemoteProtocolError:
    """The error of a reply that is not ``what`` it has to be."""
    return RemoteProtocolError(f"the server has sent something else than {what}")


def unread(error: Exception) -> Exception:
    """Why fields cannot be read: they are no text, or none."""
    return error if isinstance(error, UnicodeDecodeError) else senseless("the fields of an entry")


def ids_in(entries: list[Any]) -> list[bytes]:
    """The ids of entries. Raises ``RemoteProtocolError`` where one has no id and no fields, or its id is no bytes."""
    try:
        ids = [id_ for id_, _ in entries]
        b"".join(ids)  # takes nothing but bytes
    except (TypeError, ValueError):
        raise senseless("entries") from None
    return ids
