"""For the reference: griffe shows the constructor of a ``frozen`` class, as that of any dataclass."""

from __future__ import annotations

from typing import Any

import griffe


class FrozenClasses(griffe.Extension):
    """Put ``dataclass``, which griffe knows, in the place of ``frozen``."""

    def on_class_instance(self, *, cls: griffe.Class, **_: Any) -> None:
        """Exchange the decorator of a class that has been read, before constructors are derived."""
        for decorator in cls.decorators:
            value = decorator.value
            if isinstance(value, griffe.Expr) and value.canonical_path == "streamcore.frozen.frozen":
                arguments = value.arguments if isinstance(value, griffe.ExprCall) else []
                decorator.value = griffe.ExprCall(griffe.ExprName("dataclasses.dataclass"), arguments)
                cls.labels.add("dataclass")
