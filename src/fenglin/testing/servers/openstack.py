"""OpenStack's Nova, real but for its hypervisor, network and identity; machines answer by SSH.

Nova and placement with all they need are 450 MB, so they live in an environment of their own
below the user's cache folder, which is made once and on request:

    python -m fenglin.testing.servers.openstack
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from fenglin.testing.servers.machines import Listed, Machines, free_port

if TYPE_CHECKING:
    from types import TracebackType

PACKAGES = (
    "nova==34.0.0",
    "openstack-placement",
    "keystone",
    "fixtures",
    "testtools",
    "oslotest",
    "requests-mock",
    "wsgi-intercept",
    "ddt",
    "testscenarios",
    "PyMySQL",
    "osprofiler",
    "setuptools<81",
)
PYTHON = "python3.11"
READY_WITHIN_S = 120.0
CLOUD = "pretended"
# Of Nova's fixtures.
NETWORK = "3cb9bc59-5699-4588-a4b1-b87f96708bc6"
IMAGE = "155d900f-4e14-4e4c-a73d-069cbf4541e6"
_APP = Path(__file__).with_name("openstack_app.py")


def place() -> Path:
    """Return where the environment is, or would be."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "fenglin" / "openstack"


def find_openstack() -> str:
    """Return why no Nova can be started here; empty when one can."""
    if find_spec("openstack") is None:
        return "no OpenStack here: openstacksdk missing (make setup-dev)"
    if not (place() / "made").exists():
        return "no OpenStack here: run `python -m fenglin.testing.servers.openstack` (450 MB)"
    return ""


def install() -> int:
    """Make the environment; return an exit status."""
    python = shutil.which(PYTHON)
    if python is None:
        sys.stderr.write(f"{PYTHON} is needed and not here\n")
        return 1
    folder = place()
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([python, "-m", "venv", str(folder)], check=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, *PACKAGES], check=True)
    # Nova looks for its configuration beside its code.
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "etc").symlink_to(folder / "etc")
    (folder / "made").touch()
    return 0


class OpenStackCloud:
    """A cloud of three pretended hypervisors; gone with the block.

    Attributes:
        machines: What answers for its servers.
        env: Environment by which the SDK's chain finds the cloud.
    """

    def __init__(self) -> None:
        """Start nothing yet."""
        self._port = free_port()
        self._url = f"http://127.0.0.1:{self._port}/v2.1"
        self.machines = Machines(self._listed)

    def __enter__(self) -> Self:
        """Start Nova and wait until it answers.

        Raises:
            TimeoutError: it does not.
        """
        self._folder = Path(tempfile.mkdtemp(prefix="fenglin-nova-"))
        config = {
            "auth_type": "none",
            "auth": {},
            "compute_endpoint_override": self._url,
            "compute_default_microversion": "2.90",
        }
        clouds = self._folder / "clouds.yaml"
        clouds.write_text(json.dumps({"clouds": {CLOUD: config}}))
        self.env = {"OS_CLIENT_CONFIG_FILE": str(clouds)}
        log_file = self._folder / "log"
        with log_file.open("wb") as log:
            self._server = subprocess.Popen(
                [str(place() / "bin/python"), "-P", "-W", "ignore", str(_APP), str(self._port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                start_new_session=True,
            )
        end_s = time.monotonic() + READY_WITHIN_S
        while True:
            with contextlib.suppress(OSError, urllib.error.URLError):
                self.servers()
                break
            if time.monotonic() > end_s or self._server.poll() is not None:
                self._server.kill()
                said = log_file.read_text(errors="replace")[-800:]
                raise TimeoutError(f"Nova does not answer: {said}")
            time.sleep(0.2)
        self.machines.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop Nova and all machines."""
        self.machines.__exit__(kind, error, trace)
        self._server.kill()
        self._server.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def settings(self, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - settings
        """Return settings of an openstack site with one flavor `std`."""
        return {
            "cloud": CLOUD,
            "image": IMAGE,
            "network": NETWORK,
            "user": self.machines.user,
            "port": self.machines.port,
            "poll": "500ms",
            "buy": {"std": {"type": "m1.small", "hourly": "0.5"}},
            **more,
        }

    def servers(self) -> list[dict[str, Any]]:
        """Return the servers as Nova tells of them, oldest first."""
        servers: list[dict[str, Any]] = self._call("GET", "/servers/detail")["servers"]
        return sorted(servers, key=lambda one: str(one["created"]))

    def _call(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        request = urllib.request.Request(  # noqa: S310 - our own server
            self._url + path,
            None if body is None else json.dumps(body).encode(),
            {
                "Content-Type": "application/json",
                "X-Auth-Token": "any",
                "X-OpenStack-Nova-API-Version": "2.90",
            },
            method=method,
        )
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - as above
            data = answer.read()
        return json.loads(data) if data else {}

    def _listed(self) -> dict[str, Listed]:
        listed = {}
        for one in self.servers():
            addresses = [a["addr"] for found in one["addresses"].values() for a in found]
            data = one.get("OS-EXT-SRV-ATTR:user_data") or ""
            if one["status"] == "ACTIVE" and addresses and data:
                text = base64.b64decode(data).decode()
                listed[str(one["id"])] = Listed(str(addresses[0]), text)
        return listed


if __name__ == "__main__":
    sys.exit(install())
