"""The model's answers are those of real servers byte by byte: simple and bulk strings, nulls, doubles, maps and pushes."""

from __future__ import annotations

import hiredis
import pytest

from streamcore.resp3 import encode
from streamcore.testing.model import Server
from tests.simulation.twins import FLAVOURS
from tests.support.raw import Raw
from tests.support.servers import ServerKind
from transports.embedded import EmbeddedServer

# In this order, each with what those before have left.
COMMANDS = """
PING | PING x | ECHO x | SET a b | GET a | GET none | SET a c GET | SETNX a 1 | APPEND a x | TYPE a | TYPE none | MGET a none
INCRBYFLOAT f 1.5 | HSET h a 1 b 2 | HGETALL h | HGETALL none | HMGET h a none | HINCRBYFLOAT h a 0.5
RPUSH l a b | LRANGE l 0 -1 | LPOP none | LPOP none 2 | LPOP l 2 | BLPOP none 0.001 | SADD u x | SMEMBERS u | SMEMBERS none
ZADD z 1.5 a 2 b | ZSCORE z a | ZSCORE z none | ZMSCORE z a none | ZRANGE z 0 -1 WITHSCORES | ZINCRBY z 1 a
ZRANGEBYSCORE z -inf +inf WITHSCORES | ZADD z INCR 1 a | ZADD z NX INCR 1 a | ZPOPMIN z | ZPOPMIN z 1 | ZPOPMIN none | ZRANK z x
XADD s 1-1 f v | XADD none NOMKSTREAM 1-1 f v | XLEN s | XRANGE s - + | XRANGE s - + COUNT 0 | XRANGE none - +
XREAD STREAMS s 0 | XREAD STREAMS s $ | XREAD BLOCK 1 STREAMS s $ | XGROUP CREATE s g 0 | XREADGROUP GROUP g a STREAMS s >
XREADGROUP GROUP g a STREAMS s > | XREADGROUP GROUP g a STREAMS s 0 | XPENDING s g | XACK s g 1-1 | XPENDING s g
XPENDING s g - + 1 | XREADGROUP GROUP g a STREAMS s 0 | XADD s 2-1 f v | XREADGROUP GROUP g a STREAMS s > | XDEL s 2-1
XREADGROUP GROUP g a STREAMS s 0 | XCLAIM s g b 0 2-1 | XAUTOCLAIM s g b 0 0 | XGROUP DESTROY s none | XINFO GROUPS s
XINFO CONSUMERS none g | SCAN 0 MATCH nothing | KEYS a | DBSIZE | CONFIG GET maxmemory | OBJECT ENCODING none
CLIENT GETNAME | CLIENT SETNAME x | CLIENT GETNAME | CLIENT UNBLOCK 999 | CLIENT KILL ID 999 | SCRIPT EXISTS abc
MULTI | GET a | GET none | XREAD STREAMS s $ | GET | EXEC | MULTI | GET a | GET none | EXEC | DISCARD | EXEC | WATCH a | UNWATCH
PUBSUB NUMSUB x | PUBSUB CHANNELS | PUBSUB NUMPAT | PUBLISH x y | WAIT 0 0 | TTL a | PTTL none | EXPIRE a 100 | PERSIST a
GETDEL a | EXISTS a | COPY f g | RENAME f a | SELECT 99 | SELECT x | UNSUBSCRIBE | SUBSCRIBE x | RESET | GET a | FLUSHALL | QUIT
"""


@pytest.mark.every_server
@pytest.mark.parametrize("protocol", [2, 3])
def test_answers_are_the_same_bytes(server: EmbeddedServer, server_kind: ServerKind, protocol: int) -> None:
    model = Server(FLAVOURS[server_kind.name])
    session = model.connect(0.0)
    with Raw(server.address) as raw:
        if protocol == 3:
            raw("HELLO", 3)
            session.protocol = 3
        for now, line in enumerate(COMMANDS.replace("\n", "|").split("|")):
            if words := line.split():
                session.receive(encode(words), now * 60.0)
                model.handle_timeout(now * 60.0 + 1)  # so that who waits has waited for long enough
                ours = bytes(session.data_to_send())
                session.data_sent(len(ours))
                raw.socket.sendall(encode(words))
                theirs = one_reply(raw)
                assert judged(ours) == judged(theirs), line


def one_reply(raw: Raw) -> bytes:
    reader, data = hiredis.Reader(notEnoughData=raw), b""
    while reader.gets() is raw:
        more = raw.socket.recv(65536)
        assert more, "the server has closed the connection"
        reader.feed(more)
        data += more
    return data


def judged(reply: bytes) -> bytes:
    """Errors by their word."""
    return reply.partition(b" ")[0] if reply.startswith(b"-") else reply
