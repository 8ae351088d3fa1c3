"""The processes of a run: each has a journal, and a file for what it complains about on standard error.

They end with the pipe to their standard input, so that none of them outlives the soak, however that ends.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from .settings import KINDS, Settings

GRACE: Final = 20.0  # seconds to end after SIGTERM


class Child:
    """One process, from its start to its end."""

    def __init__(self, settings: Settings, url: str, label: str, module: str, *words: str) -> None:
        self.label = label
        self.stopped = self.dismissed = False
        self._complaints = settings.path / f"{label}.err"
        journal = str(settings.path / f"{label}.journal")
        command = [sys.executable, "-m", f"tests.soak.{module}", *words, journal, url, settings.to_words()]
        with self._complaints.open("wb") as complaints:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stderr=complaints, start_new_session=True, env={**os.environ}
            )

    @property
    def status(self) -> int | None:
        return self.process.poll()

    @property
    def complaints(self) -> str:
        return self._complaints.read_text(errors="replace").strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGSTOP)
        self.stopped = True

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.stopped = False

    def dismiss(self) -> None:
        """Tell it to leave in order."""
        self.dismissed = True
        self.process.terminate()

    def leave(self) -> int:
        """Dismiss it, and wait; its status, which is that of SIGKILL where it did not end."""
        self.dismiss()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(GRACE)
        self.kill()
        return self.process.returncode

    def stacks(self) -> str:
        """Where a worker is: what its threads do."""
        self.process.send_signal(signal.SIGUSR1)
        time.sleep(0.5)
        return self.complaints


@dataclass
class Worker:
    """A place in the crew, taken by one process after the other."""

    kind: str
    name: str = ""
    child: Child | None = None
    lives: int = 0
    due: float = 0.0  # when the next process starts

    @property
    def works(self) -> bool:
        return self.child is not None and not (self.child.stopped or self.child.dismissed)


@dataclass
class Crew:
    """All workers."""

    settings: Settings
    url: str
    workers: list[Worker] = field(default_factory=lambda: [Worker(kind, kind) for kind in KINDS])

    def start(self, worker: Worker, *, new_name: bool) -> None:
        worker.lives += 1
        if new_name:
            worker.name = f"{worker.kind}-{worker.lives}"
        label = f"{worker.kind}.{worker.lives}"
        worker.child = Child(self.settings, self.url, label, "worker", worker.kind, worker.name)


def journals(directory: Path) -> list[Path]:
    """Those of the workers."""
    return sorted(path for path in directory.glob("*.journal") if not path.name.startswith("producer"))
