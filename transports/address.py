"""Where to connect: server URLs and TLS settings.

``parse`` makes a ``Target`` of a URL and keyword arguments: an address and a login of the core, and a ``TLS``. Messages
name the part that is wrong, and show none of it: it may be a piece of a misplaced password.

``ssl`` is imported by ``TLS.context`` only. No argument shows in a traceback: trackers print the locals of each frame.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, TypeAlias

from streamcore.errors import InvalidArgument, InvalidURL
from streamcore.frozen import frozen
from streamcore.options import Address, AnyAddress, Login, UnixAddress
from streamcore.tracebacks import conceals_arguments

from ._credentials import AskCredentials
from ._urls import EXAMPLE, PARAMETERS, TLS_PARAMETERS, list_urls, read_urls

if TYPE_CHECKING:
    import ssl

Path: TypeAlias = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class TLS:
    """How to encrypt a connection (TLS 1.2 or newer), whom to trust, and who we are.

    The server's certificate is verified against ``ca_file``, or without it the system's authorities, and must be for
    the name we dial, or ``server_hostname``; ``verify=False`` switches both checks off. ``cert_file``, ``key_file`` and
    ``key_password`` are our own certificate, for a server that asks for it. All files are PEM. A ready ``ssl_context``
    replaces everything but ``server_hostname``.
    """

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    key_password: str | None = field(default=None, repr=False)
    check_hostname: bool = True
    verify: bool = True
    server_hostname: str | None = None
    ssl_context: ssl.SSLContext | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.cert_file is None and (self.key_file is not None or self.key_password is not None):
            raise InvalidArgument("a TLS key needs its certificate; give cert_file as well")
        untouched = self.ca_file is None and self.cert_file is None and self.verify and self.check_hostname
        if self.ssl_context is not None and not untouched:
            raise InvalidArgument("ssl_context replaces files and checks; make these settings in the context")

    def context(self) -> ssl.SSLContext:
        """The ``SSLContext``, built once and again when a file has changed (a renewed certificate); do not modify it.

        Raises ``InvalidArgument``, naming the file, where a file is missing or of no use.
        """
        if self.ssl_context is not None:
            return self.ssl_context
        files = {"ca_file": self.ca_file, "cert_file": self.cert_file, "key_file": self.key_file}
        return _context(self, tuple(_stamp(name, path) for name, path in files.items() if path is not None))


TLS.__init__ = conceals_arguments(TLS.__init__)  # type: ignore[method-assign]  # of the dataclass; one is a password


def _stamp(name: str, path: Path) -> tuple[int, ...]:
    """The inode, size and time of a file: they change when it is written or replaced."""
    try:
        status = os.stat(path)  # noqa: PTH116  # pathlib costs an import
    except OSError as error:
        raise InvalidArgument(f"{name} '{path}' cannot be read ({error.strerror}); correct the path") from None
    return status.st_mtime_ns, status.st_ino, status.st_size


@lru_cache(maxsize=16)
def _context(tls: TLS, _stamps: tuple[tuple[int, ...], ...]) -> ssl.SSLContext:
    import ssl

    files, remedy = f"ca_file '{tls.ca_file}'", "give a PEM file of certificates"
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.check_hostname = tls.check_hostname and tls.verify
        context.verify_mode = ssl.CERT_REQUIRED if tls.verify else ssl.CERT_NONE
        if tls.cert_file is not None:
            files = f"cert_file '{tls.cert_file}'" + (f" with key_file '{tls.key_file}'" if tls.key_file else "")
            remedy = "give PEM files of a certificate and its key, and key_password if the key is encrypted"
            # Without a password, OpenSSL would ask for it at the terminal.
            context.load_cert_chain(tls.cert_file, tls.key_file, password=tls.key_password or "")
    except (OSError, ValueError) as error:
        raise InvalidArgument(f"{files} cannot be used ({error}); {remedy}") from None
    return context


@frozen
class Target:
    """The address to dial, the login, and whether by TLS. Neither ``repr`` nor ``str`` show secrets.

    ``credentials`` is called for a login that rotates. ``others``: further addresses, where several were given: those of a
    cluster's nodes.
    """

    address: AnyAddress = field(default_factory=Address)
    login: Login = field(default_factory=Login)
    tls: TLS | None = None
    others: tuple[Address, ...] = ()
    credentials: AskCredentials | None = field(default=None, repr=False)

    @property
    def server_hostname(self) -> str | None:
        """The name that the server's certificate must have; None without TLS."""
        if self.tls is None or not isinstance(self.address, Address):
            return None
        return self.tls.server_hostname or self.address.host.partition("%")[0]  # without the zone of an IPv6 address

    def at(self, address: AnyAddress) -> Target:
        """The target of a link: a given address, or that of a node which the cluster has named.

        ``server_hostname`` is the name of the given addresses, and of nodes that are known by an IP address only; the
        certificate of another node has to be for the host name that it has announced.
        """
        if address == self.address and not self.others:
            return self
        tls, given = self.tls, (self.address, *self.others)
        if tls is not None and address not in given and isinstance(address, Address) and not _is_ip(address.host):
            tls = replace(tls, server_hostname=None)
        return Target(address, self.login, tls, credentials=self.credentials)

    def describe(self) -> str:
        """``localhost:6379``, ``localhost:6379 (TLS)`` or ``unix:/path``; several addresses with commas."""
        told = ", ".join(map(str, (self.address, *self.others)))
        return f"{told} (TLS)" if self.tls else told

    __str__ = describe


def _is_ip(host: str) -> bool:
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


# -- URLs --------------------------------------------------------------------------------------------------------------


@conceals_arguments
def parse(
    url: str | Iterable[str] | None = None,
    *,
    username: str | None = None,
    password: str | None = None,
    database: int | None = None,
    client_name: str | None = None,
    tls: TLS | ssl.SSLContext | bool | None = None,
    credentials: AskCredentials | None = None,
) -> Target:
    """Parse a server URL; without a URL, that of the environment variable ``REDIS_URL``, or of localhost:6379.

    ``redis://user:password@host:6379/3`` (``valkey``: the same; ``rediss`` and ``valkeys``: by TLS), with several hosts
    of a cluster ``redis://host,host:7001``, or ``unix://user:password@/path/to/socket?db=3``. Several URLs may differ
    in their hosts only. All parts are percent-decoded, ``+`` stands for itself. Parameters:
    ``db``, ``client_name``, and for TLS ``ca_file``, ``cert_file``, ``key_file``, ``server_hostname``,
    ``check_hostname=true|false``, ``verify=full|none``. A keyword argument wins over the URL; ``tls=`` replaces all TLS
    settings of the URL, except that ``tls=True`` only switches it on. A user needs a password, if an empty password
    (``redis://user:@host``, for a user with ``nopass``); ``redis://:@host`` and ``redis://@host`` mean no login.

    ``credentials`` is called for the user and password instead, and is refused beside either of them.

    Raises ``InvalidURL``, and ``InvalidArgument`` where a keyword is at fault.
    """
    source = "the server URL" if url is not None else "the server URL in the environment variable REDIS_URL"
    urls = list_urls(url if url is not None else os.environ.get("REDIS_URL") or EXAMPLE)
    keywords = {"username": username, "password": password, "database": database, "client_name": client_name}
    given = {name: _checked(name, value) for name, value in keywords.items() if value is not None}
    try:
        (address, *others), found = read_urls(urls)
        security = _security(address, found, tls)
    except InvalidURL as error:
        raise InvalidURL(f"{source} {error}") from None
    login = {"database": found.get("db", 0)} | found | given
    user, secret = login["username"] or None, login.get("password")
    if user and secret is None:
        remedy = "write redis://user:password@host or pass password=, an empty one for a user with 'nopass'"
        raise (InvalidURL if username is None else InvalidArgument)(f"a user was given without a password: {remedy}")
    if credentials is not None:
        _check_credentials(credentials, given, in_url=bool(user or secret))
        user = secret = None
    rotates = credentials is not None
    login_as = Login(user, secret if user else secret or None, login["database"], login.get("client_name"), rotates)
    more = tuple([other for other in others if isinstance(other, Address)])
    return Target(address, login_as, security, more, credentials)


def _checked(name: str, value: Any) -> Any:
    if name == "database":
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise InvalidArgument(f"database must be a whole number, 0 or more, not {value!r}")
    elif not isinstance(value, str):
        raise InvalidArgument(f"{name} must be a str, not {type(value).__name__}")
    elif re.search("[\ud800-\udfff]", value):
        raise InvalidArgument(f"{name} has surrogates and cannot be sent as UTF-8; decode it from its true encoding")
    elif name == "client_name" and not re.fullmatch(PARAMETERS[name][1], value):
        raise InvalidArgument(f"client_name must be {PARAMETERS[name][0]}; {value!r} is not")
    return value


def _check_credentials(credentials: object, given: dict[str, Any], *, in_url: bool) -> None:
    """Raises ``InvalidArgument`` for credentials that cannot be called, or stand beside a user or a password."""
    if not callable(credentials):
        raise InvalidArgument(
            "credentials must be a function that returns (username, password), "
            f"not {type(credentials).__name__}; a login that stays the same goes to username= and password="
        )
    beside = [f"{name}=" for name in ("username", "password") if name in given]
    if beside or in_url:
        told = " and ".join(beside) or "the user and password of the URL"
        raise InvalidArgument(f"credentials= gives user and password, and so does another argument: drop {told}")


def _security(address: AnyAddress, found: dict[str, Any], given: TLS | ssl.SSLContext | bool | None) -> TLS | None:
    """The TLS settings of the URL, or the given settings instead."""
    settings = {name: found[name] for name in TLS_PARAMETERS if name in found}
    wanted: TLS | ssl.SSLContext | bool = found["tls"] if given is None else given
    if settings and wanted is False and given is None:
        remedy = "take the scheme rediss or valkeys, or leave the parameter out"
        raise InvalidURL(f"has the TLS parameter {next(iter(settings))}, but not the scheme of TLS: {remedy}")
    if wanted is False:
        return None
    if not isinstance(address, Address):
        what = "a unix socket" if isinstance(address, UnixAddress) else "a server in memory"
        raise InvalidArgument(f"{what} has no TLS; leave tls= out")
    if wanted is True and "key_file" in settings and "cert_file" not in settings:
        raise InvalidURL("has the parameter key_file without cert_file: give the certificate of the key as well")
    if wanted is True:
        return TLS(**settings)
    if isinstance(wanted, TLS):
        return wanted
    if "SSLContext" in class_names(wanted):
        return TLS(ssl_context=wanted)
    raise InvalidArgument(f"tls must be a TLS, an ssl.SSLContext or a bool, not {type(wanted).__name__}")


def class_names(value: object) -> list[str]:
    """The names of a value's class and its bases: ``ssl`` need not be imported to know them."""
    return [cls.__name__ for cls in type(value).__mro__]
