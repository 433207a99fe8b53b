"""Energy in the ledger: a posting carries what its attempt took, so that a bill never changes."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING

import msgspec

from fenglin.errors import DamageError
from fenglin.model.energy import Energy

if TYPE_CHECKING:
    from fenglin.ledger.entry import Entry

DETAIL = "energy"
COLUMNS = ("energy_kwh", "energy_grade", "co2_g", "co2_grade")
_J_PER_KWH = 3_600_000
_MG_PER_G = 1_000
_EXACT = Decimal("0.000001")
_DECODER = msgspec.json.Decoder(Energy)


def energy_details(energy: Energy | None) -> tuple[tuple[str, str], ...]:
    """Return the details of a posting that tell its energy; none where nothing is known."""
    return () if energy is None else ((DETAIL, msgspec.json.encode(energy).decode()),)


def energy_of(entry: Entry) -> Energy | None:
    """Return the energy that a posting tells of; None where it tells of none.

    Raises:
        DamageError: it was not written by `energy_details`.
    """
    text = entry.detail(DETAIL)
    try:
        return _DECODER.decode(text) if text else None
    except msgspec.DecodeError as error:
        where = f"entry {entry.seq}"
        raise DamageError(f"its energy is unreadable: {error}", where=where) from None


def energy_cells(energy: Energy | None) -> tuple[str, str, str, str]:
    """Return the cells of `COLUMNS`: no figure without its grade, and none for what is unknown."""
    if energy is None:
        return ("", "", "", "")
    kwh = (Decimal(energy.energy_j) / _J_PER_KWH).quantize(_EXACT, ROUND_HALF_EVEN)
    if energy.carbon_mg is None:
        return (str(kwh), energy.grade, "", "")
    return (str(kwh), energy.grade, str(Decimal(energy.carbon_mg) / _MG_PER_G), energy.carbon_grade)
