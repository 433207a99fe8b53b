"""Attack cases 117 to 121: where a secret must not turn up, and what is installed."""

import csv
import hashlib
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from contextlib import closing
from pathlib import Path

import pytest
from tests.attack.people import ACCOUNTS, SMALL, Town, running_town, within

from fenglin.testing import LocalSite, hub_file

# One hub serves the whole module.
pytestmark = pytest.mark.xdist_group("attack-secrets")

ROOT = Path(__file__).parents[2]
CANARY = "canary-9f3a71c2"


# An agent may dial in for `far`; none does by itself.
CONFIG = "\n".join(
    [
        hub_file([LocalSite("only")], accounts=dict.fromkeys(ACCOUNTS, "10 CNY")),
        LocalSite("far").block().replace('driver = "local"', 'driver = "agent"'),
    ]
)


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    """Return this module's hub with its people."""
    with running_town(tmp_path_factory.mktemp("town"), CONFIG) as hub:
        yield Town(hub)


def command_lines():
    """Return the command lines of all processes of this machine."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                found.append((entry / "cmdline").read_bytes())
            except OSError:
                continue
    return found


def test_a_canary_stays_where_it_was_put(town):
    """Attack 117: a variable's value reaches its task, and no list, log, ledger or process name."""
    client = town.client("team/member")
    document = {
        "name": "quiet", "account": "team", "env": {"PASSWORD": CANARY},
        "script": 'test -n "$PASSWORD" && touch "$FENGLIN_ARTIFACTS_DIR/on" && sleep 600', **SMALL,
    }  # fmt: skip
    job = client.submit(document).id
    within(lambda: town.hub.tasks() and client.job(job).state == "running")

    seen = command_lines()
    assert len(seen) > 3
    assert not [line for line in seen if CANARY.encode() in line]
    client.cancel(job)
    client.wait(job, 60)
    for target in (
        "/v1/jobs", f"/v1/jobs/{job}/events", f"/v1/jobs/{job}/explain", f"/v1/jobs/{job}/logs",
        "/v1/overview", "/metrics", "/v1/plans", "/v1/ledger/export?format=csv", "/v1/audit",
        "/v1/ledger/export?format=jsonl", "/v1/ledger/statement?account=team",
    ):  # fmt: skip
        answer = town.ask("GET", target)
        assert answer.status == 200, target
        assert CANARY.encode() not in answer.body, target
    assert CANARY not in (town.hub.folder / "hub.log").read_text()


def holding(folder, value):
    """Return the files below a folder that hold a value."""
    found = []
    for path in folder.rglob("*"):
        try:
            if path.is_file() and value in path.read_bytes():
                found.append(path.name)
        except OSError:
            continue  # gone since it was listed
    return found


def test_a_secret_is_nowhere_but_in_its_task(town, fenglin, tmp_path):
    """Attack 117: no answer, log, file, row, process name or command line shows it."""
    value = "s3cr3t-5d2e-9f3a71c2"
    (tmp_path / "value").write_text(value + "\n")
    words = ("secret", "set", "canary", "--from-file", tmp_path / "value")
    set_once = fenglin(*words, who="team/member")
    listed = fenglin("secret", "list", who="team/member")
    (tmp_path / "value").unlink()
    assert (set_once.code, listed.code) == (0, 0)
    client = town.client("team/member")
    document = {
        "name": "quiet", "account": "team", "secrets": {"PASSWORD": "canary"}, "tasks": 2,
        "script": 'case $PASSWORD in s3cr3t-*-9f3a71c2) echo "I have it";; esac; sleep 600',
        **SMALL,
    }  # fmt: skip
    job = client.submit(document).id
    within(lambda: town.ask("GET", f"/v1/jobs/{job}/logs", "team/member").body == b"I have it\n")

    assert not [line for line in command_lines() if value.encode() in line]
    # The runner has taken its file away; the task's own memory is all that is left.
    within(lambda: holding(town.hub.folder, value.encode()) == [])
    client.cancel(job)
    client.wait(job, 60)
    said = [set_once.out, set_once.err, listed.out, listed.err]
    said += [fenglin(*words, who="team/member").out for words in (("job", "show", job), ("top",))]
    for target in (
        "/v1/jobs?detail=true", f"/v1/jobs/{job}", f"/v1/jobs/{job}/events", "/v1/plans",
        f"/v1/jobs/{job}/explain", f"/v1/jobs/{job}/logs", "/v1/overview", "/metrics",
        "/v1/ledger/export?format=csv", "/v1/ledger/export?format=jsonl", "/v1/audit",
        "/v1/secrets", "/v1/plans/now", "/v1/ledger/statement?account=team",
    ):  # fmt: skip
        answer = town.ask("GET", target)
        assert answer.status == 200, target
        said.append(answer.body.decode(errors="replace"))
    assert not [text for text in said if value in text]
    town.hub.stop()
    try:
        assert holding(town.hub.folder, value.encode()) == []
    finally:
        town.hub.start()
    told = town.ask("GET", "/v1/audit?what=setSecret").json["items"]
    assert [one["subject"] for one in told] == ["/v1/secrets/canary"]


def test_a_foreign_secret_answers_as_a_missing_one(town):
    """S1: neither to jobs nor to those who would remove it."""
    assert town.ask("PUT", "/v1/secrets/ours", "team/member", {"value": "hush"}).status == 200

    def answers(name):
        document = {
            "name": "j", "account": "team-a", "command": ["true"], "secrets": {"A": name}, **SMALL,
        }  # fmt: skip
        who = "team-a/member"
        asked = [
            town.ask("POST", "/v1/jobs", who, document),
            town.ask("POST", "/v1/plan", who, document),
            town.ask("DELETE", f"/v1/secrets/{name}", who),
        ]
        return [(one.status, one.body.replace(name.encode(), b"NAME")) for one in asked]

    assert answers("ours") == answers("none")
    assert [status for status, _ in answers("ours")] == [400, 400, 404]
    assert town.ask("GET", "/v1/secrets", "team-a/member").json["items"] == []
    own = {"name": "j", "account": "team", "command": ["true"], "secrets": {"A": "ours"}, **SMALL}
    assert town.ask("POST", "/v1/jobs", "team/member", own).status == 201


def test_a_refused_value_is_not_repeated(town):
    """Attack 117: not even to who sent it."""
    for body in (
        {"value": "x\0s3cr3t"},
        {"value": ["s3cr3t"]},
        {"valu": "s3cr3t"},
        b'{"value": "s3cr3t',
    ):
        answer = town.ask("PUT", "/v1/secrets/odd", "team/member", body)
        assert answer.status == 400
        assert b"s3cr3t" not in answer.body
    job = {"name": "j", "account": "team", "command": ["true"], "secrets": {"A": "s3cr3t, really"}}
    answer = town.ask("POST", "/v1/jobs", "team/member", {**job, **SMALL})
    assert answer.status == 400
    assert b"s3cr3t" not in answer.body


def test_a_token_is_in_no_log_and_no_answer(town, fenglin):
    """Attack 117: neither good nor bad ones, and not through what goes wrong."""
    tokens = [token for token in town.tokens.values() if token]
    said = []
    for who in ("operator", "team/member", "expired", "unknown"):
        targets = ("/v1/jobs?x=1", "/v1/jobs/j9", "/v1/nowhere", "/v1/tokens/own")
        said += [town.ask("GET", target, who).body.decode() for target in targets]
        done = fenglin("job", "show", "j9", who=who, env={"FENGLIN_DEBUG": "1"}.items())
        said += [done.out, done.err]
    said.append((town.hub.folder / "hub.log").read_text())
    said += [line.decode(errors="replace") for line in command_lines()]

    assert not [text for text in said if any(token in text for token in tokens)]


def test_a_failure_inside_shows_a_number_only(town):
    """Attack 117: a traceback is the log's, and the log is JSON, line by line."""
    for body in (b"{", b"\xff", b'{"name": "a\\nb"}'):
        answer = town.ask("POST", "/v1/jobs", "team/member", body)
        assert b"Traceback" not in answer.body
        assert b".py" not in answer.body


def test_no_caller_writes_a_line_into_the_log(town):
    """Attack 118: what a caller says may stand in a line, and never begins one."""
    forged = '\n{"event": "forged", "level": "info"}\n'
    town.ask("POST", "/v1/sites/only/drain", "operator", {"reason": "x" + forged})
    town.ask("GET", "/v1/jobs/%0a%7b%22event%22%3a%22forged%22%7d%0a", "team/member")
    town.ask("POST", "/v1/jobs", "team/member", {
        "name": "x", "account": "team", "command": ["printf", forged], "env": {"A": forged},
        "labels": {"a": forged}, **SMALL,
    })  # fmt: skip
    town.ask("GET", "/v1/nowhere", "operator", headers={"User-Agent": "x\ty"})
    # Who an agent says that it is does stand in the log.
    hello = {"protocol": 1, "agent": forged, "version": "1\r" + forged, "driver": forged}
    town.tokens["far"] = town.make("far", "agent", party="far")
    assert town.ask("POST", "/v1/agent/far/hello", "far", hello).status == 200

    text = (town.hub.folder / "hub.log").read_text()

    lines = [json.loads(line) for line in text.splitlines()]
    (said,) = [line for line in lines if line["event"] == "agent_connected"]
    assert said["agent"] == forged
    assert "forged" not in {line["event"] for line in lines}


def test_a_hidden_audit_record_is_missed(town):
    """Attack 119: who can write the database can delete a row, not the gap that it leaves."""
    town.ask("POST", "/v1/sites/only/drain", "operator", {"reason": "evil"})
    town.ask("POST", "/v1/sites/only/resume", "operator")
    whole = town.ask("GET", "/v1/audit:verify", "auditor").json
    town.hub.stop()
    with closing(sqlite3.connect(town.hub.data / "fenglin.db")) as conn:
        for (name,) in conn.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit'"
        ).fetchall():
            conn.execute(f'DROP TRIGGER "{name}"')
        conn.execute("DELETE FROM audit WHERE seq = (SELECT max(seq) - 1 FROM audit)")
        conn.commit()
    town.hub.start()

    cut = town.ask("GET", "/v1/audit:verify", "auditor").json

    assert (whole["ok"], cut["ok"]) == (True, False)


def wheel(folder, text):
    """Write a tiny wheel; return its SHA-256."""
    path = folder / "canarypkg-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("canarypkg.py", text)
        info = "canarypkg-1.0.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: canarypkg\nVersion: 1.0")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any"
        )
        archive.writestr(f"{info}/RECORD", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_changed_wheel_is_not_installed(tmp_path):
    """Attack 120, with the very options of the Makefile."""
    makefile = (ROOT / "Makefile").read_text()
    assert "--require-hashes --no-deps --only-binary :all:" in makefile
    wheels, target = tmp_path / "wheels", tmp_path / "target"
    wheels.mkdir()
    good = wheel(wheels, "x = 1")
    listed = tmp_path / "list.txt"
    listed.write_text(f"canarypkg==1.0 --hash=sha256:{good}\n")

    def install():
        return subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
             "--no-index", "--find-links", wheels, "--target", target, "--require-hashes",
             "--no-deps", "--only-binary", ":all:", "-r", listed],
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip

    wheel(wheels, "x = 2")
    refused = install()
    assert refused.returncode != 0
    assert "DO NOT MATCH THE HASHES" in refused.stderr
    assert not target.exists()
    listed.write_text(f"canarypkg==1.0 --hash=sha256:{wheel(wheels, 'x = 1')}\n")
    assert install().returncode == 0


def test_the_wheel_is_the_repository(tmp_path):
    """Attack 121: what is built holds every tracked file of the package, bit for bit, no more."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout: the list of tracked files is what is compared with")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "src/fenglin", "pyproject.toml", "README.md", "LICENSE"],
        cwd=ROOT, capture_output=True, check=True,
    ).stdout.decode()  # fmt: skip
    copy = tmp_path / "copy"
    tracked = [name for name in listed.split("\0") if name and (ROOT / name).is_file()]
    for name in tracked:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy / name)
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "out"],
        cwd=copy, capture_output=True, check=True, timeout=120,
    )  # fmt: skip
    (built,) = (tmp_path / "out").iterdir()
    with zipfile.ZipFile(built) as archive:
        held = {one: archive.read(one) for one in archive.namelist() if ".dist-info/" not in one}
        (record,) = [one for one in archive.namelist() if one.endswith(".dist-info/RECORD")]
        rows = list(csv.reader(io.StringIO(archive.read(record).decode())))

    wanted = {
        name.removeprefix("src/"): (ROOT / name).read_bytes()
        for name in tracked
        if name.startswith("src/")
    }
    assert len(wanted) > 300
    assert held.keys() == wanted.keys()
    assert [name for name, data in held.items() if data != wanted[name]] == []
    assert all(digest or name == record for name, digest, _ in rows)
