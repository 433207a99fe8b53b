"""A bill in the forms in which it leaves: CSV, a workbook, one HTML page for print."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from html import escape
from typing import TYPE_CHECKING

from fenglin.cli.sheet import Cell, Formula, Head, Sheet, column, workbook
from fenglin.ledger.bill import Bill, BillRow, HoursTotal, rows
from fenglin.ledger.export import decimal_amount, text_cell
from fenglin.ledger.metering.energy_note import COLUMNS as ENERGY_COLUMNS
from fenglin.ledger.metering.energy_note import energy_cells
from fenglin.ledger.posting import units
from fenglin.quantities.period import offset_text

if TYPE_CHECKING:
    from collections.abc import Iterable

_MICRO = Decimal(1_000_000)
COLUMNS = (
    "time", "category", "kind", "job", "site", "flavor", "item", "quantity", "price", "amount",
    "commodity", "entry", *ENERGY_COLUMNS,
)  # fmt: skip
_NUMBERS = ("quantity", "price", "amount", "entry", "energy_kwh", "co2_g")
_QUANTITY, _AMOUNT, _ITEM, _SITE, _CATEGORY = (
    column(COLUMNS.index(name)) for name in ("quantity", "amount", "item", "site", "category")
)
_STYLE = """\
body{font:11pt/1.4 "Noto Sans CJK SC","Microsoft YaHei",system-ui,sans-serif;color:#111;
margin:2rem auto;max-width:60rem;padding:0 1rem}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:1.5rem 0 .3rem}
table{border-collapse:collapse;width:100%;font-size:.85rem}
th,td{text-align:left;padding:.2rem .5rem;border-bottom:1px solid #ccc;overflow-wrap:anywhere}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
thead{display:table-header-group}tr{break-inside:avoid}footer{margin-top:1.5rem;font-size:.75rem}
@page{size:A4 landscape;margin:12mm}@media print{body{margin:0;max-width:none;font-size:9pt}}"""


def bill_time(bill: Bill, time_ms: int) -> str:
    """Return a moment in the books' zone."""
    zone = timezone(timedelta(minutes=bill.offset_min))
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms)
    return moment.astimezone(zone).isoformat(timespec="seconds")


def row_texts(bill: Bill, row: BillRow) -> tuple[str, ...]:
    """Return the cells of a row, in the order of `COLUMNS`."""
    price = "" if row.price_micro is None else decimal_amount(row.price_micro)
    return (
        bill_time(bill, row.time_ms),
        row.category,
        row.kind.value,
        row.job,
        row.site,
        row.flavor,
        row.item,
        row.quantity,
        price,
        decimal_amount(row.amount_micro),
        bill.commodity,
        str(row.seq),
        *energy_cells(row.energy),
    )


def summary(bill: Bill) -> list[tuple[str, int]]:
    """Return what leads from the opening to the closing; amounts in micro-units."""
    moved = [(one.kind.value, one.amount_micro) for one in bill.kinds if one.amount_micro]
    return [
        ("opening", bill.opening.total_micro),
        *moved,
        ("closing", bill.closing.total_micro),
    ]


def dues(bill: Bill) -> list[tuple[str, int]]:
    """Return what the month costs: charged - credits - adjusted = due; in micro-units."""
    return [
        ("charged", bill.charged_micro),
        ("credits", bill.credits_micro),
        ("adjusted", bill.adjusted_micro),
        ("due", bill.due_micro),
    ]


def hours_sums(one: HoursTotal) -> list[tuple[str, int]]:
    """Return what leads from opening to closing in one kind of hours."""
    return [
        ("opening", one.opening.total_micro),
        ("granted", one.granted_micro),
        ("charged", one.charged_micro),
        ("adjusted", one.adjusted_micro),
        ("closing", one.closing.total_micro),
    ]


def bill_csv(bill: Bill) -> bytes:
    """Return an opening row, what happened, and a closing row, which is the sum of those above.

    A text that a spreadsheet would run as a formula gets a leading apostrophe.
    """
    lines = [",".join(COLUMNS), _edge(bill, "opening", bill.from_ms, bill.opening.total_micro)]
    for row in rows(bill):
        cells = zip(COLUMNS, row_texts(bill, row), strict=True)
        lines.append(",".join(c if name in _NUMBERS else text_cell(c) for name, c in cells))
    lines.append(_edge(bill, "closing", bill.to_ms, bill.closing.total_micro))
    return "".join(line + "\r\n" for line in lines).encode()


def _edge(bill: Bill, name: str, time_ms: int, amount_micro: int) -> str:
    """Return the first or the last row of the CSV."""
    blank = ("",) * (COLUMNS.index("amount") - 3)
    amount = decimal_amount(amount_micro)
    rest = ("",) * (len(COLUMNS) - COLUMNS.index("commodity") - 1)
    return ",".join((bill_time(bill, time_ms), name, name, *blank, amount, bill.commodity, *rest))


def bill_xlsx(bill: Bill) -> bytes:
    """Return a workbook of two sheets whose sums are formulas over the rows.

    The last row of the first sheet is the difference between the ledger's closing balance and
    what the formulas come to; it is zero.
    """
    lines = list(rows(bill))
    last = len(lines) + 1
    amounts = f"Lines!${_AMOUNT}$2:${_AMOUNT}${max(2, last)}"
    moved = sum(row.amount_micro for row in lines)
    facts: list[list[Cell]] = [[name, text] for name, text in _facts(bill)]
    first: list[list[Cell]] = [
        [Head(f"{bill.account} {bill.period}")],
        *facts,
        [],
        [Head("Balance"), Head(bill.commodity)],
        ["opening", _money(bill.opening.total_micro)],
    ]
    at = len(first)
    closing = bill.opening.total_micro + moved
    first += [
        ["sum of all lines", Formula(f"ROUND(SUM({amounts}),6)", _money(moved))],
        ["closing", Formula(f"ROUND(B{at}+B{at + 1},6)", _money(closing))],
        ["closing as the ledger has it", _money(bill.closing.total_micro)],
        [
            "difference",
            Formula(f"ROUND(B{at + 2}-B{at + 3},6)", _money(closing - bill.closing.total_micro)),
        ],
        [],
        [Head("Due"), Head(bill.commodity)],
    ]
    first += _due_sums(bill, len(first), amounts)
    first += [[], [Head("Item"), Head("Quantity"), Head("Amount")]]
    for name in sorted({one.item for one in bill.items}):
        first.append(_item_sums(name, f"A{len(first) + 1}", lines, amounts))
    first += [[], [Head("Site"), None, Head("Amount")]]
    first += [
        [one.site, None, _conditional(_SITE, f"A{len(first) + n}", amounts, -one.amount_micro)]
        for n, one in enumerate(bill.sites, 1)
    ]
    for one in bill.hours:
        first += _hours_rows(one, len(first))
    body: list[list[Cell]] = [[Head(name) for name in COLUMNS]]
    body += [_cells(bill, row) for row in lines]
    widths = (26, 12, 10, 8, 16, 16, 24, 16, 14, 18, 12, 10, 14, 14, 14, 12)
    return workbook([Sheet("Bill", first, (32, 44, 18)), Sheet("Lines", body, widths)])


def _hours_rows(one: HoursTotal, above: int) -> list[list[Cell]]:
    """Return one kind of hours, which no formula over the lines of money touches."""
    *sums, (last, closing_micro) = hours_sums(one)
    at = above + 3
    footed = f"ROUND(B{at}+B{at + 1}-B{at + 2}+B{at + 3},6)"
    found: list[list[Cell]] = [[], [Head("Paid in"), Head(one.kind)]]
    found += [[name, _money(micro)] for name, micro in sums]
    found.append([last, Formula(footed, _money(closing_micro))])
    return found


def _due_sums(bill: Bill, above: int, amounts: str) -> list[list[Cell]]:
    """Return what the month costs, by formulas over the lines; `above` rows stand before."""
    end = amounts.rpartition("$")[2]
    where = f"{amounts},Lines!${_CATEGORY}$2:${_CATEGORY}${end}"
    at = above + 1
    formulas = (
        f'-ROUND(SUMIFS({where},"usage"),6)',
        f'ROUND(SUMIFS({where},"credit"),6)',
        f'ROUND(SUMIFS({where},"adjustment"),6)',
        f"ROUND(B{at}-B{at + 1}-B{at + 2},6)",
    )
    return [
        [name, Formula(formula, _money(micro))]
        for (name, micro), formula in zip(dues(bill), formulas, strict=True)
    ]


def _item_sums(name: str, wanted: str, lines: list[BillRow], amounts: str) -> list[Cell]:
    """Return an item's row of the first sheet; only rows with a quantity are of an item."""
    mine = [row for row in lines if row.quantity and row.item == name]
    quantity = sum((Decimal(row.quantity) for row in mine), Decimal(0))
    end = amounts.rpartition("$")[2]
    items, many = (f"Lines!${letter}$2:${letter}${end}" for letter in (_ITEM, _QUANTITY))
    used = f'{items},{wanted},{many},">=0"'
    spent = sum(row.amount_micro for row in mine)
    return [
        name,
        Formula(f"SUMIFS({many},{used})", quantity),
        Formula(f"ROUND(SUMIFS({amounts},{used}),6)", _money(spent)),
    ]


def _conditional(letter: str, wanted: str, amounts: str, amount_micro: int) -> Formula:
    """Return the sum of what one site was charged."""
    end = amounts.rpartition("$")[2]
    sites = f"Lines!${letter}$2:${letter}${end}"
    kinds = f"Lines!$C$2:$C${end}"
    return Formula(
        f'ROUND(SUMIFS({amounts},{sites},{wanted},{kinds},"post"),6)', _money(amount_micro)
    )


def _cells(bill: Bill, row: BillRow) -> list[Cell]:
    """Return a row with its numbers as numbers."""
    cells: list[Cell] = []
    for name, text in zip(COLUMNS, row_texts(bill, row), strict=True):
        if name == "entry":
            cells.append(int(text))
        else:
            cells.append(Decimal(text) if name in _NUMBERS and text else text)
    return cells


def bill_html(bill: Bill) -> bytes:
    """Return one page without scripts and without anything fetched, ready to be printed."""
    heads = "".join(
        f'<th class="n">{name}</th>' if name in _NUMBERS else f"<th>{name}</th>" for name in COLUMNS
    )
    body = "".join(_tr(zip(COLUMNS, row_texts(bill, row), strict=True)) for row in rows(bill))
    sums = "".join(
        _tr((("name", name), ("amount", decimal_amount(amount)))) for name, amount in summary(bill)
    )
    due = "".join(
        _tr((("name", name), ("amount", decimal_amount(amount)))) for name, amount in dues(bill)
    )
    items = "".join(
        _tr(
            (
                ("item", one.item),
                ("quantity", units(one.quantity, one.per)),
                ("amount", decimal_amount(one.amount_micro)),
            )
        )
        for one in bill.items
    )
    sites = "".join(
        _tr((("site", one.site), ("amount", decimal_amount(one.amount_micro))))
        for one in bill.sites
    )
    hours = "".join(
        f"<h2>Paid in {escape(one.kind)}</h2><table>"
        + "".join(
            _tr((("name", name), ("amount", decimal_amount(micro))))
            for name, micro in hours_sums(one)
        )
        + "</table>\n"
        for one in bill.hours
    )
    facts = "".join(_tr((("name", name), ("text", text))) for name, text in _facts(bill))
    title = escape(f"{bill.account} {bill.period}")
    return f"""\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<style>{_STYLE}</style></head><body>
<h1>{title}</h1>
<table>{facts}</table>
<h2>Balance ({escape(bill.commodity)})</h2><table>{sums}</table>
<h2>Due</h2><table>{due}</table>
<h2>Items</h2><table>{items}</table>
<h2>Sites</h2><table>{sites}</table>
{hours}<h2>Lines</h2><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>
</body></html>
""".encode()


def _tr(cells: Iterable[tuple[str, str]]) -> str:
    """Return a row; nothing of a user's text can become markup."""
    each = (
        f'<td class="n">{escape(text)}</td>' if name in _NUMBERS else f"<td>{escape(text)}</td>"
        for name, text in cells
    )
    return f"<tr>{''.join(each)}</tr>\n"


def _facts(bill: Bill) -> list[tuple[str, str]]:
    """Return what a bill says of itself."""
    facts = [
        ("account", bill.account),
        ("period", f"{bill.period} ({offset_text(bill.offset_min)})"),
        ("state", "final" if bill.final else "the period still runs"),
        ("figures", bill.grade),
        ("commodity", bill.commodity),
    ]
    if bill.proof is not None:
        origin, size, root, *_ = bill.proof.checkpoint.splitlines()
        facts.append(("ledger", f"{origin}, {size} entries"))
        facts.append(("checkpoint", root))
    return facts


def _money(amount_micro: int) -> Decimal:
    return amount_micro / _MICRO
