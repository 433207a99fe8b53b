"""A small stand-in for the kubelet: runs the containers of pods as processes of this machine.

    python -m fenglin.testing.servers.kubelet CONFIG.json

What is real: pods bound by the real scheduler, their command run as first process of a PID and a
mount namespace of its own, Secrets, ConfigMaps, empty folders and claims mounted where the pod
says, `$(NAME)` expanded, SIGTERM, grace and SIGKILL, deadlines, memory limits, termination
messages, exit statuses, and logs that the API server reads. What is not: images. A task sees this
machine's own files; an image that begins with `missing.` cannot be pulled, one with a blank or
upper case is no image. Needs root, and `unshare` and `mount` of util-linux.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

Object = dict[str, Any]
POLL_S = 0.02
MEMORY_EVERY_S = 0.2
MESSAGE_BYTES = 4_096
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_][\w.-]*)\)")
_UNITS = {"": 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "k": 10**3, "M": 10**6, "G": 10**9}
# A fresh /run, as a container has one, with what the pod mounts below it.
_ENTER = """
mount -t proc proc /proc && mount -t tmpfs tmpfs /run || exit 125
while [ "$1" != -- ]; do
    if [ -d "$2" ]; then mkdir -p "$3"; else : >"$3"; fi
    mount --bind "$2" "$3" || exit 125
    [ "$1" = ro ] && { mount -o remount,bind,ro "$3" || exit 125; }
    shift 3
done
shift
cd / && exec "$@" >&3 2>&3 3>&-
"""


class Server:
    """The API server, as an administrator."""

    def __init__(self, url: str, token: str) -> None:
        """Take where it is; its certificate is not checked, it is on this machine."""
        self._address = urlsplit(url).netloc
        self._token = token
        self._context = ssl.create_default_context()
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE

    def connect(self, timeout_s: float = 10.0) -> http.client.HTTPSConnection:
        """Return a new connection."""
        return http.client.HTTPSConnection(self._address, context=self._context, timeout=timeout_s)

    def headers(self, kind: str = "application/json") -> dict[str, str]:
        """Return what every request carries."""
        return {"Authorization": f"Bearer {self._token}", "Content-Type": kind}

    def call(self, method: str, path: str, body: object = None, kind: str = "") -> Object:
        """Make one call; return the answer, or an empty one when the server refuses."""
        kind = kind or "application/json"
        if method == "PATCH":
            kind = "application/strategic-merge-patch+json"
        with contextlib.closing(self.connect()) as line:
            content = None if body is None else json.dumps(body)
            line.request(method, path, content, self.headers(kind))
            answer = line.getresponse()
            data = answer.read()
        found: Object = json.loads(data) if answer.status < 400 else {}
        return found


class Kubelet:
    """The kubelet of some nodes.

    Attributes:
        server: The API server.
        folder: Where pods' files and logs are.
        claims: Name of a claim → its folder.
    """

    def __init__(self, config: Object) -> None:
        """Take the configuration that the fixture wrote."""
        self.server = Server(config["server"], config["token"])
        self.folder: Path = Path(config["folder"])
        self.claims: dict[str, str] = config["claims"]
        self._nodes: dict[str, Object] = config["nodes"]
        self._port = 0
        self._certificate: str = config["certificate"]
        self._key: str = config["key"]
        self._workers: dict[str, Worker] = {}

    def run(self) -> None:
        """Serve until SIGTERM."""
        self._serve_logs()
        for name, shape in self._nodes.items():
            self._join(name, shape)
        threading.Thread(target=self._watch_memory, daemon=True).start()
        threading.Thread(target=self._watch_pods, daemon=True).start()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
        (self.folder / "ready").touch()
        signal.sigwait({signal.SIGTERM, signal.SIGINT})
        for worker in list(self._workers.values()):
            worker.kill(signal.SIGKILL)

    def log_path(self, namespace: str, name: str) -> Path | None:
        """Return the file with a pod's output."""
        for worker in list(self._workers.values()):
            meta = worker.pod["metadata"]
            if (meta["namespace"], meta["name"]) == (namespace, name):
                return worker.folder / "log"
        return None

    def _join(self, name: str, shape: Object) -> None:
        meta = {"name": name, "labels": {"kubernetes.io/hostname": name, **shape["labels"]}}
        self.server.call("POST", "/api/v1/nodes", {"metadata": meta})
        condition = {
            "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "ready",
            "lastHeartbeatTime": _now(), "lastTransitionTime": _now(),
        }  # fmt: skip
        status = {
            "capacity": shape["capacity"],
            "allocatable": shape["capacity"],
            "conditions": [condition],
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self._port}},
        }
        self.server.call("PATCH", f"/api/v1/nodes/{name}/status", {"status": status})
        taints = {"spec": {"taints": shape["taints"] or None}}
        self.server.call("PATCH", f"/api/v1/nodes/{name}", taints)

    def _serve_logs(self) -> None:
        kubelet = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                kubelet.answer(self)

            def log_message(self, *_: object) -> None:
                return

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._certificate, self._key)
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        self._port = server.server_port
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request for a log."""
        url = urlsplit(request.path)
        words = url.path.split("/")
        path = self.log_path(words[2], words[3]) if words[1] == "containerLogs" else None
        if path is None or not path.exists():
            request.send_error(404)
            return
        limit = parse_qs(url.query).get("limitBytes", [""])[0]
        request.send_response(200)
        request.send_header("Content-Type", "text/plain")
        request.end_headers()
        with path.open("rb") as log, contextlib.suppress(OSError):
            request.wfile.write(log.read(int(limit) if limit else -1))

    def _watch_pods(self) -> None:
        """Follow all pods; begin anew whenever the line breaks."""
        while True:
            with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
                listing = self.server.call("GET", "/api/v1/pods")
                for pod in listing["items"]:
                    self._see("ADDED", pod)
                version = listing["metadata"]["resourceVersion"]
                path = f"/api/v1/pods?watch=1&resourceVersion={version}&timeoutSeconds=600"
                with contextlib.closing(self.server.connect(660.0)) as line:
                    line.request("GET", path, None, self.server.headers())
                    for row in line.getresponse():
                        event = json.loads(row)
                        if event["type"] == "ERROR":
                            break
                        self._see(event["type"], event["object"])
            time.sleep(0.1)

    def _see(self, what: str, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        worker = self._workers.get(uid)
        if worker is not None:
            worker.pod = pod
            worker.deleted = worker.deleted or what == "DELETED"
            return
        phase = pod.get("status", {}).get("phase", "Pending")
        if pod["spec"].get("nodeName") in self._nodes and what != "DELETED" and phase == "Pending":
            self._workers[uid] = worker = Worker(self, pod)
            threading.Thread(target=worker.run, daemon=True).start()

    def _watch_memory(self) -> None:
        """End containers that take more than their limit."""
        while True:
            time.sleep(MEMORY_EVERY_S)
            spent: dict[str, int] = {}
            for entry in Path("/proc").iterdir():
                if not entry.name.isdecimal():
                    continue
                with contextlib.suppress(OSError, ValueError, IndexError):
                    space = os.readlink(entry / "ns" / "pid")  # noqa: PTH115 - no path
                    pages = int((entry / "statm").read_text().split()[1])
                    spent[space] = spent.get(space, 0) + pages * 4_096
            for worker in list(self._workers.values()):
                worker.weigh(spent)


class Worker:
    """One pod.

    Attributes:
        pod: As last seen.
        deleted: Whether it is gone from the API.
        folder: Its files.
    """

    def __init__(self, kubelet: Kubelet, pod: Object) -> None:
        """Take the pod."""
        self.pod = pod
        self.deleted = False
        self.folder: Path = kubelet.folder / pod["metadata"]["uid"]
        self._kubelet = kubelet
        self._container: Object = pod["spec"]["containers"][0]
        self._limit = _bytes(self._container["resources"].get("limits", {}).get("memory", ""))
        self._process: subprocess.Popen[bytes] | None = None
        self._inner = 0
        self._space = ""
        self._out_of_memory = False

    def run(self) -> None:
        """Run it from its placing to its end."""
        try:
            self._live()
        except (OSError, KeyError, ValueError, http.client.HTTPException) as error:
            with contextlib.suppress(OSError):
                (self.folder / "error").write_text(repr(error))
            self._waiting("CreateContainerConfigError", repr(error))
            self._await_deletion()
        if self.pod["metadata"].get("deletionTimestamp"):
            with contextlib.suppress(OSError, http.client.HTTPException):
                self._kubelet.server.call("DELETE", self._path, {"gracePeriodSeconds": 0})

    def kill(self, number: int) -> None:
        """Send a signal to the container's first process."""
        if self._inner and self._process is not None and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._inner, number)

    def weigh(self, spent: dict[str, int]) -> None:
        """End it when it takes too much memory."""
        if self._limit and spent.get(self._space, 0) > self._limit:
            self._out_of_memory = True
            self.kill(signal.SIGKILL)

    @property
    def _path(self) -> str:
        meta = self.pod["metadata"]
        return f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"

    def _live(self) -> None:
        self.folder.mkdir(parents=True)
        begun = time.time()
        image = self._container["image"]
        if re.search(r"[A-Z\s]", image.rpartition("/")[2].partition(":")[0]):
            self._waiting("InvalidImageName", f"couldn't parse image {image!r}")
            self._await_deletion()
            return
        if image.startswith("missing."):
            self._waiting("ErrImagePull", f"{image}: not found")
            self._await_deletion()
            return
        if self.pod["metadata"].get("deletionTimestamp"):
            return
        self._launch(self._mounts())
        started = _now()
        running = {"running": {"startedAt": started}}
        self._tell("Running", running, ready=True, begun=begun)
        reason = self._await_end(begun)
        assert self._process is not None  # noqa: S101 - launched above
        code = self._process.returncode
        # Some versions of unshare end with 1 when their child was killed.
        if code == 1 and "unblock failed" in (self.folder / "remarks").read_text():
            code = -signal.SIGKILL
        with (self.folder / "end").open("rb") as file:
            message = file.read(MESSAGE_BYTES).decode("utf-8", "replace")
        why = "OOMKilled" if self._out_of_memory else "Error" if code else "Completed"
        ended = {
            "exitCode": 128 - code if code < 0 else code, "reason": why, "message": message,
            "startedAt": started, "finishedAt": _now(),
        }  # fmt: skip
        phase = "Failed" if code or reason else "Succeeded"
        self._tell(phase, {"terminated": ended}, ready=False, reason=reason)

    def _await_end(self, begun: float) -> str:
        """Wait for the container's end, whoever wants it; return the reason of the pod's."""
        assert self._process is not None  # noqa: S101 - launched before
        reason = ""
        kill_at = float("inf")
        while self._process.poll() is None:
            meta, spec = self.pod["metadata"], self.pod["spec"]
            due = self.deleted or meta.get("deletionTimestamp")
            deadline = spec.get("activeDeadlineSeconds")
            late = deadline is not None and time.time() - begun >= deadline
            if (due or late) and kill_at == float("inf"):
                grace = spec.get("terminationGracePeriodSeconds", 30)
                grace = meta.get("deletionGracePeriodSeconds", grace) if due else grace
                kill_at = time.monotonic() + (0 if self.deleted else grace)
                reason = "" if due else "DeadlineExceeded"
                self.kill(signal.SIGTERM)
            if time.monotonic() >= kill_at:
                self.kill(signal.SIGKILL)
            time.sleep(POLL_S)
        return reason

    def _await_deletion(self) -> None:
        while not self.deleted and not self.pod["metadata"].get("deletionTimestamp"):
            time.sleep(POLL_S)

    def _launch(self, mounts: list[str]) -> None:
        env = {"PATH": PATH, "HOME": "/root", "HOSTNAME": self.pod["metadata"]["name"]}
        for item in self._container.get("env", ()):
            env[item["name"]] = _expanded(item.get("value", ""), env)
        words = [*self._container.get("command", ()), *self._container.get("args", ())]
        command = [
            "unshare", "--mount", "--pid", "--fork", "--kill-child", "--",
            "/bin/sh", "-c", _ENTER, "enter", *mounts, "--",
            *(_expanded(word, env) for word in words),
        ]  # fmt: skip
        # The log is descriptor 3: what `unshare` itself says is none of the task's output.
        command[:0] = ["/bin/sh", "-c", 'exec 3>"$0"; exec "$@"', str(self.folder / "log")]
        with (self.folder / "remarks").open("wb") as remarks:
            self._process = subprocess.Popen(
                command,
                env=env,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=remarks,
                stderr=remarks,
                start_new_session=True,
            )
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        while not self._inner and self._process.poll() is None:
            with contextlib.suppress(OSError):
                self._inner = int((children.read_text().split() or ["0"])[0])
            time.sleep(0.001)
        with contextlib.suppress(OSError):
            self._space = os.readlink(f"/proc/{self._inner}/ns/pid")  # noqa: PTH115 - no path
        (self.folder / "pid").write_text(str(self._inner))

    def _mounts(self) -> list[str]:
        """Return MODE SOURCE TARGET of each mount, the shortest target first."""
        sources = {volume["name"]: self._volume(volume) for volume in self.pod["spec"]["volumes"]}
        found = []
        for mount in self._container.get("volumeMounts", ()):
            source = sources[mount["name"]] / mount.get("subPath", "")
            source.mkdir(parents=True, exist_ok=True)
            mode = "ro" if mount.get("readOnly") else "rw"
            found.append((mount["mountPath"], mode, str(source)))
        end = self.folder / "end"
        end.touch()
        found.append((self._container["terminationMessagePath"], "rw", str(end)))
        return [word for to, mode, source in sorted(found) for word in (mode, source, to)]

    def _volume(self, volume: Object) -> Path:
        """Return the folder that a volume is."""
        if "persistentVolumeClaim" in volume:
            return Path(self._kubelet.claims[volume["persistentVolumeClaim"]["claimName"]])
        folder: Path = self.folder / "volumes" / volume["name"]
        folder.mkdir(parents=True)
        folder.chmod(0o777)
        namespace = self.pod["metadata"]["namespace"]
        if "secret" in volume:
            path = f"/api/v1/namespaces/{namespace}/secrets/{volume['secret']['secretName']}"
            data = self._kubelet.server.call("GET", path)["data"]
            for name, text in data.items():
                (folder / name).write_bytes(base64.b64decode(text))
                (folder / name).chmod(volume["secret"].get("defaultMode", 0o644))
        if "configMap" in volume:
            path = f"/api/v1/namespaces/{namespace}/configmaps/{volume['configMap']['name']}"
            texts = self._kubelet.server.call("GET", path).get("data", {})
            for item in volume["configMap"]["items"]:
                if item["key"] in texts:
                    (folder / item["path"]).write_text(texts[item["key"]])
        return folder

    def _waiting(self, reason: str, message: str) -> None:
        state = {"waiting": {"reason": reason, "message": message}}
        self._tell("Pending", state, ready=False)

    def _tell(
        self, phase: str, state: Object, *, ready: bool, reason: str = "", begun: float = 0.0
    ) -> None:
        """Write the pod's status."""
        container = {
            "name": self._container["name"], "image": self._container["image"], "imageID": "",
            "ready": ready, "restartCount": 0, "state": state,
        }  # fmt: skip
        status: Object = {
            "phase": phase,
            "containerStatuses": [container],
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        }
        if begun:
            status["startTime"] = _now()
        if reason:
            status |= {"reason": reason, "message": f"Pod was ended: {reason}"}
        for _ in range(20):
            with contextlib.suppress(OSError, http.client.HTTPException):
                self._kubelet.server.call("PATCH", f"{self._path}/status", {"status": status})
                return
            time.sleep(0.1)


def _expanded(text: str, env: dict[str, str]) -> str:
    """Return a text with `$(NAME)` replaced, as the kubelet does it."""
    return _REFERENCE.sub(lambda m: "$" if m[0] == "$$" else env.get(m[1], m[0]), text)


def _bytes(text: str) -> int:
    """Return the bytes of a quantity; 0 for none."""
    match = re.fullmatch(r"(\d+)([A-Za-z]*)", text)
    return int(match[1]) * _UNITS[match[2]] if match else 0


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def main() -> None:
    """Run the kubelet that a configuration file describes."""
    config = json.loads(Path(sys.argv[1]).read_text())
    folder = Path(config["folder"])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    Kubelet(config).run()


if __name__ == "__main__":
    main()
