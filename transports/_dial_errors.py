"""Dial errors in plain words.

``explain`` and ``is_permanent`` look a dial error up in a single table: by a certificate's verify code, an OpenSSL
reason, an errno or a class. All these go by name, so that ``ssl`` is not imported here.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Sequence
from typing import Final

from streamcore.errors import ConnectFailed, ReplyError
from streamcore.options import Address

from .address import Target, class_names


class NoneReached(OSError):
    """All addresses of a name were dialled in vain: ``exceptions`` has the error of each."""

    def __init__(self, errors: Sequence[OSError]) -> None:
        super().__init__("; ".join([error.strerror or str(error) for error in errors]))
        self.exceptions = tuple(errors)


# What the error is, whether it is permanent, and what to say; the first row that fits it or one of its causes counts.
# Wrong settings stay wrong; a server that is not there may come.
_ROWS: Final = (
    ("InvalidArgument", True, "{detail}"),
    ("verify_62 verify_64", True,
        "the certificate of {where} is for another name ({detail}): dial that, or give it as server_hostname=..."),
    ("verify_9 verify_10", True, "the certificate of {where} is out of date ({detail}): renew it, or check the clock"),
    ("SSLCertVerificationError", True,
        "the certificate of {where} is not trusted ({detail}): pass ca_file=..., the authority that signed it, as PEM"),
    ("WRONG_VERSION_NUMBER PACKET_LENGTH_TOO_LONG RECORD_LAYER_FAILURE", True,
        "{where} answered, but not by TLS: use redis:// instead of rediss://, or dial the server's TLS port"),
    ("PROTOCOL_VERSION UNSUPPORTED_PROTOCOL NO_PROTOCOLS_AVAILABLE", True,
        "{where} offers no version of TLS that we accept: enable TLS 1.2 or newer on the server"),
    ("HANDSHAKE_FAILURE BAD_CERTIFICATE CERTIFICATE_EXPIRED CERTIFICATE_UNKNOWN UNKNOWN_CA CERTIFICATE_REQUIRED", True,
        "{where} refused our side of the TLS handshake ({detail}): pass cert_file=... and key_file=... that it trusts"),
    ("UnicodeError", True, "{where} has no valid host name ({detail}): correct the URL"),
    ("SSLEOFError SSLZeroReturnError", False,
        "{where} broke off the TLS handshake: {other}"),
    ("SSLError", False, "the TLS handshake with {where} failed ({detail}): {other}"),
    ("gaierror", False, "the host name of {where} cannot be resolved ({detail}): check its spelling and the DNS here"),
    ("ECONNREFUSED", False, "{where} refused the connection: does a server listen there? Start it, or correct the URL"),
    ("ENOENT", False, "{where} does not exist: start the server, or correct the path (`unixsocket` of its settings)"),
    ("EACCES EPERM", False, "{where} cannot be opened ({detail}): check our rights (`unixsocketperm`, a firewall)"),
    ("TimeoutError TooSlowError", False, "{where} did not answer in time: check the address, and firewalls; {other}"),
    ("READONLY", False, "{where} is a replica and takes no writes: dial its primary ({detail})"),
    ("LOADING", False, "{where} is still loading its data: try again later ({detail})"),
    ("MASTERDOWN", False, "{where} is a replica that has lost its primary: dial that ({detail})"),
    ("ReplyError", False, "{where} cannot serve us now: {detail}"),
    ("ConnectionLost", False,
        "{detail}: look into the server's log; {other}; proxies that know no HELLO 3 may hang up, too"),
    ("RemoteProtocolError", False, "{where} does not speak RESP ({detail}): {other}, else correct the address"),
    ("ConnectionError", False, "{where} closed the connection ({detail}): look into the server's log; {other}"),
    ("BaseException", False, "cannot connect to {where} ({detail}): check the address, the network and the server"),
)  # fmt: skip
_ROW_OF: Final = {key: row for row in _ROWS for key in row[0].split()}


def explain(error: BaseException, target: Target) -> str:
    """Explain in a sentence why dialling ``target`` failed, and how to mend it.

    Knows the errors of sockets, ``ssl``, asyncio, trio and servers, also as a cause or in an exception group.
    """
    if isinstance(error, ConnectFailed):
        return str(error)  # said already
    _, sentence, culprit = _diagnose(error)
    detail = getattr(culprit, "verify_message", None) or getattr(culprit, "strerror", None) or str(culprit)
    other = "check that it belongs to a Redis or Valkey server"
    if isinstance(target.address, Address):
        other = f"if that port speaks {'no TLS, use redis' if target.tls else 'TLS, use rediss'}://"
    if target.tls is not None and target.tls.cert_file is None and target.tls.ssl_context is None:
        other += "; if it wants a client certificate, pass cert_file=..."
    told = sentence.format(where=target, detail=detail or type(culprit).__name__, other=other)
    return f"{told} [{error}]" if isinstance(error, NoneReached) else told


def is_permanent(error: BaseException) -> bool:
    """Whether dialling again with the same settings is pointless: a wrong certificate or TLS setting, say.

    False where waiting may help: a closed port, a time-out, an unknown name, and errors that are not in the table.
    """
    return error.permanent if isinstance(error, ConnectFailed) else _diagnose(error)[0]


def _diagnose(error: BaseException) -> tuple[bool, str, BaseException]:
    """Whether it is permanent, the sentence for it, and the error that tells: this error or a cause of it."""
    causes = [error]
    for cause in causes:  # grows meanwhile
        inner = (*getattr(cause, "exceptions", ()), cause.__cause__)  # of an exception group
        causes += [one for one in inner if one is not None and one not in causes]
    found = {key: cause for cause in reversed(causes) for key in _keys(cause)}
    key = next(key for key in _ROW_OF if key in found)
    return *_ROW_OF[key][1:], found[key]


def _keys(error: BaseException) -> Iterator[str]:
    names = class_names(error)
    if isinstance(error, ReplyError):
        yield error.code
    yield from names
    if "SSLError" in names:
        yield f"verify_{getattr(error, 'verify_code', 0)}"
        yield str(getattr(error, "reason", "")).rpartition("_ALERT_")[2]  # SSLV3_, TLSV1_ or TLSV13_ALERT_...
    elif isinstance(error, OSError) and "gaierror" not in names:  # these two have other numbers in errno
        # When all addresses of a name failed, asyncio gives an OSError without number, but with the text of each.
        numbers = re.findall(r"\[Errno (\d+)\]", str(error)) if error.errno is None else [error.errno]
        yield from (errno.errorcode.get(int(number), "") for number in numbers)
