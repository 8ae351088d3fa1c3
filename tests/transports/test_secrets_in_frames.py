"""Error trackers print the locals of every frame: no frame of ours may hold a password, whatever goes wrong on the way in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from streamcore.commands import auth, config_set, hello
from streamcore.errors import InvalidArgument, InvalidURL
from streamcore.events import Event
from tests.support.raw import Raw
from tests.support.servers import Certificates
from tests.support.stranger import Stranger
from tests.transports.runtimes import Runtime
from transports.address import TLS, parse
from transports.embedded import EmbeddedServer, free_port
from transports.litestar import PubSubChannelsBackend, StreamChannelsBackend

SECRET = "hunter2hunter2"
OURS = ("streamcore", "transports")


@pytest.fixture
def user(raw: Raw) -> Iterator[str]:
    raw("ACL", "SETUSER", "alice", "on", f">{SECRET}", "~*", "&*", "+@all", "-select")
    yield "alice"
    raw("ACL", "DELUSER", "alice")


def frames(error: BaseException) -> Iterator[FrameType]:
    """Those of an error and of all that it came of, also where that is not shown."""
    chain: list[BaseException | None] = [error]
    for link in chain:
        if link is not None:
            chain += [one for one in (link.__cause__, link.__context__) if one not in chain]
            trace = link.__traceback__
            while trace is not None:
                yield trace.tb_frame
                trace = trace.tb_next


def assert_no_secret(error: BaseException) -> None:
    shown = []
    for frame in frames(error):
        if str(frame.f_globals.get("__name__")).partition(".")[0] in OURS:
            shown += [
                f"{frame.f_code.co_filename}, {frame.f_code.co_name}: {name}"
                for name, value in frame.f_locals.items()
                if SECRET in f"{value!r} {getattr(value, '__dict__', '')!r}"
            ]
    assert shown == []
    assert SECRET not in f"{error} {error!r} {vars(error)}"


# -- nothing is dialled ------------------------------------------------------------------------------------------------

WRONG_URLS = [
    "redis://user:{}@127.0.0.1:99999",
    "redis://user:{}@ho st",
    "redis://user:{}@h/x",
    "redis://user:{}@h?x=1",
    "redis://user:{}@h?db=x",
    "redis://user:{}@h/1?db=2",
    "redis://user:{}@::1",
    "redis://user:{}@[x]",
    "redis://user:{}@",
    "redis://user:{}%zz@h",
    "redis://user:{}%ff@h",
    "redis://user:{}@h#",
    "redis://user:{}",
    "redis://user:p@h/{}@x",
    "http://user:{}@h",
    "user:{}@h",
    "unix://user:{}@h/s",
    "unix://user:{}@",
    "redis://user:{}@h?ca_file=x",
    "rediss://user:{}@h?key_file=x",
    "redis://{}@h",
]
WRONG_KEYWORDS: list[dict[str, Any]] = [
    {"bogus": 1},
    {"username": 5},
    {"database": -1},
    {"database": "x"},
    {"client_name": "with space"},
    {"request_timeout": -1},
    {"connect_timeout": "x"},
    {"tls": "yes"},
]


async def test_a_wrong_url_or_keyword(runtime: Runtime) -> None:
    for url in (template.format(SECRET) for template in WRONG_URLS):
        with pytest.raises(InvalidURL) as caught:
            runtime.connect(url)
        assert_no_secret(caught.value)
    for keywords in WRONG_KEYWORDS:
        for url, more in ((f"redis://user:{SECRET}@h", {}), ("redis://user:p@h", {"password": SECRET})):
            with pytest.raises((ValueError, TypeError)) as raised:
                runtime.connect(url, **keywords, **more)
            assert_no_secret(raised.value)
    with pytest.raises(ValueError, match="surrogates") as broken:
        runtime.connect("redis://h", password=SECRET + "\ud800")
    assert_no_secret(broken.value)


def test_the_same_where_they_are_given_to_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)
    url = f"redis://user:{SECRET}@127.0.0.1:99999"
    attempts: list[Callable[[], object]] = [
        lambda: parse(url),
        lambda: parse("redis://h", password=SECRET, username=5),  # type: ignore[arg-type]
        lambda: StreamChannelsBackend(history=1, url=url),
        lambda: PubSubChannelsBackend(url=url),
        lambda: TLS(key_password=SECRET),
        lambda: hello(username="", password=SECRET),
        lambda: auth(SECRET, username=""),
        lambda: config_set({"requirepass": SECRET, "x": None}),  # type: ignore[dict-item]
    ]
    for attempt in attempts:
        with pytest.raises(InvalidArgument) as caught:
            attempt()
        assert_no_secret(caught.value)


# -- on the way in -----------------------------------------------------------------------------------------------------


async def entering(runtime: Runtime, url: str, **options: Any) -> None:
    """Enter, and look at the error and at those of the events."""
    events: list[Event] = []
    with pytest.raises(Exception) as caught:
        async with runtime.connect(url, request_timeout=0.2, on_event=events.append, **options) as client:
            await client.incr("n")
    assert_no_secret(caught.value)
    for event in events:
        if isinstance(error := getattr(event, "error", None), BaseException):
            assert_no_secret(error)
    assert SECRET not in repr(events)


async def test_a_server_that_does_not_let_us_in(runtime: Runtime, server: EmbeddedServer, raw: Raw, user: str) -> None:
    at = f"127.0.0.1:{server.port}"
    await entering(runtime, f"redis://bob:{SECRET}@{at}")
    await entering(runtime, f"redis://{at}", username="alice", password=SECRET + "!")
    await entering(runtime, f"redis://alice:{SECRET}@{at}/3")  # may not select
    await entering(runtime, f"rediss://alice:{SECRET}@{at}")
    await entering(runtime, f"redis://alice:{SECRET}@127.0.0.1:{free_port()}")


async def test_a_key_whose_password_is_wrong(runtime: Runtime, certificates: Certificates, tmp_path: Path) -> None:
    ca_file, key = certificates.write_ca(tmp_path / "ca.pem"), tmp_path / "key.pem"
    key.write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
    tls = TLS(cert_file=ca_file, key_file=key, key_password=SECRET)
    await entering(runtime, f"rediss://127.0.0.1:{free_port()}", tls=tls)


def echo(data: bytes) -> bytes:
    return data


def quotes(data: bytes) -> bytes:
    return b"-ERR what is '%b'?\r\n" % data.replace(b"\r\n", b" ")


def refuses_all(data: bytes) -> bytes:
    return b"-WRONGPASS not '%b'\r\n" % data.replace(b"\r\n", b" ")


def quotes_as_http(data: bytes) -> bytes:
    return b"HTTP/1.1 400 Bad Request\r\n\r\n" + data


def breaks_off(data: bytes) -> bytes:
    return b"$%d\r\n%b" % (2 * len(data), data)


def is_rubbish(data: bytes) -> bytes:
    return b"?" + data


@pytest.mark.parametrize("answer", [echo, quotes, refuses_all, quotes_as_http, breaks_off, is_rubbish])
async def test_a_server_that_says_the_password_itself(runtime: Runtime, answer: Any) -> None:
    with Stranger(answer) as stranger:
        await entering(runtime, f"redis://alice:{SECRET}@127.0.0.1:{stranger.port}")
        await entering(runtime, f"redis://:{SECRET}@127.0.0.1:{stranger.port}")
