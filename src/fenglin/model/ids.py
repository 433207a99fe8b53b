"""Public identifiers: a letter and the database's integer, so that they sort and can be typed."""

from __future__ import annotations

import re

from fenglin.errors import InputError

_KEY = re.compile(r"(.+)-a([1-9]\d{0,17})-([1-9]\d{0,8})", re.ASCII)
_ID = re.compile(r"([ja])([1-9]\d{0,17})", re.ASCII)


def job_id(number: int) -> str:
    """Return `j123`."""
    return f"j{number}"


def allocation_id(number: int) -> str:
    """Return `a123`."""
    return f"a{number}"


def attempt_key(hub: str, allocation: int, number: int) -> str:
    """Return the key under which a site knows one attempt: `hub-a123-1`.

    Every outside object carries it, so that a lost answer is looked up and never repeated.
    """
    return f"{hub}-a{allocation}-{number}"


def parse_attempt_key(key: str) -> tuple[str, int, int]:
    """Return (hub, allocation, number) of an attempt key.

    Raises:
        InputError: the key was not made by `attempt_key`.
    """
    match = _KEY.fullmatch(key)
    if match is None:
        raise InputError(f"{key[:80]!r} is not an attempt key")
    return match[1], int(match[2]), int(match[3])


def parse_job_id(text: str) -> int:
    """Return the number in `j123`.

    Raises:
        InputError: it is not a job id.
    """
    match = _ID.fullmatch(text)
    if match is None or match[1] != "j":
        raise InputError(f"{text[:80]!r} is not a job id", hint="a job id looks like j123")
    return int(match[2])
