"""The issuer of the programs' credentials, for logins that rotate: an application's ``connect(credentials=...)``.

It answers late, at times not at all, and may be unable to. The server takes the newest token only, and ends each connection whose
login was not renewed within ``LIFE``, as managed services do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streamcore.options import Credentials

if TYPE_CHECKING:
    from streamcore.testing.model import Session

    from .scheduler import Scheduler
    from .server_host import Host

USER: Final = "worker"
LIFE: Final = 2.0
"""Seconds for which a login serves."""

TICK: Final = 0.05
"""Seconds between two looks of the server at the logins."""


class IssuerDown(Exception):  # the application's own
    """The issuer gives no token now."""


class Issuer:
    """Issues tokens. ``logins`` has the time of the last login of each session; ``renewed`` counts renewals since the world has healed."""

    def __init__(self, world: Scheduler, host: Host) -> None:
        self.is_down = False
        self.delay = 0.0
        self.logins: dict[Session, float] = {}
        self.renewed = 0
        self._world = world
        self._host = host
        self._lots = world.lots("issuer")
        self._number = 0
        self.rotate()
        world.after(TICK, self._look)

    def rotate(self) -> None:
        """The token changes; connections by the former token stay."""
        self._number += 1
        self._host.server.passwords[USER.encode()] = self._token

    @property
    def _token(self) -> bytes:
        return b"token %d" % self._number

    def ask(self) -> tuple[float, Credentials | IssuerDown]:
        """An application asks: after how many seconds it has its answer, and the answer."""
        seconds = 0.001 + 0.03 * self._lots.random() ** 2 + self.delay
        return seconds, IssuerDown() if self.is_down else Credentials(USER, self._token.decode(), LIFE)

    def before_command(self, session: Session, words: list[bytes]) -> None:
        """The server is about to run a command."""
        if words[0] in {b"HELLO", b"AUTH"} and self._token in words:
            self.logins[session] = self._world.now
            self.renewed += words[0] == b"AUTH" and not self._world.faulty

    def ended(self) -> list[Session]:
        """The sessions whose logins have ended."""
        now = self._world.now
        return [session for session, at in self.logins.items() if session.is_open and now - at >= LIFE]

    def _look(self) -> None:
        host = self._host
        if host.is_up and not host.paused:
            for session in self.ended():
                if host.server.sessions.get(session.number) is session:
                    self._world.tell("server", f"ends session {session.number}: its login has ended")
                    host.do(b"CLIENT", b"KILL", b"ID", b"%d" % session.number)
        self._world.after(TICK, self._look)
