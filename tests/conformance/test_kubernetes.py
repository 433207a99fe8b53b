"""The Kubernetes driver passes the conformance suite, against a real control plane.

Twice: with a shared claim, and with what a Secret can bring. The hub's account has the rights of
`examples/kubernetes/rbac.yaml` and no others.
"""

import asyncio
import shutil
import tempfile
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from fenglin.model.allocation import Usage
from fenglin.testing.conformance import DriverConformance, Harness
from fenglin.testing.conformance.files import FileCases
from fenglin.testing.conformance.suite import SiteHand
from fenglin.testing.servers.kubernetes import KubernetesCluster, find_kubernetes
from fenglin.testing.servers.line import Line

pytest.importorskip("lightkube", reason="the kubernetes extra is not installed")
driver = pytest.importorskip("fenglin.drivers.kubernetes").driver
# The first run on a machine builds the control plane, which takes some minutes.
pytestmark = [pytest.mark.xdist_group("kubernetes"), pytest.mark.timeout(1_800)]
SPACE = "fenglin"


@pytest.fixture(scope="module")
def shared():
    folder = Path(tempfile.mkdtemp(prefix="fl-k8s-"))
    yield folder / "shared"
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def cluster(shared):
    why = find_kubernetes()
    if why:
        pytest.skip(why)
    shared.mkdir()
    with KubernetesCluster(shared.parent / "cluster", claims=(("scratch", shared),)) as running:
        yield running


@pytest.fixture(scope="module")
def line(cluster):
    url = urlsplit(cluster.url)
    with Line(url.hostname, url.port) as between:
        yield between


@pytest.fixture(scope="module")
def kubeconfig(cluster, line):
    path = cluster.prepare(SPACE)
    path.write_text(path.read_text().replace(cluster.url, f"https://127.0.0.1:{line.port}"))
    return path


class KubernetesHarness(Harness):
    """A namespace, with what the cluster's operator can do."""

    poll_s = 0.05
    tick_s = 1.0
    coarse_s = 1.0
    patience_s = 40.0

    def __init__(self, cluster, line, folder, settings):
        self.cluster = cluster
        self.line = line
        plain = {
            "namespace": SPACE, "image": "debian:12-slim", "image_patience": "1s",
            "lost_after": "1s",
        }  # fmt: skip
        super().__init__(driver, folder, {**plain, **settings})

    async def api(self, method, path, body=None):
        return await asyncio.to_thread(self.cluster.server.call, method, path, body)

    async def pods(self, key):
        listed = await self.api(
            "GET", f"/api/v1/namespaces/{SPACE}/pods?labelSelector=fenglin/attempt={key}"
        )
        return listed["items"]

    async def cut(self):
        self.line.cut()

    async def hang(self):
        self.line.hang()

    async def mend(self):
        self.line.mend()

    async def refuse_start(self):
        quota = {
            "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"},
            "spec": {"hard": {"count/jobs.batch": "0", "count/configmaps": "0"}},
        }  # fmt: skip
        await self.api("POST", f"/api/v1/namespaces/{SPACE}/resourcequotas", quota)
        while not (await self.quota()).get("status", {}).get("hard"):  # noqa: ASYNC110 - the server is asked
            await asyncio.sleep(0.05)

    async def quota(self):
        return await self.api("GET", f"/api/v1/namespaces/{SPACE}/resourcequotas/none")

    async def close(self):
        await self.api("DELETE", f"/api/v1/namespaces/{SPACE}/resourcequotas/none")
        await self.api(
            "DELETE",
            f"/apis/batch/v1/namespaces/{SPACE}/jobs/theirs",
            {"propagationPolicy": "Background"},
        )

    async def lose_request(self, driver, order):
        await driver.inventory()  # on a line that stands: what is sent over it may have arrived
        self.line.hang()
        start = asyncio.create_task(driver.start(order))
        await asyncio.sleep(0.2)
        self.line.cut()
        self.line.mend()
        await start

    async def accounting(self, key):
        ended = [
            pod["status"]["containerStatuses"][0]["state"]["terminated"]
            for pod in await self.pods(key)
        ]
        times = [
            (datetime.fromisoformat(e["startedAt"]), datetime.fromisoformat(e["finishedAt"]))
            for e in ended
        ]
        wall_ms = sum(round((end - start).total_seconds() * 1_000) for start, end in times)
        return Usage(len(ended), wall_ms, wall_ms)

    async def lose_agent(self, key):
        for pod in await self.pods(key):
            self.cluster.kill_container(pod["metadata"]["uid"])

    async def objects(self, key):
        listed = await self.api(
            "GET", f"/apis/batch/v1/namespaces/{SPACE}/jobs?labelSelector=fenglin/attempt={key}"
        )
        pods = await self.pods(key)
        assert len(pods) <= len(listed["items"])
        return len(listed["items"])

    async def take_down(self, node):
        await self.cordon(node, off=True)

    async def bring_up(self, node):
        await self.cordon(node, off=False)

    async def cordon(self, node, *, off):
        """Change one of the cluster's nodes; any will do, since places are only counted."""
        name = self.cluster.nodes[int(node[1:])]
        await self.api("PATCH", f"/api/v1/nodes/{name}", {"spec": {"unschedulable": off}})

    async def add_foreign(self):
        pod = {
            "restartPolicy": "Never",
            "containers": [{"name": "c", "image": "x", "command": ["sleep", "300"]}],
        }
        job = {"metadata": {"name": "theirs"}, "spec": {"template": {"spec": pod}}}
        await self.api("POST", f"/apis/batch/v1/namespaces/{SPACE}/jobs", job)
        return "theirs"

    async def foreign_lives(self, name):
        job = await self.api("GET", f"/apis/batch/v1/namespaces/{SPACE}/jobs/{name}")
        return job.get("status", {}).get("active") == 1


class TestKubernetes(DriverConformance):
    @pytest.fixture
    def harness(self, cluster, line, kubeconfig, shared, tmp_path):
        claim = {"shared_claim": "scratch", "shared_dir": str(shared)}
        settings = {"kubeconfig": str(kubeconfig), **claim}
        return KubernetesHarness(cluster, line, tmp_path / "site", settings)


class TestKubernetesWithoutClaim(FileCases):
    """Inputs come in the attempt's Secret; artifacts are not declared."""

    @pytest.fixture
    def site(self, cluster, line, kubeconfig, tmp_path):
        settings = {"kubeconfig": str(kubeconfig)}
        hand = SiteHand(KubernetesHarness(cluster, line, tmp_path / "site", settings))
        yield hand
        hand.close()
