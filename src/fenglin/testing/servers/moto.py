"""EC2 as moto pretends it, with what moto leaves out: tokens, failures on request, machines.

moto answers the API. Added here: RunInstances with a ClientToken that was used before returns
the first answer, or IdempotentParameterMismatch; `fail` has a call fail, before its effect or
after; `reclaim` takes a spot instance back. Machines are `machines.Machines`.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs

from fenglin.testing.servers.machines import Listed, Machines, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

    Answer = tuple[str, list[tuple[str, str]], bytes]

REGION = "cn-northwest-1"
READY_WITHIN_S = 30.0
CONTROL = "/fenglin/"
# moto gives instances addresses of their subnet: here such as sshd can listen on.
VPC_RANGE = "127.0.0.0/16"
SUBNET_RANGE = "127.0.7.0/24"
KEYS = {"AWS_ACCESS_KEY_ID": "pretended", "AWS_SECRET_ACCESS_KEY": "pretended"}


def find_moto() -> str:
    """Return why no pretended EC2 can be started here; empty when one can."""
    missing = [name for name in ("moto", "flask", "boto3") if find_spec(name) is None]
    return f"no EC2 here: {', '.join(missing)} missing (make setup-dev)" if missing else ""


class MotoCloud:
    """An empty region with an image and a subnet; gone with the block.

        with MotoCloud() as cloud:
            settings = cloud.settings()

    Attributes:
        url: Its endpoint.
        machines: What answers for its instances.
        env: Environment by which the SDK's chain finds credentials.
        image, subnet: To buy from.
    """

    def __init__(self) -> None:
        """Start nothing yet."""
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.env = dict(KEYS)
        self.machines = Machines(self._listed)

    def __enter__(self) -> Self:
        """Start the server and wait until it answers.

        Raises:
            TimeoutError: it does not.
        """
        with tempfile.TemporaryFile() as log:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "fenglin.testing.servers.moto", str(self._port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **KEYS},
                start_new_session=True,
            )
            end_s = time.monotonic() + READY_WITHIN_S
            while True:
                with contextlib.suppress(OSError, urllib.error.URLError):
                    self._control("ready", {})
                    break
                if time.monotonic() > end_s:
                    log.seek(0)
                    said = log.read()[-500:].decode(errors="replace")
                    self._server.kill()
                    raise TimeoutError(f"moto does not answer: {said}")
                time.sleep(0.05)
        vpc = self.client.create_vpc(CidrBlock=VPC_RANGE)["Vpc"]["VpcId"]
        made = self.client.create_subnet(VpcId=vpc, CidrBlock=SUBNET_RANGE)
        self.subnet = str(made["Subnet"]["SubnetId"])
        images = self.client.describe_images(Owners=["amazon"])["Images"]
        self.image = str(images[0]["ImageId"])
        self.machines.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the server and all machines."""
        self.machines.__exit__(kind, error, trace)
        self._server.kill()
        self._server.wait()

    @property
    def client(self) -> Any:  # noqa: ANN401 - boto3 makes its classes at run time
        """Return a client of the region."""
        if not hasattr(self, "_client"):
            self._client = importlib.import_module("boto3").client(
                "ec2",
                region_name=REGION,
                endpoint_url=self.url,
                aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
            )
        return self._client

    def settings(self, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - settings
        """Return settings of an ec2 site with one flavor `std`."""
        return {
            "region": REGION,
            "endpoint": self.url,
            "image": self.image,
            "subnet": self.subnet,
            "user": self.machines.user,
            "port": self.machines.port,
            "poll": "200ms",
            "buy": {"std": {"type": "c5.xlarge", "hourly": "3.6"}},
            **more,
        }

    def block(self, name: str, *, nodes: int = 2, idle: str = "1s", **more: Any) -> str:  # noqa: ANN401 - settings
        """Return an ec2 site for a `fenglin.toml`, with one flavor `std`.

        Args:
            name: Of the site; its provider is `provider-NAME`.
            nodes: Most that are bought.
            idle: How long an instance stays without work.
            more: Settings.
        """
        settings = {**self.settings(idle=idle), **more}
        buy = settings.pop("buy")
        return f"""
[site.{name}]
driver = "ec2"
provider = "provider-{name}"
[site.{name}.settings]
{chr(10).join(f"{key} = {json.dumps(value)}" for key, value in settings.items())}
[site.{name}.settings.buy.std]
{chr(10).join(f"{key} = {json.dumps(value)}" for key, value in buy["std"].items())}
[site.{name}.flavor.std]
nodes = {nodes}
cpu = 4
memory = "1GiB"
disk = "1GiB"
price = {{ core_hour = "0.36", task_minimum_time = "1s" }}
"""

    def instances(self, *, gone: bool = False) -> list[dict[str, Any]]:
        """Return the instances as EC2 tells of them, oldest first; without those that are gone."""
        states = ["pending", "running", *(["shutting-down", "terminated"] if gone else [])]
        told = self.client.describe_instances(
            Filters=[{"Name": "instance-state-name", "Values": states}]
        )["Reservations"]
        found = [one for group in told for one in group["Instances"]]
        return sorted(found, key=lambda one: one["LaunchTime"])

    def fail(self, call: str, code: str, *, times: int = 1, after: bool = False) -> None:
        """Have the next calls of a kind answer with an error.

        Args:
            call: Such as `RunInstances`.
            code: Such as `InsufficientInstanceCapacity`.
            times: How many; 0 for none from now on.
            after: Whether the call has its effect all the same.
        """
        self._control("fail", {"call": call, "code": code, "times": times, "after": after})

    def reclaim(self, instance: str) -> None:
        """Take a spot instance back."""
        self._control("reclaim", {"instance": instance})

    def calls(self, call: str) -> int:
        """Return how many calls of a kind there were."""
        return int(self._control("calls", {"call": call}))

    def _control(self, what: str, words: dict[str, object]) -> str:
        request = urllib.request.Request(  # noqa: S310 - our own server
            f"{self.url}{CONTROL}{what}", json.dumps(words).encode(), method="POST"
        )
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - as above
            return str(answer.read().decode())

    def _listed(self) -> dict[str, Listed]:
        told = json.loads(self._control("machines", {}))
        return {name: Listed(address, user_data) for name, address, user_data in told}


# --- the server's process -------------------------------------------------------------------


class _Front:
    """The application before moto's: what moto leaves out."""

    def __init__(self, behind: Callable[..., Iterable[bytes]]) -> None:
        self._behind = behind
        self._answers: dict[str, tuple[str, Answer]] = {}
        self._faults: dict[str, tuple[str, int, bool]] = {}
        self._calls: dict[str, int] = {}

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        size = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(size)
        environ["wsgi.input"] = importlib.import_module("io").BytesIO(body)
        path = str(environ.get("PATH_INFO", ""))
        if path.startswith(CONTROL):
            status, headers, data = self._told(path.removeprefix(CONTROL), json.loads(body))
        else:
            status, headers, data = self._answer(environ, body)
        start_response(status, headers)
        return [data]

    def _told(self, what: str, words: dict[str, Any]) -> Answer:
        text = ""
        if what == "fail":
            self._faults[words["call"]] = (words["code"], words["times"], words["after"])
        elif what == "reclaim":
            _reclaim(words["instance"])
        elif what == "machines":
            text = json.dumps(_machines())
        elif what == "calls":
            text = str(self._calls.get(words["call"], 0))
        return "200 OK", [("Content-Type", "text/plain")], text.encode()

    def _answer(self, environ: dict[str, Any], body: bytes) -> Answer:
        words = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        call = words.get("Action", "")
        self._calls[call] = self._calls.get(call, 0) + 1
        code, times, after = self._faults.get(call, ("", 0, False))
        if times:
            self._faults[call] = (code, times - 1, after)
            if after:
                self._behave(environ, words)
            return _error(code, "as the test wished")
        return self._behave(environ, words)

    def _behave(self, environ: dict[str, Any], words: dict[str, str]) -> Answer:
        used = words.get("ClientToken", "") if words["Action"] == "RunInstances" else ""
        digest = hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()
        if used in self._answers:
            same, answer = self._answers[used]
            if same != digest:
                return _error("IdempotentParameterMismatch", "other parameters than before")
            return answer
        kept: list[Any] = []

        def start(status: str, headers: list[tuple[str, str]], *_: object) -> None:
            kept[:] = [status, headers]

        data = b"".join(self._behind(environ, start))
        answer = (kept[0], kept[1], data)
        if used and kept[0].startswith("200"):
            self._answers[used] = (digest, answer)
        return answer


def _error(code: str, message: str) -> Answer:
    """Return an error as EC2 writes it."""
    text = (
        '<?xml version="1.0" encoding="UTF-8"?><Response><Errors><Error>'
        f"<Code>{code}</Code><Message>{message}</Message></Error></Errors>"
        "<RequestID>0</RequestID></Response>"
    )
    status = "503 Unavailable" if code in ("InternalError", "Unavailable") else "400 Bad Request"
    return status, [("Content-Type", "text/xml")], text.encode()


def _all() -> Iterator[Any]:
    """Yield moto's instances."""
    models = importlib.import_module("moto.ec2.models")
    for account in models.ec2_backends.values():
        for backend in account.values():
            yield from backend.all_instances()


def _machines() -> list[tuple[str, str, str]]:
    """Return id, address and user-data of those that run and were given any."""
    return [
        (one.id, one.private_ip, base64.b64decode(str(one.user_data)).decode())
        for one in _all()
        if one.state in ("pending", "running") and one.user_data
    ]


def _reclaim(instance: str) -> None:
    """End an instance as the market does."""
    reasons = importlib.import_module("moto.ec2.models.instances")
    (one,) = [one for one in _all() if one.id == instance]
    one.terminate()
    one.state_reason = reasons.StateReason(
        "Server.SpotInstanceTermination: Spot instance termination",
        "Server.SpotInstanceTermination",
    )


def main(port: int) -> None:
    """Serve until killed."""
    werkzeug = importlib.import_module("werkzeug.serving")
    app = importlib.import_module("moto.moto_server.werkzeug_app")
    behind = app.DomainDispatcherApplication(app.create_backend_app)
    werkzeug.run_simple(
        "127.0.0.1", port, _Front(behind), threaded=True, request_handler=app.MotoRequestHandler
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
