"""Sites, nodes, queues, the ledger and the picture of it all."""

import json
import os
import pty
import signal
import subprocess
import sys
from contextlib import suppress

import pytest

from fenglin.cli.top import bar

FENGLIN = "import sys; from fenglin.cli import main; sys.exit(main(sys.argv[1:]))"
GIB = 2**30
SITE = {
    "name": "here", "provider": "us", "driver": "local", "placement": "node", "state": "active",
    "state_reason": "", "nodes": 2, "nodes_up": 1, "cpu_milli": 4_000, "cpu_used_milli": 1_500,
    "memory_bytes": 8 * GIB, "memory_used_bytes": 2 * GIB, "accelerator_milli": 0,
    "accelerator_used_milli": 0, "running_tasks": 3, "seen_ms": 1_000,
}  # fmt: skip
FLAVOR = {
    "name": "general", "compute_class": "general", "nodes": 2, "cpu_milli": 2_000,
    "memory_bytes": 4 * GIB, "disk_bytes": 0, "accelerator_milli": 0, "accelerator": "",
    "speed_milli": 1_250, "core_hour_micro": 120_000, "memory_gib_hour_micro": 1,
    "card_hour_micro": 0, "note": "a share of this machine",
}  # fmt: skip
QUEUE = {
    "name": "default", "weight_milli": 1_000, "cohort": "", "pending_jobs": 2,
    "pending_tasks": 40, "running_tasks": 3, "cpu_used_milli": 1_500, "memory_used_bytes": 0,
    "accelerator_used_milli": 0, "dominant_share": 0.375,
}  # fmt: skip
CHECK = {
    "ok": True, "entries": 12, "first_bad_seq": 0, "problem": "", "head_hash": "ab12",
    "ledger_id": "L1",
}  # fmt: skip
STATEMENT = {
    "account": "render", "currency": "CNY", "from_ms": 0, "to_ms": 0, "opening_micro": 0,
    "granted_micro": 5_000_000, "charged_micro": 1_234_567, "held_micro": 0,
    "closing_micro": 3_765_433, "ledger_id": "L1", "ledger_seq": 12, "ledger_hash": "ab12",
    "lines": [{
        "job": "j7", "job_name": "sky", "site": "here", "flavor": "general", "item": "core-hour",
        "quantity": "1.5", "unit": "h", "price_micro": 120_000, "amount_micro": 1_234_567,
    }],
}  # fmt: skip


POOL = {
    "hub": "hub1", "version": "9.9", "now_ms": 62_000, "leader": True, "epoch": 3, "cycle": 8,
    "cycle_ms": 1.25, "pending_jobs": 2, "running_jobs": 1, "pending_tasks": 40,
    "running_tasks": 3, "finished_tasks": 1, "sites": [SITE], "queues": [QUEUE],
}  # fmt: skip


def test_site_list(fenglin, hub):
    hub.on("GET", "/v1/sites", {"items": [SITE], "next": "", "total": 1})
    done = fenglin("site", "list", "--state", "active", "--class", "ai")
    row = done.out.splitlines()[1].split()
    assert row[:7] == ["here", "active", "us", "local", "1/2", "1.5/4", "2GiB/8GiB"]
    assert hub.asked[0].query[:2] == [("state", "active"), ("class", "ai")]
    assert json.loads(fenglin("site", "list", "-o", "json").out)["items"][0]["name"] == "here"


def test_site_show(fenglin, hub):
    hub.on("GET", "/v1/sites/here", {**SITE, "flavors": [FLAVOR]})
    out = fenglin("site", "show", "here").out
    assert "nodes      1 of 2 up" in out
    assert "0.12 CNY" in out
    assert "0.000001 CNY" in out
    assert "a share of this machine" in out
    assert json.loads(fenglin("site", "show", "here", "-o", "json").out)["flavors"][0]["nodes"] == 2


def test_site_show_tells_where_it_stands_and_how_it_is_linked(fenglin, hub):
    link = {"site": "far", "latency_us": 12_500, "bandwidth_mbit_s": 900, "egress_gib_micro": 10**6}
    place = {"region": "cn-guizhou", "labels": {"tier": "1"}, "carbon_g_kwh": 400,
             "pue_milli": 1_200, "links": [link, {**link, "latency_us": 0}]}  # fmt: skip
    flavor = {**FLAVOR, "power_watts": 350, "labels": {"fast": "yes"}}
    hub.on("GET", "/v1/sites/here", {**SITE, **place, "flavors": [flavor]})
    out = fenglin("site", "show", "here").out
    for told in ("cn-guizhou", "tier=1", "400 g/kWh", "1.2", "350 W", "fast=yes", "12.5ms",
                 "900 Mbit/s", "1.00 CNY"):  # fmt: skip
        assert told in out
    assert "0ms" not in out


def test_drain_and_resume(fenglin, hub):
    drained = {**SITE, "state": "drained", "state_reason": "new memory"}
    hub.on("POST", "/v1/sites/here/drain", drained)
    hub.on("POST", "/v1/sites/here/resume", SITE)
    done = fenglin("site", "drain", "here", "--reason", "new memory")
    assert done.out == "here  drained  3 tasks running  new memory\n"
    assert json.loads(hub.asked[0].body) == {"reason": "new memory"}
    assert fenglin("site", "resume", "here").out.split()[:2] == ["here", "active"]


def test_unknown_site(fenglin):
    assert fenglin("site", "show", "nowhere").code == 3


@pytest.mark.parametrize(("flag", "value"), [("--up", "true"), ("--down", "false")])
def test_node_list(fenglin, hub, flag, value):
    node = {
        "site": "here", "name": "n1", "flavor": "general", "up": False, "cpu_milli": 2_000,
        "cpu_used_milli": 500, "memory_bytes": GIB, "memory_used_bytes": 0, "disk_bytes": 0,
        "disk_used_bytes": 0, "accelerator_milli": 0, "accelerator_used_milli": 0,
    }  # fmt: skip
    hub.on("GET", "/v1/nodes", {"items": [node], "next": "", "total": 1})
    done = fenglin("node", "list", flag, "--no-header")
    assert done.out == "n1  here  general  down  0.5/2  0B/1GiB  -  -\n"
    assert ("up", value) in hub.asked[0].query


def test_queue_list(fenglin, hub):
    hub.on("GET", "/v1/queues", {"items": [QUEUE], "next": "", "total": 1})
    done = fenglin("queue", "list", "--no-header")
    assert done.out.split() == [
        "default", "-", "-", "1", "2", "40", "3", "1.5", "0B", "0", "37.5%",
    ]  # fmt: skip


def test_ledger_that_holds(fenglin, hub):
    hub.on("GET", "/v1/ledger/verify", CHECK)
    done = fenglin("ledger", "verify")
    assert done.code == 0
    assert "verified  yes" in done.out


@pytest.mark.parametrize("form", ["table", "json"])
def test_damaged_ledger_names_the_first_bad_entry(fenglin, hub, form):
    bad = {**CHECK, "ok": False, "first_bad_seq": 9, "problem": "hash differs"}
    hub.on("GET", "/v1/ledger/verify", bad)
    done = fenglin("ledger", "verify", "-o", form)
    assert done.code == 7
    assert "damaged at entry 9: hash differs" in done.err
    assert ("NO" in done.out) == (form == "table")


def test_statement(fenglin, hub):
    hub.on("GET", "/v1/ledger/statement", STATEMENT)
    done = fenglin(
        "ledger", "statement", "--account", "render", "--from", "2027-03-01T00:00:00+08:00"
    )
    assert "charged  1.234567 CNY" in done.out
    assert "ledger L1, entry 12, hash ab12" in done.out
    assert "core-hour" in done.out
    assert hub.asked[0].query == [
        ("account", "render"), ("from_ms", "1803830400000"), ("to_ms", "0"),
    ]  # fmt: skip
    found = json.loads(fenglin("ledger", "statement", "-o", "json").out)
    assert found["closing_micro"] == 3_765_433


def test_statement_of_an_admin_is_that_of_the_default_account(fenglin, hub, play):
    view = {"code": "bad_input", "what": "the account is missing", "where": "query account"}
    hub.on("GET", "/v1/ledger/statement", play(400, view), STATEMENT)
    assert fenglin("ledger", "statement").code == 0
    assert [dict(one.query).get("account") for one in hub.asked] == [None, "default"]


def test_statement_of_no_time(fenglin):
    assert fenglin("ledger", "statement", "--from", "yesterday").code == 2


def test_export(fenglin, hub, play, tmp_path):
    hub.on("GET", "/v1/ledger/export", play(pieces=[b"a,b\n", b"1,2\n"]))
    assert fenglin("ledger", "export", "--format", "csv").out == "a,b\n1,2\n"
    assert hub.asked[0].query == [("format", "csv")]
    out = tmp_path / "ledger.csv"
    assert fenglin("ledger", "export", "--out", out).code == 0
    assert out.read_bytes() == b"a,b\n1,2\n"


def test_export_that_breaks_leaves_the_old_file(fenglin, hub, play, tmp_path):
    out = tmp_path / "ledger.csv"
    out.write_text("old")
    hub.on("GET", "/v1/ledger/export", play(pieces=[b"a,b\n"], breaks=True))
    assert fenglin("ledger", "export", "--out", out).code == 6
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("ledger.csv", "old")]


def test_export_to_nowhere_says_where(fenglin, hub, play, tmp_path):
    hub.on("GET", "/v1/ledger/export", play(pieces=[b"a\n"]))
    done = fenglin("ledger", "export", "--out", tmp_path / "gone" / "x.csv")
    assert done.code == 1
    assert "cannot be written: No such file" in done.err
    assert "gone/x.csv" in done.err


def test_top_once(fenglin, hub, job):
    hub.on("GET", "/v1/overview", POOL)
    running = job(name="\x1b[2Jsky", expected_finish_ms=92_000)
    hub.on("GET", "/v1/jobs", {"items": [running], "next": "", "total": 1})
    done = fenglin("top", "--once")
    assert done.code == 0
    assert "\x1b" not in done.out
    assert "leader, epoch 3, cycle 8 took 1.2 ms" in done.out
    assert "[#######.............]" in done.out
    assert "[#####...............]" in done.out
    assert done.out.splitlines()[-1].split()[-3:] == ["1m", "in", "30s"]
    assert ("state", "running") in hub.asked[1].query


def test_live_top_leaves_the_terminal_as_it_was(hub):
    hub.on("GET", "/v1/overview", POOL)
    hub.on("GET", "/v1/jobs", {"items": [], "next": "", "total": 0})
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", FENGLIN, "top", "--interval", "0.2", "--hub", hub.url]
    running = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    seen = b""
    while b"no job is running" not in seen:
        seen += os.read(ours, 10_000)
    running.send_signal(signal.SIGINT)
    with suppress(OSError):  # Linux tells the end of a terminal by an error
        while more := os.read(ours, 10_000):
            seen += more
    os.close(ours)
    assert running.wait() == 0
    for begin, end in ((b"\x1b[?1049h", b"\x1b[?1049l"), (b"\x1b[?25l", b"\x1b[?25h")):
        assert seen.count(begin) == seen.count(end) == 1
    assert b"Traceback" not in seen


@pytest.mark.parametrize(
    ("part", "whole", "cells"), [(0, 9, 0), (1, 999, 1), (998, 999, 19), (9, 9, 20), (12, 9, 20)]
)
def test_bar(part, whole, cells):
    assert bar(part, whole) == "[" + "#" * cells + "." * (20 - cells) + "]"


def test_bar_of_nothing():
    assert bar(0, 0) == ""
