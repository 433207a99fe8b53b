"""The FOCUS export against the rules of the specification, and against the ledger."""

import csv
import io
import json
import re
from decimal import Decimal

import pytest
from msgspec.structs import replace

from fenglin.ledger.entry import Leg, genesis, seal
from fenglin.ledger.focus import focus
from fenglin.ledger.moves import deposit, move_voucher
from fenglin.ledger.posting import Hold, Terms, adjust, charge, grant, hold, post
from fenglin.quantities.period import Period

# FOCUS 1.2, columns that every data set must have, and whether a row may leave them empty.
NEVER_NULL = [
    "BilledCost",
    "BillingAccountId",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ContractedCost",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "ProviderName",
    "PublisherName",
    "ServiceCategory",
    "ServiceName",
    "ServiceSubcategory",
]
NULLABLE = [
    "BillingAccountName",
    "ChargeClass",
    "ChargeDescription",
    "InvoiceId",
    "PricingQuantity",
    "PricingUnit",
]
COSTS = ("BilledCost", "ContractedCost", "EffectiveCost", "ListCost")
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
NOVEMBER = Period(2026, 11)
DECEMBER = NOVEMBER.next()


def faults(row):
    """Return what a row has against the specification."""
    found = [name for name in NEVER_NULL if row[name] == ""]
    found += [name for name in COSTS if not re.fullmatch(r"-?\d+\.\d+", row[name])]
    found += [
        name for name in row if name.endswith(("Start", "End")) and not MOMENT.fullmatch(row[name])
    ]
    if not row["BillingPeriodStart"] < row["BillingPeriodEnd"]:
        found.append("billing period")
    if not row["ChargePeriodStart"] < row["ChargePeriodEnd"]:
        found.append("charge period")
    if row["ChargeCategory"] not in {"Usage", "Purchase", "Tax", "Credit", "Adjustment"}:
        found.append("ChargeCategory")
    if row["ChargeClass"] not in {"", "Correction"}:
        found.append("ChargeClass")
    if row["ChargeFrequency"] not in {"One-Time", "Recurring", "Usage-Based"}:
        found.append("ChargeFrequency")
    if not re.fullmatch("[A-Z]{3}", row["BillingCurrency"]):
        found.append("BillingCurrency")
    return found + pair_faults(row) + use_faults(row)


def pair_faults(row):
    """Return which columns miss the other one of their pair."""
    found = []
    for one, other in (
        ("ConsumedQuantity", "ConsumedUnit"),
        ("PricingQuantity", "PricingUnit"),
        ("RegionId", "RegionName"),
    ):
        if bool(row[one]) != bool(row[other]):
            found.append(f"{one} without {other}")
    return found


def use_faults(row):
    """Return what a row has against the rules for what is used."""
    found = []
    used = (
        "PricingQuantity",
        "ListUnitPrice",
        "ContractedUnitPrice",
        "SkuId",
        "SkuPriceId",
        "PricingCategory",
        "ConsumedQuantity",
    )
    if row["ChargeCategory"] == "Usage":
        found += [name for name in used if not row[name]]
        exact = Decimal(row["PricingQuantity"] or 0) * Decimal(row["ListUnitPrice"] or 0)
        if abs(exact - Decimal(row["ListCost"])) > Decimal("0.00001"):
            found.append("ListCost is not quantity times price")
    elif row["ConsumedQuantity"]:
        found.append("ConsumedQuantity of what is not used")
    if not all(isinstance(value, str) for value in json.loads(row["Tags"]).values()):
        found.append("Tags")
    return found


@pytest.fixture
def entries():
    of = Hold("a1", "lab", "CNY", 5_000_000, 7)
    charges = [charge("core-hour", 7_200_001, 3_600_000, 80_000), charge("task", 3, 1, 10_000)]
    chain = [genesis("hub-1", NOVEMBER.from_ms)]
    last_ms = NOVEMBER.to_ms - 1

    def enter(time_ms, *drafts):
        for draft in drafts:
            chain.append(seal(chain[-1].head, draft, time_ms))

    enter(
        last_ms - 5_000,
        deposit("lab", 9_000_000, "bank-1"),
        grant("lab", 7, "trust"),
        grant("lab", 7, "hours", commodity="CARD-HOUR"),
        move_voucher("hub:grants", "tenant:lab:available", 40_000, "v1", memo='=1+1,"x"'),
        hold("lab", 5_000_000, "a1", job=7),
    )
    enter(last_ms, post(of, "gz", charges, Terms("west", "gpu", "v3")))
    posted = chain[-1]
    back = [Leg("provider:gz:due", "CNY", -1_000), Leg("tenant:lab:available", "CNY", 1_000)]
    enter(last_ms, adjust(posted, back, "same month"))
    enter(DECEMBER.from_ms, adjust(posted, back, "next month"))
    return chain


def voucher_rows(*steps):
    """Return the rows of what befalls one voucher: (time, act, micro-units in its favour)."""
    chain = [genesis("hub-1", NOVEMBER.from_ms)]
    places = ("voucher:gz-2026:reserved", "tenant:lab:available")
    for n, (time_ms, act, micro) in enumerate(steps):
        named = [("act", act), ("pool", "gz-2026"), ("voucher", "a")]
        named += [("pays", "post:h/1")] if act == "use" else []
        source, target = places if act == "use" else places[::-1]
        made = move_voucher(source, target, micro, f"gz-2026:{n}", details=named)
        chain.append(seal(chain[-1].head, replace(made, job=7 if act == "use" else 0), time_ms))
    return list(csv.DictReader(io.StringIO("".join(focus(chain)))))


def test_a_credit_names_its_voucher_and_what_it_pays():
    (row,) = voucher_rows((NOVEMBER.from_ms, "use", 5))
    assert faults(row) == []
    assert json.loads(row["Tags"]) == {
        "entry": "2", "job": "j7", "pays": "post:h/1", "pool": "gz-2026", "voucher": "a",
    }  # fmt: skip
    assert (row["ResourceId"], row["ResourceName"], row["BilledCost"]) == ("h/1", "j7", "-0.000005")


def test_a_clawback_of_what_was_billed_in_an_earlier_month_is_a_correction():
    same = voucher_rows((NOVEMBER.from_ms, "use", 5), (NOVEMBER.to_ms - 1, "clawback", 4))
    late = voucher_rows((NOVEMBER.from_ms, "use", 5), (NOVEMBER.to_ms, "clawback", 4))
    assert [[row["ChargeClass"] for row in rows] for rows in (same, late)] == [
        ["", ""],
        ["", "Correction"],
    ]
    assert late[1]["BilledCost"] == "0.000004"


@pytest.fixture
def rows(entries):
    return list(csv.DictReader(io.StringIO("".join(focus(entries)))))


def test_every_row_keeps_the_rules(rows):
    assert set(NEVER_NULL + NULLABLE) <= rows[0].keys()
    assert [faults(row) for row in rows] == [[]] * 5


@pytest.mark.parametrize(
    ("name", "value"),
    [("BilledCost", ""), ("ChargeCategory", "Voucher"), ("ChargePeriodEnd", "2020-01-01T00:00:00Z"),
     ("PricingUnit", ""), ("SkuId", ""), ("BillingCurrency", "CARD-HOUR"), ("ListCost", "9.000000"),
     ("BillingPeriodStart", "2026-11-01")],
)  # fmt: skip
def test_the_rules_find_a_fault(rows, name, value):
    used = next(row for row in rows if row["ChargeCategory"] == "Usage")
    assert faults(used | {name: value})


def test_each_charge_credit_and_correction_is_one_row(rows):
    assert [(row["ChargeCategory"], row["ChargeClass"], row["BilledCost"]) for row in rows] == [
        ("Credit", "", "-0.040000"),
        ("Usage", "", "0.160000"),
        ("Usage", "", "0.030000"),
        ("Adjustment", "", "-0.001000"),
        ("Adjustment", "Correction", "-0.001000"),
    ]
    assert rows[0]["ChargeDescription"] == '\'=1+1,"x"'
    assert {row["ProviderName"] for row in rows[1:]} == {"gz"}


def test_months_are_the_books_and_times_are_utc(rows):
    used, late = rows[1], rows[-1]
    assert used["BillingPeriodStart"] == "2026-10-31T16:00:00Z"
    assert used["BillingPeriodEnd"] == late["BillingPeriodStart"] == "2026-11-30T16:00:00Z"
    assert used["ChargePeriodStart"] == "2026-11-30T15:59:54Z"
    assert used["ChargePeriodEnd"] == "2026-11-30T16:00:00Z"


def test_the_costs_are_what_the_ledger_took(entries, rows):
    taken = sum(
        leg.amount_micro
        for entry in entries
        if entry.kind.value in {"post", "adjust", "voucher"}
        for leg in entry.legs
        if leg.account.startswith("tenant:lab") and leg.commodity == "CNY"
    )
    assert sum(Decimal(row["BilledCost"]) for row in rows) == Decimal(-taken) / 10**6
