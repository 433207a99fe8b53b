"""Metering through a real hub: what ran, what a provider says of it, and what becomes of that."""

import time

import pytest

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


def test_what_is_not_there(fenglin):
    done = fenglin("metering", "show", "j999")
    assert done.code == 3
    done = fenglin("metering", "explain", "d999")
    assert done.code == 3
    done = fenglin("metering", "check", "--period", "2026-13")
    assert done.code == 2
    assert "not a month" in done.err
