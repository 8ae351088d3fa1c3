"""The dispatch of pushes: messages for the application or handlers, confirmations, and invalidated keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

from ..events import Event, HandlerFailed, SubscriptionGap
from .buffer import ConfirmationMarker, ErrorMarker, GapMarker, PushBuffer, WhenFull
from .invalidation import Tracking
from .message import (
    KIND_OF,
    MESSAGE_KINDS,
    TAKEN_AWAY,
    WORDS,
    Message,
    MessageKind,
    message_of,
    messages_of,
    size,
)
from .options import Call, size_of_calls
from .subscriptions import Subscription, SubscriptionTable

T = TypeVar("T", bytes, str)


class Dispatcher(Generic[T]):
    """The dispatcher of pushes to two buffers: ``buffer`` for the application and ``calls`` for handlers.

    ``ignores``: confirmations of subscriptions are left out.
    """

    def __init__(
        self,
        limit: int,
        nbytes: int,
        when_full: WhenFull,
        *,
        encoding: str | None,
        ignores: bool,
        tracking: Tracking,
        emit: Callable[[Event], None],
    ) -> None:
        self.buffer: PushBuffer[Message[T]] = PushBuffer(limit, nbytes, when_full, size)
        self.calls: PushBuffer[Call] = PushBuffer(limit, nbytes, when_full, size_of_calls)
        self._encoding = encoding
        self._ignores = ignores
        self._tracking = tracking
        self._emit = emit
        self._last: GapMarker | None = None

    @property
    def is_full(self) -> bool:
        """Whether a buffer is full, so that reading should stop."""
        return self.buffer.is_full or self.calls.is_full

    def mark(self, gap: SubscriptionGap) -> None:
        """Put a gap into both buffers, or extend the gap that is last in both."""
        mark, buffers = self._last, (self.buffer, self.calls)
        if mark is not None and not mark.told and all(buffer.ends_with(mark) for buffer in buffers):
            mark.extend(gap)
            return
        self._last = GapMarker(gap)
        for buffer in buffers:
            buffer.add_marker(self._last)

    def name(self, name: bytes) -> T:
        """Decode the name of a channel or pattern for the application."""
        return cast(T, name if self._encoding is None else name.decode(self._encoding, "replace"))

    def dispatch(self, subscriptions: SubscriptionTable, pushes: list[list[Any]]) -> None:
        """Put messages into the buffer of the iteration, or into the buffer of handlers.

        A message of a subscription that should have ended is dropped. Raises the error of a push that makes no sense.
        """
        if not subscriptions.special:
            try:
                self.buffer.add(messages_of(pushes, self._encoding))
            except (KeyError, ValueError):
                pass  # some are no messages, or no text, or of channels and patterns both
            else:
                return
        messages: list[Message[T]] = []
        for push in pushes:
            kind = MESSAGE_KINDS.get(push[0])
            if kind is None:
                self.buffer.add(messages)
                messages.clear()
                self._take_control_push(subscriptions, push)
                continue
            pattern: Any = None
            if kind == "pmessage":
                _, pattern, channel, data = push
            else:
                _, channel, data = push
            subscription = subscriptions.table[KIND_OF[kind]].get(channel if pattern is None else pattern)
            if subscription is not None and subscription in subscriptions.special:
                self._call(subscription, kind, channel, pattern, data)
                continue
            try:
                messages.append(message_of(self._encoding, kind, channel, pattern, data))
            except UnicodeDecodeError as error:
                self.buffer.add(messages)
                messages.clear()
                self.buffer.add_marker(ErrorMarker(error))
        self.buffer.add(messages)

    def _call(self, subscription: Subscription, kind: MessageKind, channel: Any, pattern: Any, data: Any) -> None:
        """Queue the handler's call for a message; drop it where the subscription is muted."""
        if subscription.muted:
            return
        try:
            message = message_of(self._encoding, kind, channel, pattern, data)
        except UnicodeDecodeError as error:
            self._emit(HandlerFailed(channel, error))
        else:
            self.calls.add((Call(subscription.handler, message),))

    def _take_control_push(self, subscriptions: SubscriptionTable, push: list[Any]) -> None:
        """Take a push that is no message: a subscription that the server has ended, or invalidated keys."""
        kind = TAKEN_AWAY.get(push[0])
        if kind is not None:
            if subscriptions.revoked(kind, push[1]):
                self.add_confirmation(push)
        elif push[0] == b"invalidate":
            self._tracking.invalidate(push[1])

    def add_confirmation(self, push: list[Any]) -> None:
        """Put the server's confirmation of a subscription into the buffer, unless they are ignored."""
        if self._ignores:
            return
        word, name, count = push
        self.buffer.add_marker(ConfirmationMarker(Message(WORDS[word], self.name(name), None, count)))
