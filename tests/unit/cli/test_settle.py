"""Settlements, their check, and a month's report on the command line: all of it foots."""

import csv
import importlib.util
import io
import json
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from fenglin.catalog.inventory.steps import AnomalyState
from fenglin.catalog.inventory.totals import InventoryTotal
from fenglin.cli.report_book import report_xlsx
from fenglin.ledger.accounts import available, voucher_reserved
from fenglin.ledger.entry import genesis, seal
from fenglin.ledger.moves import move_voucher
from fenglin.ledger.posting import Hold, Terms, charge, hold, post
from fenglin.ledger.report import LoadRow, StockRow, UsageRow
from fenglin.ledger.settlement import settle_entry, settle_month
from fenglin.ledger.settlement_check import Fault, ThreeWayCheck
from fenglin.ledger.settlement_deal import Deal, DealKind, Rate
from fenglin.model.states import ComputeClass
from fenglin.quantities.period import Period
from fenglin.wire.inventory_views import AnomalyView, InventoryReport, SnapshotHead
from fenglin.wire.metering_views import EnergyReport, EnergySum
from fenglin.wire.settling_views import MonthReport, SettledMonth, SettlementView
from fenglin.wire.views import PromiseView

SPEC = importlib.util.spec_from_file_location("formulas", Path(__file__).with_name("formulas.py"))
formulas = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(formulas)

NOVEMBER = Period(2026, 11)
HOUR = 3_600_000
# Names that a spreadsheet's usual sums would take for every name, or for each other.
DEALS = {
    "*": [Deal(provider="*", share=Rate(1, 3), taxes=(("vat", Rate(6, 106)),))],
    "gz": [Deal(provider="gz", kind=DealKind.UNIT, units=(("core_hour", 10**6),))],
}


DECLARED = InventoryReport(
    period="2026-11", snapshot=SnapshotHead(id="s3", published_ms=1, published_by="ada",
                                            sha256="", note=""),
    facilities=(), changes=[], opened=[], settled=[], steps={},
    totals=[
        InventoryTotal(compute_class=ComputeClass.AI, precision="fp16", devices_milli=16_000,
                       nominal_gflops=4_992_000, unknown_milli=0, measured_milli=8_000,
                       measured_gflops=2_012_000, measured_of_gflops=2_496_000),
        InventoryTotal(compute_class=ComputeClass.AI, precision="int8", devices_milli=0,
                       nominal_gflops=0, unknown_milli=16_000, measured_milli=0,
                       measured_gflops=0, measured_of_gflops=0),
    ],
    unsettled=[
        AnomalyView(id="a12", facility="east", rule="pue", about="", what="pue below 1",
                    state=AnomalyState.OPEN, agrees=False, opened_ms=1, changed_ms=1, rectified="",
                    rectified_by="", settled="", settled_by="", settled_ms=0),
    ],
)  # fmt: skip


ENERGY = EnergyReport(
    period="2026-11", factors=[],
    rows=[
        EnergySum(account=account, site="east", grade=grade, attempts=attempts, energy_j=joules,
                  carbon_mg=carbon, carbon_unknown=unknown)
        for account, grade, attempts, joules, carbon, unknown in
        (("ann", "measured", 2, 3_600_000, 498_900, 0), ("lab", "measured", 1, 1_800_000, 0, 1),
         ("lab", "modelled", 3, 7_200_000, 997_800, 1), ("lab", "unknown", 4, 0, 0, 4))
    ],
)  # fmt: skip


def entries():
    drafts = []
    for n, (provider, hours) in enumerate((("*", 7), ("gz", 3), ("GZ", 5), ('=1"', 2))):
        of = Hold(f"a{n}", "lab", "CNY", 10**9, n)
        charges = [charge("core_hour", hours * HOUR + n, HOUR, 123_457)]
        drafts += [hold("lab", 10**9, f"a{n}", job=n), post(of, provider, charges, Terms("s"))]
    drafts.append(move_voucher(voucher_reserved("spring"), available("lab"), 1_000_001, "v"))
    drafts.append(move_voucher(voucher_reserved("spring"), available("idle"), 5, "w"))
    found = [genesis("hub-1", NOVEMBER.from_ms)]
    for draft in drafts:
        found.append(seal(found[-1].head, draft, NOVEMBER.from_ms + 1))
    return found


@pytest.fixture(scope="module")
def report():
    """Return a month as the hub reports it, posted."""
    body = entries()
    made = settle_month(body, NOVEMBER, DEALS)
    check, head = ThreeWayCheck(NOVEMBER), body[-1].head
    for entry in body:
        check.add(entry)
    views = []
    for one in made:
        entry = seal(head, settle_entry(one), NOVEMBER.to_ms)
        head = entry.head
        check.add_settle(entry)
        views.append(SettlementView(settlement=one, entry=entry.seq, posted_by="ada"))
    stock = [
        StockRow(provider=p, site=s, flavor="std", compute_class="ai", nodes=n, cpu_milli=n * 1_500,
                 memory_bytes=n * 10**9, card_milli=n * 1_000, card_model="A100", grade=grade)
        for p, s, n, grade in (("*", "east", 3, "declared"), ("gz", "toy", 1, "simulated"))
    ]  # fmt: skip
    usage = [
        UsageRow(account=a, provider=p, site=s, flavor="std", attempts=1, tasks=n, wall_ms=n * HOUR,
                 core_ms=n * 1_234_567, card_ms=n * 999, cpu_ms=n * 77_777, grade=grade)
        for a, p, s, n, grade in
        (("ann", "*", "east", 3, "live"), ("lab", "*", "east", 4, "live"),
         ("lab", "gz", "toy", 5, "simulated"))
    ]  # fmt: skip
    load = [
        LoadRow(provider="*", site="east", core_ms=7 * 1_234_567, core_most_ms=4_500 * 720 * HOUR,
                card_ms=7 * 999, card_most_ms=0, grade="live"),
        LoadRow(provider="gz", site="toy", core_ms=5, core_most_ms=7, card_ms=0, card_most_ms=1,
                grade="simulated"),
    ]  # fmt: skip
    found = check.finish()
    return MonthReport(
        period="2026-11", zone="+08:00", from_ms=NOVEMBER.from_ms, to_ms=NOVEMBER.to_ms,
        made_ms=NOVEMBER.to_ms, hub="h1", closed=12, inventory=tuple(stock), usage=tuple(usage),
        load=tuple(load), promises=PromiseView(4, 1_500, 2_750), settlements=views,
        three_way=found, declared=DECLARED, energy=ENERGY,
    )  # fmt: skip


def test_every_formula_of_the_report_comes_to_the_value_beside_it(report):
    book = formulas.Book(report_xlsx(report))
    assert book.check() > 40
    assert list(book.cells) == [
        "Summary", "Inventory", "Peaks", "Anomalies", "Usage", "Load", "Energy", "Settlement",
        "Items", "ThreeWay", "Charges",
    ]  # fmt: skip
    assert all(row["difference"] == 0 for row in book.rows("Settlement") + book.rows("ThreeWay"))
    charged = {row["provider"]: row["charged"] for row in book.rows("ThreeWay")}
    assert charged.keys() == {"", "*", '=1"', "GZ", "gz"}
    assert charged["*"] == Decimal("0.864199")
    fp16, int8 = book.rows("Peaks")
    assert (fp16["peak TFLOPS or TOPS"], fp16["reached"]) == (4_992, Decimal("0.80609"))
    assert int8["reached"] == ""
    assert book.rows("Anomalies")[0]["order"] == "a12"
    assert book.cells["Summary"]["B5"][0] == "s3 of 0 facilities, 1 anomalies not settled"
    for sheet in list(book.cells)[1:]:
        if sheet in {"Anomalies", "Energy"}:
            continue
        grades = {row["grade"] for row in book.rows(sheet)}
        assert grades <= {"live", "declared", "simulated"}, sheet


def test_energy_keeps_its_grade_in_the_workbook(report):
    book = formulas.Book(report_xlsx(report))
    found = [(row["account"], row["grade"], row["kWh"], row["CO2 kg"], row["grade of CO2"])
             for row in book.rows("Energy")]  # fmt: skip
    assert found == [
        ("ann", "measured", 1, Decimal("0.4989"), "modelled"),
        ("lab", "measured", Decimal("0.5"), "", "unknown"),
        ("lab", "modelled", 2, Decimal("0.9978"), "modelled"),
        ("lab", "unknown", "", "", "unknown"),
    ]
    cells = book.cells["Summary"]
    places = [place[1:] for place, (name, _) in cells.items() if name == "energy"]
    sums = {cells[f"D{n}"][0]: book.value("Summary", f"B{n}") for n in places}
    # Of what is unknown there is no sum, and no grade is added to another.
    assert sums == {"measured": Decimal("1.5"), "modelled": 2}


def test_the_summary_tells_real_from_simulated_and_what_is_whose(report):
    book = formulas.Book(report_xlsx(report))
    cells = book.cells["Summary"]
    rows = {}
    for place, (name, _) in cells.items():
        if place.startswith("A"):
            n = place[1:]
            grade = cells.get(f"D{n}", ("", ""))[0]
            rows[name, grade] = book.value("Summary", f"B{n}")
    assert rows["nodes", "declared"] == 3
    assert rows["nodes", "simulated"] == 1
    assert rows["tasks ended", "live"] == 7
    assert rows["core-hours offered", "declared"] == 3240
    assert rows["nine of ten were off by at most", "live"] == Decimal("2.75")
    money = {name: value for (name, grade), value in rows.items() if grade == "live"}
    assert money["charged"] == money["dues"] + money["taxes"] + money["fee"]
    assert money["charged"] == Decimal(sum(
        one.settlement.charged_micro for one in report.settlements)) / 10**6  # fmt: skip
    assert money["vouchers"] == Decimal("1.000006")
    assert money["difference"] == 0
    assert money["payable to providers"] + money["remainder to providers"] == money["dues"]
    assert rows["three-way reconciliation", ""] == "foots"


def test_the_same_report_is_the_same_file_and_a_changed_figure_shows(report):
    assert report_xlsx(report) == report_xlsx(report)
    row = report.three_way.rows[0]
    bad = msgspec.structs.replace(row, dues_micro=row.dues_micro + 7, difference_micro=-7)
    way = msgspec.structs.replace(
        report.three_way, ok=False, rows=(bad, *report.three_way.rows[1:]),
        faults=(Fault(4, "it is not what was entered"),),
    )  # fmt: skip
    book = formulas.Book(report_xlsx(msgspec.structs.replace(report, three_way=way)))
    book.check()
    assert book.rows("ThreeWay")[0]["difference"] == Decimal("-0.000007")
    assert book.rows("Faults") == [{"entry": 4, "what does not fit": "it is not what was entered"}]
    assert "DOES NOT FOOT" in book.cells["Summary"]["B4"][0]


def test_an_empty_month_has_a_report(report):
    way = ThreeWayCheck(NOVEMBER).finish()
    none = msgspec.structs.replace(DECLARED, snapshot=None, totals=[], unsettled=[])
    empty = msgspec.structs.replace(
        report, inventory=(), usage=(), load=(), settlements=[], three_way=way, declared=none,
        energy=None,
    )  # fmt: skip
    book = formulas.Book(report_xlsx(empty))
    assert book.check() == 0
    assert book.cells["Summary"]["B5"][0] == "none yet"


@pytest.fixture
def month(report):
    return SettledMonth(period="2026-11", zone="+08:00", closed=12, items=report.settlements)


def body_of(made):
    return json.loads(msgspec.json.encode(made))


def test_a_settlement_on_the_terminal_says_what_the_deal_promises_beyond(fenglin, hub, play, month):
    hub.on("GET", "/v1/settlements", play(body=body_of(month)))
    done = fenglin("settle", "--period", "2026-11", "--provider", "gz")
    assert done.code == 0
    assert hub.asked[-1].query == [("period", "2026-11"), ("provider", "gz")]
    line = next(one for one in done.out.splitlines() if one.startswith("gz "))
    assert "unit" in line
    assert "0.37 CNY" in line
    assert "gz: its deal promises 2.62963 CNY more" in done.out
    assert "closed by entry 12" in done.out


def test_csv_and_workbook_say_the_same_and_run_nothing(fenglin, hub, play, month, tmp_path):
    hub.on("GET", "/v1/settlements", play(body=body_of(month)))
    done = fenglin("settle", "--period", "2026-11", "-o", "csv")
    table = list(csv.DictReader(io.StringIO(done.out)))
    assert [row["provider"] for row in table] == ["*", "'=1\"", "GZ", "gz"]
    hub.on("GET", "/v1/settlements", play(body=body_of(month)))
    out = tmp_path / "nov.xlsx"
    assert fenglin("settle", "--period", "2026-11", "-o", "xlsx", "--out", out).code == 0
    book = formulas.Book(out.read_bytes())
    assert book.check()
    for row, line in zip(table, book.rows("Settlement"), strict=True):
        for name in ("charged", "adjusted", "payable", "remainder", "taxes", "fee"):
            assert Decimal(row[name]) == line[name]
        parts = sum(Decimal(row[name]) for name in ("payable", "remainder", "taxes", "fee"))
        assert parts == Decimal(row["charged"])


def test_posting_is_asked_for_by_its_own_word(fenglin, hub, play, month):
    hub.on("POST", "/v1/settlements", play(body=body_of(month)))
    done = fenglin("settle", "--period", "2026-11", "--post", "-o", "json")
    assert json.loads(done.out)["items"][0]["entry"]
    assert json.loads(hub.asked[-1].body) == {"period": "2026-11", "provider": ""}


def test_a_check_that_foots_and_one_that_does_not(fenglin, hub, play, report):
    way = report.three_way
    hub.on("GET", "/v1/settlements:check", play(body=body_of(way)))
    done = fenglin("settle", "--period", "2026-11", "--check")
    assert (done.code, done.out.splitlines()[-1]) == (0, "it foots")
    bad = msgspec.structs.replace(way, ok=False, faults=(Fault(4, "legs"), Fault(0, "lost")))
    for words in ((), ("-o", "json")):
        hub.on("GET", "/v1/settlements:check", play(body=body_of(bad)))
        done = fenglin("settle", "--period", "2026-11", "--check", *words)
        assert done.code == 7
        assert "entries 4" in done.err
        assert "legs" in done.out


@pytest.mark.parametrize(
    "words",
    [
        ("settle", "--period", "2026-11", "-o", "xlsx"),
        ("settle", "--period", "2026-11", "--out", "x"),
        ("settle", "--period", "2026-11", "--check", "--post"),
        ("settle", "--period", "2026-11", "--check", "-o", "csv"),
        ("settle", "--period", "2026-11", "--check", "--provider", "gz"),
        ("report", "month", "--period", "2026-11"),
    ],
)
def test_what_makes_no_sense_asks_nobody(fenglin, hub, words):
    assert fenglin(*words).code == 2
    assert hub.asked == []


def test_the_report_is_a_workbook_or_json(fenglin, hub, play, report, tmp_path):
    for form, read in (("xlsx", formulas.Book), ("json", json.loads)):
        hub.on("GET", "/v1/reports/month", play(body=body_of(report)))
        out = tmp_path / f"nov.{form}"
        done = fenglin("report", "month", "--period", "2026-11", "-o", form, "--out", out)
        assert done.code == 0, done.err
        read(out.read_bytes())
    gone = tmp_path / "no" / "x.json"
    hub.on("GET", "/v1/reports/month", play(body=body_of(report)))
    words = ("report", "month", "--period", "2026-11", "-o", "json", "--out", gone)
    assert "cannot be written" in fenglin(*words).err
