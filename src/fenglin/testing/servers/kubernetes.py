"""A real, private Kubernetes control plane on this machine, with a stand-in for the kubelet.

    with KubernetesCluster(folder) as cluster:
        cluster.apply(manifest)
        settings = {"kubeconfig": str(cluster.kubeconfig("fenglin", "hub")), "namespace": "fenglin"}

etcd, API server (with RBAC), scheduler and controllers are the real ones, of Kubernetes 1.20; see
`kubernetes_build` for where they come from and `kubelet` for what stands in for the nodes.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import yaml

from fenglin.testing.servers.kubelet import Server
from fenglin.testing.servers.kubernetes_build import find_kubernetes, folder
from fenglin.testing.servers.whole import WholeServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["KubernetesCluster", "find_kubernetes"]
READY_WITHIN_S = 60.0
STOP_WITHIN_S = 5.0
POLL_S = 0.05
PROJECT = Path(__file__).parents[4]
RBAC = PROJECT / "examples" / "kubernetes" / "rbac.yaml"
_PLURALS = {
    "ClusterRole": "clusterroles", "ClusterRoleBinding": "clusterrolebindings",
    "Namespace": "namespaces", "PersistentVolume": "persistentvolumes",
    "PersistentVolumeClaim": "persistentvolumeclaims", "Role": "roles",
    "RoleBinding": "rolebindings", "ServiceAccount": "serviceaccounts",
    "CustomResourceDefinition": "customresourcedefinitions", "Job": "jobs",
    "ResourceQuota": "resourcequotas",
}  # fmt: skip
_OF_ALL = frozenset(
    {"ClusterRole", "ClusterRoleBinding", "Namespace", "PersistentVolume",
     "CustomResourceDefinition"}
)  # fmt: skip


class KubernetesCluster(WholeServer):
    """One cluster: etcd, API server, scheduler, controllers and nodes, all our children.

    Attributes:
        folder: Its files.
        nodes: Names of its nodes.
        server: The API server, as an administrator.
        url: Where it is.
    """

    def __init__(
        self,
        place: Path,
        *,
        nodes: int = 2,
        cpus: int = 8,
        resources: tuple[tuple[str, str], ...] = (),
        labels: tuple[tuple[str, str], ...] = (),
        claims: tuple[tuple[str, Path], ...] = (),
    ) -> None:
        """Take its shape; nothing is started yet.

        Args:
            place: Folder for its files, made when missing.
            nodes: How many.
            cpus: Of each node; they are a promise, not checked against the machine.
            resources: Further resources of each node, such as `("nvidia.com/gpu", "2")`.
            labels: Further labels of each node.
            claims: Name of each claim, and the folder that it is.
        """
        self.folder = place.absolute()
        self.nodes = tuple(f"node{number}" for number in range(nodes))
        port = _free_ports(5)
        self._ports = {
            name: port + i for i, name in enumerate(("api", "etcd", "peer", "plan", "control"))
        }
        self.url = f"https://127.0.0.1:{self._ports['api']}"
        self._token = secrets.token_hex(16)
        self.server = Server(self.url, self._token)
        capacity = {"cpu": str(cpus), "memory": "16Gi", "pods": "500", "ephemeral-storage": "1Ti"}
        self._node = {
            "capacity": {**capacity, **dict(resources)}, "labels": dict(labels), "taints": [],
        }  # fmt: skip
        self._claims = dict(claims)
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Write keys and configuration, start the daemons, wait until pods can run.

        Raises:
            TimeoutError: it did not come up in time.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write()
        etcd = f"http://127.0.0.1:{self._ports['etcd']}"
        peer = f"http://127.0.0.1:{self._ports['peer']}"
        self._daemon(
            shutil.which("etcd") or "etcd", "--data-dir", f"{self.folder}/etcd",
            "--listen-client-urls", etcd, "--advertise-client-urls", etcd,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            "--initial-cluster", f"default={peer}", "--unsafe-no-fsync",
        )  # fmt: skip
        self._daemon(
            "kube-apiserver", f"--etcd-servers={etcd}", "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1", f"--secure-port={self._ports['api']}",
            f"--cert-dir={self.folder}/certs", "--service-cluster-ip-range=10.96.0.0/16",
            f"--service-account-key-file={self.folder}/sa.pub",
            f"--service-account-signing-key-file={self.folder}/sa.key",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--token-auth-file={self.folder}/tokens.csv", "--authorization-mode=RBAC",
            "--endpoint-reconciler-type=none", "--allow-privileged=true",
        )  # fmt: skip
        self._wait(self._answers, "API server")
        config = f"--kubeconfig={self.folder}/admin.conf"
        self._daemon(
            "kube-scheduler", config, "--leader-elect=false", "--bind-address=127.0.0.1",
            f"--secure-port={self._ports['plan']}", "--port=0",
        )  # fmt: skip
        self._daemon(
            "kube-controller-manager", config, "--leader-elect=false", "--bind-address=127.0.0.1",
            f"--secure-port={self._ports['control']}", "--port=0",
            f"--service-account-private-key-file={self.folder}/sa.key",
            f"--root-ca-file={self.folder}/certs/apiserver.crt",
            "--controllers=*,-nodelifecycle,-nodeipam", "--concurrent-gc-syncs=4",
        )  # fmt: skip
        self._daemon(sys.executable, "-m", Server.__module__, f"{self.folder}/kubelet.json")
        self._wait((self.folder / "pods" / "ready").exists, "kubelet")
        default = "/api/v1/namespaces/default/serviceaccounts/default"
        self._wait(lambda: bool(self.server.call("GET", default)), "service accounts")

    def stop(self) -> None:
        """End the nodes with all that runs there, then the rest."""
        for daemon in reversed(self._daemons.values()):
            daemon.terminate()
            try:
                daemon.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        self._daemons.clear()

    def apply(self, manifest: str, namespace: str = "default") -> None:
        """Make the objects of a YAML text.

        Raises:
            ValueError: the server refuses one.
        """
        for item in yaml.safe_load_all(manifest):
            if item is None:
                continue
            kind, version = item["kind"], item["apiVersion"]
            base = f"/api/{version}" if version == "v1" else f"/apis/{version}"
            space = item["metadata"].get("namespace", namespace)
            middle = "" if kind in _OF_ALL else f"/namespaces/{space}"
            if not self.server.call("POST", f"{base}{middle}/{_PLURALS[kind]}", item):
                raise ValueError(f"the server refuses {kind} {item['metadata']['name']}")

    def prepare(self, namespace: str) -> Path:
        """Make a namespace for a hub, with the least rights; return the hub's kubeconfig.

        The rights are those of `examples/kubernetes/rbac.yaml`, whose namespace is replaced.

        Raises:
            TimeoutError: a claim was not bound in time.
        """
        text = RBAC.read_text(encoding="utf-8")
        documents = []
        for item in yaml.safe_load_all(text):
            if item["kind"] in _OF_ALL and item["kind"] != "Namespace":
                item["metadata"]["name"] += f"-{namespace}"
                if "roleRef" in item:
                    item["roleRef"]["name"] += f"-{namespace}"
            documents.append(json.dumps(item).replace('"fenglin"', f'"{namespace}"'))
        self.apply("\n---\n".join(documents))
        for name, path in self._claims.items():
            self._add_claim(name, path, namespace)
        token = self.server.call(
            "POST",
            f"/api/v1/namespaces/{namespace}/serviceaccounts/{namespace}/token",
            {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}},
        )["status"]["token"]
        path = self.folder / f"{namespace}.conf"
        path.write_text(self._kubeconfig(token, self.url))
        self._wait(lambda: bool(self._account(namespace)), "the namespace's service account")
        return path

    def kill_container(self, pod_uid: str) -> None:
        """Kill the first process of a pod's container, as a crash of its node would."""
        os.kill(int((self.folder / "pods" / pod_uid / "pid").read_text()), signal.SIGKILL)

    @contextmanager
    def without(self, name: str) -> Iterator[None]:
        """Have one daemon killed within the block, and started anew after it.

        What happened meanwhile it sees all at once, in a listing. One that only stands still would
        then hear of it by several watches, in any order.

        Args:
            name: Of its program, such as `kube-controller-manager`.
        """
        daemon = self._daemons[name]
        words = cast("list[str]", daemon.args)
        daemon.kill()
        daemon.wait()
        try:
            yield
        finally:
            self._daemon(*words)

    def _account(self, namespace: str) -> dict[str, Any]:
        return self.server.call("GET", f"/api/v1/namespaces/{namespace}/serviceaccounts/default")

    def _add_claim(self, name: str, path: Path, namespace: str) -> None:
        """Make a volume of a folder and a claim on it, and wait until it is bound."""
        volume = f"{namespace}-{name}"
        size = {"storage": "1Gi"}
        self.apply(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "PersistentVolume",
                    "metadata": {"name": volume},
                    "spec": {
                        "capacity": size,
                        "accessModes": ["ReadWriteMany"],
                        "hostPath": {"path": str(path)},
                    },
                }
            )
        )
        claim = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name},
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "storageClassName": "",
                "volumeName": volume,
                "resources": {"requests": size},
            },
        }
        self.apply(json.dumps(claim), namespace)
        place = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}"
        self._wait(
            lambda: self.server.call("GET", place).get("status", {}).get("phase") == "Bound",
            "a bound claim",
        )

    def _write(self) -> None:
        """Write keys, tokens and configuration."""
        key = self.folder / "sa.key"
        _openssl("genrsa", "-out", str(key), "2048")
        _openssl("rsa", "-in", str(key), "-pubout", "-out", str(self.folder / "sa.pub"))
        certificate = self.folder / "kubelet.crt"
        _openssl(
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=kubelet",
            "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(self.folder / "kubelet.key"),
            "-out", str(certificate),
        )  # fmt: skip
        (self.folder / "tokens.csv").write_text(f"{self._token},admin,1,system:masters\n")
        (self.folder / "admin.conf").write_text(self._kubeconfig(self._token, self.url))
        config = {
            "server": self.url, "token": self._token, "folder": str(self.folder / "pods"),
            "certificate": str(certificate), "key": str(self.folder / "kubelet.key"),
            "claims": {name: str(path) for name, path in self._claims.items()},
            "nodes": dict.fromkeys(self.nodes, self._node),
        }  # fmt: skip
        (self.folder / "kubelet.json").write_text(json.dumps(config))

    def _kubeconfig(self, token: str, url: str) -> str:
        cluster = {"server": url, "certificate-authority": f"{self.folder}/certs/apiserver.crt"}
        return yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "here",
                "clusters": [{"name": "here", "cluster": cluster}],
                "users": [{"name": "me", "user": {"token": token}}],
                "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
            }
        )

    def _daemon(self, program: str, *arguments: str) -> None:
        path = program if "/" in program else str(folder() / program)
        name = Path(program).name
        with (self.folder / f"{name}.log").open("ab") as log:
            self._daemons[name] = subprocess.Popen(
                [path, *arguments],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _answers(self) -> bool:
        try:
            return bool(self.server.call("GET", "/api/v1/namespaces/default"))
        except OSError:
            return False

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        end_s = time.monotonic() + READY_WITHIN_S
        while not condition():
            if time.monotonic() > end_s:
                raise TimeoutError(f"no {what} within {READY_WITHIN_S:g} s: {self._logs()}")
            time.sleep(POLL_S)

    def _logs(self) -> str:
        """Return the last line of each log."""
        last = [
            f"{path.name}: {path.read_text(errors='replace').strip().rpartition(chr(10))[2]}"
            for path in sorted(self.folder.glob("*.log"))
        ]
        return "; ".join(last)


def _openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], capture_output=True, check=True)  # noqa: S607 - by PATH


def _free_ports(count: int) -> int:
    """Return the first of some neighbouring ports that nobody listens on now."""
    for _ in range(100):
        first = 20_000 + secrets.randbelow(12_000)
        if all(_is_free(port) for port in range(first, first + count)):
            return first
    raise OSError("no free ports found")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
