"""Reading server URLs: their hosts, and their other settings by name.

A URL is cut by hand, as ``urlsplit`` drops line ends silently and quotes the URL in its errors. Messages name the part that
is wrong and show none of it but schemes and parameter names: anything else may be a piece of a misplaced password.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from ipaddress import IPv6Address
from typing import Any, Final
from urllib.parse import unquote

from streamcore.errors import InvalidArgument, InvalidURL
from streamcore.options import Address, AnyAddress, MemoryAddress, UnixAddress

EXAMPLE: Final = "redis://localhost:6379"
_SCHEMES: Final = {"redis": False, "rediss": True, "valkey": False, "valkeys": True, "unix": False, "memory": False}
_NUMBER: Final = "[0-9]{1,9}"
_HOST: Final = r"(?=.{1,253}$)[\w-]{1,63}(\.[\w-]{1,63})*\.?"
_FILE: Final = ("the path of a PEM file", "[^\0]+", str)
# By parameter: what it must be, in words and as a pattern, and what is made of it.
PARAMETERS: Final[dict[str, tuple[str, str, Callable[[str], Any]]]] = {
    "db": ("a database number, 0 or more", _NUMBER, int),
    "client_name": ("printable ASCII without spaces, as servers refuse any other", "[!-~]+", str),
    "ca_file": _FILE,
    "cert_file": _FILE,
    "key_file": _FILE,
    "server_hostname": ("a host name", _HOST, str),
    "check_hostname": ("true or false", "true|false", "true".__eq__),
    "verify": ("full or none", "full|none", "full".__eq__),
}
TLS_PARAMETERS: Final = tuple(PARAMETERS)[2:]
# What other clients call it, and what nobody should put there.
_ELSEWHERE: Final = {
    **dict.fromkeys(("redis+unix", "redis+socket", "valkey+unix"), "write unix"),
    **dict.fromkeys(("user", "username", "password"), "it goes before the host, redis://user:password@host"),
    **dict.fromkeys(("key_password", "ssl_password"), "a secret has no place there, pass tls=TLS(key_password=...)"),
    "database": "write db",
    "ssl_ca_certs": "write ca_file",
    "ssl_cert_reqs": "write verify=full or verify=none",
    "protocol": "leave it out, it is always RESP3",
    **dict.fromkeys(
        ("decode_responses", "encoding"), "leave it out, consumers take decode='utf-8' and commands .text()"
    ),
    **dict.fromkeys(
        ("redis+cluster", "rediss+cluster", "redis-cluster"),
        "write redis, or rediss for TLS: the server tells itself that it is a node of a cluster",
    ),
    **dict.fromkeys(("redis+sentinel", "redis-sentinel", "sentinel"), "write redis and the address of the primary"),
}


def list_urls(given: Any) -> list[str]:
    """List URLs that were given, a single one or several. Raises ``InvalidArgument`` for what is none."""
    urls: list[Any] = [given] if isinstance(given, str) or not isinstance(given, Iterable) else list(given)
    if not urls:
        raise InvalidArgument(f"the list of server URLs is empty: give one such as {EXAMPLE!r}")
    for url in urls:
        if not isinstance(url, str):
            what = f"a str such as {EXAMPLE!r}, or a list of them"
            raise InvalidArgument(f"a server URL must be {what}, not {type(url).__name__}")
    return urls


def read_urls(urls: list[str]) -> tuple[list[AnyAddress], dict[str, Any]]:
    """The addresses of URLs, each once, and their other settings by name, which have to be the same."""
    addresses, found = _read(urls[0])
    for url in urls[1:]:
        more, settings = _read(url)
        if settings != found:
            raise InvalidURL(
                "differs from another URL in more than its host: give all of them the same login and parameters"
            )
        addresses += more
    addresses = [*dict.fromkeys(addresses)]
    if len(addresses) > 1 and not all(isinstance(address, Address) for address in addresses):
        raise InvalidURL("is one of several, but these are the hosts of a cluster: give a unix or memory address alone")
    return addresses, found


def _read(url: str) -> tuple[list[AnyAddress], dict[str, Any]]:
    """The addresses of a URL, and its other settings by name."""
    if not url.isprintable() or " " in url:
        raise InvalidURL("has a space, line end or control character: strip it, or percent-encode it (a space is %20)")
    if url[:1] in {"'", '"'}:
        raise InvalidURL("is in quotation marks: strip them")
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if not separator or not re.fullmatch("[a-z][a-z0-9+.-]*", scheme):
        raise InvalidURL(f"does not start with a scheme: write it like {EXAMPLE}; schemes are {', '.join(_SCHEMES)}")
    if scheme not in _SCHEMES:
        raise InvalidURL(f"has the unknown scheme {scheme!r}: {_suggestion(scheme, _SCHEMES)}")
    if "#" in rest:
        raise InvalidURL("has a '#', which would begin a fragment: percent-encode it as %23")
    rest, _, query = rest.partition("?")
    authority, slash, path = rest.partition("/")
    if authority and "@" in path + query:
        raise InvalidURL("has an '@' after the host: percent-encode user and password ('/' is %2F, '?' %3F, '@' %40)")
    userinfo, _, host = authority.rpartition("@")
    if re.search("@.*,|,.*@", userinfo):
        raise InvalidURL(
            "names a user or password with each host, or has ',' and '@' in them: give them once, before the first host, and percent-encode (',' is %2C, '@' %40)"
        )
    user, colon, secret = userinfo.partition(":")
    found: dict[str, Any] = {"tls": _SCHEMES[scheme], "username": _decode(user, "user")}
    if colon:
        found["password"] = _decode(secret, "password")
    addresses: list[AnyAddress]
    if scheme == "unix":
        if host:
            raise InvalidURL("names a host, but a unix socket has none: write unix:///path/to/socket, three slashes")
        address = UnixAddress(_decode(slash + path, "path"))
        addresses = [address]
        if not path or "\0" in address.path:
            raise InvalidURL("names no socket: write unix:///path/to/socket")
    else:
        addresses = [MemoryAddress(_decode(host, "name"))] if scheme == "memory" else [*map(_tcp, host.split(","))]
        number = _decode(path, "path")
        if path and not re.fullmatch(_NUMBER, number):
            raise InvalidURL("has a path that is no database number: write it like /3, 0 or more, or leave it out")
        if path:
            found["db"] = int(number)
    in_query: dict[str, Any] = {}
    for name, _, text in (item.partition("=") for item in query.split("&") if item):
        if name not in PARAMETERS:
            raise InvalidURL(f"has the unknown parameter {name!r}: {_suggestion(name, PARAMETERS)}")
        if name in in_query:
            raise InvalidURL(f"gives the parameter {name} twice: give it once")
        expected, pattern, convert = PARAMETERS[name]
        value = _decode(text, name)
        if not re.fullmatch(pattern, value):
            raise InvalidURL(f"has a bad value of the parameter {name}: it must be {expected}")
        in_query[name] = convert(value)
    if "db" in found and in_query.get("db", found["db"]) != found["db"]:
        raise InvalidURL("gives two databases, by its path and by the parameter db: give one")
    return addresses, found | in_query


def _tcp(text: str) -> Address:
    """``host``, ``host:port``, ``[v6]`` or ``[v6]:port``, or a password without its '@host'."""
    if text.startswith("["):
        text, bracket, port = text[1:].partition("]")
        host = _decode(text, "host")
        try:
            IPv6Address(host if bracket else "")
        except ValueError:
            raise InvalidURL("has brackets around what is no IPv6 address: write it like redis://[::1]:6379") from None
    else:
        text, colon, port = text.partition(":")
        host, port = _decode(text, "host"), colon + port
        if ":" in port[1:]:
            raise InvalidURL("has more than one ':' in its host: an IPv6 address needs brackets, redis://[::1]:6379")
        if not host:
            raise InvalidURL(f"names no host: write it like {EXAMPLE}, with a password redis://:password@localhost")
        if not re.fullmatch(_HOST, host):
            raise InvalidURL("has a host that is no host name: letters, digits, '-', '_' and dots only")
    number = int(port[1:]) if re.fullmatch(f":{_NUMBER}", port) else 0
    if port and not 0 < number < 65536:
        raise InvalidURL("has a bad port: a whole number from 1 to 65535, like :6379 (a password ends with an '@')")
    return Address(host, number or Address().port)


def _decode(text: str, part: str) -> str:
    decoded = None
    if not re.search("%(?![0-9A-Fa-f]{2})", text):
        with suppress(UnicodeDecodeError):  # it holds the text: not even the context of our error may be that
            decoded = unquote(text, errors="strict")
    if decoded is None:
        raise InvalidURL(f"is badly percent-encoded in its {part}: a '%' is %25, and other bytes must be UTF-8")
    return decoded


def _suggestion(name: str, known: Iterable[str]) -> str:
    import difflib

    near = difflib.get_close_matches(name.lower().removeprefix("ssl_"), known, n=1)
    return _ELSEWHERE.get(name) or (f"did you mean {near[0]}?" if near else f"use one of {', '.join(known)}")
