"""What `fenglin.toml` says of metering: how far providers' records may differ from ours."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from fenglin.errors import InputError
from fenglin.ledger.metering.reconcile import DEFAULT, TOLERANCES, Tolerance
from fenglin.quantities.durations import parse_duration_ms

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_SLACK_MS = 24 * 3_600_000
_PERCENT = re.compile(r"(\d{1,2})(?:\.(\d))?%", re.ASCII)


class MeteringBlock(Struct, frozen=True, forbid_unknown_fields=True):
    """`[metering.KIND]`, for sites of one kind of driver; `default` for all that have no block.

    Attributes:
        share: Of our figure, such as `2%`; empty for what is built in.
        slack: On top for each line and task.
        cost: Of our cost.
    """

    share: str = ""
    slack: str | int | float = ""
    cost: str = ""


def tolerances_of(blocks: Mapping[str, MeteringBlock]) -> dict[str, Tolerance]:
    """Return the tolerance of each kind that has a block.

    Raises:
        InputError: says which key is wrong.
    """
    return {kind: _tolerance(kind, block) for kind, block in sorted(blocks.items())}


def _tolerance(kind: str, block: MeteringBlock) -> Tolerance:
    known = TOLERANCES.get(kind, DEFAULT)
    where = f"metering.{kind}"
    slack_ms = known.slack_ms
    if block.slack != "":
        try:
            slack_ms = parse_duration_ms(block.slack)
        except InputError as error:
            raise InputError(error.what, where=f"{where}.slack", hint=error.hint) from error
        if not 0 <= slack_ms <= MOST_SLACK_MS:
            raise InputError("out of range", where=f"{where}.slack", hint="0s to 24h")
    return Tolerance(
        _permille(block.share, known.share_permille, f"{where}.share"),
        slack_ms,
        _permille(block.cost, known.cost_permille, f"{where}.cost"),
    )


def _permille(text: str, known: int, where: str) -> int:
    if not text:
        return known
    match = _PERCENT.fullmatch(text)
    if match is None:
        raise InputError(f"{text[:80]!r} is no share", where=where, hint="such as 2% or 0.5%")
    return int(match[1]) * 10 + int(match[2] or 0)
