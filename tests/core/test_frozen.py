from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable
from contextlib import suppress
from dataclasses import FrozenInstanceError, asdict, dataclass, field, fields, is_dataclass, replace
from functools import partial
from pprint import pformat
from typing import Any, assert_type, get_type_hints

import pytest

from streamcore.frozen import frozen
from tests.support.moments import CORE, moments


class Generated:
    """The same classes, made by the standard library."""

    @dataclass(frozen=True, slots=True)
    class Point:
        """A place."""

        x: int
        y: int = 0
        note: str = field(default="", compare=False)
        secret: str = field(default="", repr=False)
        more: list[int] = field(default_factory=list[int])

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Named:
        """A thing with a name."""

        name: str = ""

    @dataclass(frozen=True, slots=True)
    class Circle(Named):
        """A circle."""

        radius: float

    @dataclass(frozen=True, slots=True)
    class Empty:
        """Nothing."""

    @dataclass(frozen=True, slots=True)
    class Told:
        """A value with words and a check of its own."""

        x: int

        def __post_init__(self) -> None:
            if self.x < 0:
                raise ValueError("below zero")

        def __str__(self) -> str:
            return f"it is {self.x}"

        def __eq__(self, other: object) -> bool:
            return isinstance(other, type(self))

        def __hash__(self) -> int:
            return 7


class Shared:
    @frozen
    class Point:
        """A place."""

        x: int
        y: int = 0
        note: str = field(default="", compare=False)
        secret: str = field(default="", repr=False)
        more: list[int] = field(default_factory=list[int])

    @frozen(kw_only=True)
    class Named:
        """A thing with a name."""

        name: str = ""

    @frozen
    class Circle(Named):
        """A circle."""

        radius: float

    @frozen
    class Empty:
        """Nothing."""

    @frozen
    class Told:
        """A value with words and a check of its own."""

        x: int

        def __post_init__(self) -> None:
            if self.x < 0:
                raise ValueError("below zero")

        def __str__(self) -> str:
            return f"it is {self.x}"

        def __eq__(self, other: object) -> bool:
            return isinstance(other, type(self))

        def __hash__(self) -> int:
            return 7


Make = Callable[[Any], Any]
VALUES: dict[str, Make] = {
    "in the order of the fields": lambda kinds: kinds.Point(1, 2, "n", "s", [3]),
    "by name": lambda kinds: kinds.Point(more=[3], secret="s", note="n", y=2, x=1),
    "both": lambda kinds: kinds.Point(1, note="n"),
    "with all defaults": lambda kinds: kinds.Point(1),
    "of a subclass": lambda kinds: kinds.Circle(1.5, name="c"),
    "of a subclass, with defaults": lambda kinds: kinds.Circle(radius=1.5),
    "without fields": lambda kinds: kinds.Empty(),
    "with methods of its own": lambda kinds: kinds.Told(3),
}
each_value = pytest.mark.parametrize("make", VALUES.values(), ids=VALUES)


def outcome(act: Callable[[Any], Any], kinds: Any) -> str:
    try:
        return str(act(kinds))
    except Exception as error:
        return repr(error)


def alike(act: Callable[[Any], Any]) -> str:
    """What both sorts of classes do alike, as a text."""
    told = [outcome(act, kinds).replace(kinds.__name__, "Kinds") for kinds in (Shared, Generated)]
    assert told[0] == told[1]
    return told[0]


@each_value
def test_a_value_shows_its_fields(make: Make) -> None:
    assert alike(lambda kinds: repr(make(kinds))).startswith("Kinds.")
    alike(lambda kinds: str(make(kinds)))


@each_value
def test_a_value_is_printed_over_several_lines(make: Make) -> None:
    alike(lambda kinds: pformat(make(kinds), width=10))


@each_value
def test_a_value_is_equal_to_its_like(make: Make) -> None:
    assert alike(lambda kinds: make(kinds) == make(kinds)) == "True"
    assert make(Shared) != make(Generated)
    assert make(Shared) != 5


@each_value
def test_a_value_has_a_hash_where_its_fields_have_one(make: Make) -> None:
    alike(lambda kinds: hash(make(kinds)))


def test_fields_that_are_not_compared_make_no_difference() -> None:
    assert alike(lambda kinds: kinds.Point(1, note="a") == kinds.Point(1, note="b")) == "True"
    assert alike(lambda kinds: kinds.Point(1, secret="a") == kinds.Point(1, secret="b")) == "False"
    assert alike(lambda kinds: kinds.Named(name="a") == kinds.Circle(1.0, name="a")) == "False"


@each_value
def test_a_value_cannot_be_changed(make: Make) -> None:
    value = make(Shared)
    name = next((each.name for each in fields(value)), "x")
    before = repr(value)
    for other in (name, "other"):
        with pytest.raises(FrozenInstanceError, match=f"cannot assign to field '{other}'"):
            setattr(value, other, 5)
    with pytest.raises(FrozenInstanceError, match=f"cannot delete field '{name}'"):
        delattr(value, name)
    assert repr(value) == before
    assert not hasattr(value, "__dict__")


def test_a_factory_makes_each_value_its_own() -> None:
    assert Shared.Point(1).more is not Shared.Point(1).more


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (lambda kinds: kinds.Point(), "missing 1 required positional argument: 'x'"),
        (lambda kinds: kinds.Point(1, z=2), "got an unexpected keyword argument 'z'"),
        (lambda kinds: kinds.Point(1, x=2), "got multiple values for argument 'x'"),
        (lambda kinds: kinds.Circle(1.5, "c"), "takes 2 positional arguments but 3 were given"),
        (lambda kinds: kinds.Empty(1), "takes 1 positional argument but 2 were given"),
    ],
)
def test_a_wrong_argument_is_named(act: Callable[[Any], Any], reason: str) -> None:
    assert reason in alike(act)


def test_a_value_is_checked_when_it_is_made() -> None:
    assert alike(lambda kinds: kinds.Told(-1)) == "ValueError('below zero')"
    assert alike(lambda kinds: replace(kinds.Told(1), x=-1)) == "ValueError('below zero')"


@each_value
def test_a_value_is_copied_and_pickled(make: Make) -> None:
    value = make(Shared)
    for twin in (pickle.loads(pickle.dumps(value)), copy.copy(value), copy.deepcopy(value), replace(value)):
        assert (type(twin), repr(twin), twin == value) == (type(value), repr(value), True)


@pytest.mark.parametrize("name", ["Point", "Named", "Circle", "Empty", "Told"])
def test_a_class_is_a_dataclass_by_its_fields_and_its_constructor(name: str) -> None:
    kind: Any = getattr(Shared, name)
    assert is_dataclass(getattr(Shared, name))
    alike(lambda kinds: getattr(kinds, name).__match_args__)
    alike(lambda kinds: getattr(kinds, name).__slots__)
    alike(lambda kinds: getattr(kinds, name).__dataclass_params__)
    alike(lambda kinds: [(each.name, each.type, each.kw_only) for each in fields(getattr(kinds, name))])
    alike(
        lambda kinds: [each.replace(default=0) for each in inspect.signature(getattr(kinds, name)).parameters.values()]
    )
    assert get_type_hints(kind.__init__) == get_type_hints(getattr(Generated, name).__init__)
    assert inspect.signature(kind).return_annotation is inspect.signature(getattr(Generated, name)).return_annotation


@each_value
def test_a_value_is_taken_apart(make: Make) -> None:
    alike(lambda kinds: asdict(make(kinds)))


def test_a_pattern_names_the_fields() -> None:
    match Shared.Point(1, 2):
        case Shared.Point(x, y):
            assert (assert_type(x, int), assert_type(y, int)) == (1, 2)


def test_a_subclass_that_is_not_decorated_has_the_same_fields() -> None:
    class Place(Shared.Point):
        """A point."""

    assert (Place(1, 2).y, Place(1) == Place(1), Place(1) == Shared.Point(1)) == (2, True, False)
    assert repr(Place(1)).endswith("Place(x=1, y=0, note='', more=[])")


def test_a_subclass_has_attributes_of_its_own() -> None:
    class Place(Shared.Circle):
        """A circle."""

        def __init__(self, radius: float) -> None:
            super().__init__(radius, name="a")
            self.visits = 1

    place = Place(1.5)
    place.visits += 1
    assert (place.visits, place.radius) == (2, 1.5)
    for field_name in ("radius", "name"):
        with pytest.raises(FrozenInstanceError, match=f"cannot assign to field '{field_name}'"):
            setattr(place, field_name, 5)
        with pytest.raises(FrozenInstanceError, match=f"cannot delete field '{field_name}'"):
            delattr(place, field_name)
    del place.visits
    assert not hasattr(place, "visits")


def test_frozen_dataclasses_inherit_from_it() -> None:
    @dataclass(frozen=True)
    class Pixel(Shared.Point):
        """A point with a colour."""

        colour: str = ""

    pixel = Pixel(1, colour="red")
    assert (pixel, pixel.y, pixel.colour) == (Pixel(1, colour="red"), 0, "red")
    with pytest.raises(FrozenInstanceError):
        pixel.x = 2  # type: ignore[misc]  # that is the point
    assert pickle.loads(pickle.dumps(Shared.Circle(1.5))) == Shared.Circle(1.5)


def test_dataclasses_that_can_be_changed_do_not_inherit_from_it() -> None:
    assert "cannot inherit non-frozen dataclass from a frozen one" in alike(
        lambda kinds: dataclass(type("Pixel", (kinds.Point,), {}))
    )


@pytest.mark.parametrize(
    "use",
    [
        lambda kind: kind(1),
        lambda kind: kind.__init__,
        inspect.signature,
        lambda kind: kind.__hash__,
        lambda kind: kind.__new__(kind) == 1,
        lambda kind: kind.__new__(kind).__setstate__([1]),
    ],
)
def test_methods_are_compiled_when_a_class_is_first_used(use: Callable[[Any], Any]) -> None:
    @frozen
    class Seldom:
        """A value."""

        x: int

    def compiled() -> list[str]:
        return [name for name, method in vars(Seldom).items() if inspect.isfunction(method)]

    names = ["__eq__", "__getstate__", "__hash__", "__init__", "__repr__", "__setstate__"]
    assert not set(names).intersection(compiled())
    use(Seldom)
    assert set(names) <= set(compiled())


def test_an_interruption_of_the_first_use_is_raised_and_the_next_use_goes_on() -> None:
    at, finished = 0, False
    while not finished:

        @frozen
        class Seldom:
            """A value."""

            x: int

        with suppress(KeyboardInterrupt):
            finished = not moments(partial(Seldom, 1), at, interrupt, within=(CORE, dataclasses.__file__))
        assert (Seldom(2).x, copy.copy(Seldom(2))) == (2, replace(Seldom(1), x=2))
        at += 1
    assert at > 10


class Described:
    """The docstring of a class without any, as Python 3.15 finds it (also with ``-OO``)."""

    def __get__(self, value: object, kind: type[Any]) -> str:
        return f"{kind.__name__}{inspect.signature(kind)}"


def test_a_docstring_may_tell_the_signature() -> None:
    @frozen
    class Undescribed:
        x: int = 0

    kind: Any = Undescribed
    kind.__doc__ = Described()
    assert Undescribed(1).x == 1
    assert "(x: 'int' = 0)" in str(kind.__doc__)


def interrupt() -> None:
    raise KeyboardInterrupt
