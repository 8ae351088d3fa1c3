"""Unknown keywords: a ``TypeError``, as anywhere in Python, which names the keyword that may have been meant."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

from .durations import warn_of_milliseconds


def check_keywords(function: str, given: Mapping[str, object], options: type, *named: str) -> None:
    """Raises ``TypeError`` for a keyword that is neither in ``named`` nor in the typed dictionary ``options``.

    Warns of durations that look like milliseconds.
    """
    known = [*named, *options.__annotations__]
    for keyword in given:
        if keyword not in known:
            near = get_close_matches(keyword, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(known)}"
            raise TypeError(f"{function}() got an unexpected keyword argument {keyword!r}; {hint}")
    warn_of_milliseconds(given)


__all__ = ["check_keywords"]
