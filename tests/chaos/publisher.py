"""Numbers published past the networks, and which of them the server has confirmed.

It holds its breath while a failover lasts: who is subscribed at a server that has become a replica gets what the primary
passes on, and what is lost on that way no client can know.
"""

from __future__ import annotations

import threading
import time
from typing import Final

import hiredis

from tests.support.raw import Raw

from .stage import Stage

NUMBERS: Final = "numbers"
NOISE: Final = "noise"
END: Final = -1
PACE: Final = 0.005  # seconds


class Publisher:
    """``confirmed``: numbers that the primary took while it was the primary."""

    def __init__(self, stage: Stage) -> None:
        self.published = 0
        self.confirmed: set[int] = set()
        self._stage = stage
        self._ending = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """Publish nothing but the end from now on."""
        self._ending = True

    def stop(self) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(PACE):
            turn = self._stage.turn
            if turn % 2:
                continue
            try:
                with self._stage.raw(timeout=2) as raw:
                    while turn == self._stage.turn and not self._stop.wait(PACE):
                        self._publish(raw, turn)
            except (OSError, EOFError, hiredis.HiredisError):  # the server is down, or just stopped
                time.sleep(PACE)

    def _publish(self, raw: Raw, turn: int) -> None:
        number = END if self._ending else self.published
        if number != END:
            self.published += 1
        raw("PUBLISH", NUMBERS, number)
        if number != END and turn == self._stage.turn:
            self.confirmed.add(number)
