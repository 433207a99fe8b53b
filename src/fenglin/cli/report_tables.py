"""Tables of settlements and reports, whose sums are formulas over their rows."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING

from fenglin.cli.sheet import Cell, Formula, Head, Sheet, column
from fenglin.ledger.posting import units

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fenglin.ledger.settlement_check import ThreeWay
    from fenglin.wire.settling_views import SettlementView

_MICRO = Decimal(1_000_000)
_EXACT = Decimal("0.000001")
Row = dict[str, Cell]


class Table:
    """A sheet of rows below a line of heads.

    Attributes:
        name: Of the sheet.
        heads: Of the columns.
        rows: Cells in the order of the heads.
    """

    def __init__(self, name: str, heads: Sequence[str]) -> None:
        """Begin an empty one."""
        self.name = name
        self.heads = tuple(heads)
        self.rows: list[list[Cell]] = []

    def add(self, *cells: Cell) -> None:
        """Add a row."""
        self.rows.append(list(cells))

    def area(self, head: str) -> str:
        """Return a column's rows for a formula of any sheet."""
        letter = column(self.heads.index(head))
        return f"{self.name}!${letter}$2:${letter}${max(2, len(self.rows) + 1)}"

    def place(self, head: str, row: int | None = None) -> str:
        """Return a cell of a row, counted from 0; of the row to be added if not given."""
        number = (len(self.rows) if row is None else row) + 2
        return f"{column(self.heads.index(head))}{number}"

    def total(self, head: str, **equal: str) -> Formula:
        """Return the sum of a column, of those rows whose other columns hold these texts."""
        places = [self.heads.index(name) for name in equal]
        at = self.heads.index(head)
        mine = [
            row
            for row in self.rows
            if all(row[p] == text for p, text in zip(places, equal.values(), strict=True))
        ]
        value = sum((number(row[at]) for row in mine), Decimal(0))
        if not equal:
            return Formula(f"ROUND(SUM({self.area(head)}),6)", value)
        # Not SUMIFS, to which "*" is everything and "gz" is "GZ".
        wanted = "".join(f"EXACT({self.area(name)},{quoted(equal[name])})*" for name in equal)
        return Formula(f"ROUND(SUMPRODUCT({wanted}{self.area(head)}),6)", value)

    def sheet(self) -> Sheet:
        """Return it for a workbook."""
        body: list[list[Cell]] = [[Head(head) for head in self.heads], *self.rows]
        return Sheet(self.name, body, tuple(max(12, len(head) + 2) for head in self.heads))


def number(cell: Cell) -> Decimal:
    """Return what a cell comes to; a text counts nothing, as in a sum."""
    if isinstance(cell, Formula):
        return cell.value
    return Decimal(cell) if isinstance(cell, int | Decimal) else Decimal(0)


def money(amount_micro: int) -> Decimal:
    """Return an amount in whole units of its commodity."""
    return amount_micro / _MICRO


def exact(quantity: int, per: int) -> Decimal:
    """Return a quotient with six decimals."""
    return (Decimal(quantity) / per).quantize(_EXACT, ROUND_HALF_EVEN)


def quoted(text: str) -> str:
    """Return a text in a formula."""
    return '"' + text.replace('"', '""') + '"'


def settlement_tables(items: Sequence[SettlementView]) -> tuple[Table, Table]:
    """Return settlements, and the items that they were made of.

    `difference` is what was charged, less everybody's part: zero.
    """
    lines = Table(
        "Items",
        ("provider", "commodity", "item", "quantity", "price", "amount", "provider gets", "grade"),
    )
    for view in items:
        one = view.settlement
        for item in one.items:
            lines.add(
                one.provider,
                one.commodity,
                item.item,
                Decimal(units(item.quantity, item.per)),
                money(item.price_micro),
                money(item.amount_micro),
                item.rule,
                one.grade,
            )
    table = Table(
        "Settlement",
        ("provider", "commodity", "deal", "charged", "adjusted", "payable", "remainder", "taxes",
         "fee", "difference", "beyond the charges", "entry", "input", "grade"),
    )  # fmt: skip
    for view in items:
        one = view.settlement
        at = {head: table.place(head) for head in table.heads}
        parts = "-".join(at[head] for head in ("payable", "remainder", "taxes", "fee"))
        table.add(
            one.provider,
            one.commodity,
            one.deal.kind.value if one.deal.declared else "none",
            lines.total("amount", provider=one.provider, commodity=one.commodity),
            money(one.adjusted_micro),
            money(one.payable_micro),
            money(one.remainder_micro),
            money(one.taxes_micro),
            money(one.fee_micro),
            Formula(
                f"ROUND({at['charged']}+{at['adjusted']}-{parts},6)",
                money(
                    one.charged_micro
                    + one.adjusted_micro
                    - one.provider_micro
                    - one.taxes_micro
                    - one.fee_micro
                ),
            ),
            money(one.short_micro),
            view.entry,
            one.input_hash,
            one.grade,
        )
    return table, lines


def three_way_tables(found: ThreeWay) -> list[Table]:
    """Return the reconciliation, the charges it begins with, and what is at fault, if anything."""
    charges = Table("Charges", ("provider", "commodity", "tenant", "charged", "grade"))
    for one in found.charges:
        charges.add(one.provider, one.commodity, one.tenant, money(one.charged_micro), found.grade)
    table = Table(
        "ThreeWay",
        ("provider", "commodity", "charged", "vouchers", "paid by tenants", "dues", "taxes", "fee",
         "others", "difference", "settled by", "grade"),
    )  # fmt: skip
    for row in found.rows:
        at = {head: table.place(head) for head in table.heads}
        parts = "-".join(at[head] for head in ("dues", "taxes", "fee", "others"))
        table.add(
            row.provider,
            row.commodity,
            charges.total("charged", provider=row.provider, commodity=row.commodity),
            money(row.vouchers_micro),
            Formula(
                f"ROUND({at['charged']}-{at['vouchers']},6)",
                money(row.charged_micro - row.vouchers_micro),
            ),
            money(row.dues_micro),
            money(row.taxes_micro),
            money(row.fee_micro),
            money(row.others_micro),
            Formula(f"ROUND({at['charged']}-{parts},6)", money(row.difference_micro)),
            row.settled,
            found.grade,
        )
    tables = [table, charges]
    if found.faults:
        faults = Table("Faults", ("entry", "what does not fit"))
        for fault in found.faults:
            faults.add(fault.seq, fault.why)
        tables.append(faults)
    return tables
