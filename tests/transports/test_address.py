"""URLs, TLS settings, and the words for dial errors: the errors are real ones, of sockets on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import socket
import ssl
import string
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme

from streamcore.errors import ConnectFailed, ConnectionLost, InvalidArgument, InvalidURL, RemoteProtocolError
from streamcore.options import Address, Login, SentinelAddress, UnixAddress
from transports._dial_errors import explain, is_permanent
from transports.address import TLS, Target, parse

SECRET = "hunter2"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)


# -- good URLs ---------------------------------------------------------------------------------------------------------

GOOD: dict[str, Target] = {
    "redis://localhost": Target(),
    "redis://localhost/": Target(),
    "redis://localhost?": Target(),
    "REDIS://localhost": Target(),
    "valkey://localhost": Target(),
    "redis://Example.COM:1": Target(Address("Example.COM", 1)),
    "redis://my_cache.internal.:65535": Target(Address("my_cache.internal.", 65535)),
    "redis://10.0.0.1:6380/0": Target(Address("10.0.0.1", 6380)),
    "redis://[::1]": Target(Address("::1")),
    "redis://[2001:db8::2]:7000/4": Target(Address("2001:db8::2", 7000), Login(database=4)),
    "redis://[fe80::1%25eth0]:1": Target(Address("fe80::1%eth0", 1)),
    "redis://bücher.example": Target(Address("bücher.example")),
    "redis://b%C3%BCcher.example": Target(Address("bücher.example")),
    "redis://h/3": Target(Address("h"), Login(database=3)),
    "redis://h?db=3": Target(Address("h"), Login(database=3)),
    "redis://h/?db=3": Target(Address("h"), Login(database=3)),
    "redis://h/3?db=3": Target(Address("h"), Login(database=3)),
    "redis://h/%33": Target(Address("h"), Login(database=3)),
    "redis://h?client_name=worker-1": Target(Address("h"), Login(client_name="worker-1")),
    "redis://h?client_name=a%40b%26c&&db=1&": Target(Address("h"), Login(database=1, client_name="a@b&c")),
    "redis://:pw@h": Target(Address("h"), Login(password="pw")),
    "redis://user:pw@h": Target(Address("h"), Login("user", "pw")),
    "redis://user:@h": Target(Address("h"), Login("user", "")),
    "redis://:@h": Target(Address("h")),
    "redis://@h": Target(Address("h")),
    "redis://u%3As%40r:p%2Fw%3F%23%25%20%0A@h": Target(Address("h"), Login("u:s@r", "p/w?#% \n")),
    "redis://u:a@b:c@h": Target(Address("h"), Login("u", "a@b:c")),
    "redis://u:a+b@h": Target(Address("h"), Login("u", "a+b")),
    "redis://u:p%C3%A4ss@h": Target(Address("h"), Login("u", "päss")),
    "redis://u:päss@h": Target(Address("h"), Login("u", "päss")),
    "redis://u:[x]@h": Target(Address("h"), Login("u", "[x]")),
    "unix:///tmp/valkey.sock": Target(UnixAddress("/tmp/valkey.sock")),
    "unix:///tmp/a%20b%23@c+d:1.sock?db=2": Target(UnixAddress("/tmp/a b#@c+d:1.sock"), Login(database=2)),
    "unix://user:pw@/s?client_name=x": Target(UnixAddress("/s"), Login("user", "pw", 0, "x")),
    "unix://:pw@/s": Target(UnixAddress("/s"), Login(password="pw")),
    "redis://a,b": Target(Address("a"), others=(Address("b"),)),
    "redis://u:p,w@a:1,[::1]:2,a:1,b/0": Target(
        Address("a", 1), Login("u", "p,w"), others=(Address("::1", 2), Address("b"))
    ),
    "valkeys://a,b?ca_file=c": Target(Address("a"), tls=TLS("c"), others=(Address("b"),)),
    "rediss://h": Target(Address("h"), tls=TLS()),
    "redis+sentinel://h/orders": Target(SentinelAddress("h"), service="orders"),
    "valkey+sentinel://u:p@h,g:1/a%2Fb/3": Target(
        SentinelAddress("h", 26379), Login("u", "p", 3), others=(SentinelAddress("g", 1),), service="a/b"
    ),
    "rediss+sentinel://h/7/0": Target(SentinelAddress("h"), tls=TLS(), service="7"),
    "valkeys+sentinel://[::1]/s?ca_file=c": Target(SentinelAddress("::1"), tls=TLS("c"), service="s"),
    "valkeys://u:p@h:1/2": Target(Address("h", 1), Login("u", "p", 2), TLS()),
    "rediss://h?ca_file=%2Fetc%2Fca.pem&cert_file=c&key_file=k": Target(Address("h"), tls=TLS("/etc/ca.pem", "c", "k")),
    "rediss://h?ca_file=/etc/ca+1.pem": Target(Address("h"), tls=TLS("/etc/ca+1.pem")),
    "rediss://h?verify=none": Target(Address("h"), tls=TLS(verify=False)),
    "rediss://h?verify=full&check_hostname=false": Target(Address("h"), tls=TLS(check_hostname=False)),
    "rediss://h?check_hostname=true&server_hostname=x.y": Target(Address("h"), tls=TLS(server_hostname="x.y")),
}


@pytest.mark.parametrize("url", GOOD)
def test_good_url(url: str) -> None:
    assert parse(url) == GOOD[url]


def test_without_url_the_environment_then_localhost(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse() == Target(Address("localhost", 6379), Login())
    monkeypatch.setenv("REDIS_URL", "")
    assert parse() == Target()
    monkeypatch.setenv("REDIS_URL", "rediss://u:p@h:1/2")
    assert parse() == Target(Address("h", 1), Login("u", "p", 2), TLS())
    assert parse(password="other", database=0) == Target(Address("h", 1), Login("u", "other", 0), TLS())
    assert parse("redis://x") == Target(Address("x"))


def test_a_bad_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", f"redis://:{SECRET}@h\n")
    with pytest.raises(InvalidURL, match=r"REDIS_URL has a space, line end .*: strip it") as caught:
        parse()
    assert_no_secret(caught.value)


def test_arguments_win_over_the_url() -> None:
    url = "redis://u:p@h/1?client_name=a"
    given = parse(url, username="U", password="P", database=2, client_name="A")
    assert given.login == Login("U", "P", 2, "A")
    assert parse(url, username="").login == Login(None, "p", 1, "a")
    assert parse(url, username="", password="").login == Login(None, None, 1, "a")
    assert parse("redis://u@h", password="p").login == Login("u", "p")
    assert parse("redis://u@h", password="").login == Login("u", "")
    assert parse("redis://:p@h", username="u").login == Login("u", "p")


def test_the_argument_tls_wins_over_the_url() -> None:
    context = ssl.create_default_context()
    mine = TLS(check_hostname=False)
    assert parse("redis://h", tls=True).tls == TLS()
    assert parse("redis://h?ca_file=x", tls=True).tls == TLS("x")
    assert parse("rediss://h?ca_file=x", tls=mine).tls is mine
    assert parse("rediss://h?ca_file=x", tls=False).tls is None
    assert parse("unix:///s", tls=False).tls is None
    by_context = parse("redis://h", tls=context).tls
    assert by_context == TLS(ssl_context=context)
    assert by_context is not None
    assert by_context.context() is context


# -- the addresses of links --------------------------------------------------------------------------------------------


def test_a_link_to_the_only_address_has_the_target_itself() -> None:
    target = Target(Address("a"), tls=TLS(server_hostname="x"))
    assert target.at(Address("a")) is target
    assert Target(UnixAddress("/s")).at(UnixAddress("/s")) == Target(UnixAddress("/s"))


def test_the_certificate_of_a_node_is_for_the_name_that_it_announces() -> None:
    login = Login("u", "p")
    target = Target(Address("a"), login, TLS(), (Address("b", 2),))
    assert target.describe() == "a:6379, b:2 (TLS)"
    for address in (Address("b", 2), Address("node.example", 3), Address("10.0.0.1", 4)):
        found = target.at(address)
        assert (found.server_hostname, found.describe()) == (address.host, f"{address} (TLS)")
        assert (found.login, found.others) == (login, ())
    named = Target(Address("a"), login, TLS(ca_file="c", server_hostname="x"), (Address("b", 2),))
    names = {"a": "x", "10.0.0.1": "x", "fe80::1%eth0": "x", "node.example": "node.example"}
    assert {host: named.at(Address(host)).server_hostname for host in names} == names
    assert named.at(Address("b", 2)).server_hostname == "x"
    of_node = named.at(Address("node.example")).tls
    assert of_node == TLS(ca_file="c"), "nothing else is different: it is never plain"
    plain = Target(Address("a"), others=(Address("b"),)).at(Address("node.example"))
    assert plain == Target(Address("node.example"))


# -- bad URLs ----------------------------------------------------------------------------------------------------------

BAD: dict[str, str] = {
    # the scheme
    "": "does not start with a scheme: write it like redis://localhost:6379",
    "localhost": "does not start with a scheme",
    "localhost:6379": "does not start with a scheme",
    "//localhost": "does not start with a scheme",
    "redis:localhost": "does not start with a scheme",
    "redis:/localhost": "does not start with a scheme",
    "://localhost": "does not start with a scheme",
    "reddis://h": "unknown scheme 'reddis': did you mean redis",
    "redisss://h": "unknown scheme 'redisss': did you mean rediss",
    "VALKEYSS://h": "unknown scheme 'valkeyss': did you mean valkeys",
    "redis+unix:///s": "unknown scheme 'redis.unix': write unix",
    "https://h": "unknown scheme 'https': use one of redis, rediss, valkey, valkeys, unix, memory",
    # the host and the port
    "redis://": "names no host: write it like redis://localhost:6379",
    "redis:///3": "names no host",
    "redis://:6379": "names no host",
    "redis://u:p@": "names no host",
    "redis://u:p@:6379/1": "names no host",
    "redis://?db=1": "names no host",
    "redis://h:": "bad port: a whole number from 1 to 65535",
    "redis://h:0": "bad port",
    "redis://h:65536": "bad port",
    "redis://h:-1": "bad port",
    "redis://h:+1": "bad port",
    "redis://h:1_0": "bad port",
    "redis://h:6379x": "bad port",
    "redis://h:%36379": "bad port",
    "redis://h:६३७९": "bad port",
    "redis://h:" + "9" * 5000: "bad port",
    "redis://[::1]:x": "bad port",
    "redis://[::1]6379": "bad port",
    "redis://::1": "more than one ':' in its host: an IPv6 address needs brackets",
    "redis://::1:6379": "more than one ':' in its host",
    "redis://a:1,": "names no host",
    "redis://a,,b": "names no host",
    "redis://a,b:x": "bad port",
    "redis://u:p@a,u:p@b": "names a user or password with each host",
    "redis://[::1": "brackets around what is no IPv6 address",
    "redis://[localhost]": "brackets around what is no IPv6 address",
    "redis://[127.0.0.1]": "brackets around what is no IPv6 address",
    "redis://[]": "brackets around what is no IPv6 address",
    "redis://a..b": "a host that is no host name",
    "redis://.a": "a host that is no host name",
    "redis://a%20b": "a host that is no host name",
    "redis://a%00b": "a host that is no host name",
    "redis://a%40b": "a host that is no host name",
    "redis://" + "a" * 64: "a host that is no host name",
    "redis://" + "a." * 127: "a host that is no host name",
    # the user
    "redis://u@h": "user was given without a password: .*an empty one for a user with 'nopass'",
    "unix://u@/s": "user was given without a password",
    # the database
    "redis://h/x": "path that is no database number: write it like /3",
    "redis://h/-1": "path that is no database number",
    "redis://h/1/": "path that is no database number",
    "redis://h/1.0": "path that is no database number",
    "redis://h//1": "path that is no database number",
    "redis://h/²": "path that is no database number",
    "redis://h/1234567890": "path that is no database number",
    "redis://h?db=x": "bad value of the parameter db: it must be a database number, 0 or more",
    "redis://h?db=-1": "bad value of the parameter db",
    "redis://h?db=": "bad value of the parameter db",
    "redis://h?db": "bad value of the parameter db",
    "redis://h/1?db=2": "two databases, by its path and by the parameter db: give one",
    "redis://h/0?db=1": "two databases",
    # the parameters
    "redis://h?db=1&db=1": "gives the parameter db twice: give it once",
    "redis://h?client_nam=x": "unknown parameter 'client_nam': did you mean client_name",
    "redis://h?DB=1": "unknown parameter 'DB': did you mean db",
    "redis://h?database=1": "unknown parameter 'database': write db",
    "redis://h?username=u": "unknown parameter 'username': it goes before the host",
    "redis://h?socket_timeout=5": "unknown parameter 'socket_timeout': use one of db, client_name, ca_file",
    "rediss://h?ssl_ca_certs=x": "unknown parameter 'ssl_ca_certs': write ca_file",
    "rediss://h?ssl_certfile=x": "unknown parameter 'ssl_certfile': did you mean cert_file",
    "rediss://h?ssl_keyfile=x": "unknown parameter 'ssl_keyfile': did you mean key_file",
    "rediss://h?ssl_check_hostname=x": "unknown parameter 'ssl_check_hostname': did you mean check_hostname",
    "rediss://h?ssl_cert_reqs=none": "unknown parameter 'ssl_cert_reqs': write verify=full or verify=none",
    "rediss://h?key_password=x": "unknown parameter 'key_password': a secret has no place there",
    "redis://h?client_name=a%20b": "bad value of the parameter client_name: it must be printable ASCII without spaces",
    "redis://h?client_name=a%0Ab": "bad value of the parameter client_name",
    "redis://h?client_name=ä": "bad value of the parameter client_name",
    "redis://h?client_name=": "bad value of the parameter client_name",
    "rediss://h?ca_file=": "bad value of the parameter ca_file: it must be the path of a PEM file",
    "rediss://h?ca_file=a%00": "bad value of the parameter ca_file",
    "rediss://h?verify=false": "bad value of the parameter verify: it must be full or none",
    "rediss://h?check_hostname=0": "bad value of the parameter check_hostname: it must be true or false",
    "rediss://h?server_hostname=a%20b": "bad value of the parameter server_hostname: it must be a host name",
    "rediss://h?key_file=k": "parameter key_file without cert_file: give the certificate of the key as well",
    "redis://h?ca_file=x": "TLS parameter ca_file, but not the scheme of TLS: take the scheme rediss",
    "valkey://h?verify=none": "TLS parameter verify, but not the scheme of TLS",
    "unix:///s?cert_file=x": "TLS parameter cert_file, but not the scheme of TLS",
    "redis://h?protocol=3": "unknown parameter 'protocol': leave it out, it is always RESP3",
    "redis://h?decode_responses=True": "unknown parameter 'decode_responses': .* decode='utf-8'",
    # what belongs to other clients, shells and files
    "redis+cluster://h": "unknown scheme 'redis\\+cluster': .*write redis, or rediss for TLS",
    "redis-sentinel://h/mymaster": "unknown scheme 'redis-sentinel': write redis.sentinel://HOST:26379/SERVICE",
    "redis+sentinel://h": "names no service: write it like redis.sentinel://host1:26379,host2:26379/SERVICE",
    "redis+sentinel://h/3": "names no service",
    "redis+sentinel://h//3": "names no service",
    "redis+sentinel://h/s/x": "no database number",
    '"redis://h"': "is in quotation marks: strip them",
    "'redis://h": "is in quotation marks",
    # the unix socket
    "unix://": "names no socket: write unix:///path/to/socket",
    "unix:///": "names no socket",
    "unix:///a%00b": "names no socket",
    "unix://u:p@": "names no socket",
    "unix://tmp/s": "names a host, but a unix socket has none: write unix:///path/to/socket, three slashes",
    "unix://u:p@h/s": "names a host, but a unix socket has none",
    # what must be encoded
    "redis://h ": "has a space, line end or control character: strip it",
    " redis://h": "has a space, line end",
    "redis://h\n": "has a space, line end",
    "redis://h\r\n": "has a space, line end",
    "redis://\th": "has a space, line end",
    "redis://h\x00": "has a space, line end",
    "redis://h\u00a0": "has a space, line end",
    "redis://h\udcff": "has a space, line end",
    "redis://h/1#x": "has a '#', .* percent-encode it as %23",
    "redis://u:a#b@h": "has a '#'",
    "redis://u:a/b@h": "has an '@' after the host: percent-encode user and password",
    "redis://u:a?b@h": "has an '@' after the host",
    "redis://u:100%@h": "badly percent-encoded in its password: a '%' is %25",
    "redis://u:%zz@h": "badly percent-encoded in its password",
    "redis://u:%ff@h": "badly percent-encoded in its password: .* must be UTF-8",
    "redis://%4:p@h": "badly percent-encoded in its user",
    "redis://%f": "badly percent-encoded in its host",
    "redis://h/%": "badly percent-encoded in its path",
    "unix:///%ff": "badly percent-encoded in its path",
    "redis://h?client_name=%": "badly percent-encoded in its client_name",
}


@pytest.mark.parametrize("url", BAD)
def test_bad_url(url: str) -> None:
    with pytest.raises(InvalidURL, match=BAD[url]):
        parse(url)


BAD_ARGUMENTS: list[tuple[dict[str, Any], str]] = [
    ({"url": b"redis://:hunter2@h"}, "must be a str such as 'redis://localhost:6379', or a list of them, not int"),
    ({"url": 6379}, "must be a str .*, not int"),
    ({"url": Path("redis://h")}, "must be a str .*, not PosixPath"),
    ({"username": b"u"}, "username must be a str, not bytes"),
    ({"username": "u"}, "user was given without a password"),
    ({"username": "u\udcff", "password": SECRET}, "username has surrogates"),
    ({"password": b"hunter2"}, "password must be a str, not bytes"),
    ({"password": ["hunter2"]}, "password must be a str, not list"),
    ({"password": "hunter2\udcff"}, "password has surrogates and cannot be sent as UTF-8"),
    ({"database": "1"}, "database must be a whole number, 0 or more, not '1'"),
    ({"database": -1}, "database must be a whole number, 0 or more, not -1"),
    ({"database": True}, "database must be a whole number"),
    ({"database": 1.0}, "database must be a whole number"),
    ({"client_name": "a b"}, "client_name must be printable ASCII without spaces.*; 'a b' is not"),
    ({"client_name": "a\n"}, "client_name must be printable ASCII without spaces"),
    ({"client_name": ""}, "client_name must be printable ASCII without spaces"),
    ({"client_name": b"a"}, "client_name must be a str, not bytes"),
    ({"tls": "yes"}, "tls must be a TLS, an ssl.SSLContext or a bool, not str"),
    ({"tls": 1}, "tls must be a TLS, an ssl.SSLContext or a bool, not int"),
    ({"url": "unix:///s", "tls": True}, "a unix socket has no TLS"),
    ({"url": "unix:///s", "tls": TLS()}, "a unix socket has no TLS"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD_ARGUMENTS)
def test_bad_argument(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message) as caught:
        parse(**arguments)
    assert type(caught.value) is InvalidArgument
    assert_no_secret(caught.value)


# -- secrets -----------------------------------------------------------------------------------------------------------


def assert_no_secret(error: BaseException) -> None:
    assert SECRET not in "".join(traceback.format_exception(error))
    chain: list[BaseException | None] = [error]
    for link in chain:
        if link is not None:
            assert SECRET not in f"{link} {link!r} {link.args!r} {vars(link)!r}"
            chain += [link.__cause__, link.__context__]


MISUSED = (
    "redis://:{}@h",
    "redis://u:{}@h",
    "redis://u:{}@h:6379/0?db=0",
    "redis://u:{}@h:x",
    "redis://u:{}@[x]/",
    "redis://u:{}@",
    "redis://u:{}@h/x?y=z",
    "redis://{}@h",
    "rediss://{}:@h?ca_file",
    "unix://:{}@/s",
    "unix://:{}@h/s",
    "unix://{}@s",
    "reddis://u:{}@h",
    "https://u:{}@h",
    "redis:u:{}@h",
    "u:{}@h",
    ":{}@redis://h",
    "redis://h?password={}",
    "redis://h?db={}",
    "redis://h?client_name=%20{}",
    "redis://h/{}",
)
WITHOUT_HOST = (
    "{}",
    "redis://:{}",
    "redis://u:{}",
    "redis://u:{}:6379",
    "redis://u:{}/0",
    "unix://u:{}",
    "unix://{}/s",
)


@pytest.mark.parametrize("separator", ["", *string.punctuation, " ", "\n", "\x7f", "%zz", "%ff", "%2F", "ä", "://"])
def test_a_password_in_the_wrong_place_is_not_shown(separator: str) -> None:
    templates = [*MISUSED, *(() if separator in {"@", "://"} else WITHOUT_HOST)]  # these are an '@host' and a scheme
    for template in templates:
        url = template.format(SECRET + separator + SECRET)
        try:
            target = parse(url)
        except InvalidURL as error:
            assert_no_secret(error)
        else:
            shown = Target(target.address, Login(None, target.login.password), target.tls)  # a user is no secret
            assert SECRET not in f"{target} {target.describe()} {shown!r}", url


def test_passwords_are_in_no_repr() -> None:
    target = parse(f"rediss://user:{SECRET}@h:1", tls=TLS("a", "b", "c", key_password=SECRET))
    assert (target.login.password, target.tls and target.tls.key_password) == (SECRET, SECRET)
    assert str(target) == target.describe() == "h:1 (TLS)"
    assert SECRET not in f"{target!r} {target.login!r} {target.tls!r} {target.login} {target.tls}"
    assert "user" in repr(target)


def test_target() -> None:
    assert parse("redis://localhost").describe() == "localhost:6379"
    assert parse("redis://[::1]:1").describe() == "[::1]:1"
    assert parse("unix:///s").describe() == "unix:/s"
    assert parse("redis://h").server_hostname is None
    assert parse("unix:///s").server_hostname is None
    assert parse("rediss://h").server_hostname == "h"
    assert parse("rediss://[fe80::1%25eth0]").server_hostname == "fe80::1"
    assert parse("rediss://h?server_hostname=other").server_hostname == "other"
    target = parse("rediss://u:p@h?ca_file=x")
    assert pickle.loads(pickle.dumps(target)) == target
    assert {target: 1}[target] == 1


# -- TLS contexts ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def files(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    from cryptography.hazmat.primitives import serialization

    folder = tmp_path_factory.mktemp("pem")
    certificate = authority.issue_cert("localhost")
    key = serialization.load_pem_private_key(certificate.private_key_pem.bytes(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(SECRET.encode()),
    )
    contents = {
        "ca": authority.cert_pem.bytes(),
        "other_ca": trustme.CA().cert_pem.bytes(),
        "cert": certificate.cert_chain_pems[0].bytes(),
        "key": certificate.private_key_pem.bytes(),
        "locked": locked,
        "other_key": authority.issue_cert("x").private_key_pem.bytes(),
        "empty": b"",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {name: str(folder / name) for name in contents} | {"missing": str(folder / "missing"), "folder": str(folder)}


def test_context_is_safe_by_default(files: dict[str, str]) -> None:
    context = TLS().context()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    only_ours = TLS(ca_file=files["ca"]).context()
    assert len(only_ours.get_ca_certs()) == 1
    assert (only_ours.verify_mode, only_ours.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_context_checks_can_be_switched_off() -> None:
    context = TLS(verify=False).context()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)
    context = TLS(check_hostname=False).context()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, False)


def test_context_is_built_again_when_a_file_changes(files: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_bytes(Path(files["ca"]).read_bytes())
    tls = TLS(ca_file=path)
    first = tls.context()
    assert tls.context() is first
    assert TLS(ca_file=path).context() is first
    path.write_bytes(Path(files["other_ca"]).read_bytes())
    os.utime(path, (1, 1))
    assert tls.context().get_ca_certs() != first.get_ca_certs()
    path.unlink()
    with pytest.raises(InvalidArgument, match=r"ca_file '.*/ca\.pem' cannot be read"):
        tls.context()


def test_key_with_password(files: dict[str, str]) -> None:
    TLS(cert_file=files["cert"], key_file=files["key"]).context()
    TLS(cert_file=files["cert"], key_file=files["key"], key_password="needless").context()
    TLS(cert_file=files["cert"], key_file=files["locked"], key_password=SECRET).context()


BAD_FILES: list[tuple[dict[str, str], str]] = [
    ({"ca_file": "missing"}, "ca_file '.*/missing' cannot be read .No such file or directory"),
    ({"cert_file": "missing"}, "cert_file '.*/missing' cannot be read"),
    ({"cert_file": "cert", "key_file": "missing"}, "key_file '.*/missing' cannot be read"),
    ({"ca_file": "folder"}, "ca_file '.*' cannot be used .*; give a PEM file of certificates"),
    ({"ca_file": "empty"}, "ca_file '.*/empty' cannot be used"),
    ({"ca_file": "key"}, "ca_file '.*/key' cannot be used"),
    ({"cert_file": "empty"}, "cert_file '.*/empty' cannot be used .*; give PEM files of a certificate and its key"),
    ({"cert_file": "cert"}, "cert_file '.*/cert' cannot be used"),
    ({"cert_file": "cert", "key_file": "other_key"}, "cert_file '.*/cert' with key_file '.*/other_key' cannot be used"),
    ({"cert_file": "cert", "key_file": "locked"}, "cannot be used .*key_password if the key is encrypted"),
]


@pytest.mark.parametrize(("settings", "message"), BAD_FILES)
def test_bad_files_are_named(settings: dict[str, str], message: str, files: dict[str, str]) -> None:
    tls = TLS(**{name: files[file] for name, file in settings.items()})  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match=message) as caught:
        tls.context()
    assert is_permanent(caught.value)
    assert explain(caught.value, Target(tls=tls)) == str(caught.value)


def test_a_wrong_key_password_is_not_shown(files: dict[str, str]) -> None:
    for secret in (SECRET + "x", SECRET * 1000):
        tls = TLS(cert_file=files["cert"], key_file=files["locked"], key_password=secret)
        with pytest.raises(InvalidArgument, match="key_password if the key is encrypted") as caught:
            tls.context()
        assert_no_secret(caught.value)


def test_tls_settings_that_contradict() -> None:
    for settings in ({"key_file": "k"}, {"key_password": "p"}):
        with pytest.raises(InvalidArgument, match="needs its certificate"):
            TLS(**settings)  # type: ignore[arg-type]
    context = ssl.create_default_context()
    changes: list[dict[str, Any]] = [{"ca_file": "x"}, {"cert_file": "x"}, {"verify": False}, {"check_hostname": False}]
    for change in changes:
        with pytest.raises(InvalidArgument, match="make these settings in the context"):
            TLS(ssl_context=context, **change)
    assert TLS(ssl_context=context, server_hostname="h").context() is context


# -- real dial errors --------------------------------------------------------------------------------------------------

Serve = Callable[[Callable[[socket.socket], object]], int]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a server on loopback that hands each connection to the given function; return its port."""
    with contextlib.ExitStack() as stack:

        def start(handle: Callable[[socket.socket], object]) -> int:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            stop = threading.Event()

            def run() -> None:
                listener.settimeout(0.05)
                while not stop.is_set():
                    with contextlib.suppress(OSError):
                        accepted, _ = listener.accept()
                        accepted.settimeout(5)
                        with accepted:
                            handle(accepted)

            thread = threading.Thread(target=run)
            stack.callback(thread.join)
            stack.callback(stop.set)
            thread.start()
            port: int = listener.getsockname()[1]
            return port

        yield start


def tls_server(
    authority: trustme.CA, *names: str, ask_client: bool = False, newest: ssl.TLSVersion | None = None, **options: Any
) -> Callable[[socket.socket], object]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names or ("localhost",), **options).configure_cert(context)
    if ask_client:
        context.verify_mode = ssl.CERT_REQUIRED
        authority.configure_trust(context)
    if newest:
        context.maximum_version = newest

    def handle(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as stream:
            stream.recv(100)
            stream.sendall(b"+OK\r\n")

    return handle


def plain_server(connection: socket.socket) -> None:
    connection.recv(1000)
    connection.sendall(b"-ERR Protocol error\r\n")


def dial(target: Target, *, timeout: float = 5.0) -> bytes:
    """Like a blocking driver: connect, shake hands, send, receive."""
    assert isinstance(target.address, Address)
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(socket.create_connection(("127.0.0.1", target.address.port), timeout=timeout))
        if target.tls:
            context = target.tls.context()
            stream = stack.enter_context(context.wrap_socket(stream, server_hostname=target.server_hostname))
        stream.sendall(b"HELLO 3\r\n")
        return stream.recv(100)


def failure(target: Target, *, timeout: float = 5.0) -> BaseException:
    try:
        answer = dial(target, timeout=timeout)
    except Exception as error:
        return error
    pytest.fail(f"no error, but {answer!r}")


def test_handshake_works(serve: Serve, authority: trustme.CA, files: dict[str, str]) -> None:
    port = serve(tls_server(authority))
    trusting = f"rediss://localhost:{port}?ca_file={files['ca']}"
    assert dial(parse(trusting)) == b"+OK\r\n"
    assert dial(parse(f"rediss://localhost:{port}?verify=none")) == b"+OK\r\n"
    assert dial(parse(f"rediss://127.0.0.1:{port}?ca_file={files['ca']}&check_hostname=false")) == b"+OK\r\n"
    assert dial(parse(f"rediss://127.0.0.1:{port}?ca_file={files['ca']}&server_hostname=localhost")) == b"+OK\r\n"
    port = serve(tls_server(authority, ask_client=True))
    url = f"rediss://localhost:{port}?ca_file={files['ca']}&cert_file={files['cert']}&key_file={files['key']}"
    assert dial(parse(url)) == b"+OK\r\n"


def test_unknown_authority(serve: Serve, authority: trustme.CA, files: dict[str, str]) -> None:
    port = serve(tls_server(authority))
    for query in ("", f"?ca_file={files['other_ca']}"):
        target = parse(f"rediss://localhost:{port}{query}")
        error = failure(target)
        said = explain(error, target)
        assert said.startswith(f"the certificate of localhost:{port} (TLS) is not trusted (")
        assert "issuer certificate): pass ca_file=" in said
        assert is_permanent(error)


def test_wrong_name(serve: Serve, authority: trustme.CA, files: dict[str, str]) -> None:
    port = serve(tls_server(authority))
    for host in ("other.example", "127.0.0.1"):
        target = parse(f"rediss://{host}:{port}?ca_file={files['ca']}")
        error = failure(target)
        said = explain(error, target)
        assert said.startswith(f"the certificate of {host}:{port} (TLS) is for another name (")
        assert f"not valid for '{host}'" in said
        assert "server_hostname=..." in said
        assert is_permanent(error)


@pytest.mark.parametrize(("days", "word"), [(-9, "certificate has expired"), (9, "certificate is not yet valid")])
def test_wrong_date(days: int, word: str, serve: Serve, authority: trustme.CA, files: dict[str, str]) -> None:
    start = datetime.now(UTC) + timedelta(days=days)
    port = serve(tls_server(authority, not_before=start, not_after=start + timedelta(hours=1)))
    target = parse(f"rediss://localhost:{port}?ca_file={files['ca']}")
    error = failure(target)
    said = explain(error, target)
    assert f"certificate of localhost:{port} (TLS) is out of date ({word}" in said
    assert said.endswith("): renew it, or check the clock")
    assert is_permanent(error)


def test_plain_server_behind_tls(serve: Serve) -> None:
    target = parse(f"rediss://localhost:{serve(plain_server)}")
    error = failure(target)
    assert "answered, but not by TLS: use redis:// instead of rediss://" in explain(error, target)
    assert is_permanent(error)


def test_tls_server_behind_plain(serve: Serve, authority: trustme.CA) -> None:
    port = serve(tls_server(authority))
    target = parse(f"redis://localhost:{port}")
    try:
        answer = dial(target)
    except ConnectionError as error:
        said, permanent = explain(error, target), is_permanent(error)
    else:  # an alert, or the end: depends on who is faster
        assert answer[:1] in {b"\x15", b""}
        lost = RemoteProtocolError(f"the server sent {answer!r}") if answer else ConnectionLost("end of stream")
        said, permanent = explain(lost, target), is_permanent(lost)
    assert "if that port speaks TLS, use rediss://" in said
    assert not permanent


def test_end_in_the_handshake(serve: Serve) -> None:
    target = parse(f"rediss://localhost:{serve(lambda connection: connection.recv(100_000))}")
    error = failure(target)
    assert "broke off the TLS handshake: if that port speaks no TLS, use redis://" in explain(error, target)
    assert not is_permanent(error)


def test_silence_in_the_handshake(serve: Serve) -> None:
    done = threading.Event()
    target = parse(f"rediss://localhost:{serve(lambda _: done.wait(5))}")
    error = failure(target, timeout=0.05)
    done.set()
    assert "did not answer in time" in explain(error, target)
    assert "if that port speaks no TLS, use redis://" in explain(error, target)
    assert not is_permanent(error)


def test_old_tls_only(serve: Serve, authority: trustme.CA, files: dict[str, str]) -> None:
    port = serve(tls_server(authority, newest=ssl.TLSVersion.TLSv1_2))
    newer = ssl.create_default_context(cafile=files["ca"])
    newer.minimum_version = ssl.TLSVersion.TLSv1_3
    target = parse(f"rediss://localhost:{port}", tls=newer)
    error = failure(target)
    assert "offers no version of TLS that we accept" in explain(error, target)
    assert is_permanent(error)


def test_client_certificate_wanted(serve: Serve, authority: trustme.CA, files: dict[str, str]) -> None:
    port = serve(tls_server(authority, ask_client=True, newest=ssl.TLSVersion.TLSv1_2))
    target = parse(f"rediss://localhost:{port}?ca_file={files['ca']}")
    error = failure(target)
    assert "refused our side of the TLS handshake" in explain(error, target)
    assert "pass cert_file=... and key_file=..." in explain(error, target)
    assert is_permanent(error)


def test_client_certificate_wanted_by_tls_13() -> None:
    # By TLS 1.3 the client has finished its handshake before; whether it still sees the alert is a race.
    target = parse("rediss://h")
    alert = ssl.SSLError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required (_ssl.c:2580)")
    alert.reason = "TLSV13_ALERT_CERTIFICATE_REQUIRED"
    assert "pass cert_file=... and key_file=..." in explain(alert, target)
    assert is_permanent(alert)
    end = ssl.SSLEOFError(8, "EOF occurred in violation of protocol (_ssl.c:2427)")
    assert "if it wants a client certificate, pass cert_file=..." in explain(end, target)
    assert not is_permanent(end)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def test_refused() -> None:
    target = parse(f"redis://localhost:{free_port()}")
    error = failure(target)
    assert explain(error, target) == (
        f"{target} refused the connection: does a server listen there? Start it, or correct the URL"
    )
    assert not is_permanent(error)


def test_unknown_name() -> None:
    target = parse("redis://name.invalid")
    with pytest.raises(OSError) as caught:
        socket.getaddrinfo("name.invalid", 6379)
    said = explain(caught.value, target)
    assert said.startswith("the host name of name.invalid:6379 cannot be resolved (")
    assert "check its spelling and the DNS" in said
    assert not is_permanent(caught.value)


def test_unusable_name() -> None:
    target = parse("redis://" + "ü" * 63)
    with pytest.raises(UnicodeError) as caught:
        socket.getaddrinfo("ü" * 63, 6379)
    assert "has no valid host name" in explain(caught.value, target)
    assert is_permanent(caught.value)


def unix_failure(path: Path) -> tuple[BaseException, str]:
    with socket.socket(socket.AF_UNIX) as client, pytest.raises(OSError) as caught:
        client.connect(str(path))
    assert not is_permanent(caught.value)
    return caught.value, explain(caught.value, Target(UnixAddress(str(path))))


def test_unix_sockets(tmp_path: Path) -> None:
    _, said = unix_failure(tmp_path / "missing")
    assert said.startswith(f"unix:{tmp_path}/missing does not exist: start the server, or correct the path")
    (tmp_path / "file").write_text("")
    _, said = unix_failure(tmp_path / "file")
    assert "refused the connection: does a server listen there?" in said
    _, said = unix_failure(tmp_path / ("x" * 200))
    assert "path too long" in said
    denied = PermissionError(13, "Permission denied")
    assert explain(denied, parse("unix:///s")) == (
        "unix:/s cannot be opened (Permission denied): check our rights (`unixsocketperm`, a firewall)"
    )


OTHERS: list[tuple[BaseException, str]] = [
    (TimeoutError(), "h:6379 did not answer in time: check the address, and firewalls; if that port speaks TLS"),
    (TimeoutError(110, "Connection timed out"), "did not answer in time"),
    (OSError(113, "No route to host"), "cannot connect to h:6379 (No route to host): check the address, the network"),
    (OSError(24, "Too many open files"), "cannot connect to h:6379 (Too many open files)"),
    (OSError("odd"), "cannot connect to h:6379 (odd): check the address, the network and the server"),
    (OSError(), "cannot connect to h:6379 (OSError)"),
    (ConnectionResetError(104, "Connection reset by peer"), "closed the connection (Connection reset by peer)"),
    (ConnectionAbortedError("SSL handshake is taking longer than 60.0 seconds"), "(SSL handshake is taking longer"),
    (BrokenPipeError(), "closed the connection (BrokenPipeError)"),
    (RemoteProtocolError("no RESP {} {where}"), "does not speak RESP (no RESP {} {where}): if that port speaks TLS"),
    (ExceptionGroup("all", [OSError("x"), ConnectionRefusedError(111, "no")]), "refused the connection"),
    (ssl.SSLError(1, "[SSL: BAD_THING] bad thing"), "the TLS handshake with h:6379 failed ([SSL: BAD_THING]"),
    (ConnectionLost("gone"), "gone: look into the server's log"),
]


@pytest.mark.parametrize(("error", "expected"), OTHERS)
def test_other_errors(error: BaseException, expected: str) -> None:
    assert expected in explain(error, parse("redis://h"))
    assert not is_permanent(error)


def test_causes_are_looked_at() -> None:
    target = parse("rediss://h")
    verify = ssl.SSLCertVerificationError(1, "certificate verify failed")
    lost = ConnectionLost("broken")
    lost.__cause__ = OSError("wrapped")
    lost.__cause__.__cause__ = verify
    verify.__cause__ = lost  # a ring does no harm
    assert "is not trusted" in explain(lost, target)
    assert is_permanent(lost)


def test_what_was_explained_stays() -> None:
    for permanent in (True, False):
        error = ConnectFailed("said before", permanent=permanent)
        assert explain(error, Target()) == "said before"
        assert is_permanent(error) is permanent


def test_errors_of_asyncio(serve: Serve, authority: trustme.CA) -> None:
    refused = parse(f"redis://localhost:{free_port()}")
    untrusted = parse(f"rediss://localhost:{serve(tls_server(authority))}")
    plain = parse(f"rediss://localhost:{serve(plain_server)}")

    async def attempt(target: Target) -> BaseException:
        assert isinstance(target.address, Address)
        context = target.tls.context() if target.tls else None
        with pytest.raises(OSError) as caught:
            await asyncio.open_connection(
                "localhost", target.address.port, ssl=context, server_hostname=target.server_hostname
            )
        return caught.value

    assert "refused the connection" in explain(asyncio.run(attempt(refused)), refused)
    assert "is not trusted" in explain(asyncio.run(attempt(untrusted)), untrusted)
    assert "answered, but not by TLS" in explain(asyncio.run(attempt(plain)), plain)
    text = "[Errno 111] Connect call failed ('::1', 1, 0, 0), [Errno 111] Connect call failed ('127.0.0.1', 1)"
    assert "refused the connection" in explain(OSError(f"Multiple exceptions: {text}"), refused)


def test_errors_of_trio(serve: Serve, authority: trustme.CA) -> None:
    refused = parse(f"redis://localhost:{free_port()}")
    untrusted = parse(f"rediss://localhost:{serve(tls_server(authority))}")

    async def attempt(target: Target) -> BaseException:
        assert isinstance(target.address, Address)
        try:
            async with await trio.open_tcp_stream("localhost", target.address.port) as stream:
                assert target.tls
                secure = trio.SSLStream(stream, target.tls.context(), server_hostname=target.server_hostname)
                await secure.do_handshake()
        except (OSError, trio.BrokenResourceError) as error:
            return error
        pytest.fail("no error")

    assert "refused the connection" in explain(trio.run(attempt, refused), refused)
    error = trio.run(attempt, untrusted)
    assert "is not trusted" in explain(error, untrusted)
    assert is_permanent(error)
    assert "did not answer in time" in explain(trio.TooSlowError(), refused)


# -- imports -----------------------------------------------------------------------------------------------------------


def test_ssl_is_imported_by_context_only() -> None:
    program = """
import sys
from transports._dial_errors import explain, is_permanent
from transports.address import TLS, parse
target = parse("rediss://u:p@h")
explain(ConnectionRefusedError(111, "x"), target), is_permanent(OSError())
try:
    parse("redis://h", tls="yes")
except ValueError:
    pass
assert not {"ssl", "socket", "difflib", "pathlib", "asyncio"} & set(sys.modules), sorted(sys.modules)
target.tls.context()
assert "ssl" in sys.modules
"""
    root = str(Path(__file__).parents[2])
    subprocess.run([sys.executable, "-c", program], check=True, cwd=root, env={**os.environ, "PYTHONPATH": root})
