"""The energy of work and the CO2 of that energy, always with how good the figures are."""

from __future__ import annotations

from msgspec import Struct

MEASURED = "measured"
MODELLED = "modelled"


class Energy(Struct, frozen=True, omit_defaults=True):
    """What an attempt took from the grid, the facility's overhead included.

    Attributes:
        energy_j: Joules of the whole facility.
        grade: `measured` by the site, or `modelled`.
        basis: From what it was measured or modelled, for people.
        carbon_mg: CO2 in mg; None where the grid's factor is unknown.
        carbon_grade: `modelled`, since a grid's factor is an average; empty without a figure.
        factor: The grid's factor with its source and date; empty without a figure.
    """

    energy_j: int
    grade: str
    basis: str
    carbon_mg: int | None = None
    carbon_grade: str = ""
    factor: str = ""
