"""What goes wrong with logins that rotate: credentials that are kept too long, and renewals that do not come."""

from __future__ import annotations

from typing import Final

from .mutant import Edit, Mutant

ROTATION: Final = "streamcore.connection.rotation"

LOGINS: Final = (
    Mutant(
        "credentials-asked-for-once",
        ROTATION,
        "self.unanswered = self._failures = 0\n        self._ask()\n",
        "self.unanswered = self._failures = 0\n"
        "        self._ask()\n"
        "        if (kept := getattr(self, 'kept', None)) is not None:\n"
        "            self.take(kept, self._clock.now)\n",
        "clients that keep a password for ever: after its rotation no connection comes back",
        scenario="rotation",
        mirror=Edit(
            ROTATION,
            "        link, connection, timeout = self._link,",
            "        self.kept = credentials\n        link, connection, timeout = self._link,",
        ),
    ),
    Mutant(
        "login-not-renewed",
        ROTATION,
        "        else:\n            self._ask()\n",
        "        else:\n            self._want(wanted=False, until=inf)\n",
        "clients that log in once on a connection: managed services close it when the token has ended",
        scenario="rotation",
    ),
    Mutant(
        "renewal-too-late",
        ROTATION,
        "EARLIEST: Final = 0.7",
        "EARLIEST: Final = 0.97",
        "clients that renew when the token ends: the server has closed the connection by then",
        scenario="rotation",
    ),
    Mutant(
        "rotated-password-is-a-permanent-failure",
        "streamcore.connection.handshake",
        "permanent=not login.rotates)",
        "permanent=True)",
        "clients that take WRONGPASS for final, where the password has changed between the question and the login",
        scenario="rotation",
    ),
)
