"""Observations from an agent that may be newer than this hub."""

from __future__ import annotations

from typing import Any

import msgspec

from fenglin.errors import DriverError
from fenglin.model.reason import Reason
from fenglin.ports.driver import Observation

_KNOWN = frozenset(reason.value for reason in Reason)
# It did not succeed, and we cannot say that the site is at fault.
_FAILED = Reason.EXIT_CODE.value


def read_observations(body: bytes, where: str) -> list[Observation]:
    """Return observations; a reason that this hub does not know becomes a plain failure.

    Raises:
        DriverError: they cannot be understood.
    """
    try:
        try:
            return msgspec.json.decode(body, type=list[Observation])
        except msgspec.ValidationError:
            return msgspec.convert(_plain(msgspec.json.decode(body)), list[Observation])
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise DriverError(
            f"the agent's answer cannot be understood: {error}",
            where=where,
            hint="upgrade the hub or the agent, whichever is older",
        ) from error


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Replace unknown reasons, of attempts and of tasks."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        changed = {key: _plain(item) for key, item in value.items()}
        if isinstance(changed.get("reason"), str) and changed["reason"] not in _KNOWN:
            changed["reason"] = _FAILED
        return changed
    return value
