"""Providers' accounting read: exactly, or refused by line and column."""

import json

import pytest

from fenglin.catalog.pricebook.quote import METERED
from fenglin.errors import InputProblems
from fenglin.ledger.metering.cells import Reading
from fenglin.ledger.metering.forms import READERS
from fenglin.ledger.metering.metered import MeteredUse
from fenglin.ledger.metering.records import ProviderRecord
from fenglin.ledger.metering.sheets import UNITS

HOUR_MS = 3_600_000
# 2026-11-23 08:00 at UTC+8.
EIGHT_MS = 1_795_392_000_000

SACCT = """\
JobID|JobName|State|Start|End|ElapsedRaw|AllocCPUS|AllocTRES|ConsumedEnergyRaw|NodeList
17_0|hub-a12-1|COMPLETED|2026-11-23T08:00:00|2026-11-23T09:00:00|3600|4|cpu=4,gres/gpu=2|900000|n1
17_0.batch|batch|COMPLETED|2026-11-23T08:00:00|2026-11-23T09:00:00|3600|4|cpu=4||n1
18|train|FAILED|1795392000|1795392060|60|2|cpu=2||n2
18.batch|batch|FAILED|1795392000|1795392060|60|2|cpu=2|500|n2
18.0|run|FAILED|1795392000|1795392030|30|2|cpu=2|400|n2
18.1|run|FAILED|1795392030|1795392060|30|2|cpu=2|300|n2
19|hub-a13-1|RUNNING|2026-11-23T08:00:00|Unknown|60|2|cpu=2|0|n2
20|hub-a14-1|COMPLETED|2026-11-23T08:00:00|2026-11-23T08:00:01|1|1||18446744073709551614|n2
"""
FOCUS = """\
BillingAccountId,BilledCost,BillingCurrency,ChargeCategory,ChargePeriodStart,ChargePeriodEnd,\
ResourceId,SkuPriceId,ConsumedQuantity,ConsumedUnit,ChargeDescription,Tags
acc,0.1234565,USD,Usage,2026-11-23T00:00:00Z,2026-11-23T01:00:00Z,i-1,vm,1,Hours,"a vm, large",\
"{""fenglin/attempt"": ""hub-a12-1"", ""n"": 3}"
acc,0.02,USD,Usage,2026-11-23T00:00:00Z,2026-11-23T01:00:00Z,i-1,vm,0.5,Hours,"a vm, large",
acc,-1,USD,Credit,2026-11-23T00:00:00Z,2026-11-24T00:00:00Z,,,,,promo,"{""fenglin/attempt"": 7}"
"""
PLAIN = """\
line,attempt,resource,start,end,wall_s,cores,cards,energy_kwh,cost,currency,what
l1,hub-a12-1,n1,2026-11-23T08:00,2026-11-23T09:00,,2.5,0,0.5,1.5,CNY,night
l2,,n2,2026-11-23T08:00,2026-11-23T09:00,90.5,,,,,,
"""


def read(form, text, offset_min=480):
    reading = Reading("f.csv")
    found = list(READERS[form](text.splitlines(keepends=True), reading, offset_min))
    reading.check()
    return found, reading.passed


def test_sacct_jobs_with_their_energy_and_without_what_has_not_ended():
    (element, job, unmetered), passed = read("sacct", SACCT)
    assert element == type(element)(
        "17_0/2026-11-23T08:00:00", "hub-a12-1", "17_0", EIGHT_MS, EIGHT_MS + HOUR_MS, HOUR_MS,
        4 * HOUR_MS, 2 * HOUR_MS, 900_000, None, "", "COMPLETED",
    )  # fmt: skip
    # Epoch seconds need no zone; where the job has no energy its steps have, whose times lie over
    # that of the batch step.
    assert (job.attempt, job.started_ms, job.energy_j, job.card_ms) == ("", EIGHT_MS, 700, 0)
    assert (unmetered.energy_j, unmetered.card_ms) == (None, None)
    assert passed == 5


def test_focus_rows_are_named_by_what_they_charge_and_keep_their_currency():
    (first, second, credit), _ = read("focus", FOCUS)
    assert (first.attempt, first.cost_micro, first.currency) == ("hub-a12-1", 123_456, "USD")
    assert (first.wall_ms, first.resource, second.wall_ms) == (HOUR_MS, "i-1 vm", HOUR_MS // 2)
    assert (first.started_ms, second.line) == (EIGHT_MS, first.line + "#2")
    assert (credit.cost_micro, credit.wall_ms, credit.attempt) == (-1_000_000, None, "")
    dearer, _ = read("focus", FOCUS.replace("0.1234565", "9"))
    assert dearer[0].line == first.line


def test_a_plain_sheet():
    (first, second), _ = read("csv", PLAIN)
    assert (first.wall_ms, first.core_ms, first.energy_j) == (HOUR_MS, 9_000_000, 1_800_000)
    assert (first.cost_micro, first.currency, first.what) == (1_500_000, "CNY", "night")
    assert (second.wall_ms, second.core_ms, second.cost_micro, second.currency) == (
        90_500, None, None, "",
    )  # fmt: skip


def test_a_line_with_a_unit_is_use_that_is_charged():
    text = (
        "line,account,unit,quantity,bytes,start,end,resource,job,attempt\n"
        "s1,lab,storage_tb_month,,2000000000000,2026-11-23T08:00,2026-11-23T09:00,disk,j7,\n"
        f"e1,lab,egress_gb,{10**18},,2026-11-23T08:00,2026-11-23T08:00,,,hub-a12-1\n"
        "l2,,,,,2026-11-23T08:00,2026-11-23T09:00,n2,,\n"
    )
    (stored, sent, compared), _ = read("csv", text)
    hour = (EIGHT_MS, EIGHT_MS + HOUR_MS)
    assert stored == MeteredUse(
        "s1", "lab", "storage_tb_month", 2 * 10**12 * HOUR_MS, *hour, "disk", 7, "", 2
    )
    assert (sent.quantity, sent.attempt, sent.row, sent.job) == (10**18, "hub-a12-1", 3, 0)
    assert isinstance(compared, ProviderRecord)


@pytest.mark.parametrize("column", ["wall_s", "cores", "cards", "energy_kwh", "cost", "currency"])
def test_use_that_is_charged_has_no_figures_to_compare(column):
    text = f"line,account,unit,quantity,start,end,{column}\na,lab,frame,1,1795392000,1795392001,5\n"
    with pytest.raises(InputProblems) as caught:
        read("csv", text)
    (problem,) = caught.value.problems
    assert (problem.line, problem.column, problem.path) == (2, 7, column)


def test_each_unit_that_is_read_is_one_that_the_book_meters():
    assert set(UNITS) == set(METERED)


def pod(uid, *, ended="2026-11-23T01:00:00Z", **labels):
    state = {"terminated": {"startedAt": "2026-11-23T00:00:00Z", "finishedAt": ended,
                            "reason": "Completed"}} if ended else {"running": {}}  # fmt: skip
    return {
        "metadata": {"uid": uid, "name": uid, "labels": labels},
        "spec": {"containers": [{"name": "sidecar"}, {"name": "task", "resources": {
            "requests": {"cpu": "500m", "memory": "1Gi", "nvidia.com/gpu": "2"}}}]},
        "status": {"containerStatuses": [{"name": "sidecar", "state": {}},
                                         {"name": "task", "state": state}]},
    }  # fmt: skip


def test_pods_of_ours():
    pods = [pod("u1", **{"fenglin/attempt": "hub-a12-1"}), pod("u2", ended="")]
    (one,), passed = read("kubernetes", json.dumps({"items": pods}, indent=1))
    assert (one.line, one.attempt, one.wall_ms, passed) == ("u1", "hub-a12-1", HOUR_MS, 1)
    assert (one.core_ms, one.card_ms) == (HOUR_MS // 2, 2 * HOUR_MS)


@pytest.mark.parametrize(
    ("form", "text", "line", "column", "what"),
    [
        ("sacct", SACCT.replace("|3600|", "|-3600|", 1), 2, 6, "out of range"),
        ("sacct", SACCT.replace("T09:00:00|3600|4|cpu=4,", "T25:00|3600|4|cpu=4,"), 2, 5, "moment"),
        ("sacct", SACCT.replace("JobName|State", "Name|State"), 1, 0, "JobName is missing"),
        ("sacct", SACCT.replace("|n2\n18.0", "\n18.0"), 5, 0, "9 fields"),
        ("focus", FOCUS.replace("USD,Credit", "usd,Credit"), 4, 3, "no currency"),
        ("focus", FOCUS.replace("-1,USD", "NaN,USD"), 4, 2, "no number"),
        ("focus", FOCUS.replace('"{""fenglin/attempt"": 7}"', "{7"), 4, 12, "no JSON"),
        ("csv", PLAIN.replace("l2,", ","), 3, 1, "no name"),
        ("csv", PLAIN.replace("08:00,2026-11-23T09:00,90", "10:00,2026-11-23T09:00,90"), 3, 5,
         "ends before"),
        ("csv", PLAIN.replace("1.5,CNY", "1e99,CNY"), 2, 10, "no number"),
        ("csv", PLAIN.replace("1.5,CNY", "1_5,CNY"), 2, 10, "no number"),
        ("csv", PLAIN.replace("hub-a12-1", "somebody"), 2, 2, "no attempt key"),
        ("csv", PLAIN + 'x,"y', 4, 0, "cannot be read"),
        ("csv", PLAIN.replace("energy_kwh", "cost"), 1, 10, "there twice"),
        ("csv", "", 1, 0, "empty"),
        ("kubernetes", '{\n "items": [}', 2, 12, "no list of pods"),
        ("kubernetes", '{"items": [{"metadata": {}}]}', 1, 0, "missing required field"),
    ],
    ids=[str(n) for n in range(17)],
)  # fmt: skip
def test_what_is_wrong_is_told_by_line_and_column(form, text, line, column, what):
    with pytest.raises(InputProblems) as caught:
        read(form, text)
    (problem,) = caught.value.problems
    assert (problem.line, problem.column) == (line, column), problem
    assert what in problem.what


def test_reading_ends_when_enough_is_wrong():
    with pytest.raises(InputProblems) as caught:
        read("csv", "line,start,end\n" + "a,b,c\n" * 1_000)
    assert len(caught.value.problems) == 100
