"""How links ask the application for their credentials in threads: each in a thread of its own, outside of the engine."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, TypeAlias

from streamcore.connection.link import Link
from streamcore.errors import ConnectFailed
from streamcore.options import Credentials

from .._credentials import AskCredentials, ask_in_thread, future_of

if TYPE_CHECKING:
    from concurrent.futures import Future

Question: TypeAlias = "Future[Credentials]"


class Asking:
    """The questions of the links of an engine. ``ring`` is called, in the thread of a question, when it is answered."""

    def __init__(self, ask: AskCredentials, ring: Callable[[], None], name: str) -> None:
        self._ask = ask
        self._ring = ring
        self._name = name
        self._questions: dict[Link, Question] = {}
        self._answered: deque[tuple[Link, Question]] = deque()

    def look(self, link: Link) -> None:
        """Ask, or give up, as the link wants."""
        if not link.wants_credentials:
            self._questions.pop(link, None)
        elif link not in self._questions:
            try:
                question = future_of(partial(ask_in_thread, self._ask), f"{self._name} credentials")
            except RuntimeError as error:
                link.credentials_failed(ConnectFailed(f"there is no thread to ask in: {error}"), monotonic())
                return
            self._questions[link] = question
            question.add_done_callback(partial(self._done, link))

    def tell(self) -> bool:
        """Give the links their answers; whether there were any that are still wanted."""
        told = False
        while self._answered:
            link, question = self._answered.popleft()
            if self._questions.get(link) is not question:
                continue
            del self._questions[link]
            told = True
            if (error := question.exception()) is not None:
                link.credentials_failed(error, monotonic())
            else:
                link.authenticate(question.result(), monotonic())
        return told

    def _done(self, link: Link, question: Question) -> None:
        self._answered.append((link, question))
        self._ring()
