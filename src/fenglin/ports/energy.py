"""What a driver with capability ENERGY is asked besides; see `ports.driver`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


class MeasuresEnergy(Protocol):
    """Capability ENERGY: what ended attempts took is measured, where the site can tell it apart."""

    async def energy(self, keys: Collection[str]) -> Mapping[str, int]:
        """Return key → joules of the machines alone, for those that were measured as a whole.

        Changes nothing. What was not measured, is not told yet, lacks a part, or lies in one figure
        with the work of others is left out: no zero in the place of what is unknown. A figure that
        is told is final. Expected within 10 s for 1,000 keys.

        Raises:
            DriverError: the site cannot be asked now.
        """
        ...
