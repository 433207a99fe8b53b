"""Each job that ends is a trace at the collector, from its submit to its postings."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fenglin.testing.builders import LocalSite, hub_file
from fenglin.testing.hub import HubProcess

SECRET = "canary-7d1"


@pytest.fixture
def collector():
    """A collector that keeps what it is sent."""
    bodies, heard = [], threading.Condition()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with heard:
                bodies.append((self.path, body))
                heard.notify_all()
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_args):
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", bodies, heard
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def spans(bodies):
    return [
        span
        for _, body in bodies
        for resource in json.loads(body)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


def said(span):
    return {one["key"]: next(iter(one["value"].values())) for one in span["attributes"]}


def test_a_job_is_traced_from_its_submit_to_its_postings(tmp_path, collector):
    url, bodies, heard = collector
    config = hub_file([LocalSite("a")]).replace("[hub]", f'[hub]\ntraces = "{url}"', 1)
    with HubProcess(tmp_path, config).start() as hub:
        client = hub.client()
        good = client.submit(
            {"name": "one", "command": ["true"], "tasks": 2, "env": {"KEY": SECRET}}
        ).id
        bad = client.submit({"name": "one", "command": ["false"]}).id
        jobs = {job: client.wait(job, 60) for job in (good, bad)}
        with heard:
            assert heard.wait_for(
                lambda: sum(one["name"] == "job" for one in spans(bodies)) == 2, 60
            )
    assert {path for path, _ in bodies} == {"/v1/traces"}
    found = spans(bodies)
    roots = {said(one)["fenglin.job"]: one for one in found if one["name"] == "job"}
    assert roots[good]["traceId"] != roots[bad]["traceId"]
    assert [roots[job]["status"]["code"] for job in (good, bad)] == [1, 2]
    for job, root in roots.items():
        own = [one for one in found if one["traceId"] == root["traceId"] and one is not root]
        assert {one["name"] for one in own} == {"wait", "attempt", "posting"}
        assert {one["parentSpanId"] for one in own} == {root["spanId"]}
        assert len({one["spanId"] for one in own}) == len(own)
        assert int(root["startTimeUnixNano"]) == jobs[job].submitted_ms * 1_000_000
        assert int(root["endTimeUnixNano"]) == jobs[job].ended_ms * 1_000_000
        attempts = {one["spanId"]: one for one in own if one["name"] == "attempt"}
        assert {said(one)["fenglin.site"] for one in attempts.values()} == {"a"}
        posted = [one for one in own if one["name"] == "posting"]
        assert [one["links"][0]["spanId"] in attempts for one in posted] == [True] * len(attempts)
        cost = sum(int(said(one)["fenglin.cost_micro"]) for one in posted)
        assert cost == jobs[job].cost_micro
    # Neither what a job holds nor whose it is.
    everything = b"".join(body for _, body in bodies)
    assert SECRET.encode() not in everything
    assert b"default" not in everything


def test_a_collector_that_is_away_holds_up_nothing(tmp_path):
    config = hub_file([LocalSite("a")]).replace("[hub]", '[hub]\ntraces = "http://127.0.0.1:9"', 1)
    with HubProcess(tmp_path, config).start() as hub:
        client = hub.client()
        for _ in range(2):
            assert (
                client.wait(client.submit({"name": "one", "command": ["true"]}).id, 60).state
                == "succeeded"
            )
        assert hub.log().count("traces_not_sent") <= 1
