"""Embedded Sentinels: what they refuse, and how they come back to order. ``test_sentinels`` has their failovers."""

from __future__ import annotations

import pytest

from streamcore.commands import info, raw
from streamcore.errors import InvalidArgument
from transports.embedded import EmbeddedSentinels, EmbeddedServerError


@pytest.mark.parametrize("count", [{"replicas": -1}, {"sentinels": 0}])
def test_there_is_a_primary_and_a_sentinel(count: dict[str, int]) -> None:
    with pytest.raises(InvalidArgument, match="is below"):
        EmbeddedSentinels(**count)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_the_url_has_the_password_and_the_service() -> None:
    sentinels = EmbeddedSentinels(sentinels=1, service="a", password="p/w")
    assert sentinels.url == f"redis+sentinel://:p%2Fw@127.0.0.1:{sentinels.sentinels[0].port}/a"
    with pytest.raises(EmbeddedServerError, match="name 0 primaries of 'a'"):
        _ = sentinels.primary


def test_what_does_not_come_about_in_time_is_an_error_and_ends_all() -> None:
    sentinels = EmbeddedSentinels(sentinels=1, timeout=0.0)
    with pytest.raises(EmbeddedServerError, match=r"within 0 s it did not come about that the Sentinels agree"):
        sentinels.start()
    assert not any(each.is_running() for each in (*sentinels.servers, *sentinels.sentinels))
    sentinels.stop()


def test_healing(sentinels: EmbeddedSentinels) -> None:
    [replica] = [server for server in sentinels.servers if server is not sentinels.primary]
    replica.kill()
    sentinels.sentinels[0].kill()
    sentinels.sentinels[1].pause()
    sentinels.heal()
    assert all(each.is_up() for each in (*sentinels.servers, *sentinels.sentinels))
    assert replica.ask(info("replication"))["master_link_status"] == "up"
    assert sentinels.sentinels[0].ask(raw("SENTINEL", "MYID")) == sentinels.sentinels[0].id.encode()
    assert repr(replica) == f"<WatchedServer 127.0.0.1:{replica.port}>"
