"""An engine with a link and a script, for tests: it logs how the script is resumed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Unpack

from streamcore.connection.exchange import Exchange
from streamcore.engine.engine import Engine, EngineOptions
from streamcore.engine.script import WAIT, Script, ScriptRunner
from streamcore.events import Event
from tests.core.support.strategies import plain

SECRET = "sesame"


class Story(Engine):
    """An engine with a single link and the script under test, which logs its life."""

    def __init__(self, script: Callable[[Story], Script], **options: Unpack[EngineOptions]) -> None:
        super().__init__(**options)
        self.log: list[Any] = []
        self.scripts: list[Script] = []  # kept, so that none is closed by the garbage collector
        self.runner = ScriptRunner(self, lambda: self.begin(script))
        self.runner.link.open()

    def begin(self, script: Callable[[Story], Script]) -> Script:
        self.scripts.append(script(self))
        return self.scripts[-1]

    def tell(self, event: Event) -> None:
        self._emit(event)


def silent(story: Story) -> Script:
    """A script that waits for ever."""
    while True:
        yield WAIT


def listening(story: Story) -> Script:
    """A script that logs the replies and the wakes by which it is resumed."""
    story.log.append("begin")
    try:
        while True:
            answered = yield WAIT
            story.log.append("woken" if answered is None else plain(answered.replies))
    finally:
        story.log.append("end")


def asking(*words: str) -> Callable[[Story], Script]:
    """A script that sends an ECHO for each word, at once, and then listens."""

    def script(story: Story) -> Script:
        for word in words:
            yield Exchange([("ECHO", word)])
        yield from listening(story)

    return script
