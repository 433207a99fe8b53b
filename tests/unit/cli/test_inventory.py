"""The inventory on the command line: what is asked of the hub, and how answers are shown."""

import json

import pytest

ORDER = {
    "id": "a3", "facility": "gz1", "rule": "cards_as_declared", "about": "device.H20",
    "what": "8 x H20 declared, drivers see 7", "state": "open", "agrees": True,
    "opened_ms": 1_000, "changed_ms": 2_000, "rectified": "", "rectified_by": "", "settled": "",
    "settled_by": "", "settled_ms": 0,
}  # fmt: skip
FACILITY = {
    "facility": {
        "name": "gz1", "sites": ["one"], "texts": {"owner": "Example"},
        "facts": {"storage": {"milli": 2_500, "grade": "verified", "date": "", "document": ""}},
    },
    "stage": "declared", "declared_ms": 1_000, "declared_by": "ann", "document": "letter",
    "verified_ms": 0, "verified_by": "", "verified": "", "snapshot": "", "open_anomalies": 1,
}  # fmt: skip
HEAD = {"id": "s2", "published_ms": 5_000, "published_by": "ann", "sha256": "ab", "note": ""}
VIEW = {"facilities": [FACILITY], "anomalies": [ORDER], "snapshots": [HEAD], "measurements": []}
TOTAL = {
    "compute_class": "ai", "precision": "fp16", "devices_milli": 8_000,
    "nominal_gflops": 1_184_000, "unknown_milli": 1_000, "measured_milli": 0,
    "measured_gflops": 0, "measured_of_gflops": 0, "seen_milli": 7_000, "seen_gflops": 1_036_000,
}  # fmt: skip


def test_facilities_and_their_figures_are_shown(fenglin, hub, play):
    hub.on("GET", "/v1/inventory", play(body=VIEW), play(body=VIEW), play(body=VIEW))
    done = fenglin("inventory", "show", "--no-header")
    assert done.code == 0, done.err
    assert done.out.split()[:4] == ["gz1", "in_use", "declared", "one"]
    done = fenglin("inventory", "show", "gz1")
    assert "2.5 PB (verified)" in done.out
    assert "Example" in done.out
    assert fenglin("inventory", "show", "gz9").code == 3


def test_a_verification_that_leaves_something_open_exits_5(fenglin, hub, play):
    hub.on("POST", "/v1/inventory/steps", play(body=VIEW))
    done = fenglin("inventory", "verify", "gz1", "--document", "visit")
    assert done.code == 5
    assert "8 x H20 declared, drivers see 7" in done.out
    (asked,) = hub.asked
    assert json.loads(asked.body)["document"] == "visit"


def test_orders_say_when_they_fit_again(fenglin, hub, play):
    hub.on("GET", "/v1/inventory", play(body=VIEW))
    done = fenglin("inventory", "anomalies", "--all", "--no-header")
    assert done.out.split()[:5] == ["a3", "gz1", "open", "yes", "cards_as_declared"]
    assert ("every", "true") in hub.asked[0].query


def test_totals_have_what_is_seen_beside_what_is_declared(fenglin, hub, play):
    hub.on("GET", "/v1/inventory/totals", play(body={"totals": [TOTAL]}))
    done = fenglin("inventory", "total", "--no-header")
    cells = done.out.split()
    assert cells[:5] == ["ai", "fp16", "8", "1,184", "1"]
    assert cells[-1] == "1,036"


def test_a_report_is_shown(fenglin, hub, play):
    report = {
        "period": "2026-11", "snapshot": HEAD, "facilities": [], "totals": [TOTAL],
        "changes": [{"facility": "gz1", "key": "pue", "before": "1.2", "after": "1.3"}],
        "opened": [ORDER], "settled": [], "unsettled": [ORDER], "steps": {"open": 1},
    }  # fmt: skip
    hub.on("GET", "/v1/inventory/report", play(body=report))
    done = fenglin("inventory", "report", "--period", "2026-11")
    assert done.code == 0, done.err
    for words in ("s2", "1 opened, 0 settled", "1,184", "pue", "a3"):
        assert words in done.out


@pytest.mark.parametrize(
    "words",
    [
        ("verify",),
        ("verify", "gz1", "--file", "gz.toml"),
        ("show", "gz1", "--total", "ai:fp16"),
        ("show", "--file", "gz.toml"),
        ("total", "--precision", "fp16,int8"),
        ("declare", "missing.toml"),
        ("probe", "one", "--timeout", ""),
    ],
)
def test_what_cannot_be_meant_asks_no_hub(fenglin, hub, words):
    done = fenglin("inventory", *words)
    assert done.code == 2, done.err
    assert hub.asked == []
