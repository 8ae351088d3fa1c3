"""A real browser without a screen: Chromium, driven over a pipe by the DevTools protocol.

Found on the path, or named by ``STREAMCORE_CHROMIUM``. The process ends with the block in any case: it reads its orders from
us, and leaves when that pipe is closed.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

PATIENCE: Final = 30.0  # seconds for anything that a page does, on a busy machine
NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS: Final = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--remote-debugging-pipe",
)

# It reads orders from 3 and answers on 4; the ends of our pipes may have these numbers already, the other way round.
LAUNCH: Final = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]
os.dup2(ends[0], 3)
os.dup2(ends[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


def find_browser() -> str | None:
    """The path of a browser that is there. A variable that names none is an error."""
    named = os.environ.get("STREAMCORE_CHROMIUM")
    if named:
        found = shutil.which(named)
        assert found, f"STREAMCORE_CHROMIUM={named!r} is no program"
        return found
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """A context manager; ``open`` gives a tab."""

    def __init__(self, program: str) -> None:
        self._program = program
        self._number = 0
        self._rest = b""

    def __enter__(self) -> Self:
        self._profile = tempfile.TemporaryDirectory(prefix="streamcore-browser-", ignore_cleanup_errors=True)
        orders, self._to = os.pipe()
        self._from, answers = os.pipe()
        command = [self._program, *OPTIONS, f"--user-data-dir={self._profile.name}", "about:blank"]
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-SEc", LAUNCH, str(orders), str(answers), *command],
                pass_fds=(orders, answers),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        finally:
            os.close(orders)
            os.close(answers)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self.send("Browser.close")
        os.close(self._to)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._from)
        self._profile.cleanup()

    def open(self, url: str) -> Tab:
        """A new tab, on its way to the address."""
        target = self.ask("Target.createTarget", url=url)["targetId"]
        session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        return Tab(self, target, session)

    def send(self, method: str, session: str | None = None, **parameters: Any) -> int:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        return self._number

    def ask(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Send, and wait for the result; events are passed over."""
        number = self.send(method, session, **parameters)
        deadline = time.monotonic() + PATIENCE
        while (answer := self._next(deadline)).get("id") != number:
            pass
        assert "error" not in answer, f"{method}: {answer['error']}"
        result: dict[str, Any] = answer["result"]
        return result

    def _next(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            readable, _, _ = select.select([self._from], [], [], max(0, deadline - time.monotonic()))
            assert readable, "the browser does not answer"
            piece = os.read(self._from, 1 << 16)
            assert piece, "the browser has ended"
            self._rest += piece
        message, _, self._rest = self._rest.partition(b"\0")
        decoded: dict[str, Any] = json.loads(message)
        return decoded


class Tab:
    """A page that is shown."""

    def __init__(self, browser: Browser, target: str, session: str) -> None:
        self._browser = browser
        self._target = target
        self._session = session

    def evaluate(self, script: str) -> Any:
        """The value of an expression in the page; None while the page is not there yet."""
        answer = self._browser.ask(
            "Runtime.evaluate", self._session, expression=script, returnByValue=True, awaitPromise=True
        )
        return None if "exceptionDetails" in answer else answer["result"].get("value")

    def wait_for(self, script: str, expected: Any = True) -> None:
        """Wait until an expression has a value."""
        deadline = time.monotonic() + PATIENCE
        while (value := self.evaluate(script)) != expected:
            assert time.monotonic() < deadline, f"{script} is {value!r}, and not {expected!r}"
            time.sleep(0.02)

    def close(self) -> None:
        self._browser.ask("Target.closeTarget", targetId=self._target)
