"""What an argument may be, read from its type: Python, the estimators and the command line refuse the same values.

A choice is a ``Literal``. ``Annotated`` adds a ``Range`` to a number, or words to a text that has a form.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import numbers
from collections.abc import Callable, Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from graftwork.errors import UsageError, did_you_mean


@dataclasses.dataclass(frozen=True)
class Range:
    """The numbers that an argument may be, both ends included unless ``above``."""

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    """Whether ``low`` itself is too low."""

    def __contains__(self, number: Any) -> bool:
        return bool(self.low < number <= self.high or (number == self.low and not self.above))

    def __str__(self) -> str:
        if math.isinf(self.high):
            return f"above {self.low:g}" if self.above else f"from {self.low:g} on"
        return f"above {self.low:g}, at most {self.high:g}" if self.above else f"from {self.low:g} to {self.high:g}"


@dataclasses.dataclass(frozen=True)
class Domain:
    """The values that one argument may have."""

    choices: tuple[str, ...] = ()
    kinds: tuple[type, ...] = ()
    """Of values that are no choices."""
    range: Range | None = None
    """Of numbers."""
    form: str = ""
    """Of texts, in words."""

    def __contains__(self, value: Any) -> bool:
        if isinstance(value, str) and value in self.choices:
            return True
        return any(_TAKES[kind](value) for kind in self.kinds) and (
            self.range is None or not isinstance(value, numbers.Real) or value in self.range
        )

    def __str__(self) -> str:
        suffix = f" {self.range}" if self.range is not None else ""
        words = [_WORDS[kind] + (suffix if kind in (int, float) else "") for kind in self.kinds if kind is not NoneType]
        if self.form:
            words[words.index(_WORDS[str])] = self.form
        *first, last = [*self.choices, *words, *(["None"] if NoneType in self.kinds else [])]
        return f"{', '.join(first)} or {last}" if first else last


_WORDS = {bool: "True or False", int: "a whole number", float: "a number", str: "text", tuple: "one name or several"}
_TAKES: dict[type, Callable[[Any], bool]] = {
    NoneType: lambda value: value is None,
    bool: lambda value: isinstance(value, bool),
    int: lambda value: isinstance(value, numbers.Integral) and not isinstance(value, bool),
    float: lambda value: isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value),
    str: lambda value: isinstance(value, str),
    tuple: lambda value: isinstance(value, tuple) and bool(value) and all(isinstance(name, str) for name in value),
}


@functools.cache
def domain_of(hint: Any) -> Domain:
    """Return the values that a type allows: ``Literal``, None, bool, int, float, str, tuple[str, ...] and unions."""
    choices: list[str] = []
    kinds: list[type] = []
    range_, form = None, ""
    for part, notes in _parts(hint):
        if get_origin(part) is Literal:
            choices += get_args(part)
        else:
            kinds.append(get_origin(part) or part)
        range_ = next((note for note in notes if isinstance(note, Range)), range_)
        form = next((note for note in notes if isinstance(note, str)), form)
    return Domain(tuple(choices), tuple(kinds), range_, form)


def argument(name: str, value: Any, hint: Any) -> Any:
    """Return an argument; numbers become Python's own, whole ones where the type has no others.

    Raises
    ------
    UsageError
        When its type does not allow the value.
    """
    domain = domain_of(hint)
    if value not in domain:
        near = did_you_mean(value, domain.choices, 1) if isinstance(value, str) else ""
        raise UsageError(f"{name} must be {domain}, got {value!r}{near}")
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not number:
        return value
    return float(value) if float in domain.kinds else int(value)


class Arguments:
    """Base of records whose every field is an argument: one that its type does not allow raises UsageError."""

    def __post_init__(self) -> None:
        for name, hint in hints_of(type(self)).items():
            object.__setattr__(self, name, argument(name, getattr(self, name), hint))


def hints_of(record: type) -> dict[str, Any]:
    """Return the types of a record's fields by name, with the ranges that they state."""
    return get_type_hints(record, include_extras=True)


def _parts(hint: Any, notes: tuple[Any, ...] = ()) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Yield the alternatives of a type, each with what ``Annotated`` says of it."""
    if get_origin(hint) is Annotated:
        inner, *more = get_args(hint)
        yield from _parts(inner, (*notes, *more))
    elif get_origin(hint) in (Union, UnionType):
        for part in get_args(hint):
            yield from _parts(part, notes)
    else:
        yield hint, notes
