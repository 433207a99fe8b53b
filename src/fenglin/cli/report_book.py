"""The workbook of a month: a summary whose figures are formulas over the other sheets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING

from fenglin.cli.report_tables import (
    Table,
    exact,
    settlement_tables,
    three_way_tables,
)
from fenglin.cli.sheet import Cell, Formula, Head, Sheet, workbook
from fenglin.quantities.period import parse_offset_min

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fenglin.ledger.report import LoadRow, StockRow, UsageRow
    from fenglin.wire.inventory_views import InventoryReport
    from fenglin.wire.metering_views import EnergyReport
    from fenglin.wire.settling_views import MonthReport

_HOUR_MS = 3_600_000
_CORE_HOUR = 1_000 * _HOUR_MS
_GIB = 2**30
_KWH_J = 3_600_000
_KG_MG = 1_000_000
_RATIO = Decimal("0.000001")
_WAYS = ("charged", "vouchers", "paid by tenants", "dues", "taxes", "fee", "others", "difference")
_GRADES = ("live", "declared", "measured", "modelled", "simulated")


def report_xlsx(made: MonthReport) -> bytes:
    """Return the workbook; the same bytes for the same report."""
    inventory = _inventory(made.inventory)
    usage = _usage(made.usage)
    load = _load(made.load)
    energy = [_energy(made.energy)] if made.energy is not None else []
    settlement, items = settlement_tables(made.settlements)
    three_way = three_way_tables(made.three_way)
    tables = (
        inventory,
        *_declared(made.declared),
        usage,
        load,
        *energy,
        settlement,
        items,
        *three_way,
    )
    rows = [
        *_facts(made),
        [],
        *_figures(inventory, usage, load, energy),
        [],
        *_money(three_way[0], settlement),
        [],
        *_promises(made),
    ]
    summary = Sheet("Summary", rows, (34, 40, 14, 12))
    return workbook([summary, *(table.sheet() for table in tables)])


def _inventory(rows: Sequence[StockRow]) -> Table:
    table = Table(
        "Inventory",
        ("provider", "site", "flavor", "class", "nodes", "cores", "memory GiB", "cards", "card",
         "grade"),
    )  # fmt: skip
    for one in rows:
        table.add(
            one.provider,
            one.site,
            one.flavor,
            one.compute_class,
            one.nodes,
            exact(one.cpu_milli, 1_000),
            exact(one.memory_bytes, _GIB),
            exact(one.card_milli, 1_000),
            one.card_model,
            one.grade,
        )
    return table


def _declared(found: InventoryReport) -> list[Table]:
    """Return published peaks, each precision alone, and what is not settled."""
    peaks = Table(
        "Peaks",
        ("class", "precision", "devices", "peak TFLOPS or TOPS", "devices of unknown peak",
         "devices tested", "tested TFLOPS or TOPS", "of a peak of", "reached", "grade",
         "grade tested"),
    )  # fmt: skip
    for one in found.totals:
        tested, peak = exact(one.measured_gflops, 1_000), exact(one.measured_of_gflops, 1_000)
        at = {head: peaks.place(head) for head in peaks.heads}
        peaks.add(
            one.compute_class.value,
            one.precision,
            exact(one.devices_milli, 1_000),
            exact(one.nominal_gflops, 1_000),
            exact(one.unknown_milli, 1_000),
            exact(one.measured_milli, 1_000),
            tested,
            peak,
            _share(at["tested TFLOPS or TOPS"], at["of a peak of"], tested, peak),
            "declared",
            "measured",
        )
    orders = Table("Anomalies", ("order", "facility", "check", "what does not fit", "state"))
    for order in found.unsettled:
        orders.add(order.id, order.facility, order.rule, order.what, order.state.value)
    return [peaks, orders] if orders.rows else [peaks]


def _usage(rows: Sequence[UsageRow]) -> Table:
    table = Table(
        "Usage",
        ("account", "provider", "site", "flavor", "attempts", "tasks", "hours", "core-hours",
         "card-hours", "processor hours", "grade"),
    )  # fmt: skip
    for one in rows:
        table.add(
            one.account,
            one.provider,
            one.site,
            one.flavor,
            one.attempts,
            one.tasks,
            exact(one.wall_ms, _HOUR_MS),
            exact(one.core_ms, _CORE_HOUR),
            exact(one.card_ms, _CORE_HOUR),
            exact(one.cpu_ms, _HOUR_MS),
            one.grade,
        )
    return table


def _load(rows: Sequence[LoadRow]) -> Table:
    table = Table(
        "Load",
        ("provider", "site", "core-hours", "core-hours offered", "cores held", "card-hours",
         "card-hours offered", "cards held", "grade", "grade offered"),
    )  # fmt: skip
    for one in rows:
        at = {head: table.place(head) for head in table.heads}
        held = exact(one.core_ms, _CORE_HOUR), exact(one.core_most_ms, _CORE_HOUR)
        cards = exact(one.card_ms, _CORE_HOUR), exact(one.card_most_ms, _CORE_HOUR)
        table.add(
            one.provider,
            one.site,
            *held,
            _share(at["core-hours"], at["core-hours offered"], *held),
            *cards,
            _share(at["card-hours"], at["card-hours offered"], *cards),
            one.grade,
            "declared",
        )
    return table


def _energy(found: EnergyReport) -> Table:
    """Return energy and CO2; nothing in the place of a figure that is unknown."""
    table = Table(
        "Energy",
        ("account", "site", "attempts", "kWh", "grade", "CO2 kg", "attempts of unknown CO2",
         "grade of CO2"),
    )  # fmt: skip
    for one in found.rows:
        known = one.carbon_unknown < one.attempts
        table.add(
            one.account,
            one.site,
            one.attempts,
            exact(one.energy_j, _KWH_J) if one.grade != "unknown" else None,
            one.grade,
            exact(one.carbon_mg, _KG_MG) if known else None,
            one.carbon_unknown,
            "modelled" if known else "unknown",
        )
    return table


def _share(part: str, whole: str, part_value: Decimal, whole_value: Decimal) -> Cell:
    """Return a ratio as a formula; nothing where there is nothing to divide by."""
    if not whole_value:
        return None
    ratio = (part_value / whole_value).quantize(_RATIO, ROUND_HALF_EVEN)
    return Formula(f"ROUND({part}/{whole},6)", ratio)


def _facts(made: MonthReport) -> list[list[Cell]]:
    zone = timezone(timedelta(minutes=parse_offset_min(made.zone)))
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=made.made_ms)
    state = f"closed by entry {made.closed}" if made.closed else "open: figures may still grow"
    way = made.three_way
    foots = "foots" if way.ok else f"DOES NOT FOOT: {len(way.faults)} faults"
    return [
        [Head(f"Operation report {made.period}")],
        ["period", f"{made.period} (UTC{made.zone})"],
        ["state", state],
        ["three-way reconciliation", foots],
        ["published inventory", _published(made.declared)],
        ["hub", made.hub],
        ["made", moment.astimezone(zone).isoformat(timespec="seconds")],
    ]


def _published(found: InventoryReport) -> str:
    """Return which publication counts, and how much of it is in doubt."""
    if found.snapshot is None:
        return "none yet"
    open_orders = f", {len(found.unsettled)} anomalies not settled" if found.unsettled else ""
    return f"{found.snapshot.id} of {len(found.facilities)} facilities{open_orders}"


def _figures(
    inventory: Table, usage: Table, load: Table, energy: Sequence[Table]
) -> list[list[Cell]]:
    """Return totals of what there is and what was used."""
    shown = [
        ("nodes", inventory, "nodes", "nodes"),
        ("cores", inventory, "cores", "cores"),
        ("cards", inventory, "cards", "cards"),
        ("tasks ended", usage, "tasks", "tasks"),
        ("core-hours used", usage, "core-hours", "core-hours"),
        ("card-hours used", usage, "card-hours", "card-hours"),
        ("core-hours offered", load, "core-hours offered", "core-hours"),
        ("card-hours offered", load, "card-hours offered", "card-hours"),
        *(("energy", table, "kWh", "kWh") for table in energy),
    ]
    rows: list[list[Cell]] = [[Head("Figure"), Head("Value"), Head("Unit"), Head("Grade")]]
    for name, table, head, unit in shown:
        # What is simulated is never added to what is real.
        for grade in _GRADES:
            if any(row[table.heads.index("grade")] == grade for row in table.rows):
                told = "declared" if head.endswith("offered") and grade == "live" else grade
                rows.append([name, table.total(head, grade=grade), unit, told])
    return rows


def _money(three_way: Table, settlement: Table) -> list[list[Cell]]:
    """Return the month's money, for each commodity."""
    rows: list[list[Cell]] = [[Head("Money"), Head("Value"), Head("Commodity"), Head("Grade")]]
    place = three_way.heads.index("commodity")
    for commodity in sorted({str(row[place]) for row in three_way.rows}):
        rows += [
            [head, three_way.total(head, commodity=commodity), commodity, "live"] for head in _WAYS
        ]
        rows += [
            [f"{head} to providers", settlement.total(head, commodity=commodity), commodity, "live"]
            for head in ("payable", "remainder")
        ]
    return rows


def _promises(made: MonthReport) -> list[list[Cell]]:
    """Return how well promised starts were kept."""
    kept = made.promises
    return [
        [Head("Promised starts, of this run of the hub"), Head("Value"), Head("Unit"),
         Head("Grade")],
        ["promises that came due", kept.jobs, "jobs", "live"],
        ["half were off by at most", exact(kept.half_ms, 1_000), "seconds", "live"],
        ["nine of ten were off by at most", exact(kept.most_ms, 1_000), "seconds", "live"],
    ]  # fmt: skip
