"""Forms in which a provider's accounting comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.ledger.metering.pods import read_pods
from fenglin.ledger.metering.sheets import read_csv, read_focus, read_sacct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from fenglin.ledger.metering.cells import Reading
    from fenglin.ledger.metering.metered import MeteredUse
    from fenglin.ledger.metering.records import ProviderRecord

    Reader = Callable[[Iterable[str], Reading, int], Iterator[ProviderRecord | MeteredUse]]

READERS: dict[str, Reader] = {
    "sacct": read_sacct,
    "kubernetes": read_pods,
    "focus": read_focus,
    "csv": read_csv,
}
"""(lines, what is told besides, minutes ahead of UTC of times that do not say) → records."""
