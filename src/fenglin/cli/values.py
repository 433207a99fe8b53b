"""Words of the command line to values, without the library that Typer would load for it.

Typer 0.29 turns words into values by pydantic, whose import takes longer than all the rest of a
command. The few types that our commands use need four short functions. What is not known here
is left to Typer: it would be slow, not wrong. A test sees to it that nothing is left.
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin

import typer
from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    from collections.abc import Callable

    Convert = Callable[[Any], Any]


class Light:
    """Stands where Typer keeps the converter of one parameter.

    Args:
        convert: Makes the value of one word, or raises ValueError that says what is wrong.
        many: Whether the parameter takes a list.
    """

    def __init__(self, convert: Convert, *, many: bool) -> None:
        self._convert = convert
        self._many = many

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:  # noqa: ANN401 - Typer's types are private
        """Return the value for what stands on the command line, or for the default."""
        try:
            if self._many:
                return [self._convert(one) for one in value or ()]
            return None if value is None else self._convert(value)
        except ValueError as error:
            raise typer.BadParameter(str(error), ctx=ctx, param=param) from error


def _lighten(params: list[Any]) -> list[Any]:
    """Give parameters a light converter, where one is known for their type."""
    for param in params:
        descriptor = param.type_descriptor
        annotation = descriptor.annotation
        many = get_origin(annotation) is list
        info = descriptor.parameter_info
        convert = _converter(get_args(annotation)[0] if many else annotation, info.min, info.max)
        if convert is not None:
            param._runtime_param = Light(convert, many=many)  # noqa: SLF001 - there is no public way
    return params


class LightCommand(TyperCommand):
    """A command whose parameters cost no import."""

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401 - Typer's types are private
        """Return the parameters, that for help included."""
        return _lighten(super().get_params(ctx))


class LightGroup(TyperGroup):
    """A group whose parameters cost no import."""

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401 - Typer's types are private
        """Return the parameters, that for help included."""
        return _lighten(super().get_params(ctx))


def _converter(kind: Any, low: float | None, high: float | None) -> Convert | None:  # noqa: ANN401
    """Return the function for a type; None when Typer must do it."""
    if kind is str:
        return str
    if kind is Path:
        return Path
    if kind is bool:
        return bool
    if kind in (int, float):
        return lambda word: _number(kind, word, low, high)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return lambda word: _choice(kind, word)
    return None


def _number(kind: type[int | float], word: object, low: float | None, high: float | None) -> float:
    """Return a number within its limits."""
    try:
        number = kind(str(word))
    except ValueError:
        wanted = "a whole number" if kind is int else "a number"
        raise ValueError(f"{word!r} is not {wanted}") from None
    if number != number or (low is not None and number < low):  # noqa: PLR0124 - NaN
        raise ValueError(f"{number} is too small, at least {low}")
    if high is not None and number > high:
        raise ValueError(f"{number} is too large, at most {high}")
    return number


def _choice(kind: type[Enum], word: object) -> Enum:
    """Return the member with this value."""
    if isinstance(word, kind):
        return word
    known = [str(member.value) for member in kind]
    if word not in known:
        raise ValueError(f"{word!r} is not one of {', '.join(known)}")
    return kind(word)
