"""Ask the Sentinels of a service where its primary is, over a link that goes from Sentinel to Sentinel.

The last that has answered is asked first, then those that were given, and those that were found (``SENTINEL SENTINELS``). Each has ``ANSWER``
seconds. An answer that names another primary, at no lower a config epoch than is known, is news and ends the round; else the round
goes on until ``COMPARED`` Sentinels agree with what is known, since a Sentinel that is cut off tells old news. As long as the answer
is ``needed`` again (the primary that they name cannot be reached, or is a replica still), the next round comes after a pause that doubles
up to ``PAUSE_MAX``. What another router of the client has asked for meanwhile, by the common ``SentinelBoard``, answers as well.

    resting --want, hint, interval--> waits for its turn --> asks a Sentinel --told--> pauses --needed--> waits for its turn
                                                              ^  |  late, lost, old news   '--served--> resting
                                                              '--'
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from math import inf
from typing import Any, Final

from ..cluster.addresses import AddressPolicy
from ..cluster.board import PAUSE
from ..connection.exchange import Exchange
from ..connection.handshake import is_permanent
from ..connection.link import AT_ONCE, Link
from ..engine.link_events import emit_loss
from ..engine.router import RouterContext
from ..errors import ConnectionLost, NoSentinelError, is_interruption
from ..options import Login, SentinelAddress
from ..topology_events import PrimaryChanged
from .answers import Answer, named, not_told, questions, read, why
from .board import Primary, SentinelBoard

ANSWER: Final = 0.5
"""Seconds that a Sentinel has for the dial and the answer."""

COMPARED: Final = 2
"""Sentinels that have to agree with what is known, where they can be reached."""

LOOK: Final = 0.02
"""Seconds between two looks at the board while another router asks."""

PAUSE_MAX: Final = 1.0
"""Seconds between two rounds, at most, while the answer is needed."""

_SERVICES: Final = ("SENTINEL", "MASTERS")


class Asker:
    """Keeps the primary of a ``SentinelBoard`` fresh. ``learn`` is called behind each answer, and tells whether it was news.

    ``interval``: seconds between two questions for no reason. ``needed``: tells whether the primary that is known serves not.
    ``trouble``: why no Sentinel has told it lately, None where it was told.
    """

    def __init__(
        self,
        context: RouterContext,
        service: str,
        board: SentinelBoard,
        policy: AddressPolicy,
        login: Login,
        *,
        interval: float,
        learn: Callable[[], bool],
        needed: Callable[[], bool],
    ) -> None:
        self.link = context.make_link(self, "sentinel", None, login=login)
        self.trouble: NoSentinelError | None = None
        self._context = context
        self._service = service
        self._board = board
        self._policy = policy
        self._interval = interval
        self._learn = learn
        self._needed = needed
        self._questions = questions(service)
        self._timer = context.new_timer(self._act)
        self._since = inf  # when a newer answer was wanted; AT_ONCE: at the driver's next time
        self._due = inf  # when to take the turn, or to rest
        self._free_at = -inf  # when the pause behind the last round is over
        self._compare_at = -inf  # when to ask for no reason
        self._pause = PAUSE
        self._round: Iterator[SentinelAddress] | None = None  # of Sentinels that are still to be asked
        self._asked: SentinelAddress | None = None
        self._asked_at = -inf
        self._deadline = inf
        self._answers: list[Answer] = []  # of this round
        self._failures: dict[SentinelAddress, str] = {}
        self._unknown: set[SentinelAddress] = set()  # that do not know the service
        self._permanent: set[SentinelAddress] = set()  # that will never tell
        self.closed = False

    def want(self) -> None:
        """Ask as soon as the pause behind the last round is over."""
        self._since = AT_ONCE
        self._timer.set(AT_ONCE)

    def hint(self) -> None:
        """Ask now: there may be another primary."""
        self._pause, self._free_at = PAUSE, -inf
        self.want()

    def close(self) -> None:
        """Ask no more, and leave the turn to others."""
        self.closed = True
        if self._round is not None:
            self._board.end_turn(self._context.clock.now)
        self._round = self._asked = None
        self._timer.set(inf)
        self.link.close()

    # -- time ---------------------------------------------------------------------------------------------------------

    def _act(self, now: float) -> None:
        if self._since == AT_ONCE:
            self._since = now
            self._due = min(self._due, max(now, self._free_at))
        if self._round is not None:
            if now >= self._deadline:
                self._give_up(now)
        elif self._due <= now:
            self._begin(now)
        self._set_timer()

    def _set_timer(self) -> None:
        if not self.closed:
            waits = self._due if self._round is None else self._deadline
            self._timer.set(AT_ONCE if self._since == AT_ONCE else waits)

    def _begin(self, now: float) -> None:
        """Take the turn, unless another router has it or has made it needless, or all is well."""
        wanted = self._since
        if wanted == inf and self._needed():
            wanted = now - PAUSE / 2
        elif wanted == inf and now < self._compare_at:
            self._pause, self._due = PAUSE, self._compare_at
            self.link.close()
            return
        elif wanted == inf:
            wanted = now - self._interval / 2
        if self._board.is_newer(wanted):
            self._settle(now)
        elif self._board.take_turn(now):
            self._round = iter(self._board.order())
            self._answers, self._failures = [], {}
            self._unknown, self._permanent = set(), set()
            self._next(now)
        else:
            self._due = now + LOOK

    # -- a round ------------------------------------------------------------------------------------------------------

    def _next(self, now: float) -> None:
        """Ask the next Sentinel of the round, or end the round."""
        assert self._round is not None
        self._asked = None
        address = next(self._round, None)
        if address is None:
            self._end(now)
            return
        self._board.keep_turn(now)
        self._deadline, self._asked_at = now + ANSWER, now
        if self.link.is_up and self.link.address == address:
            self._asked = address
            self._ask()
        else:
            self.link.redirect(address)
            self._asked = address
            self.link.open()

    def _ask(self) -> None:
        self.link.send(Exchange(self._questions, ANSWER))

    def _give_up(self, now: float) -> None:
        """Pass over a Sentinel that is late; its answer is not waited for, and is none to the next question."""
        late = ConnectionLost(f"did not answer within {ANSWER:g} s")
        asked, self._asked = self._asked, None
        self.link.drop(late)
        self._asked = asked
        self._failed(now, late)

    def _failed(self, now: float, error: Exception) -> None:
        """Pass over a Sentinel that does not answer, or not with a primary."""
        asked = self._asked
        assert asked is not None
        self._failures[asked] = why(error, asked)
        if is_permanent(error):
            self._permanent.add(asked)
        if asked not in self._board.silent:
            self._board.silent |= {asked}
            emit_loss(self._context.emit, self.link, error, self._context.title, was_up=False)
        if not self.closed:  # the application was told, and may have closed the engine
            self._next(now)

    def _take(self, now: float, answer: Answer) -> None:
        """Take an answer: news end the round, and so does an answer that enough Sentinels agree with."""
        self._answers.append(answer)
        known = self._board.primary
        if known is None or self._is_news(answer, known):
            self._finish(now, Primary(answer.address, answer.epoch or 0, self._asked_at))
        elif sum(_is_fresh(each, known) for each in self._answers) >= COMPARED:
            self._finish(now, self._agreed(known))
        else:
            self._next(now)

    def _is_news(self, answer: Answer, known: Primary) -> bool:
        if answer.address == known.address:
            return False
        same_epoch = answer.epoch is None or answer.epoch == known.epoch
        return self._needed() if same_epoch else _is_fresh(answer, known)

    def _agreed(self, known: Primary) -> Primary:
        """Confirm the primary that is known, at the highest epoch that was told of it."""
        epochs = [_epoch(each) for each in self._answers if each.address == known.address]
        return Primary(known.address, max(known.epoch, *epochs, 0), self._asked_at)

    def _end(self, now: float) -> None:
        """End a round that has asked all Sentinels, and heard no news."""
        known = self._board.primary
        if known is not None and self._answers:
            best = max(self._answers, key=_epoch)
            if not self._failures and not _is_fresh(best, known) and self._needed():
                # All Sentinels have begun anew, and none is left who knows better.
                self._finish(now, Primary(best.address, _epoch(best), self._asked_at))
            else:
                self._finish(now, replace(known, asked_at=self._asked_at))
            return
        self._round, self._deadline = None, inf
        self._board.end_turn(now)
        permanent = known is None and self._permanent.issuperset(self._failures)
        self.trouble = self.link.error = not_told(
            self._service, self._failures, unknown=bool(self._unknown), permanent=permanent
        )
        self.link.close()
        if permanent:
            self._context.fail(self.trouble)
            return
        self._free_at = self._due = now + self._pause
        self._pause = min(2 * self._pause, PAUSE_MAX)
        self._learn()

    def _finish(self, now: float, primary: Primary) -> None:
        """Put the primary on the board, and end the round."""
        known, self._board.primary = self._board.primary, primary
        self._round, self._asked, self._deadline = None, None, inf
        self._board.end_turn(now)
        if known is not None and known.address != primary.address:
            self._context.emit(PrimaryChanged(self._service, str(known.address), str(primary.address)))
        self._settle(now)

    def _settle(self, now: float) -> None:
        """Take the primary of the board, and plan the next question."""
        self.trouble = None
        if self._since != AT_ONCE and self._board.is_newer(self._since):
            self._since = inf
        if self._learn():
            self._pause = PAUSE
        self._free_at = self._due = now + self._pause
        self._pause = min(2 * self._pause, PAUSE_MAX)
        self._compare_at = now + self._interval * (0.8 + 0.4 * self._context.random())

    # -- events of the link -------------------------------------------------------------------------------------------

    def link_up(self, link: Link) -> None:
        if self._asked is not None:
            self._ask()

    def link_answered(self, link: Link, exchange: Exchange) -> None:
        link.succeeded()
        asked, now = self._asked, self._context.clock.now
        assert asked is not None
        try:
            if exchange.size == 1:
                self._pass_over(now, asked, named(exchange.replies[0]))
            elif (answer := read(exchange.replies, asked, self._policy)) is None:
                link.send(Exchange([_SERVICES], ANSWER))
            else:
                self._board.heard(asked, answer.others)
                self._take(now, answer)
        except Exception as error:
            if is_interruption(error):
                raise
            self._failed(now, error)
        self._set_timer()

    def _pass_over(self, now: float, asked: SentinelAddress, knows: str) -> None:
        """Pass over a Sentinel that does not know the service."""
        self._failures[asked] = knows
        self._unknown.add(asked)
        self._permanent.add(asked)
        self._next(now)

    def link_pushed(self, link: Link, pushes: list[list[Any]]) -> None:
        """Ignore pushes: an asker subscribes to nothing."""

    def link_down(self, link: Link, error: Exception, sent: list[Exchange], unsent: list[Exchange]) -> None:
        if self._asked is not None and self._round is not None:
            self._failed(self._context.clock.now, error)
            self._set_timer()


def _epoch(answer: Answer) -> int:
    return answer.epoch or 0


def _is_fresh(answer: Answer, known: Primary) -> bool:
    """Whether an answer is no older than what is known."""
    return answer.epoch is None or answer.epoch >= known.epoch
