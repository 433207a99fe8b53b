"""What the door says of settlements, and of a month's operation."""

from __future__ import annotations

from msgspec import Struct

from fenglin.ledger.report import LoadRow, StockRow, UsageRow
from fenglin.ledger.settlement import Settlement
from fenglin.ledger.settlement_check import ThreeWay
from fenglin.wire.inventory_views import InventoryReport
from fenglin.wire.metering_views import EnergyReport
from fenglin.wire.views import PromiseView


class SettleAsk(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to settle.

    Attributes:
        period: The month, `YYYY-MM`.
        provider: Whose; empty for all.
    """

    period: str
    provider: str = ""


class SettlementView(Struct, frozen=True, kw_only=True):
    """A settlement.

    Attributes:
        settlement: As it was posted, or as it would be now.
        entry: Number of its ledger entry; 0 while it is not posted.
        posted_by: Who posted it; empty before.
    """

    settlement: Settlement
    entry: int
    posted_by: str


class SettledMonth(Struct, frozen=True, kw_only=True):
    """A month's settlements.

    Attributes:
        period: `YYYY-MM`.
        zone: Offset from UTC in which the books are kept.
        closed: Number of the entry that closed the month; 0 while it is open.
        items: By provider and commodity.
    """

    period: str
    zone: str
    closed: int
    items: list[SettlementView]


class DueView(Struct, frozen=True, kw_only=True):
    """What a provider is owed.

    Attributes:
        provider: Who.
        currency: Of the amounts.
        due_micro: Earned and not paid, what of it is the hub's and the taxes' included until
            its month is settled.
        settled_micro: What posted settlements say is payable, of all months together.
        paid_micro: What was paid of that.
        payable_micro: What may be paid now.
    """

    provider: str
    currency: str
    due_micro: int
    settled_micro: int
    paid_micro: int
    payable_micro: int


class DueList(Struct, frozen=True, kw_only=True):
    """What providers are owed, by name and currency."""

    items: list[DueView]


class ProviderPaid(Struct, frozen=True, kw_only=True):
    """Money that went out.

    Attributes:
        entry: Number of the ledger's entry.
        key: Of the entry.
        time_ms: Of the entry; of the first one for a key that came before.
        due: What the provider is owed now.
    """

    entry: int
    key: str
    time_ms: int
    due: DueView


class MonthReport(Struct, frozen=True, kw_only=True):
    """A month's operation; each part says how much its figures are worth.

    Attributes:
        period: `YYYY-MM`.
        zone: Offset from UTC in which the books are kept.
        from_ms: First millisecond.
        to_ms: First millisecond after it.
        made_ms: When the report was made; a month that runs counts up to then.
        hub: The hub's id.
        closed: Number of the entry that closed the month; 0 while it is open.
        inventory: What there is, as the configuration declares it today.
        declared: The baseline inventory: what was published, and what does not fit.
        usage: What was used, by account, site and flavor.
        load: How full the sites were.
        promises: How well promised starts were kept in this run of the hub; `live`.
        settlements: What of the charges is whose.
        three_way: That tenants' charges are what providers, hub and taxes got.
        energy: What it took, each figure with its grade; null where nobody keeps meters.
    """

    period: str
    zone: str
    from_ms: int
    to_ms: int
    made_ms: int
    hub: str
    closed: int
    inventory: tuple[StockRow, ...]
    declared: InventoryReport
    usage: tuple[UsageRow, ...]
    load: tuple[LoadRow, ...]
    promises: PromiseView
    settlements: list[SettlementView]
    three_way: ThreeWay
    energy: EnergyReport | None = None
