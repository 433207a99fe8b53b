"""Attack cases 93 to 104: whom the hub calls, and what it makes of the answer.

Only operators name addresses: of sites, of the OpenID provider, of witnesses. No field of a job
or of any other request is ever fetched, which the first tests hold.
"""

import asyncio
import http.server
import re
import socket
import threading
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from tests.attack.people import SMALL

from fenglin.errors import FenglinError, UnavailableError
from fenglin.ledger import note, tree
from fenglin.witness.outlets import WitnessOutlet

# One hub serves the whole module.
pytestmark = pytest.mark.xdist_group("attack-outbound")

SOURCE = Path(__file__).parents[2] / "src" / "fenglin"
# Every module that can open a connection, and who says where to. A new one is a new way out.
CALLERS = {
    "client": "whoever runs the command",
    "cli/login.py": "whoever runs the command",
    "oidc": "the operator: [login]",
    "witness": "the operator: [ledger]",
    "drivers": "the operator: [site.NAME]",
    "remote": "the operator: [site.NAME]",
    "api/server.py": "nobody: it listens",
    "bootstrap": "nobody: it listens",
    "cli/ledger_witness.py": "nobody: it listens",
    "probes/probe.py": "nobody: two ranks of one task on one machine",
    "testing": "tests",
}
DOORS = {"aiohttp", "asyncssh", "boto3", "ftplib", "http", "httpx", "httpx2", "lightkube",
         "openstack", "requests", "smtplib", "socket", "telnetlib", "urllib3"}  # fmt: skip
NO_DOOR = {("http", "HTTPStatus")}


IMPORT = re.compile(r"^\s*(?:import|from) ([\w.]+)(?: import (\w+))?", re.MULTILINE)


def callers():
    """Return every module below `fenglin` that imports something which can connect."""
    found = set()
    for path in sorted(SOURCE.rglob("*.py")):
        for module, name in IMPORT.findall(path.read_text(encoding="utf-8")):
            if module == "urllib.request" or (
                module.partition(".")[0] in DOORS and (module, name) not in NO_DOOR
            ):
                found.add(str(path.relative_to(SOURCE)))
    return found


def test_only_known_modules_can_connect():
    found = callers()

    assert {"oidc/issuer.py", "witness/outlets.py", "client/transport.py"} <= found
    strays = {
        path for path in found
        if not any(path == known or path.startswith(f"{known}/") for known in CALLERS)
    }  # fmt: skip
    assert strays == set()


KEY = note.new_key("witness.example", bytes(range(32)), note.COSIGNATURE)
HUB = note.new_key("hub.example", bytes(range(1, 33)))
ROOT = tree.leaf_hash(b"a" * 32)
CHECKPOINT = str(note.sign(note.Checkpoint("hub.example", 1, ROOT).text(), HUB))
ADDRESSES = {
    "93 metadata": "http://169.254.169.254/latest/meta-data/",
    "94 a number": "http://2130706433:PORT/",
    "94 hexadecimal": "http://0x7f000001:PORT/",
    "94 octal": "http://0177.0.0.1:PORT/",
    "94 short": "http://127.1:PORT/",
    "94 nothing": "http://0:PORT/",
    "95 mapped": "http://[::ffff:127.0.0.1]:PORT/",
    "96 NAT64": "http://[64:ff9b::7f00:1]:PORT/",
    "97 another cloud": "http://100.100.100.200/",
    "98 by IPv6": "http://[fd00:ec2::254]/",
    "100 a name": "http://localhost:PORT/",
    "101 a file": "file:///etc/passwd",
    "101 gopher": "gopher://127.0.0.1:PORT/_x",
    "102 a user": "http://good.example@127.0.0.1:PORT/",
    "plain": "http://127.0.0.1:PORT/",
}
FIELDS = {
    "files": lambda url: {"files": [{"source": url, "target": "in"}]},
    "blob": lambda url: {"files": [{"sha256": url, "target": "in"}]},
    "artifacts_of": lambda url: {"files": [{"artifacts_of": url, "target": "in"}]},
    "artifacts": lambda url: {"artifacts": [url]},
    "after": lambda url: {"after": [url]},
    "labels": lambda url: {"labels": {"url": url}},
    "env": lambda url: {"env": {"WEBHOOK": url}},
    "callback": lambda url: {"callback": url},
    "webhook": lambda url: {"webhook": url},
    "data": lambda url: {"data": [url]},
}


@pytest.mark.parametrize("field", FIELDS)
def test_no_address_in_a_job_is_called(town, field):
    """Attacks 93 to 98 and 100 to 102: nobody knocks, whatever a tenant writes wherever."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        port = str(listening.getsockname()[1])
        for url in ADDRESSES.values():
            plain = {"name": "x", "account": "team", "command": ["true"], **SMALL}
            document = {**plain, **FIELDS[field](url.replace("PORT", port))}
            answer = town.ask("POST", "/v1/jobs", "team/member", document)
            assert answer.status in (201, 400)
            if answer.status == 201:
                town.client("team/member").wait(answer.json["id"], 60)
        listening.setblocking(False)
        with pytest.raises(BlockingIOError):
            listening.accept()


@pytest.mark.parametrize("header", ["Host", "X-Forwarded-Host", "Forwarded", "Referer", "Origin"])
def test_no_header_is_called_either(town, header):
    """Attack 100: nothing that a client says of names is looked up or sent back as a place."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        name = f"127.0.0.1:{listening.getsockname()[1]}"
        answer = town.ask("GET", "/v1/overview", headers={header: name})
        assert answer.status == 200
        assert "location" not in answer.headers
        assert name.encode() not in answer.body
        listening.setblocking(False)
        with pytest.raises(BlockingIOError):
            listening.accept()


# More than the buffers of both ends of a connection hold.
MANY = 1_024
PIECE = b"x" * 2**16


@contextmanager
def witness(status, headers=(), pieces=0):
    """Yield (outlet, paths asked, sizes of what was sent) of a witness that answers so."""
    asked = []
    sent = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append(self.path)
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            for key, value in headers:
                self.send_header(key, value)
            self.end_headers()
            with suppress(OSError):
                sent.extend(self.wfile.write(PIECE) for _ in range(pieces))

        def do_GET(self):
            asked.append(f"GET {self.path}")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield WitnessOutlet(f"http://127.0.0.1:{server.server_port}", KEY.public), asked, sent
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def no_proof(_known):
    """Prove nothing."""
    return ()


def show(outlet):
    """Return what becomes of a checkpoint that is shown."""
    return asyncio.run(outlet.show(CHECKPOINT, 1, no_proof))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_witness_cannot_send_the_hub_elsewhere(status):
    """Attacks 99 and 104: no redirect is followed, with its body or without."""
    with witness(status, [("Location", "/elsewhere"), ("Content-Length", "0")]) as (
        outlet,
        asked,
        _,
    ):
        with pytest.raises(UnavailableError, match=f"HTTP {status}"):
            show(outlet)
        assert len(asked) == 1
        assert "elsewhere" not in asked[0]


def test_a_witness_cannot_fill_the_memory():
    """Attack 103: so much is read, and no more; what else was sent lies with the kernel."""
    with witness(200, pieces=MANY) as (outlet, _, sent):
        with pytest.raises(FenglinError):
            show(outlet)
        assert 0 < sum(sent) < MANY * len(PIECE) // 2
