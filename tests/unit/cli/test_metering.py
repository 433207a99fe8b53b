"""Metering on the command line."""

import json

import pytest

IMPORTED = {
    "number": 3, "site": "gz", "source": "sacct", "added": 2, "unchanged": 1, "contradicting": 0,
    "passed": 4, "from_ms": 1, "to_ms": 2, "untold": 0,
}  # fmt: skip
ITEM = {
    "id": "d7", "kind": "duration", "state": "disputed", "site": "gz", "source": "sacct",
    "account": "lab", "job": "j7", "attempt": "hub-a7-1", "subject": "", "ours": "1.000 s",
    "theirs": "9.000 s", "text": "4 lines", "period": "2026-11",
    "steps": [{"state": "open", "who": "ada", "why": "found", "time_ms": 1},
              {"state": "disputed", "who": "bo", "why": "their clock", "time_ms": 2}],
}  # fmt: skip
ENERGY = {"energy_j": 3_600_000, "grade": "measured", "basis": "by the site", "carbon_mg": 498_900,
          "carbon_grade": "modelled", "factor": "498.9 g/kWh"}  # fmt: skip
ATTEMPT = {
    "attempt": "hub-a7-1", "site": "gz", "tasks": 1, "wall_ms": 5_000, "started_ms": 1,
    "ended_ms": 2, "cost_micro": 1_000_000, "currency": "CNY", "reason": "",
    "late": [{"task": 0, "started_ms": 1, "wall_ms": 5_000, "outcome": "billed"}],
    "lines": [{"source": "sacct", "line": "17", "resource": "17", "started_ms": 1, "ended_ms": 2,
               "wall_ms": None, "core_ms": None, "card_ms": None, "energy_j": None,
               "cost_micro": 5, "currency": "USD", "what": "COMPLETED"}],
    "energy": ENERGY,
}  # fmt: skip


def test_a_file_is_sent_as_it_is(fenglin, hub, play, tmp_path):
    path = tmp_path / "s.txt"
    path.write_text("JobID|\n")
    hub.on("POST", "/v1/metering:import", play(status=201, body=IMPORTED))
    done = fenglin("metering", "import", path, "--format", "sacct", "--site", "gz")
    assert done.code == 0, done.err
    (asked,) = hub.asked
    assert asked.body == b"JobID|\n"
    assert {("file", "s.txt"), ("format", "sacct"), ("site", "gz")} <= set(asked.query)
    assert "added          2" in done.out


def test_what_was_charged_is_told_with_its_sum(fenglin, hub, play, tmp_path):
    path = tmp_path / "u.csv"
    path.write_text("line\n")
    body = IMPORTED | {"charged": 12, "charged_micro": 1_250_000}
    hub.on("POST", "/v1/metering:import", play(status=201, body=body))
    done = fenglin("metering", "import", path, "--format", "csv", "--site", "gz")
    assert "charged        12 lines, 1.25 CNY" in done.out


def test_one_bad_line_is_told_by_file_line_and_column(fenglin, hub, play, tmp_path):
    path = tmp_path / "s.txt"
    path.write_text("x")
    problem = {"path": "End", "what": "'soon' is no moment", "line": 900_001, "column": 5}
    body = {"code": "bad_document", "what": "1 problem found", "where": "s.txt",
            "problems": [problem]}  # fmt: skip
    hub.on("POST", "/v1/metering:import", play(status=400, body=body))
    done = fenglin("metering", "import", path, "--format", "sacct", "--site", "gz")
    assert done.code == 2
    assert "s.txt:900001:5" in done.err


def test_a_file_that_is_not_there(fenglin, hub, tmp_path):
    done = fenglin("metering", "import", tmp_path / "no", "--format", "csv", "--site", "gz")
    assert (done.code, hub.asked) == (2, [])
    assert "cannot be read" in done.err


def test_late_records_are_read_from_a_sheet(fenglin, hub, play, tmp_path):
    path = tmp_path / "late.csv"
    path.write_text("task,attempt,wall_ms,started_ms\n3,hub-a7-1,5000,17\n")
    body = {"new": 1, "repeated": 0, "contradicting": 0, "foreign": 0, "billed": 1}
    hub.on("POST", "/v1/metering/records", play(body=body))
    done = fenglin("metering", "record", path)
    assert done.code == 0, done.err
    assert json.loads(hub.asked[0].body) == {
        "records": [{"attempt": "hub-a7-1", "task": 3, "started_ms": 17, "wall_ms": 5000,
                     "cpu_ms": 0}]
    }  # fmt: skip
    path.write_text("task,attempt,wall_ms,started_ms\n3,hub-a7-1,soon,17\n")
    done = fenglin("metering", "record", path)
    assert done.code == 2
    assert ":2:3" in done.err


def test_a_check_says_what_is_left_to_people(fenglin, hub, play):
    series = {
        "site": "gz", "source": "sacct", "from_ms": 1, "to_ms": 2, "attempts": 5, "matched": 3,
        "differing": 1, "missing": 1, "untold": 0, "waiting": 0, "strangers": 9,
        "share_percent": 2.0, "slack_ms": 10_000,
    }  # fmt: skip
    body = {"period": "2026-11", "series": [series], "without": ["sz"], "found": 2,
            "opened": ["d8"], "pending": 2, "stale": ["d3"]}  # fmt: skip
    hub.on("POST", "/v1/metering:check", play(body=body))
    done = fenglin("metering", "check", "--period", "2026-11")
    assert done.code == 0, done.err
    assert done.out.splitlines()[1].split() == ["gz", "sacct", "5", "3", "1", "1", "0", "9"]
    fields = dict(line.rsplit("  ", 1) for line in done.out.splitlines()[3:])
    assert {name.strip(): text for name, text in fields.items()} == {
        "found": "2", "opened": "d8", "not closed": "2", "no longer show": "d3",
        "no accounting": "sz",
    }  # fmt: skip


def test_discrepancies_are_listed_and_resolved(fenglin, hub, play):
    page = {"items": [ITEM], "next": "", "total": -1}
    hub.on("GET", "/v1/metering/discrepancies", play(body=page))
    done = fenglin("metering", "discrepancies", "--state", "disputed", "--no-header")
    assert done.code == 0, done.err
    assert done.out.split()[:4] == ["d7", "disputed", "duration", "gz"]
    assert ("state", "disputed") in hub.asked[0].query
    hub.on("POST", "/v1/metering/discrepancies/d7/resolve", play(body=ITEM))
    done = fenglin("metering", "resolve", "d7", "--as", "disputed", "--why", "their clock")
    assert json.loads(hub.asked[-1].body) == {"state": "disputed", "why": "their clock"}
    assert "bo: their clock" in done.out
    hub.on("GET", "/v1/metering/discrepancies/d7", play(body=ITEM))
    assert "4 lines" in fenglin("metering", "explain", "d7").out


def test_what_a_line_was_charged_too_much_is_given_back(fenglin, hub, play):
    body = {
        "entry": 9, "key": "adjust:back:k1", "time_ms": 1, "account": "lab", "unit": "egress_gb",
        "quantity": "100000000", "left": "2500000000", "amount_micro": 50_000, "vouchers_micro": 0,
    }  # fmt: skip
    hub.on("POST", "/v1/metering:give-back", play(body=body))
    ask = ("metering", "give-back", "e-1", "--site", "gz", "--key", "k1", "--why", "read twice")
    done = fenglin(*ask, "--quantity", "100000000")
    assert done.code == 0, done.err
    assert json.loads(hub.asked[0].body) == {
        "site": "gz", "source": "csv", "line": "e-1", "key": "k1", "why": "read twice",
        "quantity": "100000000", "held_bytes": None,
    }  # fmt: skip
    assert "given back     100000000 of egress_gb, 0.05 CNY" in done.out
    assert "vouchers" not in done.out
    hub.on("POST", "/v1/metering:give-back", play(body=body | {"vouchers_micro": 20_000}))
    done = fenglin(*ask, "--source", "other", "--bytes", "10")
    assert "to vouchers    0.02 CNY of that" in done.out
    asked = json.loads(hub.asked[-1].body)
    assert (asked["source"], asked["quantity"], asked["held_bytes"]) == ("other", "", 10)
    assert fenglin(*ask, "--bytes", "10GB").code == 2


def test_all_that_was_metered_of_a_job(fenglin, hub, play):
    body = {"job": "j7", "attempts": [ATTEMPT], "discrepancies": [ITEM]}
    hub.on("GET", "/v1/metering/jobs/j7", play(body=body))
    done = fenglin("metering", "show", "j7")
    assert done.code == 0, done.err
    assert "1.000000 kWh, measured (by the site)" in done.out
    assert "498.900 g, modelled (498.9 g/kWh)" in done.out
    assert "task 0, 5.000 s, billed" in done.out
    assert "d7" in done.out
    assert "LINE" not in done.out
    line = {
        "site": "gz", "source": "csv", "line": "e-1", "unit": "egress_gb", "quantity": "2500",
        "started_ms": 1, "ended_ms": 2, "resource": "", "attempt": "", "entry": 7,
        "cost_micro": 1_250_000, "back": "0", "back_micro": 0,
    }  # fmt: skip
    body["charged"] = [line, line | {"line": "e-2", "back": "500", "back_micro": 250_000}]
    hub.on("GET", "/v1/metering/jobs/j7", play(body=body))
    out = fenglin("metering", "show", "j7").out.splitlines()
    cells = [text.split() for text in out if text.startswith("gz ")]
    assert cells == [
        ["gz", "csv", "e-1", "egress_gb", "2500", "1.25", "CNY", "-"],
        ["gz", "csv", "e-2", "egress_gb", "2500", "1.25", "CNY", "500,", "0.25", "CNY"],
    ]
    body["attempts"][0]["energy"] = None
    hub.on("GET", "/v1/metering/jobs/j7", play(body=body))
    assert "energy   unknown" in fenglin("metering", "show", "j7").out


@pytest.mark.parametrize(
    ("grade", "unknown", "cells"),
    [("modelled", 0, ["1.000", "0.499"]), ("unknown", 2, ["-", "-"])],
)
def test_no_figure_of_energy_without_its_grade(fenglin, hub, play, grade, unknown, cells):
    row = {"account": "lab", "site": "gz", "grade": grade, "attempts": 2, "energy_j": 3_600_000,
           "carbon_mg": 498_900, "carbon_unknown": unknown}  # fmt: skip
    body = {"period": "2026-11", "rows": [row], "factors": ["498.9 g/kWh, source"]}
    hub.on("GET", "/v1/metering/energy", play(body=body))
    done = fenglin("metering", "energy", "--period", "2026-11", "--no-header")
    assert done.code == 0, done.err
    assert done.out.splitlines()[0].split() == ["lab", "gz", grade, "2", *cells]
    assert "CO2 modelled by 498.9" in done.out
