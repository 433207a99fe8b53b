"""A bill in all its forms: each foots, none can run anything."""

import csv
import io
import re
import zipfile
from decimal import Decimal
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import msgspec
import pytest

from fenglin.cli.bill_forms import bill_csv, bill_html, bill_xlsx
from fenglin.ledger.accounts import available, due, voucher_reserved
from fenglin.ledger.bill import HoursTotal, make_bill
from fenglin.ledger.entry import Leg, genesis, seal
from fenglin.ledger.moves import move_voucher
from fenglin.ledger.posting import Hold, Terms, adjust, charge, grant, hold, post
from fenglin.ledger.statement import Funds
from fenglin.quantities.period import Period

NOVEMBER = Period(2026, 11)
EVIL = '=HYPERLINK("http://x","y")<script>alert(1)</script>'
NAMES = {"m": "http://schemas.openxmlformats.org/spreadsheetml/2006/main"}


@pytest.fixture
def bill():
    of = Hold("a1", "lab", "CNY", 5_000_000, 7)
    charges = [
        charge("core-hour", 7_200_001, 3_600_000, 80_003),
        charge("card-hour", 1_800_000, 3_600_000, 2_400_000),
    ]
    drafts = [
        grant("lab", 10_000_000, "first", memo=EVIL),
        hold("lab", 5_000_000, "a1", job=7),
        post(of, "gz", charges, Terms("west", "gpu", "v1")),
    ]
    entries = [genesis("hub-1", NOVEMBER.from_ms)]
    for draft in drafts:
        entries.append(seal(entries[-1].head, draft, entries[-1].time_ms + 1_000))
    credit = move_voucher(
        voucher_reserved("gz-2026"), available("lab"), 400_001, "gz-2026:1",
        memo="voucher gz-2026/a", details=(("pool", "gz-2026"), ("voucher", "a"),
        ("pays", "post:a1")),
    )  # fmt: skip
    legs = (Leg(available("lab"), "CNY", 7), Leg(due("gz"), "CNY", -7))
    for draft in (credit, adjust(entries[-1], legs, "late")):
        entries.append(seal(entries[-1].head, draft, entries[-1].time_ms + 1_000))
    return make_bill("lab", NOVEMBER, Funds(1, 2), entries, None, final=True)


def test_the_rows_of_the_csv_sum_to_its_last_and_run_nothing(bill):
    table = list(csv.DictReader(io.StringIO(bill_csv(bill).decode())))
    amounts = [Decimal(row["amount"]) for row in table]
    assert sum(amounts[:-1]) == amounts[-1] == Decimal(bill.closing.total_micro) / 10**6
    assert [row["category"] for row in table] == [
        "opening", "grant", "usage", "usage", "credit", "adjustment", "closing",
    ]  # fmt: skip
    assert (table[4]["item"], table[4]["amount"]) == ("voucher gz-2026/a", "0.400001")
    assert table[1]["item"] == "'" + EVIL
    assert table[0]["time"] == "2026-11-01T00:00:00+08:00"
    assert table[2]["quantity"] == "2.000000"


def test_what_was_charged_less_credits_and_corrections_is_due(bill):
    assert (bill.credits_micro, bill.adjusted_micro) == (400_001, 7)
    assert bill.due_micro == bill.charged_micro - 400_001 - 7
    credit = next(one for one in bill.entries if one.kind == "voucher")
    assert (credit.voucher, credit.pays) == ("gz-2026/a", "post:a1")
    by_category = {}
    for row in csv.DictReader(io.StringIO(bill_csv(bill).decode())):
        amount = by_category.get(row["category"], 0) + Decimal(row["amount"])
        by_category[row["category"]] = amount
    left = -by_category["usage"] - by_category["credit"] - by_category["adjustment"]
    assert left == Decimal(bill.due_micro) / 10**6
    shown = re.search(r"<h2>Due</h2>(.*?)</table>", bill_html(bill).decode(), re.DOTALL)[1]
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", shown)
    assert dict(zip(cells[::2], cells[1::2], strict=True)) == {
        "charged": str(-by_category["usage"]),
        "credits": "0.400001",
        "adjusted": "0.000007",
        "due": str(left),
    }


def sheets(data):
    """Return the cells of each sheet: (value, formula)."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        for part in archive.namelist():
            ET.fromstring(archive.read(part))  # noqa: S314 - our own file
        found = []
        for number in (1, 2):
            root = ET.fromstring(archive.read(f"xl/worksheets/sheet{number}.xml"))  # noqa: S314
            cells = {}
            for cell in root.iterfind(".//m:c", NAMES):
                text = cell.find("m:is/m:t", NAMES)
                value = cell.find("m:v", NAMES)
                formula = cell.find("m:f", NAMES)
                shown = text.text if text is not None else Decimal(value.text)
                cells[cell.get("r")] = (shown, formula.text if formula is not None else "")
            found.append(cells)
        return found


def reckon(formula, first, lines):
    """Compute the few kinds of formulas that a bill has."""

    def area(text):
        letter, start, stop = re.fullmatch(
            r"Lines!\$([A-Z]+)\$(\d+):\$[A-Z]+\$(\d+)", text
        ).groups()
        return [lines.get(f"{letter}{n}", ("",))[0] for n in range(int(start), int(stop) + 1)]

    inner = re.fullmatch(r"ROUND\((.*),6\)", formula)
    body = inner[1] if inner else formula
    if body[0] == "-":
        return -reckon(body[1:], first, lines)
    if terms := re.fullmatch(r"B(\d+)-B(\d+)-B(\d+)", body):
        one, *others = (first[f"B{n}"][0] for n in terms.groups())
        return one - sum(others)
    if pair := re.fullmatch(r"B(\d+)([+-])B(\d+)", body):
        one, two = first[f"B{pair[1]}"][0], first[f"B{pair[3]}"][0]
        return one + two if pair[2] == "+" else one - two
    if whole := re.fullmatch(r"SUM\((.*)\)", body):
        return sum(area(whole[1]))
    summed, *tests = re.fullmatch(r"SUMIFS\((.*)\)", body)[1].split(",")
    kept = [True] * len(area(summed))
    for where, wanted in zip(tests[::2], tests[1::2], strict=True):
        for n, value in enumerate(area(where)):
            if wanted == '">=0"':
                kept[n] &= isinstance(value, Decimal) and value >= 0
            else:
                kept[n] &= value == (wanted[1:-1] if wanted[0] == '"' else first[wanted][0])
    return sum((v for v, keep in zip(area(summed), kept, strict=True) if keep), Decimal(0))


def test_every_formula_of_the_workbook_comes_to_what_is_shown(bill):
    first, lines = sheets(bill_xlsx(bill))
    formulas = {at: cell for at, cell in first.items() if cell[1]}
    assert len(formulas) == 3 + 4 + 2 * 2 + 1
    for at, (value, formula) in formulas.items():
        assert reckon(formula, first, lines) == value, at
    shown = {first[f"A{at[1:]}"][0]: value for at, (value, _) in formulas.items() if at[0] == "B"}
    assert shown["difference"] == 0
    assert shown["closing"] == Decimal(bill.closing.total_micro) / 10**6
    assert shown["due"] == Decimal(bill.due_micro) / 10**6
    assert lines["G2"] == (EVIL, "")


def test_hours_foot_by_themselves_below_all_that_is_money(bill):
    hours = HoursTotal("CORE-HOUR", Funds(4_000_000, 0), 9_000_000, 2_500_000, 100_000, (), (),
                       Funds(10_000_000, 600_000))  # fmt: skip
    both = msgspec.structs.replace(bill, hours=(hours,))
    plain, _ = sheets(bill_xlsx(bill))
    first, _ = sheets(bill_xlsx(both))
    assert {at: cell for at, cell in first.items() if at in plain} == plain
    more = {at: cell for at, cell in first.items() if at not in plain}
    assert [value for at, (value, _) in more.items() if at[0] == "B"] == [
        "CORE-HOUR", 4, 9, Decimal("2.5"), Decimal("0.1"), Decimal("10.6"),
    ]  # fmt: skip
    (formula,) = (formula for _, formula in more.values() if formula)
    places = re.fullmatch(r"ROUND\((B\d+)\+(B\d+)-(B\d+)\+(B\d+),6\)", formula).groups()
    opening, granted, charged, adjusted = (first[at][0] for at in places)
    assert opening + granted - charged + adjusted == Decimal("10.6")
    text = bill_html(both).decode()
    assert "<h2>Paid in CORE-HOUR</h2>" in text
    assert "CORE-HOUR" not in bill_csv(both).decode()


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.links = set(), []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name in {"src", "href", "onload"}]


def test_the_page_has_no_script_and_fetches_nothing(bill):
    text = bill_html(bill).decode()
    page = Page()
    page.feed(text)
    assert "script" not in page.tags
    assert page.links == []
    assert "&lt;script&gt;" in text
    assert "@page" in text


@pytest.mark.parametrize("form", [bill_csv, bill_xlsx, bill_html])
def test_the_same_bill_is_the_same_file(bill, form):
    again = msgspec.json.decode(msgspec.json.encode(bill), type=type(bill))
    assert form(again) == form(bill)


def test_a_bill_goes_to_the_terminal_or_a_file(hub, fenglin, bill, tmp_path):
    hub.on("GET", "/v1/ledger/bill", msgspec.to_builtins(bill))
    done = fenglin("statement", "--tenant", "lab", "--period", "2026-11")
    assert done.code == 0, done.err
    assert "core-hour" in done.out
    assert "opening" in done.out
    target = tmp_path / "bill.xlsx"
    words = ("statement", "--tenant", "lab", "--period", "2026-11", "-o", "xlsx")
    assert fenglin(*words, "--out", target).code == 0
    assert target.read_bytes() == bill_xlsx(bill)
    assert fenglin(*words).code == 2
