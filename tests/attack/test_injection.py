"""Attack cases 44 to 70 where they meet the hub; what meets a site is in the conformance suite."""

import csv
import io
import json
import sqlite3
from contextlib import closing

import pytest
from tests.attack.people import SMALL

from fenglin.testing.conformance.hostile import TEXTS

# One hub serves the whole module.
pytestmark = pytest.mark.xdist_group("attack-injection")

LONG = {"long"}
VALUES = {what: text for what, text in TEXTS.items() if what not in LONG}


@pytest.fixture(scope="module")
def hostile(town):
    """Return the ids of jobs that carry a hostile text wherever one is taken."""
    ids = {}
    for what, text in VALUES.items():
        document = {
            "name": f"n-{text}"[:100] if text.isprintable() else "plain", "account": "team",
            "command": ["printf", "%s", text], "env": {"VALUE": text}, **SMALL,
        }  # fmt: skip
        answer = town.ask("POST", "/v1/jobs", "team/member", document)
        if answer.status == 400:
            document["name"] = "plain"
            answer = town.ask("POST", "/v1/jobs", "team/member", document)
        assert answer.status == 201, (what, answer.body)
        ids[what] = answer.json["id"]
    return ids


@pytest.mark.parametrize("what", VALUES)
def test_a_text_comes_back_as_it_went(town, hostile, what):
    """Attacks 44 to 70: through hub, site and log, a text is a text."""
    client = town.client("team/member")
    job = hostile[what]

    assert client.wait(job, 60).state == "succeeded"
    assert client.read_log(job, 0).data == VALUES[what].encode()
    shown = town.ask("GET", f"/v1/jobs/{job}", "team/viewer").json
    assert shown["spec"]["env"] == {"VALUE": VALUES[what]}


@pytest.mark.parametrize("field", ["account", "queue", "image", "name"])
@pytest.mark.parametrize("what", ["48 a directive", "64 terminal escapes", "65 right to left"])
def test_names_that_print_nothing_or_too_much_are_refused(town, field, what):
    """Attacks 48, 52, 64 and 65."""
    for text in (VALUES[what], "a\0b", "a\nb"):
        document = {"name": "x", "account": "team", "command": ["true"], **SMALL, field: text}
        answer = town.ask("POST", "/v1/jobs", "team/member", document)
        assert answer.status == 400
        assert all(0x20 <= byte < 0x7F or byte > 0xBF or byte in b"\n" or byte >= 0x80
                   for byte in answer.body)  # fmt: skip
        assert json.loads(answer.body)["what"].isprintable()


@pytest.mark.usefixtures("hostile")
@pytest.mark.parametrize(
    "words", [("job", "list", "--limit", "100"), ("job", "list", "-o", "yaml")]
)
def test_the_terminal_is_not_commanded(fenglin, words):
    """Attacks 64 and 65, through a listing."""
    done = fenglin(*words, who="team/member")

    assert done.code == 0, done.err
    assert "\x1b" not in done.out
    assert "\u202e" not in done.out


@pytest.mark.usefixtures("hostile")
def test_no_cell_of_an_export_is_a_formula(town):
    """Attack 66."""
    text = town.ask("GET", "/v1/ledger/export?format=csv").body.decode()
    cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row if cell]

    assert len(cells) > 100
    assert not [
        cell for cell in cells
        if cell[0] in "=+@\t\r" or (cell[0] == "-" and not cell[1:].replace(".", "").isdigit())
    ]  # fmt: skip


SQL = ["' OR 1=1 --", "'; DROP TABLE job; --", "1) UNION SELECT hex(digest) FROM token --", "\\'",
       "id; DELETE FROM entry", "%' AND account='team' --"]  # fmt: skip


@pytest.mark.usefixtures("hostile")
@pytest.mark.parametrize("text", SQL)
@pytest.mark.parametrize("field", ["name", "account", "queue", "state", "sort", "label", "cursor"])
def test_no_filter_is_sql(town, field, text):
    """Attacks 67 and 68."""
    from urllib.parse import quote  # noqa: PLC0415

    answer = town.ask("GET", f"/v1/jobs?{field}={quote(text, safe='')}", "team-a/viewer")

    assert answer.status in (200, 400)
    assert answer.json.get("items", []) == []
    with closing(sqlite3.connect(f"file:{town.hub.data}/fenglin.db?mode=ro", uri=True)) as conn:
        assert conn.execute("SELECT count(*) FROM job").fetchone()[0] >= len(VALUES)
        assert conn.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


@pytest.mark.usefixtures("hostile")
@pytest.mark.parametrize("text", ["%25", "_", "%25%25", "[a-z]", "*", "?"])
def test_wildcards_are_characters(town, text):
    """Attack 68: a name is found by what stands in it, and by nothing else."""
    from urllib.parse import unquote  # noqa: PLC0415

    found = town.ask("GET", f"/v1/jobs?limit=1000&name={text}", "team/viewer").json["items"]

    assert all(unquote(text) in one["name"] for one in found)


def test_an_error_is_no_page(town):
    """Attacks 69 and 70: what is quoted back is JSON, and a browser is told to see nothing else."""
    for text in ("%3Cscript%3Ealert(1)%3C/script%3E", "{{7*7}}"):
        answer = town.ask("GET", f"/v1/sites/{text}")
        assert answer.status in (400, 404)
        assert answer.headers["content-type"].startswith("application/json")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "49" not in answer.json["what"]


def test_a_log_is_no_page(town):
    """Attack 70: a task's output goes to a browser as bytes to keep."""
    script = "echo '<script>alert(1)</script>' | tee page.html"
    job = town.ended_job("team/member", script=script, artifacts=["page.html"])

    log = town.ask("GET", f"/v1/jobs/{job}/logs", "team/viewer")
    kept = town.ask("GET", f"/v1/jobs/{job}/artifacts/0/page.html", "team/viewer")

    assert log.headers["content-type"] == "application/octet-stream"
    assert kept.headers["content-type"] == "application/octet-stream"
    assert kept.headers["content-disposition"].startswith("attachment")
    assert {one.headers["x-content-type-options"] for one in (log, kept)} == {"nosniff"}
