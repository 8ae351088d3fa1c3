"""A name may have several addresses, and some of them may not answer: they are dialled in turn, a moment apart.

The first that connects is taken (RFC 8305, "happy eyeballs"), the other attempts are given up. Where none connects, the
error tells of each.
"""

from __future__ import annotations

import errno
import selectors
import socket
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain, zip_longest
from os import strerror
from time import monotonic
from typing import Any, Final, NamedTuple

from ._dial_errors import NoneReached

APART: Final = 0.25
"""Seconds that an address is ahead of the next one, unless it fails before."""

_UNDER_WAY: Final = frozenset({0, errno.EINPROGRESS, errno.EWOULDBLOCK})


class Place(NamedTuple):
    """An address that can be dialled."""

    family: int
    where: Any

    def open(self) -> socket.socket:
        """A socket that does not block, to connect. Raises ``OSError``, where this machine has no such family, say."""
        try:
            sock = socket.socket(self.family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        except OSError as error:
            raise self.failed(error) from None
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def failed(self, error: OSError) -> OSError:
        """The error of dialling it, with its name."""
        text = error.strerror or str(error) or type(error).__name__
        return OSError(error.errno or errno.ECONNABORTED, f"{text} ({self.where[0]})")


def numeric(host: str, port: int) -> list[Place]:
    """The address that ``host`` is already; none where it is a name. No resolver is asked."""
    with suppress(socket.gaierror):
        return places(host, port, socket.AI_NUMERICHOST)
    return []


def places(host: str, port: int, flags: int = 0) -> list[Place]:
    """The addresses of a name, families in turn. Raises ``OSError``; takes as long as the resolver does."""
    families: dict[int, list[Place]] = {}
    for family, _, _, _, where in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags):
        families.setdefault(family, []).append(Place(family, where))
    return [place for place in chain.from_iterable(zip_longest(*families.values())) if place is not None]


def none_of(errors: Sequence[OSError]) -> OSError:
    """Why none of the addresses could be reached."""
    return errors[0] if len(errors) == 1 else NoneReached(errors)


def connect_first(host: str, port: int, timeout: float) -> socket.socket:
    """Connect to the first address that answers, and block for that. Raises ``OSError``."""
    waiting = places(host, port)
    deadline = monotonic() + timeout
    errors: list[OSError] = []
    dialled: dict[socket.socket, Place] = {}
    with selectors.DefaultSelector() as selector:
        try:
            while waiting or dialled:
                if waiting:
                    place = waiting.pop(0)
                    try:
                        sock = place.open()
                    except OSError as error:
                        errors.append(error)
                        continue
                    dialled[sock] = place
                    selector.register(sock, selectors.EVENT_WRITE)
                    _note(sock.connect_ex(place.where), sock, dialled, errors, selector)
                left = deadline - monotonic()
                if left <= 0:
                    raise none_of([*errors, *(place.failed(TimeoutError("timed out")) for place in dialled.values())])
                wait = min(APART, left) if waiting else left
                for key, _ in selector.select(wait if dialled else 0):
                    ready: Any = key.fileobj
                    if _note(ready.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), ready, dialled, errors, selector):
                        del dialled[ready]
                        return ready  # type: ignore[no-any-return]  # a socket of ours
            raise none_of(errors)
        finally:
            for sock in dialled:
                sock.close()


def _note(
    code: int,
    sock: socket.socket,
    dialled: dict[socket.socket, Place],
    errors: list[OSError],
    selector: selectors.BaseSelector,
) -> bool:
    """Whether a socket may still connect, or has; else it is closed, and its error kept."""
    if code in _UNDER_WAY:
        return True
    errors.append(dialled.pop(sock).failed(OSError(code, strerror(code))))
    selector.unregister(sock)
    with suppress(OSError):
        sock.close()
    return False
