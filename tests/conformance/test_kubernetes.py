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
import yaml

from fenglin.errors import DriverError
from fenglin.model.allocation import Usage
from fenglin.model.reason import Reason
from fenglin.quantities.resources import Resources
from fenglin.quantities.taskset import TaskSet
from fenglin.testing.conformance import DriverConformance, Harness, Payload
from fenglin.testing.conformance.files import FileCases
from fenglin.testing.conformance.suite import SiteHand
from fenglin.testing.servers.kubelet import Server
from fenglin.testing.servers.kubernetes import KubernetesCluster, find_kubernetes
from fenglin.testing.servers.line import Line

pytest.importorskip("lightkube", reason="the kubernetes extra is not installed")
driver = pytest.importorskip("fenglin.drivers.kubernetes").driver
api = pytest.importorskip("fenglin.drivers.kubernetes.api")
names = pytest.importorskip("fenglin.drivers.kubernetes.names")
# The first run on a machine builds the control plane, which takes some minutes.
pytestmark = [pytest.mark.xdist_group("kubernetes"), pytest.mark.timeout(1_800)]
SPACE = "fenglin"
# As much of Kueue as tells that it is there.
KUEUE = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: localqueues.kueue.x-k8s.io}
spec:
  group: kueue.x-k8s.io
  names: {kind: LocalQueue, plural: localqueues}
  scope: Namespaced
  versions:
    - name: v1beta1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object}}
"""


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
        assert await asyncio.to_thread(self.line.held.wait, self.patience_s)
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

    async def job(self, key, task):
        name = names.task_name(key, task)
        return await self.api("GET", f"/apis/batch/v1/namespaces/{SPACE}/jobs/{name}")

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


class TestCluster:
    """What only this kind of site has."""

    @pytest.fixture
    def open_site(self, cluster, line, kubeconfig, tmp_path):
        """Return a function that opens the site with further settings."""
        hands = []

        def build(**settings):
            given = {"kubeconfig": str(kubeconfig), **settings}
            hand = SiteHand(KubernetesHarness(cluster, line, tmp_path / str(len(hands)), given))
            hands.append(hand)
            return hand

        yield build
        for hand in hands:
            hand.close()

    @pytest.mark.parametrize("image", ["missing.example/none:1", "debian:12", "Upper/CASE"])
    def test_an_image_that_cannot_be_had(self, open_site, image):
        """A name that is none is told at once, a registry that says no after some patience."""
        site = open_site()
        ends, last = site.run(site.order(image=image))
        if image == "debian:12":
            assert [(end.exit_code, end.reason) for end in ends] == [(0, None)]
            return
        assert [(end.exit_code, end.reason) for end in ends] == [(1, Reason.IMAGE_FAILED)]
        assert last.reason is Reason.IMAGE_FAILED

    def test_an_order_without_an_image_is_refused(self, open_site):
        site = open_site(image="")
        with pytest.raises(DriverError, match="names no image"):
            site.start(site.order())

    def test_no_place_in_the_cluster(self, open_site):
        """Told after some patience, and the hub may go elsewhere; by default it waits."""
        site = open_site(schedule_patience="1s")
        large = Resources(1_000_000, 2**26)
        ends, last = site.run(site.order(resources=large))
        assert (ends, last.reason) == ([], Reason.START_FAILED)

    def test_a_queue_needs_kueue(self, open_site, cluster):
        site = open_site(queue="team")
        with pytest.raises(DriverError, match="no Kueue"):
            site.call(site.driver.inventory())
        cluster.apply(KUEUE)
        site.wait(lambda: _answers(site), "the queue's kind")

    def test_a_listing_of_many_pages_is_complete(self, open_site, monkeypatch):
        monkeypatch.setattr(api, "PAGE", 2)
        site = open_site()
        keys = {site.key() for _ in range(5)}
        for key in keys:
            site.stop(key)
        assert site.listing() == keys

    def test_the_rights_are_no_more_than_those_shipped(self, cluster, kubeconfig):
        """It reads no Secret, not even its own, and changes no node."""
        token = yaml.safe_load(kubeconfig.read_text())["users"][0]["user"]["token"]
        hub = Server(cluster.url, token)
        space = f"/api/v1/namespaces/{SPACE}"
        assert hub.call("GET", f"{space}/configmaps")["kind"] == "ConfigMapList"
        assert hub.call("GET", f"{space}/secrets") == {}
        assert hub.call("GET", "/api/v1/pods") == {}
        assert hub.call("GET", "/api/v1/namespaces/default/configmaps") == {}
        assert hub.call("PATCH", "/api/v1/nodes/node0", {"spec": {"unschedulable": True}}) == {}
        assert hub.call("POST", f"{space}/pods", {"metadata": {"name": "x"}}) == {}

    def test_a_pod_that_somebody_deletes_is_the_sites_fault(self, open_site, cluster):
        """Before Kubernetes 1.26 its Job makes another; that one is ended and not counted."""
        site = open_site()
        key = site.start(site.order(Payload(sleep_s=300)))
        site.running(key)
        (pod,) = site.call(site.harness.pods(key))
        path = f"/api/v1/namespaces/{SPACE}/pods/{pod['metadata']['name']}"
        cluster.server.call("DELETE", path)
        ends, last = site.finish(key)
        assert [(end.index, end.reason) for end in ends] == [(0, Reason.RUNNER_LOST)]
        assert last.reason is Reason.RUNNER_LOST
        site.wait(lambda: not site.call(site.harness.pods(key)), "the end of the second pod")

    def test_a_job_whose_controller_is_slow_takes_no_slot_for_good(self, open_site, cluster):
        """It sees that its pod is over only when it may have none, and then never fails the Job."""
        site = open_site()
        key = site.start(site.array(2, Payload(sleep_s=300), slots=1))
        site.running(key)

        def job():
            return site.call(site.harness.job(key, 0))

        site.wait(lambda: job()["status"].get("active"), "a controller that has seen the pod")
        with cluster.without("kube-controller-manager"):
            site.call(site.driver.stop_tasks(key, TaskSet.parse("0"), 1_000))
            site.wait(lambda: job()["spec"]["parallelism"] == 0, "a Job that may have no pods")
        site.wait(lambda: site.look(key).started == 2, "the start of the next task")
        site.wait(lambda: job()["status"].get("failed"), "a controller that sees the pod's end")
        assert "conditions" not in job()["status"]
        site.call(site.driver.stop_tasks(key, TaskSet.parse("1"), 1_000))
        ends, last = site.finish(key)
        assert [(end.index, end.reason) for end in ends] == [
            (0, Reason.CANCELLED),
            (1, Reason.CANCELLED),
        ]
        assert last.reason is None
        assert site.harness.runs(key) == [0, 1]


def _answers(site):
    try:
        return site.call(site.driver.inventory())
    except DriverError:
        return None


class TestKubernetesWithoutClaim(FileCases):
    """Inputs come in the attempt's Secret; artifacts are not declared."""

    @pytest.fixture
    def site(self, cluster, line, kubeconfig, tmp_path):
        settings = {"kubeconfig": str(kubeconfig)}
        hand = SiteHand(KubernetesHarness(cluster, line, tmp_path / "site", settings))
        yield hand
        hand.close()
