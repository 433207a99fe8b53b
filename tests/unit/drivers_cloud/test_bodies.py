"""Answers of EC2 and Nova: whole, and never beyond a size."""

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fenglin.drivers.cloud.amazon import Ec2
from fenglin.drivers.cloud.bodies import Body, counted
from fenglin.drivers.cloud.nova import OpenStack
from fenglin.drivers.cloud.provider import Wanted
from fenglin.drivers.cloud.settings import Ec2Settings, OpenStackSettings
from fenglin.errors import DriverError

# What openstacksdk says of its own parts.
pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")

MOST = 2**20
PIECE = 2**16
# What a hub that does not give up would read; the rest lies in buffers on the way.
ENDLESS = 64 * MOST
WANTED = Wanted("token", "std-0", 1, "m1.small", spot=False, most_per_hour="", user_data="#")
EC2_PAGE = """<?xml version="1.0"?><DescribeInstancesResponse><requestId>r</requestId>
<reservationSet/><nextToken>{}</nextToken></DescribeInstancesResponse>"""


class Served:
    """What a cloud answers, and how often it was asked.

    Attributes:
        body: Of each answer, or what makes one; without end where it is None.
        version: Of answers about versions, where that is another.
        status: Of each answer.
        asked: Requests.
        sent_bytes: Of bodies.
    """

    def __init__(self):
        self.body = self.version = None
        self.status = 200
        self.headers = {}
        self.asked = 0
        self.sent_bytes = 0

    def pieces(self, path):
        body = self.version if self.version and "servers" not in path else self.body
        if body is not None:
            yield body() if callable(body) else body
            return
        while self.sent_bytes < ENDLESS:
            yield b" " * PIECE


@pytest.fixture
def served():
    """Serve on this machine until the test is over."""
    what = Served()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            what.asked += 1
            self.send_response(what.status)
            for name, value in what.headers.items():
                self.send_header(name, value)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            try:
                for piece in what.pieces(self.path):
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                    what.sent_bytes += len(piece)
                self.wfile.write(b"0\r\n\r\n")
            except OSError:
                # The other side has given up.
                self.close_connection = True

        do_GET = do_POST = do_DELETE = answer  # noqa: N815 - names of the base

        def log_message(self, *_given):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    what.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield what
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def ec2(served, monkeypatch):
    """Return a region of EC2 that is served here."""
    pytest.importorskip("boto3")
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"AWS_{name}", "any")
    given = blank(Ec2Settings, image="ami-1", region="r", endpoint=served.url, reach="private")
    return Ec2(given, "hub", "aws")


@pytest.fixture
def nova(served, monkeypatch, tmp_path):
    """Return a cloud of OpenStack that is served here."""
    pytest.importorskip("openstack")
    clouds = tmp_path / "clouds.yaml"
    one = {"auth_type": "none", "compute_endpoint_override": served.url, "auth": {}}
    clouds.write_text(json.dumps({"clouds": {"here": one}}))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(clouds))
    return OpenStack(blank(OpenStackSettings, image="any", cloud="here"), "hub", "os")


@pytest.fixture(params=["ec2", "nova"])
def cloud(request):
    """Return each provider."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr("fenglin.remote.answers.MOST_BYTES", MOST)


@pytest.mark.slow
@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("status", [200, 503])
@pytest.mark.parametrize(
    "call",
    [
        lambda cloud: cloud.machines(["m1.small"]),
        lambda cloud: cloud.buy(WANTED),
        lambda cloud: cloud.instances(),
        lambda cloud: cloud.release("i-1"),
    ],
    ids=["machines", "buy", "instances", "release"],
)
def test_an_endless_answer_is_given_up(served, cloud, call, status):
    """Attack 103."""
    served.status = status
    with pytest.raises(DriverError, match="longer than") as caught:
        call(cloud)
    assert caught.value.effect_unknown
    assert served.asked == 1
    assert served.sent_bytes < ENDLESS


@pytest.mark.usefixtures("small")
def test_what_is_small_only_while_it_travels_is_given_up(served, nova):
    """Attack 103."""
    served.headers = {"Content-Encoding": "gzip"}
    served.body = gzip.compress(b" " * 8 * MOST)
    assert len(served.body) < PIECE
    with pytest.raises(DriverError, match="longer than"):
        nova.instances()


@pytest.mark.usefixtures("small")
def test_endless_pages_are_given_up(served, ec2):
    """Attack 103."""
    served.body = EC2_PAGE.format("more").encode() + b" " * PIECE
    with pytest.raises(DriverError, match="longer than"):
        ec2.instances()
    assert served.asked == MOST // len(served.body) + 1


@pytest.mark.usefixtures("small")
def test_endless_pages_of_nova_are_given_up(served, nova):
    """Attack 103."""
    link = {"rel": "self", "href": f"{served.url}/"}
    version = {"id": "v2.1", "status": "CURRENT", "version": "2.90", "min_version": "2.1"}
    served.version = json.dumps({"version": {**version, "links": [link]}}).encode()

    def page():
        # The same page once more would be noticed.
        one = f"i-{served.asked}"
        link = {"rel": "next", "href": f"{served.url}/servers/detail?marker={one}"}
        told = {"servers": [{"id": one, "metadata": {}}], "servers_links": [link]}
        return json.dumps(told).encode() + b" " * PIECE

    served.body = page
    with pytest.raises(DriverError, match="longer than"):
        nova.instances()
    assert 2 < served.asked <= MOST // PIECE + 2


@pytest.mark.usefixtures("small")
def test_answers_of_one_call_after_another_are_not_added_up(served, ec2):
    served.body = EC2_PAGE.format("").encode() + b" " * (MOST // 2)
    for _ in range(3):
        assert ec2.instances() == []


class Raw:
    """A body as urllib3 has it."""

    status = 200

    def __init__(self, pieces):
        self.pieces = iter(pieces)
        self.closed = False

    def stream(self, _amt, *, decode_content):
        del decode_content
        yield from self.pieces

    def close(self):
        self.closed = True


def test_a_body_that_fits_is_as_it_was():
    assert Body(Raw([b"ab", b"c"])).read() == b"abc"
    assert list(Body(Raw([b"ab", b"c"])).stream()) == [b"ab", b"c"]
    assert Body(Raw([])).status == 200


def test_what_is_thrown_away_is_bounded_too(monkeypatch):
    monkeypatch.setattr("fenglin.remote.answers.MOST_BYTES", 3)
    raw = Raw([b"ab"] * 1_000)
    with counted("site x"), pytest.raises(DriverError, match="longer than") as caught:
        Body(raw).read(decode_content=False)
    assert (raw.closed, len(list(raw.pieces)), caught.value.where) == (True, 998, "site x")


def blank(kind, **given):
    """Return settings in which nothing stands but what is given."""
    lists = {"security_groups", "tags"}
    fields = {name: () if name in lists else "" for name in kind.__struct_fields__}
    return kind(**{**fields, **given})
