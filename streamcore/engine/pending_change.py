"""A change that a caller has asked an engine for, and waits for: a stream to be added, a subscription, a join."""

from __future__ import annotations


class PendingChange:
    """A change that an engine has yet to make; ``error`` is why it cannot be made.

    It is pending until it is ``done`` or has failed, and stays so from then on. A caller that waits no longer tells the
    engine, whether the change was made or not.
    """

    def __init__(self) -> None:
        self.done = False
        self.error: Exception | None = None

    def poll(self) -> bool:
        """Tell whether the change was made. Raises why it cannot be made."""
        if self.error is not None:
            raise self.error
        return self.done

    def finish(self) -> None:
        """Note that the change was made; a change that has failed stays failed."""
        self.done = self.error is None

    def fail(self, error: Exception) -> None:
        """Note why the change cannot be made; a change that has ended stays as it is."""
        if not self.done and self.error is None:
            self.error = error
