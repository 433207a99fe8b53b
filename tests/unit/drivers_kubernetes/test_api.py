"""How a cluster is reached, and what its refusals and silences mean."""

import asyncio
import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml

pytest.importorskip("lightkube", reason="the kubernetes extra is not installed")

from fenglin.drivers.kubernetes import driver
from fenglin.drivers.kubernetes.api import Api, ApiError, read_config
from fenglin.drivers.kubernetes.views import Named
from fenglin.errors import DriverError, InputError


class Server:
    """Answers each request with the next scripted (status, body); keeps what it was asked."""

    def __init__(self):
        self.answers = []
        self.asked = []
        own = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                own.asked.append((self.path, self.headers.get("Authorization", "")))
                status, body = own.answers.pop(0)
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_POST = do_GET  # noqa: N815 - the name is the library's

            def log_message(self, *_):
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server():
    found = Server()
    yield found
    found.close()


@pytest.fixture
def config(tmp_path):
    """Return a function that writes a kubeconfig and returns its path."""

    def write(url="http://127.0.0.1:1", user=None, **more):
        path = tmp_path / "config"
        document = {
            "current-context": "c",
            "clusters": [{"name": "k", "cluster": {"server": url}}],
            "users": [{"name": "u", "user": user or {"token": "secret-token"}}],
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        }
        path.write_text(yaml.safe_dump({**document, **more}))
        return str(path)

    return write


def call(path, method="GET", body=None):
    """Make one call with a kubeconfig; return what it gives."""

    async def go():
        api = Api(read_config(path, "", "site.k"), "site k")
        try:
            return await api.call(method, "/x", body)
        finally:
            await api.close()

    return asyncio.run(go())


def test_a_token_is_told_to_the_server_alone(server, config):
    server.answers = [(200, {})]
    assert call(config(server.url)) == b"{}"
    assert server.asked == [("/x", "Bearer secret-token")]


def test_a_plugin_is_asked_for_a_token(server, config, tmp_path):
    plugin = tmp_path / "plugin"
    plugin.write_text('#!/bin/sh\necho \'{"status": {"token": "from-plugin"}}\'\n')
    plugin.chmod(0o755)
    version = "client.authentication.k8s.io/v1beta1"
    user = {"exec": {"apiVersion": version, "command": str(plugin)}}
    server.answers = [(200, {})]
    call(config(server.url, user))
    assert server.asked == [("/x", "Bearer from-plugin")]


def test_a_plugin_that_fails_is_told(server, config):
    version = "client.authentication.k8s.io/v1beta1"
    with pytest.raises(DriverError, match="no way to log in"):
        call(config(server.url, {"exec": {"apiVersion": version, "command": "false"}}))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "body", "unknown", "what"),
    [
        (403, {"message": "jobs is forbidden"}, False, "jobs is forbidden"),
        (409, {"message": "already exists"}, False, "already exists"),
        (422, {"message": "invalid"}, False, "invalid"),
        (429, {"message": "too many"}, False, "too many"),
        (500, {"message": "etcdserver: request timed out"}, True, "timed out"),
        (504, b"<html>gateway</html>", True, "gateway"),
    ],
)
def test_only_some_refusals_are_certain(server, config, status, body, unknown, what):
    server.answers = [(status, body)]
    with pytest.raises(ApiError, match=what) as caught:
        call(config(server.url), "POST", {})
    assert (caught.value.status, caught.value.effect_unknown) == (status, unknown)
    assert ("rbac.yaml" in caught.value.hint) == (status == 403)


@pytest.mark.slow
@pytest.mark.parametrize("status", [200, 500])
def test_an_answer_without_end_is_given_up(server, config, monkeypatch, status):
    """Attack 103."""
    monkeypatch.setattr("fenglin.remote.answers.MOST_BYTES", 2**20)
    server.answers = [(status, b" " * (2**20 + 1)), (status, b" " * 2**20)]
    with pytest.raises(DriverError, match="longer than"):
        call(config(server.url))
    with contextlib.nullcontext() if status == 200 else pytest.raises(ApiError):
        assert len(call(config(server.url))) == 2**20


def test_what_was_never_sent_had_no_effect(config):
    with pytest.raises(DriverError, match="cannot be reached") as caught:
        call(config(), "POST", {})
    assert not caught.value.effect_unknown


def test_pages_are_put_together_or_nothing_is_told(server, config):
    def page(name, token):
        return {"metadata": {"resourceVersion": "7", "continue": token},
                "items": [{"metadata": {"name": name}}]}  # fmt: skip

    async def go():
        api = Api(read_config(config(server.url), "", "site.k"), "site k")
        try:
            return await api.pages("/x", Named, "a=b")
        finally:
            await api.close()

    server.answers = [(200, page("a", "more")), (200, page("b", ""))]
    found, version = asyncio.run(go())
    assert ([one.metadata.name for one in found], version) == (["a", "b"], "7")
    assert "continue=more" in server.asked[1][0]
    server.answers = [(200, page("a", "more")), (410, {"message": "expired"})]
    with pytest.raises(ApiError, match="expired"):
        asyncio.run(go())


@pytest.mark.parametrize(
    "more", [{"current-context": "none"}, {"users": []}, {"contexts": 5}, {"clusters": []}]
)
def test_a_kubeconfig_that_is_wrong_is_named(config, more):
    with pytest.raises(InputError) as caught:
        read_config(config(**more), "", "site.k")
    assert caught.value.where == "site.k.kubeconfig"


def test_no_kubeconfig_and_no_pod(tmp_path):
    for path in ("", str(tmp_path / "nowhere")):
        with pytest.raises(InputError, match="no cluster is told there"):
            read_config(path, "", "site.k")


def test_the_driver_says_at_most_what_it_can():
    assert driver.placement.value == "delegated"
    assert "artifacts" in driver.capabilities
