"""Metering through a real hub: what ran, what a provider says of it, and what becomes of that."""

import csv
import time
import zipfile

import pytest

from fenglin.client.metering import import_file
from fenglin.testing import LocalSite, hub_file

# One hub serves the whole module.
pytestmark = pytest.mark.xdist_group("e2e-metering")

HEAD = "line,attempt,resource,start,end,wall_s,cores,energy_kwh,cost,currency\n"


@pytest.fixture(scope="module")
def config():
    text = hub_file([LocalSite("only")]).replace(
        'provider = "provider-only"', 'provider = "provider-only"\nregion = "cn-guizhou"\npue = 1.2'
    )
    return text.replace("cpu = 4", "cpu = 4\npower = 400") + '[metering.local]\nslack = "2s"\n'


def month_of(ms):
    """Return the month of a moment by the books' clock."""
    return time.strftime("%Y-%m", time.gmtime(ms / 1_000 + 8 * 3_600))


def clock(ms):
    """Return a moment by the books' clock, as a provider would write it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ms / 1_000 + 8 * 3_600))


def test_from_a_job_to_a_closed_discrepancy(client, fenglin, tmp_path):
    jobs = [client.submit({"name": name, "command": ["sleep", "0.3"]}).id for name in ("a", "b")]
    for job in jobs:
        client.wait(job, 60)
    first, second = (fenglin("metering", "show", job, "-o", "json").json for job in jobs)
    (one,), (two,) = first["attempts"], second["attempts"]
    assert one["energy"]["grade"] == "modelled"
    shown = fenglin("job", "show", jobs[0], "-o", "json").json["allocations"][0]
    assert shown["energy"] == one["energy"]

    # The provider agrees on the first, measured its energy, and says far more of the second.
    start, end = (
        clock(one["started_ms"] - 5_000),
        clock(max(one["ended_ms"], two["ended_ms"]) + 9_000),
    )
    path = tmp_path / "bill.csv"
    path.write_text(
        HEAD
        + f"l1,{one['attempt']},,{start},{end},{one['wall_ms'] / 1_000},1,0.001,,\n"
        + f"l2,{two['attempt']},,{start},{end},900,1,,,\n"
    )
    arguments = ("metering", "import", path, "--format", "csv", "--site", "only", "-o", "json")
    assert fenglin(*arguments).json["added"] == 2
    assert fenglin(*arguments).json["unchanged"] == 2

    month = month_of(two["ended_ms"])
    report = fenglin("metering", "check", "--period", month, "-o", "json").json
    assert (report["series"][0]["matched"], report["opened"]) == (1, ["d1"])
    done = fenglin("metering", "resolve", "d1", "--as", "closed", "--why", "too soon")
    assert done.code == 5
    for state in ("disputed", "accepted", "closed"):
        done = fenglin("metering", "resolve", "d1", "--as", state, "--why", f"because {state}")
        assert done.code == 0, done.err
    left = fenglin("metering", "discrepancies", "--job", jobs[1], "-o", "json").json["items"]
    assert [step["state"] for step in left[0]["steps"]] == [
        "open", "disputed", "accepted", "closed",
    ]  # fmt: skip

    energy = fenglin("metering", "energy", "--period", month, "-o", "json").json
    grades = {row["grade"]: row["attempts"] for row in energy["rows"]}
    assert grades == {"measured": 1, "modelled": 1}
    made = fenglin("report", "month", "--period", month, "-o", "json").json
    assert made["energy"] == energy
    measured = fenglin("job", "show", jobs[0], "-o", "json").json["allocations"][0]["energy"]
    assert (measured["grade"], measured["energy_j"]) == ("measured", 4_320)

    # What the hub had heard of is known; what it never started is told.
    late = tmp_path / "late.csv"
    late.write_text(
        f"attempt,task,started_ms,wall_ms\n{one['attempt']},0,{one['started_ms']},1\nx-a1-1,0,5,5\n"
    )
    told = fenglin("metering", "record", late, "-o", "json").json
    assert (told["new"], told["foreign"], told["billed"]) == (1, 1, 0)
    collected = fenglin("metering", "collect", "--site", "only", "--period", month, "-o", "json")
    assert collected.code == 0, collected.err


def test_storage_egress_and_frames_from_a_file_to_every_bill(client, fenglin, tmp_path):
    now_ms = round(time.time() * 1_000)
    day_ms = 86_400_000
    begun, month = clock(now_ms - 6 * day_ms), month_of(now_ms)
    path = tmp_path / "use.csv"
    rows = [
        "line,account,unit,quantity,bytes,start,end,resource",
        f"s1,default,storage_tb_month,,10000000000000,{begun},{clock(now_ms - 3 * day_ms)},bucket",
        f"e1,default,egress_gb,2500000000,,{begun},{begun},gate",
        f"f1,default,frame,120,,{begun},{clock(now_ms - 5 * day_ms)},",
    ]
    path.write_text("\n".join([*rows, ""]))
    ask = ("metering", "import", path, "--format", "csv", "--site", "only")

    refused = fenglin(*ask)
    assert refused.code == 2
    assert "use.csv:2:3" in refused.err
    assert "the book has no price for storage_tb_month at site only" in refused.err
    assert "fenglin price set --unit storage_tb_month" in refused.err
    since = clock(now_ms - 30 * day_ms)[:10]
    for unit, price in (("storage_tb_month", "30"), ("egress_gb", "0.5"), ("frame", "0.02")):
        done = fenglin(
            "price", "set", "--site", "only", "--unit", unit, "--price", price, "--from", since
        )
        assert done.code == 0, done.err
    done = fenglin(*ask)
    assert done.code == 0, done.err
    # 10 TB for 3 of 30 days; 2.5 GB; 120 frames.
    assert "3 lines, 33.65 CNY" in done.out
    again = fenglin(*ask, "-o", "json").json
    assert (again["charged"], again["unchanged"], again["charged_micro"]) == (0, 3, 0)
    path.write_text("\n".join([*rows, ""]).replace("2500000000", "2600000000"))
    other = fenglin(*ask)
    assert other.code == 2
    assert "use.csv:3:4" in other.err
    assert "charged with 2500000000, not 2600000000" in other.err
    call = import_file(path, site="only", form="csv", file="use.csv", source="more")
    assert client.call(call).charged_micro == 33_700_000
    check_books(fenglin, tmp_path, month)


def check_books(fenglin, tmp_path, month):
    """See two imports of the use above in all that is made of the ledger."""
    books = fenglin("ledger", "verify")
    assert books.code == 0, books.err
    bill = fenglin("statement", "--tenant", "default", "--period", month, "-o", "json").json
    items = {one["item"]: one for one in bill["items"]}
    assert items["storage_tb_month"]["amount_micro"] == 60_000_000
    assert items["frame"] == {
        "item": "frame", "per": 1, "quantity": 240, "amount_micro": 4_800_000,
    }  # fmt: skip
    for form in ("csv", "html", "xlsx"):
        out = tmp_path / f"bill.{form}"
        done = fenglin(
            "statement", "--tenant", "default", "--period", month, "-o", form, "--out", out
        )
        assert done.code == 0, done.err
        text = out.read_bytes()
        if form == "xlsx":
            with zipfile.ZipFile(out) as book:
                text = b"".join(book.read(name) for name in book.namelist())
        assert b"egress_gb" in text
    month_settled = fenglin("settle", "--period", month, "-o", "json").json
    charged = [one["settlement"]["charged_micro"] for one in month_settled["items"]]
    assert charged == [bill["charged_micro"]]
    assert fenglin("settle", "--period", month, "--check").code == 0
    exported = tmp_path / "focus.csv"
    done = fenglin("ledger", "export", "--format", "focus", "--out", exported)
    assert done.code == 0, done.err
    with exported.open(encoding="utf-8", newline="") as file:
        services = {row["ServiceCategory"] for row in csv.DictReader(file)}
    assert services >= {"Storage", "Networking", "Media"}
    energy = fenglin("metering", "energy", "--period", month, "-o", "json").json
    assert "unknown" not in {row["grade"] for row in energy["rows"]}


def test_what_is_not_there(fenglin):
    done = fenglin("metering", "show", "j999")
    assert done.code == 3
    done = fenglin("metering", "explain", "d999")
    assert done.code == 3
    done = fenglin("metering", "check", "--period", "2026-13")
    assert done.code == 2
    assert "not a month" in done.err
