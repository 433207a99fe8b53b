"""Attack cases 71 to 92, over HTTP and by command: refused with a reason, and the hub serves on."""

import gzip
import json
import re
import socket
import sys
from contextlib import closing
from urllib.parse import urlsplit

import pytest
from tests.attack.people import SMALL, within

# One hub serves the whole module.
pytestmark = pytest.mark.xdist_group("attack-parsers")

CUT_WITHIN_S = 60
# Deeper than Python's calls may be nested: what goes down it by recursion fails.
CHAIN = sys.getrecursionlimit() + 100
STREAMS = 1_000
REFUSED = (400, 413, 422)
JOB = '{"name": "x", "account": "team", "command": ["true"], %s}'
BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)
SELF = "name: &me\n  - *me\ncommand: ['true']\n"
YAML = {
    "71 alias bomb": BOMB,
    "72 self alias": SELF,
    "73 nested": "name: " + "[" * 3_000 + "]" * 3_000,
    "74 a tag": "name: !!python/object/apply:os.system ['touch OWNED']\ncommand: ['true']",
    "75 no": "name: no\ncommand: ['true']",
    "75 an octal": "name: x\ntasks: 012\ncommand: ['true']",
    "75 sixties": "name: x\ntimeout: 1:30\ncommand: ['true']",
    "77 digits": "name: x\ncommand: ['true']\ntasks: " + "9" * 5_000,
    "78 not a number": "name: x\ncommand: ['true']\nresources: {cpu: .nan}",
    "81 many tasks": "name: x\ncommand: ['true']\ntasks: 1000000000",
}
BODIES = {
    "76 depth": '{"name":' * 200_000,
    "76 depth of lists": "[" * 200_000 + "]" * 200_000,
    "77 digits": JOB % f'"priority": {"9" * 5_000}',
    "78 NaN": JOB % '"resources": {"cpu": NaN}',
    "78 Infinity": JOB % '"resources": {"memory": Infinity}',
    "78 minus Infinity": JOB % '"resources": {"cpu": -Infinity}',
    "78 1e999": JOB % '"resources": {"cpu": 1e999}',
    "79 2^63": JOB % f'"priority": {2**63}',
    "79 -2^63 - 1": JOB % f'"priority": {-(2**63) - 1}',
    "79 2^64 bytes": JOB % f'"resources": {{"memory": {2**64}}}',
    "80 -1 GPU": JOB % '"resources": {"gpu": -1}',
    "80 -1 cards": JOB % '"resources": {"accelerators": {"a100": -1}}',
    "80 0 cards": JOB % '"resources": {"accelerators": {"a100": 0}}',
    "80 -1 cores": JOB % '"resources": {"cpu": -1}',
    "81 10^9 tasks": JOB % '"tasks": 1000000000',
    "81 10^18 tasks": JOB % '"tasks": 1000000000000000000',
    "88 a lone surrogate": JOB % '"labels": {"a": "\\ud800"}',
    "88 a surrogate key": JOB % '"labels": {"\\udfff": "a"}',
    "91 itself": JOB % '"after": ["x"]',
}


@pytest.mark.parametrize("case", YAML)
def test_files(fenglin, tmp_path, case):
    """Attacks 71 to 75, 77, 78 and 81, as a file that is submitted."""
    (tmp_path / "job.yaml").write_text(YAML[case])

    done = fenglin("submit", "job.yaml", who="team/member")

    assert done.code == 2, done.out
    assert "Traceback" not in done.err
    assert len(done.err) < 4_000
    assert not list(tmp_path.rglob("OWNED*"))


@pytest.mark.parametrize("target", ["/v1/jobs", "/v1/plan", "/v1/jobs:batch"])
@pytest.mark.parametrize("case", BODIES)
def test_bodies(town, target, case):
    """Attacks 76 to 81, 88 and 91."""
    body = BODIES[case].encode()

    answer = town.ask("POST", target, "team/member", b"[%s]" % body if "batch" in target else body)

    assert answer.status in REFUSED
    assert answer.json["what"]
    assert len(answer.body) < 20_000


def json_routes(town):
    """Return (method, path) of every route that takes a JSON body."""
    paths = town.ask("GET", "/openapi.json").json["paths"]
    return [
        (method.upper(), re.sub(r"\{(\w+)\}", "x1", path))
        for path, item in paths.items()
        for method, operation in item.items()
        if "application/json" in operation.get("requestBody", {}).get("content", {})
    ]


HOSTILE = {
    "76 depth": b'{"a":' * 100_000,
    "76 lists": b"[" * 100_000,
    "77 digits": b'{"a": ' + b"9" * 5_000 + b"}",
    "78 NaN": b'{"a": NaN}',
    "88 a lone surrogate": b'{"a": "\\ud800"}',
    "no UTF-8": b'{"a": "\xff\xfe"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "NUL": b'{"a": "\x00"}',
    "a list": b"[[[]]]",
    "a number": b"1e400",
    "nothing": b"null",
    "42 twice": b'{"a": 1, "a": 2}',
}


@pytest.mark.parametrize("case", HOSTILE)
def test_every_route_with_a_body(town, case):
    """Whatever comes, no route falls over; what is found is the caller's fault."""
    routes = json_routes(town)
    assert len(routes) > 15
    for method, path in routes:
        answer = town.ask(method, path, "operator", HOSTILE[case])
        assert answer.status in (400, 404), (method, path, answer.body)


SENT = {
    "82 announced": (b"content-length: 1073741824\r\n", b"", b" 413 "),
    "83 gzip": (b"content-encoding: gzip\r\n", gzip.compress(b" " * 2**20), b" 415 "),
    "86 headers": (b"x-a: b\r\n" * 100_000, b"", b" 431 "),
}


def raw(town, head, body, *, within_s=CUT_WITHIN_S):
    """Return what the hub answers to these bytes before it hangs up."""
    address = urlsplit(town.hub.url)
    plain = (
        b"POST /v1/jobs HTTP/1.1\r\nhost: h\r\nconnection: close\r\nauthorization: Bearer "
        + town.tokens["team/member"].encode()
        + b"\r\n"
    )
    if body and b"chunked" not in head:
        head += b"content-length: %d\r\n" % len(body)
    with socket.create_connection((address.hostname, address.port), timeout=within_s) as line:
        got = b""
        try:
            line.sendall(plain + head + b"\r\n" + body)
            while piece := line.recv(2**16):
                got += piece
        except (ConnectionResetError, BrokenPipeError):
            pass
        return got


@pytest.mark.parametrize("case", SENT)
def test_what_is_too_much_is_refused_unread(town, case):
    """Attacks 82, 83 and 86. The answer, or the cut that follows it, is all that comes."""
    head, body, status = SENT[case]

    got = raw(town, head, body)

    assert got[:40] == b"" or status in got[:40]
    assert town.ask("GET", "/v1/jobs", "team/member").status == 200


def test_an_endless_body_is_cut_off(town):
    """Attack 84."""
    address = urlsplit(town.hub.url)
    sent = 0
    with closing(
        socket.create_connection((address.hostname, address.port), timeout=CUT_WITHIN_S)
    ) as line:
        line.sendall(
            b"POST /v1/jobs HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n"
            b"authorization: Bearer " + town.tokens["team/member"].encode() + b"\r\n\r\n"
        )
        piece = b"100000\r\n" + b" " * 2**20 + b"\r\n"
        try:
            while sent < 1_000:
                line.sendall(piece)
                sent += 1
        except OSError:
            pass

    assert sent < 200
    assert town.ask("GET", "/v1/jobs", "team/member").status == 200


REGULAR = {
    "name": ["a" * 100_000 + "!", "-" * 50_000, "a-" * 50_000 + "\u00e9"],
    "after": [["j" + "1" * 50_000], ["a." * 50_000]],
    "timeout": ["1" * 50_000 + "h", "1h" * 30_000 + "!"],
    "image": ["a/" * 50_000 + ":", "a" * 100_000 + "@"],
    "env": [{"A" * 100_000: "x"}, {"A_" * 40_000 + "-": "x"}],
    "not_before": ["2027-" * 20_000, "0" * 100_000],
}


@pytest.mark.parametrize("field", REGULAR)
def test_texts_made_for_slow_patterns(town, field):
    """Attack 87: a pattern that looks back would not answer within the connection's patience."""
    for value in REGULAR[field]:
        document = {"name": "x", "account": "team", "command": ["true"], **SMALL, field: value}
        answer = town.ask("POST", "/v1/jobs", "team/member", document)
        assert answer.status in REFUSED, field
        assert len(answer.body) < 4_000


@pytest.mark.parametrize("limit", ["1000000000", "0", "-1", "9" * 5_000, "1e9", "NaN"])
@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/nodes", "/v1/tokens", "/v1/prices"])
def test_page_sizes(town, path, limit):
    """Attack 89."""
    assert town.ask("GET", f"{path}?limit={limit}").status == 400


def test_many_open_streams(town):
    """Attack 90: most are turned away, the rest wait, and work goes on meanwhile."""
    address = urlsplit(town.hub.url)
    ask = (
        b"GET /v1/jobs:watch?timeout_s=60&after=NEXT HTTP/1.1\r\nhost: h\r\n"
        b"authorization: Bearer " + town.tokens["team/viewer"].encode() + b"\r\n\r\n"
    )
    start = town.ask("GET", "/v1/jobs:watch?timeout_s=0", "team/viewer").json["next"]
    lines = []
    try:
        for _ in range(STREAMS):
            line = socket.create_connection((address.hostname, address.port), timeout=60)
            lines.append(line)
            line.sendall(ask.replace(b"NEXT", start.encode()))
        for line in lines:
            line.setblocking(False)
        # Who waits to the end is answered too, with 200: only refusals count.
        within(lambda: sum(map(turned_away, lines)) >= STREAMS // 4, CUT_WITHIN_S)
    finally:
        for line in lines:
            line.close()
    assert town.ended_job("team/member", name="after-the-flood")


def turned_away(line):
    """Return whether a connection was told, so far, that too many wait already."""
    try:
        said = line.recv(4_096, socket.MSG_PEEK)
    except OSError:
        return False
    return said.startswith(b"HTTP/1.1 503 ") and b"too many waiting requests" in said


def test_jobs_that_wait_for_one_another(town):
    """Attack 91: a job can only name older ones, so that no ring can be closed."""
    plain = {"name": "ring", "account": "team", "command": ["true"], **SMALL}
    first = town.ask("POST", "/v1/jobs", "team/member", plain).json["id"]
    after = int(first[1:]) + 1
    for batch in (
        [{**plain, "after": [f"j{after}"]}],
        [{**plain, "after": [f"j{after + 1}"]}, {**plain, "after": [f"j{after}"]}],
    ):
        answer = town.ask("POST", "/v1/jobs:batch", "team/member", batch)
        assert (answer.status, answer.json["where"]) == (400, "after")


def test_a_deep_chain(town):
    """Attack 92: a long chain is taken, and its doom reaches its end, without recursion."""
    client = town.client("team/member")
    wait = {"name": "root", "account": "team", "script": "sleep 600", **SMALL}
    parent = root = client.submit(wait).id
    body = {"name": "link", "account": "team", "command": ["true"], **SMALL}
    for _ in range(CHAIN):
        parent = client.submit({**body, "after": [parent]}).id
    client.cancel(root)

    assert client.wait(parent, 60).state in ("failed", "cancelled")
    assert town.ask("GET", "/readyz").status == 200


def test_the_numbers_are_what_the_refusals_say(town):
    """A refusal names the field, so that a person finds it at 3 a.m."""
    answer = town.ask("POST", "/v1/jobs", "team/member", BODIES["81 10^9 tasks"].encode())

    assert "tasks" in json.dumps(answer.json["problems"])
