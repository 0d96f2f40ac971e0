"""Frozen declarations that explain what is wrong with them."""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Iterable
from functools import cache
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")
Scalar = str | int | float | bool
"""A parameter of a step, a network or a recipe."""


class DeclarationError(ValueError):
    """A declaration says something that it cannot say; the text names the field and what it allows."""


def near(word: str, known: Iterable[str]) -> str:
    """``" (did you mean 'x'?)"`` for the nearest known spelling, or nothing."""
    close = difflib.get_close_matches(str(word), list(known), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(dataclasses.field,))
def declared(cls: type[T]) -> type[T]:
    """A frozen, keyword-only dataclass whose constructor raises ``DeclarationError`` for a field it does not have,
    a field that is missing, and a value outside a ``Literal``; the text gives allowed values and nearest spelling."""
    made: Any = dataclasses.dataclass(frozen=True, kw_only=True)(cls)
    plain_init = made.__init__

    def checked_init(self: Any, *unnamed: Any, **given: Any) -> None:
        if unnamed:
            raise DeclarationError(f"{made.__name__} takes named fields only, got {unnamed[0]!r} without a name")
        _check_names(made, given)
        for name, value in given.items():
            _check_literal(made, name, value)
            _check_tuple(made, name, value)
        plain_init(self, **given)

    made.__init__ = checked_init
    return typing.cast("type[T]", made)


def choose(where: str, value: str, allowed: Iterable[str]) -> None:
    """Raises ``DeclarationError`` unless ``value`` is one of ``allowed``."""
    names = list(allowed)
    if value not in names:
        raise DeclarationError(f"{where}: {value!r} is not allowed; allowed: {', '.join(names)}{near(value, names)}")


def _check_names(cls: Any, given: dict[str, Any]) -> None:
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for name in given:
        if name not in fields:
            raise DeclarationError(
                f"{cls.__name__}.{name}: no such field; allowed: {', '.join(fields)}{near(name, fields)}"
            )
    for name, field in fields.items():
        optional = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        if name not in given and not optional:
            raise DeclarationError(f"{cls.__name__}.{name}: missing, and it has no default")


def _check_literal(cls: Any, name: str, value: Any) -> None:
    hint = _hints(cls)[name]
    kinds = (hint,) if typing.get_origin(hint) is typing.Literal else typing.get_args(hint)
    allowed = [word for kind in kinds if typing.get_origin(kind) is typing.Literal for word in typing.get_args(kind)]
    if allowed and not (value is None and type(None) in kinds):
        choose(f"{cls.__name__}.{name}", value, allowed)


def _check_tuple(cls: Any, name: str, value: Any) -> None:
    if typing.get_origin(_hints(cls)[name]) is tuple and not isinstance(value, tuple):
        found = type(value).__name__
        raise DeclarationError(f"{cls.__name__}.{name}: expected a tuple, found one {found}; write (value,)")


@cache
def _hints(cls: Any) -> dict[str, Any]:
    return typing.get_type_hints(cls)
