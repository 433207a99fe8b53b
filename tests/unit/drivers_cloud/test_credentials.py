"""What gives the hub its own credentials of EC2 cannot fill its memory, nor keep it waiting."""

import datetime as dt
import itertools
import json
import socketserver
import threading

import pytest

from fenglin.drivers.cloud.amazon import Ec2
from fenglin.drivers.cloud.settings import Ec2Settings
from fenglin.errors import DriverError
from fenglin.model.reason import Reason

pytest.importorskip("boto3")

MOST = 2**20
PIECE = b" " * 2**16
# What a hub that does not give up would read; the rest lies in buffers on the way.
ENDLESS = 64 * MOST
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
ROLE = "a-role"
NO_INSTANCES = b"""<?xml version="1.0"?><DescribeInstancesResponse><requestId>r</requestId>
<reservationSet/></DescribeInstancesResponse>"""


class Giver:
    """Whoever gives credentials.

    Attributes:
        pieces: Of every answer, as they go over the line; None to answer as Amazon's do.
        bad: What is asked for when it answers so.
        asked: Paths.
        sent_bytes: Of bad answers.
    """

    def __init__(self):
        self.pieces = None
        self.bad = ""
        self.asked = []
        self.sent_bytes = 0
        self.over = threading.Event()

    def answer(self, path, body):
        """Yield what goes over the line."""
        self.asked.append(path)
        if self.pieces is not None and self.bad in path:
            for piece in self.pieces():
                if self.sent_bytes >= ENDLESS or self.over.is_set():
                    return
                yield piece
                self.sent_bytes += len(piece)
            return
        text = NO_INSTANCES if b"DescribeInstances" in body else self.good(path, body)
        yield OK + b"Content-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(text), text)

    def good(self, path, body):
        end = dt.datetime.now(dt.UTC) + dt.timedelta(hours=6)
        until = end.strftime("%Y-%m-%dT%H:%M:%SZ")
        if b"AssumeRoleWithWebIdentity" in body:
            return (
                "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>"
                "<AccessKeyId>k</AccessKeyId><SecretAccessKey>s</SecretAccessKey>"
                f"<SessionToken>t</SessionToken><Expiration>{until}</Expiration></Credentials>"
                "</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
            ).encode()
        if path.endswith(("/token", "/security-credentials/")):
            return ROLE.encode()
        told = {"AccessKeyId": "k", "SecretAccessKey": "s", "Token": "t", "Expiration": until}
        return json.dumps(told).encode()


@pytest.fixture
def giver():
    """Serve on this machine until the test is over."""
    what = Giver()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            _, path, _ = self.rfile.readline().decode().split()
            length = 0
            while (line := self.rfile.readline().strip().lower()) != b"":
                if line.startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            try:
                for piece in what.answer(path, self.rfile.read(length)):
                    self.wfile.write(piece)
            except OSError:
                pass  # the other side has given up

    class Server(socketserver.ThreadingTCPServer):
        # Its end waits for all answers, so that none outlives the test.
        daemon_threads = False

    server = Server(("127.0.0.1", 0), Handler)
    what.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield what
    finally:
        what.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """Have no credentials anywhere else."""
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "PROFILE", "SESSION_TOKEN"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    for name in ("CONFIG_FILE", "SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(f"AWS_{name}", str(tmp_path / "none"))
    return monkeypatch


def by_machine(giver, env, _folder):
    env.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", giver.url)


def by_container(giver, env, _folder):
    env.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{giver.url}/container")


def by_identity(giver, env, folder):
    (folder / "token").write_text("a-token")
    env.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(folder / "token"))
    env.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/hub")
    env.setenv("AWS_ENDPOINT_URL_STS", f"{giver.url}/sts")


@pytest.fixture(params=[by_machine, by_container, by_identity])
def ec2(request, giver, bare, tmp_path):
    """Return a region whose credentials are given in each way."""
    request.param(giver, bare, tmp_path)
    return region(giver)


def region(giver):
    given = {"region": "us-east-1", "endpoint": f"{giver.url}/ec2", "reach": "private"}
    lists = {"security_groups", "tags"}
    fields = {name: () if name in lists else "" for name in Ec2Settings.__struct_fields__}
    return Ec2(Ec2Settings(**{**fields, "image": "ami-1", **given}), "hub", "aws")


def endless_body():
    yield OK + CHUNKED
    while True:
        yield b"%x\r\n%s\r\n" % (len(PIECE), PIECE)


def endless_size():
    """The number that comes before a piece has no end."""
    yield OK + CHUNKED
    yield from itertools.repeat(b"0" * len(PIECE))


def endless_end():
    """What may follow the last piece does."""
    yield OK + CHUNKED + b"2\r\nab\r\n0\r\n"
    yield from itertools.repeat(b"a: b\r\n" * 10_000)


def endless_beginning():
    """It is always about to answer."""
    yield from itertools.repeat(CONTINUE * 2_000)


def refused(ec2, match):
    with pytest.raises(DriverError, match=match) as caught:
        ec2.instances()
    assert caught.value.where == "site aws"
    assert caught.value.reason == Reason.START_FAILED
    assert not caught.value.effect_unknown


@pytest.mark.slow
def test_credentials_are_had(giver, ec2):
    assert ec2.instances() == []
    assert [path for path in giver.asked if "ec2" in path] == ["/ec2"]
    assert len(giver.asked) > 1


@pytest.mark.parametrize("pieces", [endless_body, endless_beginning])
def test_an_endless_answer_about_credentials_is_given_up(giver, ec2, pieces):
    """Attack 103."""
    giver.pieces = pieces
    refused(ec2, "longer than 1048576 bytes")
    assert len(giver.asked) == 1
    assert giver.sent_bytes < ENDLESS


@pytest.mark.slow
@pytest.mark.parametrize("pieces", [endless_size, endless_end])
def test_an_answer_that_is_endless_elsewhere_is_given_up(giver, ec2, pieces):
    """Attack 103. By the library's own bounds, or by ours."""
    giver.pieces = pieces
    with pytest.raises(DriverError):
        ec2.instances()
    assert "/ec2" not in giver.asked
    assert giver.sent_bytes < ENDLESS


@pytest.mark.parametrize("status", [200, 404])
def test_an_endless_answer_to_any_question_is_given_up(giver, bare, status):
    """Attack 103. After a token, a machine is asked for its role and for its credentials."""
    bare.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", giver.url)
    for bad in ("latest/api/token", "security-credentials/", ROLE):
        giver.bad = bad
        giver.sent_bytes = 0
        giver.pieces = lambda: itertools.chain(
            [b"HTTP/1.1 %d so\r\n\r\n" % status], itertools.repeat(PIECE)
        )
        refused(region(giver), "longer than")
        assert giver.sent_bytes < ENDLESS


def test_an_answer_that_drips_is_given_up(giver, ec2, monkeypatch):
    """Some of it comes before each silence is too long, and all of it never."""
    monkeypatch.setattr("fenglin.drivers.cloud.credentials.WITHIN_S", 0.2)

    def drops():
        yield OK + CHUNKED
        while not giver.over.wait(0.02):
            yield b"1\r\n \r\n"

    giver.pieces = drops
    refused(ec2, "takes longer than 0.2 s")
    assert len(giver.asked) == 1


def test_where_the_machine_is_need_not_be_told(giver, bare):
    """Attack 103. What cannot be learned so is done without."""
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        bare.setenv(f"AWS_{name}", "any")
    bare.setenv("AWS_DEFAULTS_MODE", "auto")
    bare.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", giver.url)
    giver.bad = "latest"
    giver.pieces = endless_body
    assert region(giver).instances() == []
    assert giver.asked == ["/latest/api/token", "/ec2"]
    assert giver.sent_bytes < ENDLESS
