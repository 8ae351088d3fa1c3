"""What a user may not run is refused by the model in the words of the servers, directly and within our scripts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from streamcore.scripts.group import REMOVE
from streamcore.scripts.lease import HOLD
from streamcore.testing.model import REDIS7, REDIS8, VALKEY9, Server, Session
from tests.support.raw import Raw
from tests.support.servers import ServerKind
from transports.embedded import EmbeddedServer

FLAVOURS = {"valkey": VALKEY9, "redis7": REDIS7, "redis8": REDIS8}
HELD: tuple[Any, ...] = ("EVAL", HOLD, 1, "lease", "nonce", 1, 7, "run", 1000)
REFUSED: list[tuple[str, tuple[Any, ...]]] = [
    ("HMGET", HELD),
    ("HINCRBY", HELD),
    ("PEXPIRE", HELD),
    ("HSET", HELD),
    ("EXISTS", ("EVAL", REMOVE, 2, "s", "lease", "g", "c")),
    ("XPENDING", ("EVAL", REMOVE, 2, "s", "lease", "g", "c")),
    ("XGROUP CREATECONSUMER", ("EVAL", REMOVE, 2, "s", "lease", "g", "c")),
    ("XGROUP DELCONSUMER", ("EVAL", REMOVE, 2, "s", "lease", "g", "c")),
]


@pytest.fixture
def worker(server: EmbeddedServer) -> Iterator[Raw]:
    with Raw(server.address) as raw, Raw(server.address) as worker:
        raw("ACL", "SETUSER", "default2", "reset", "on", ">pw", "~*", "+@all")
        worker("AUTH", "default2", "pw")
        yield worker
        raw("ACL", "DELUSER", "default2")


def modelled(session: Session, *words: Any) -> str:
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    session.receive(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(one), one) for one in parts), 1000.0)
    data = bytes(session.data_to_send())
    session.data_sent(len(data))
    return data.decode()


@pytest.mark.every_server
@pytest.mark.parametrize(("denied", "command"), REFUSED, ids=[denied for denied, _ in REFUSED])
def test_a_refusal_within_a_script_reads_as_the_servers_do(
    worker: Raw, server: EmbeddedServer, server_kind: ServerKind, denied: str, command: tuple[Any, ...]
) -> None:
    model = Server(FLAVOURS[server_kind.name], now=1000.0)
    session = model.connect(1000.0)
    for words in (("XGROUP", "CREATE", "s", "g", "0", "MKSTREAM"), ("XGROUP", "CREATECONSUMER", "s", "g", "c")):
        worker(*words)
        modelled(session, *words)
    with Raw(server.address) as raw:
        raw("ACL", "SETUSER", "default2", f"-{denied.lower().replace(' ', '|')}")
    model.faults.denied.add(denied)
    worker.send(*command)
    said = str(worker.read()).replace("default2", "default")
    assert modelled(session, *command) == f"-{said}\r\n"
