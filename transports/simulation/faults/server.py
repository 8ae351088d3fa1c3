"""Faults of the server: killed, paused, out of step with the time, full, loading, or not willing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from streamcore.testing.model import Session
from streamcore.testing.model.faults import Faults
from streamcore.testing.model.protocol import Denied, Failure

from ..context import Kind, Scene, pick
from ..world.plan import Fault

UNAVAILABLE: Final = (
    "LOADING Redis is loading the dataset in memory",
    "READONLY You can't write against a read only replica.",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "BUSY Redis is busy running a script.",
    "MISCONF Errors writing to the AOF file: No space left on device",
    "OOM command not allowed when used memory > 'maxmemory'.",
    "NOREPLICAS Not enough good replicas to write.",
    "TRYAGAIN Multiple keys request during rehashing of slot",
    "CLUSTERDOWN The cluster is down",
)
"""What a whole server answers for a while, each of which an engine has to survive."""

ONCE: Final = (
    ("XREADGROUP", "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)"),
    ("XREADGROUP", "LOADING Redis is loading the dataset in memory"),
    ("XREADGROUP", "NOGROUP No such key or consumer group"),
    ("XACK", "LOADING Redis is loading the dataset in memory"),
    ("XACK", "READONLY You can't write against a read only replica."),
    ("XADD", "OOM command not allowed when used memory > 'maxmemory'."),
    ("XADD", "READONLY You can't write against a read only replica."),
    ("XADD", "TRYAGAIN Multiple keys request during rehashing of slot"),
    ("XADD", "LOADING Redis is loading the dataset in memory"),
    ("XADD", "NOREPLICAS Not enough good replicas to write."),
    ("XADD", "CLUSTERDOWN The cluster is down"),
    ("XADD", "BUSY Redis is busy running a script."),
    ("XADD", "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."),
    ("XCLAIM", "LOADING Redis is loading the dataset in memory"),
    ("XPENDING", "BUSY Redis is busy running a script."),
    ("XINFO GROUPS", "LOADING Redis is loading the dataset in memory"),
    ("EVAL", "BUSY Redis is busy running a script."),
    ("EVAL", "OOM command not allowed when used memory > 'maxmemory'."),
    ("HELLO", "LOADING Redis is loading the dataset in memory"),
    ("HELLO", "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."),
    ("INFO", "NOPERM User default has no permissions to run the 'info' command"),
    ("CLIENT LIST", "NOPERM User default has no permissions to run the 'client|list' command"),
    ("CLIENT KILL", "NOPERM User default has no permissions to run the 'client|kill' command"),
    ("CLIENT UNBLOCK", "NOPERM User default has no permissions to run the 'client|unblock' command"),
)
"""What a single command is answered, once."""

FAREWELL: Final = "ERR Protocol error: invalid bulk length"
"""What a server says before it closes, where it cannot read a command."""

DENIED: Final = ("INFO", "CLIENT LIST", "CLIENT KILL", "CLIENT UNBLOCK")
"""What a user may not be allowed to do, and an engine has to do without."""

DENIED_IN_SCRIPTS: Final = ("XGROUP DELCONSUMER", "XINFO CONSUMERS")
"""The same, of what our scripts run."""


class CountedFaults(Faults):
    """Faults that are told when they strike."""

    def __init__(self, struck: Callable[[str, str], None], for_good: AbstractSet[str]) -> None:
        super().__init__()
        self._for_good = for_good
        self.denied |= for_good
        self._struck = struck
        self._armed: dict[str, deque[str]] = {}
        self._parting: dict[Session, int] = {}  # after so many commands more
        self._session: Session | None = None
        self._running: list[bytes] = []
        self.refused: set[tuple[Session, str]] = set()  # who has met what is denied for good

    def begin(self, session: Session, words: list[bytes]) -> None:
        """A client's command is about to be run; a script's calls do not fail by themselves."""
        self._session, self._running = session, words

    def part(self, session: Session, commands: int) -> None:
        """After so many commands more, the server cannot read the next command, says so, and closes."""
        self._parting[session] = commands

    def arm(self, command: str, error: str) -> None:
        """The next command of these fails."""
        self._armed.setdefault(command, deque()).append(error)

    def clear(self) -> None:
        """Nothing fails any more."""
        self._armed.clear()
        self._parting.clear()
        self.denied &= self._for_good
        self.unavailable = None

    def check(self, word: bytes, words: Sequence[bytes], flags: str) -> None:
        if not (self._armed or self._parting or self.denied or self.unavailable):
            return
        if words is self._running and (session := self._session) in self._parting:
            self._part(session)
        if self._armed and words is self._running:
            name = word.decode()
            for named in (name, f"{name} {words[1].decode(errors='replace').upper()}" if len(words) > 1 else name):
                if armed := self._armed.get(named):
                    error = armed.popleft()
                    if not armed:
                        del self._armed[named]
                    self._struck(named, error)
                    raise Failure(error)
        try:
            super().check(word, words, flags)
        except Denied:
            if self._session is not None and (name := word.decode()) in self._for_good:
                self.refused.add((self._session, name))
            raise

    def _part(self, session: Session) -> None:
        left = self._parting.pop(session)
        if left:
            self._parting[session] = left - 1
            return
        session.is_leaving = True
        self._struck("a command that could not be read", FAREWELL)
        raise Failure(FAREWELL)


def faults_of(scene: Scene) -> CountedFaults:
    """The faults of the server; made the first time, also after another server has taken its place."""
    found = scene.host.server.faults
    if not isinstance(found, CountedFaults):
        world = scene.world

        def struck(command: str, error: str) -> None:
            world.fault("farewell" if error == FAREWELL else "error reply", f"{command} is answered {error}")

        found = CountedFaults(struck, scene.refused_for_good)
        scene.host.server.faults = found
        scene.running.append(found.begin)
    return found


def kill(scene: Scene, fault: Fault) -> str | None:
    """SIGKILL, and a new start with the data."""
    if not scene.host.is_up:
        return None
    seconds = 0.02 + fault.a**2 * 0.4
    scene.host.stop()
    scene.world.after(seconds, lambda: restart(scene))
    return f"the server is killed, for {seconds:.2f} s"


def restart(scene: Scene) -> None:
    """The server runs again."""
    if not scene.host.is_up:
        scene.host.start()
        scene.world.tell("server", "is started")


def pause(scene: Scene, fault: Fault) -> str | None:
    """SIGSTOP, and SIGCONT."""
    if scene.host.paused or not scene.host.is_up:
        return None
    seconds = 0.01 + fault.a**4 * 0.9
    scene.host.pause()
    scene.world.after(seconds, scene.host.resume)
    return f"the server stands still for {seconds:.2f} s"


def unavailable(scene: Scene, fault: Fault) -> str | None:
    """For a while it answers nothing but an error."""
    faults, error = faults_of(scene), UNAVAILABLE[int(fault.a * len(UNAVAILABLE))]
    if faults.unavailable is not None:
        return None
    faults.unavailable = error
    seconds = 0.01 + fault.b**2 * 0.12

    def end() -> None:
        if faults.unavailable == error:
            faults.unavailable = None

    scene.world.after(seconds, end)
    return f"the server answers {error.split()[0]} for {seconds:.2f} s"


def error(scene: Scene, fault: Fault) -> None:
    """A command fails, the next time that it comes."""
    command, said = ONCE[int(fault.a * len(ONCE))]
    faults_of(scene).arm(command, said)


def deny(scene: Scene, fault: Fault) -> str | None:
    """For a while, something is not allowed."""
    faults, at = faults_of(scene), int(fault.a * (len(DENIED) + 1))
    command = DENIED[at] if at < len(DENIED) else DENIED_IN_SCRIPTS[int(fault.b * len(DENIED_IN_SCRIPTS))]
    if command in faults.denied:
        return None
    faults.denied.add(command)
    scene.world.after(fault.b, lambda: faults.denied.discard(command))
    return f"{command} is not allowed for {fault.b:.2f} s"


def step_clock(scene: Scene, fault: Fault) -> str:
    """The server's wall clock is set, forwards or backwards."""
    before = scene.host.server.skew
    # Far steps lead to places less than 100 s apart: that is for how long a message id is remembered.
    skew = before + (fault.a - 0.5) * 4.0 if fault.b < 0.8 else 90.0 * fault.a - 20.0
    seconds, scene.host.server.skew = skew - before, skew
    scene.latest_clock = max(scene.latest_clock, scene.host.server.skew)
    return f"the server's clock is set by {seconds:+.2f} s"


def heal(scene: Scene) -> None:
    """Nothing fails any more, and the clock is right: as late as it ever was, for idle times count from then."""
    faults_of(scene).clear()
    scene.host.server.skew = scene.latest_clock


def kill_client(scene: Scene, fault: Fault) -> str | None:
    """CLIENT KILL, by an operator."""
    wire = pick(list(scene.host.clients()), fault.a)
    if wire is None or wire.session is None or not scene.host.is_up or scene.host.paused:
        return None
    said = f"CLIENT KILL of {wire.label}"
    scene.host.do(b"CLIENT", b"KILL", b"ID", b"%d" % wire.session.number)
    return said


def unblock(scene: Scene, fault: Fault) -> str | None:
    """CLIENT UNBLOCK of a read, by a timeout or by an error."""
    blocked = [wire for wire in scene.host.clients() if wire.session is not None and wire.session.blocked is not None]
    wire = pick(blocked, fault.a)
    if wire is None or wire.session is None or not scene.host.is_up or scene.host.paused:
        return None
    how = b"ERROR" if fault.b < 0.5 else b"TIMEOUT"
    scene.host.do(b"CLIENT", b"UNBLOCK", b"%d" % wire.session.number, how)
    return f"CLIENT UNBLOCK {how.decode()} of {wire.label}"


def forget_scripts(scene: Scene, _: Fault) -> str | None:
    """SCRIPT FLUSH."""
    if not scene.host.is_up or not scene.host.server.scripts:
        return None
    scene.host.do(b"SCRIPT", b"FLUSH")
    return "SCRIPT FLUSH"


KINDS: Final = {
    "server killed": Kind(2, kill),
    "server paused": Kind(3, pause),
    "server unavailable": Kind(2.5, unavailable),
    "error reply": Kind(14, error),
    "permission denied": Kind(4, deny),
    "clock step": Kind(4, step_clock),
    "CLIENT KILL": Kind(4, kill_client),
    "CLIENT UNBLOCK": Kind(4, unblock),
    "SCRIPT FLUSH": Kind(2, forget_scripts),
}
