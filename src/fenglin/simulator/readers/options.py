"""What a user may choose about a reader or a generator, as frozen dataclasses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from fenglin.errors import InputError

_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """What every reader understands.

    Attributes:
        queues: Keep the trace's own queues; without it all jobs go to the default queue.
    """

    queues: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOptions(ReadOptions):
    """For traces that tell how many cards a job has, and not on how many nodes.

    Attributes:
        gpus_per_node: A job of more cards is spread over the fewest nodes that share them evenly.
    """

    gpus_per_node: int = 8

    def __post_init__(self) -> None:
        """Refuse nodes without cards."""
        at_least(self, "gpus_per_node", 1)


AnyOptions = TypeVar("AnyOptions")


def make_options(kind: type[AnyOptions], name: str, given: Mapping[str, object]) -> AnyOptions:
    """Return the options of a kind; values may be texts, as a command line has them.

    Args:
        kind: Dataclass in which every field has a default.
        name: Name of the reader or generator, for messages.
        given: Values by name.

    Raises:
        InputError: an option is unknown, or its value is of no use.
    """
    defaults = kind()
    known = [one.name for one in fields(kind)]  # type: ignore[arg-type]  # always a dataclass
    unknown = [word for word in given if word not in known]
    if unknown:
        raise InputError(
            f"{name} has no option {unknown[0]!r}", hint=f"it has: {', '.join(sorted(known))}"
        )
    values = {word: _as(getattr(defaults, word), word, value) for word, value in given.items()}
    return kind(**values)


def at_least(options: object, name: str, least: float) -> None:
    """Refuse an option below a bound.

    Raises:
        InputError: it is below, or no number.
    """
    value = getattr(options, name)
    if not value >= least:
        raise InputError(f"{name} is {value}", hint=f"at least {least}")


def _as(default: object, name: str, value: object) -> Any:  # noqa: ANN401 - one of four types
    """Return a value in the type of its default."""
    wanted = type(default)
    if isinstance(value, str) and wanted is bool:
        value = _WORDS.get(value.casefold(), value)
    elif isinstance(value, str) and wanted in {int, float}:
        try:
            value = wanted(value)
        except ValueError:
            raise InputError(f"{name} is {value!r}", hint=f"needed is {_kind(wanted)}") from None
    elif isinstance(value, int) and wanted is float and not isinstance(value, bool):
        value = float(value)
    if type(value) is not wanted or (isinstance(value, float) and not math.isfinite(value)):
        raise InputError(f"{name} is {value!r}", hint=f"needed is {_kind(wanted)}")
    return value


def _kind(wanted: type) -> str:
    """Return a type in words."""
    words = {bool: "true or false", int: "a whole number", float: "a number"}
    return words.get(wanted, "a text")
