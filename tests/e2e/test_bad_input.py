"""What is wrong is refused: one screen, the right code, and nothing is stored or lost."""

import json
import socket
from contextlib import closing
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from fenglin.client.requests import Call, Filter
from fenglin.errors import LimitError

# One hub serves the whole module.
pytestmark = pytest.mark.xdist_group("e2e-bad-input")

SCREEN_LINES = 24
OK = {"name": "ok", "command": ["true"]}
BOMB = "\n".join(
    [
        "name: bomb",
        "command: [echo]",
        "a0: &a0 [x, x, x, x, x, x, x, x, x, x]",
        *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)),
    ]
)


def post(hub, path, body, token=None, **headers):
    """Return (status, decoded body) of a raw request."""
    address = urlsplit(hub.url)
    with closing(HTTPConnection(address.hostname, address.port, timeout=20)) as connection:
        connection.request(
            "POST",
            path,
            body,
            {
                "Authorization": f"Bearer {hub.token if token is None else token}",
                "Content-Type": "application/json",
                **{name.replace("_", "-"): value for name, value in headers.items()},
            },
        )
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def is_one_screen(done):
    lines = done.err.splitlines()
    return 0 < len(lines) <= SCREEN_LINES and "Traceback" not in done.err


@pytest.fixture
def unchanged(client):
    """Check that a test has stored nothing and that the hub serves on."""
    before = [job.id for job in client.jobs(Filter()).items]
    yield
    assert [job.id for job in client.jobs(Filter()).items] == before
    job = client.submit(OK).id
    assert client.wait(job, 30).state == "succeeded"
    assert client.ledger_verify().ok


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: [unclosed\ncommand: true", "job.yaml:"),
        (BOMB, "job.yaml"),
        ("name: many\ntasks: 1000000000\ncommand: ['true']", "out of range"),
        ("name: less\nresources: {cpu: -1}\ncommand: ['true']", "resources.cpu"),
        ("name: none\nresources: {cpu: .nan}\ncommand: ['true']", "resources.cpu"),
        ("name: much\nresources: {memory: .inf}\ncommand: ['true']", "resources.memory"),
        ("name: odd\nresources: {mem: 1GiB}\ncommand: ['true']", "did you mean 'memory'"),
        ("name: files\nfiles: [not-there.bin]\ncommand: ['true']", "not-there.bin"),
        ("name: huge\nresources: {cpu: 999}\ncommand: ['true']", "can ever hold"),
        ("name: gang\nnodes: 50\ncommand: ['true']", "can ever hold"),
        ("name: who\naccount: nobody\ncommand: ['true']", "nobody"),
        ("", "job.yaml"),
        ("\0", "job.yaml"),
    ],
    ids=[
        "broken", "bomb", "10^9 tasks", "negative", "nan", "infinite", "unknown field",
        "missing input", "too large", "too many nodes", "foreign account", "empty", "binary",
    ],
)  # fmt: skip
def test_job_file(fenglin, job_file, text, said):
    done = fenglin("submit", job_file(text, "job.yaml"))

    assert done.code == 2, done.err
    assert said in done.err
    assert is_one_screen(done)
    assert not done.out


@pytest.mark.usefixtures("unchanged")
def test_all_that_is_wrong_is_told_at_once(fenglin, job_file):
    text = "name: x\ntasks: -1\nretries: many\ntimeout: 1:30\ncommand: ['true']\n"

    done = fenglin("submit", job_file(text, "job.yaml"))

    assert all(f"job.yaml:{line}:" in done.err for line in (2, 3, 4))
    assert is_one_screen(done)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[" * 100_000, 400),
        (b'{"name": "x", "name": "y", "command": ["true"]}', 400),
        (b'{"name": "x", "tasks": 1000000000, "command": ["true"]}', 400),
        (b'{"name": "x", "resources": {"cpu": NaN}, "command": ["true"]}', 400),
        (b'{"name": "x", "resources": {"cpu": 1e999}, "command": ["true"]}', 400),
        (b'{"name": "x", "priority": ' + b"9" * 5_000 + b', "command": ["true"]}', 400),
        (b'{"name": "\\ud800", "command": ["true"]}', 400),
        (b'{"name": "x", "resources": {"cpu": 999}, "command": ["true"]}', 400),
        (b'{"name": "x", "after": ["j99999"], "command": ["true"]}', 400),
    ],
    ids=[
        "cut", "nested", "twice the same key", "10^9 tasks", "nan", "infinite", "5000 digits",
        "lone surrogate", "too large a job", "foreign parent",
    ],
)  # fmt: skip
def test_http_body(hub, body, status):
    answered, error = post(hub, "/v1/jobs", body)

    assert (answered, bool(error["what"])) == (status, True)
    assert len(json.dumps(error)) < 4_000


@pytest.mark.usefixtures("unchanged")
def test_huge_body_is_refused_before_it_is_read(client):
    call = Call("POST", "/v1/jobs", dict, body=b" " * 40_000_000)

    with pytest.raises(LimitError, match="larger than"):
        client.call(call)


@pytest.mark.usefixtures("unchanged")
def test_one_bad_job_refuses_its_batch(hub):
    body = json.dumps([OK, {**OK, "tasks": -1}, OK]).encode()

    status, error = post(hub, "/v1/jobs:batch", body)

    assert status == 400
    assert error["problems"][0]["path"].startswith("[1].tasks")


def test_idempotency_key(hub):
    first = post(hub, "/v1/jobs", json.dumps(OK).encode(), Idempotency_Key="one")
    again = post(hub, "/v1/jobs", json.dumps(OK).encode(), Idempotency_Key="one")
    other = post(hub, "/v1/jobs", json.dumps({**OK, "name": "o"}).encode(), Idempotency_Key="one")

    assert first[0] == again[0] == 201
    assert (again[1]["id"], again[1]["repeated"]) == (first[1]["id"], True)
    assert other[0] == 409
    assert other[1]["code"] == "conflict"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("job", "show", "j99999"), 3),
        (("job", "cancel", "j99999"), 3),
        (("job", "logs", "j99999"), 3),
        (("job", "explain", "j99999"), 3),
        (("job", "artifacts", "j99999"), 3),
        (("site", "show", "nowhere"), 3),
        (("site", "drain", "nowhere"), 3),
        (("ledger", "statement", "--account", "nobody"), 3),
        (("job", "show", "../../etc/passwd"), 3),
        (("job", "show", "j1' OR 1=1"), 2),
        (("job", "list", "--sort", "spec; DROP TABLE job"), 2),
        (("job", "list", "--state", "odd"), 2),
        (("job", "wait", "j1", "--timeout", "soon"), 2),
        (("submit", "not-there.yaml"), 2),
        (("submit",), 2),
        (("fly",), 2),
    ],
)
def test_command(fenglin, words, code):
    done = fenglin(*words)

    assert done.code == code, done.err
    assert is_one_screen(done)


@pytest.mark.parametrize("token", ["", "odd", "fgl_" + "a" * 38])
def test_token(fenglin, hub, token):
    done = fenglin("job", "list", token=token)

    assert done.code == 4
    assert is_one_screen(done)
    assert post(hub, "/v1/jobs", json.dumps(OK).encode(), token=token)[0] == 401


def test_hub_that_is_not_there(fenglin):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"

        done = fenglin("job", "list", url=url)

    assert done.code == 6
    assert url in done.err
    assert is_one_screen(done)
