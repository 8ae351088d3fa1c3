"""Frozen dataclasses whose methods are compiled when a class is first used, and not when it is imported.

``dataclass`` writes and compiles up to six functions for each class, which made the largest part of importing the
library, and most programs use few of its events and replies. Here the standard library finds the fields and makes the
slots at once, and the methods when the first of them is looked up; they are the same methods.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError, dataclass, field, fields, is_dataclass
from functools import partial
from typing import Any, Final, TypeVar, dataclass_transform, overload

T = TypeVar("T")


@overload
def frozen(kind: type[T], /) -> type[T]: ...
@overload
def frozen(*, kw_only: bool = False) -> Callable[[type[T]], type[T]]: ...
@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(kind: type[Any] | None = None, /, *, kw_only: bool = False) -> Any:
    """Make a class a dataclass with slots, whose values cannot be changed; methods that it defines itself stay."""
    if kind is None:
        return partial(_finish, kw_only=kw_only)
    return _finish(kind, kw_only=False)


def _finish(kind: type[Any], *, kw_only: bool) -> type[Any]:
    inherits = any(map(is_dataclass, kind.__bases__))  # the standard library has frozen classes inherit from such only
    made: type[Any] = dataclass(init=False, repr=False, eq=False, slots=True, kw_only=kw_only, frozen=inherits)(kind)
    for name in ("init", "repr", "eq", "frozen"):
        setattr(made.__dataclass_params__, name, True)
    later = {name: _Later(made, name) for name in _COMPILED if name not in vars(made)}
    for name, method in {**_refusals(made), **later}.items():
        setattr(made, name, method)
    return made


_COMPILED: Final = ("__init__", "__repr__", "__eq__", "__hash__", "__getstate__", "__setstate__")


class _Later:
    """A method of a class, until it is first looked up: then all of the class are compiled."""

    __slots__ = ("kind", "name")

    def __init__(self, kind: type[Any], name: str) -> None:
        self.kind = kind
        self.name = name

    def __get__(self, value: object, kind: type[Any]) -> Any:
        _compile(self.kind)
        return vars(self.kind)[self.name].__get__(value, kind)


def _compile(kind: type[Any]) -> None:
    """Take the methods of a class from a twin, a frozen dataclass of the standard library with the same fields."""
    body: dict[str, Any] = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": "A twin."}
    body["__annotations__"] = {each.name: each.type for each in fields(kind)}
    if hasattr(kind, "__post_init__"):
        body["__post_init__"] = kind.__post_init__
    plain = type(kind.__name__, (), body)
    for each in fields(kind):  # here, since Python 3.11 hides errors that are raised while ``type`` names attributes
        setattr(plain, each.name, each)
    twin: type[Any] = dataclass(frozen=True, slots=True)(plain)
    for name in _COMPILED:
        if isinstance(vars(kind)[name], _Later):
            setattr(kind, name, vars(twin)[name])


def _refusals(kind: type[Any]) -> dict[str, Callable[..., None]]:
    """Make the methods that refuse changes of a class's values; its subclasses may have attributes of their own."""
    names = {each.name for each in fields(kind)}

    def refuse_to_set(self: object, name: str, value: object) -> None:
        if type(self) is kind or name in names:
            raise FrozenInstanceError(f"cannot assign to field {name!r}")
        super(kind, self).__setattr__(name, value)

    def refuse_to_delete(self: object, name: str) -> None:
        if type(self) is kind or name in names:
            raise FrozenInstanceError(f"cannot delete field {name!r}")
        super(kind, self).__delattr__(name)

    return {"__setattr__": refuse_to_set, "__delattr__": refuse_to_delete}
