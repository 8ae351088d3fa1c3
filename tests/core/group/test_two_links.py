"""What is on its way over a link is nobody else's business on the other."""

from __future__ import annotations

from typing import Any

from streamcore.entries import GroupBatch
from streamcore.events import EntriesRecovered, PendingEntriesDeleted
from streamcore.group.consumer import GroupConsumer
from streamcore.testing.pair import Pair
from streamcore.testing.resp import entry
from tests.core.support.members import holding, pending, sent
from tests.core.support.server import Server
from tests.core.support.streams import NOTHING_PENDING, listed


def asking(pair: Pair, **replies: Any) -> None:
    """The server answers what it is asked while nothing is read, by the command's first word."""
    while pair.server.commands and pair.server.commands[0][0] != b"XREADGROUP":
        command = pair.server.commands.popleft()
        is_summary = command[0] == b"XPENDING" and len(command) == 3
        pair.server.answer(NOTHING_PENDING if is_summary else replies[command[0].decode()])


def blocked(**options: Any) -> tuple[GroupConsumer[bytes], Pair, GroupBatch[bytes]]:
    """The entry 1-0 is in hand, and its acknowledgement on the way over the acking link, while a read blocks."""
    arguments: dict[str, Any] = {"streams": "s", "group": "g", "consumer": "c", "exclusive": False, "detect_gaps": None}
    arguments |= {"remove_idle_consumers": None, **options}
    consumer: GroupConsumer[bytes] = GroupConsumer(**arguments)
    pair = Pair(consumer)
    asking(pair, INFO="run_id:1", XINFO=[listed()], XPENDING=[])
    pair.server.expect("XREADGROUP")
    pair.server.answer(None)
    asking(pair, XINFO=[listed()], XPENDING=[])
    pair.server.expect("XREADGROUP")
    pair.server.answer({"s": [entry("1-0")]})
    batch = consumer.take()
    assert batch is not None
    batch.ack()
    pair.advance(0.1)
    pair.peer("acks").expect("INFO", "server")
    pair.peer("acks").answer("run_id:1")
    pair.peer("acks").expect("XACK", "s", "g", "1-0")
    pair.advance(4.0)
    pair.server.expect("XREADGROUP")
    pair.server.answer(None)
    return consumer, pair, batch


class TestTwoLinks:
    """What is settled over the acking link while the reading link asks what is pending."""

    def test_is_not_taken_for_lost_by_the_audit(self) -> None:
        _, pair, _ = blocked(audit_interval=3.0, claim_idle=None)
        pair.server.expect("XINFO")
        pair.server.answer([listed("1-0")])
        pair.server.expect("XPENDING", "s", "g")
        pair.server.answer([2, "0-5", "1-0", [["c", "2"]]])
        pair.server.expect("XPENDING", "s", "g", "(0-0", "+", 100, "c")
        pair.peer("acks").answer(1)  # after the server had listed it, and before we hear of the list
        pair.server.answer([["1-0", "c", 10, 1]])
        pair.server.expect("XREADGROUP")
        assert not [event for event in pair.events() if isinstance(event, PendingEntriesDeleted | EntriesRecovered)]

    def test_is_not_claimed(self) -> None:
        _, pair, _ = blocked(audit_interval=100.0, claim_idle=6.0, renew=False)
        pair.server.expect("XPENDING", "s", "g", "-", "+", 500)
        pair.server.answer([["1-0", "c", 6009, 1]])
        pair.server.expect("XPENDING", "s", "g", "1-0", "+", 100)
        pair.peer("acks").answer(1)
        pair.server.answer([["1-0", "c", 6010, 1]])
        pair.server.expect("XREADGROUP")
        assert not [event for event in pair.events() if isinstance(event, PendingEntriesDeleted)]

    def test_is_not_renewed(self, server: Server) -> None:
        _, net, batch = holding(server, 1, claim_idle=6.0, renew=True)

        def before(command: list[bytes]) -> None:
            if command[:6] == [b"XPENDING", b"s", b"g", b"1-0", b"1-0", b"500"]:
                server.before = len
                batch.nack(delay=3.0)

        server.before = before
        net.advance(4.0)
        assert pending(server, "streamcore:nacked") == ["1-0"]
        assert not [command for command in sent(server, "XCLAIM") if command[3] == b"c"]
