"""JSON bodies of the routes, but for job documents, which the intake reads."""

from __future__ import annotations

import json
from typing import TypeVar

import msgspec

from fenglin.errors import InputError

T = TypeVar("T")


def read_body(
    body: bytes,
    kind: type[T],
    *,
    what: str = "the request cannot be understood",
    where: str = "body",
    hint: str = "",
) -> T:
    """Return a request's body as its type.

    A key that comes twice is refused: of two readers, such as a proxy that checks and a hub
    that acts, one would take the first value and the other the last.

    Args:
        body: As it came.
        kind: A msgspec Struct.
        what: Begins the message.
        where: What the body is called in the error.
        hint: What it should look like.

    Raises:
        InputError: it is not what the route takes.
    """
    try:
        found = msgspec.json.decode(body, type=kind)
        json.loads(body.decode(), object_pairs_hook=_once)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise InputError(f"{what}: {error}", where=where, hint=hint) from None
    return found


def _once(pairs: list[tuple[str, object]]) -> None:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            raise ValueError(f"the key {name[:40]!r} comes twice")
        seen.add(name)
