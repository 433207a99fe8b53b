"""The client against a real server: calls, errors, retries, streams."""

import json
import socket
import subprocess
import sys
import threading
from inspect import signature

import pytest

from fenglin.client import Client, Retry, requests, steps
from fenglin.client.aio import AsyncClient
from fenglin.client.requests import Filter
from fenglin.client.transport import Transport
from fenglin.errors import (
    ConflictError,
    DamageError,
    DeniedError,
    DriverError,
    FenglinError,
    InputError,
    InputProblems,
    LimitError,
    NotFoundError,
    StaleEpochError,
    UnavailableError,
)

SUBMITTED = {"id": "j7", "state": "pending"}


def job(state="running", **more):
    return {
        "id": "j7", "name": "sky", "queue": "default", "account": "default", "priority": 0,
        "state": state, "reason": "", "detail": "", "task_count": 4, "tasks": {"running": 4},
        "submitted_ms": 1, "started_ms": 2, "ended_ms": 0, "expected_finish_ms": 0,
        "held_micro": 0, "cost_micro": 0, **more,
    }  # fmt: skip


@pytest.fixture
def pauses():
    return []


@pytest.fixture
def sut(hub, pauses, connect):
    return connect(hub.url, "s3cret", retry=Retry(tries=4), sleep=pauses.append)


def test_submit_sends_document_token_and_a_key_of_its_own(sut, hub):
    hub.on("POST", "/v1/jobs", SUBMITTED)
    assert sut.submit({"name": "sky"}).id == "j7"
    sut.submit({"name": "sky"})
    first, second = hub.calls("POST", "/v1/jobs")
    assert json.loads(first.body) == {"name": "sky"}
    assert first.headers["authorization"] == "Bearer s3cret"
    assert first.headers["content-type"] == "application/json"
    assert len(first.headers["idempotency-key"]) == 32
    assert first.headers["idempotency-key"] != second.headers["idempotency-key"]


def test_submit_is_repeated_with_the_same_key_when_the_answer_is_lost(sut, hub, play, pauses):
    hub.on("POST", "/v1/jobs", play(drop=True), play(503, {"code": "", "what": "x"}), SUBMITTED)
    assert sut.submit({"name": "sky"}).id == "j7"
    calls = hub.calls("POST", "/v1/jobs")
    assert len(calls) == 3
    assert len({call.headers["idempotency-key"] for call in calls}) == 1
    assert len({call.body for call in calls}) == 1
    assert len(pauses) == 2


def test_tries_are_bounded(sut, hub, play, pauses):
    hub.on("GET", "/v1/overview", play(503, {"code": "unavailable", "what": "starting"}))
    with pytest.raises(UnavailableError, match="starting"):
        sut.overview()
    assert len(hub.asked) == 4
    assert len(pauses) == 3


def test_retry_after_is_a_lower_bound(sut, hub, play, pauses):
    busy = play(503, {"code": "unavailable", "what": "busy"}, {"Retry-After": "7"})
    hub.on("GET", "/v1/jobs/j7", busy, job())
    sut.job("j7")
    assert pauses == [7.0]


def test_what_cannot_pass_is_not_tried_again(sut, hub, play):
    hub.on("GET", "/v1/jobs/j7", play(409, {"code": "conflict", "what": "no"}))
    with pytest.raises(ConflictError):
        sut.job("j7")
    assert len(hub.asked) == 1


def test_a_hub_that_never_was_there_is_not_waited_for(no_hub, pauses, connect):
    sut = connect(no_hub, sleep=pauses.append)
    with pytest.raises(UnavailableError) as caught:
        sut.overview()
    assert pauses == []
    assert no_hub in caught.value.what
    assert "fenglin hub start" in caught.value.hint
    assert "FENGLIN_HUB" in caught.value.hint


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "bad_input", InputError),
        (401, "denied", DeniedError),
        (403, "denied", DeniedError),
        (404, "not_found", NotFoundError),
        (409, "conflict", ConflictError),
        (413, "over_limit", LimitError),
        (500, "damaged", DamageError),
        (500, "internal", FenglinError),
        (502, "site_error", DriverError),
        (503, "stale_epoch", StaleEpochError),
    ],
)
def test_error_answers_become_the_exceptions_of_the_tree(sut, hub, play, status, code, kind):
    view = {"code": code, "what": "it is so", "where": "there", "hint": "do this"}
    hub.on("GET", "/v1/jobs/j7", play(status, view))
    with pytest.raises(FenglinError) as caught:
        sut.job("j7")
    assert type(caught.value) is kind
    assert (caught.value.what, caught.value.where, caught.value.hint) == (
        "it is so", "there", "do this",
    )  # fmt: skip


def test_problems_of_a_document_are_kept(sut, hub, play):
    problem = {"path": "tasks", "what": "too many", "hint": "fewer", "line": 3, "column": 8}
    view = {"code": "bad_document", "what": "1 problem found", "problems": [problem]}
    hub.on("POST", "/v1/jobs", play(400, view))
    with pytest.raises(InputProblems) as caught:
        sut.submit({})
    found = caught.value.problems[0]
    assert (found.path, found.what, found.hint, found.line) == ("tasks", "too many", "fewer", 3)


def test_unauthorized_says_where_a_token_comes_from(sut, hub, play):
    hub.on("GET", "/v1/overview", play(401, {"code": "denied", "what": "who are you"}))
    with pytest.raises(DeniedError) as caught:
        sut.overview()
    assert "FENGLIN_TOKEN" in caught.value.hint


@pytest.mark.parametrize("status", [200, 302, 500])
def test_answers_of_something_else_are_not_taken_for_ours(sut, hub, play, status):
    hub.on("GET", "/v1/overview", play(status, b"<html>proxy</html>"))
    with pytest.raises(FenglinError) as caught:
        sut.overview()
    assert "/v1/overview" in caught.value.where


def test_something_that_speaks_no_http_is_told_at_once(pauses, connect):
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=lambda: greet(server), daemon=True)
        thread.start()
        sut = connect(f"http://127.0.0.1:{server.getsockname()[1]}", sleep=pauses.append)
        with pytest.raises(UnavailableError):
            sut.overview()
        sut.close()
        thread.join()
    assert pauses == []


def greet(server):
    connection, _ = server.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(b"220 mail ready\r\n")


def test_refusal_of_an_upload_that_is_not_read_is_still_heard(pauses, connect):
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=lambda: refuse(server), daemon=True)
        thread.start()
        sut = connect(f"http://127.0.0.1:{server.getsockname()[1]}", sleep=pauses.append)
        with pytest.raises(LimitError, match="the disk quota"):
            sut.put_blob("ab", bytes(32 << 20))
        sut.close()
        thread.join()
    assert pauses == []


def refuse(server):
    body = b'{"code": "over_limit", "what": "the disk quota"}'
    connection, _ = server.accept()
    with connection:
        connection.recv(100)
        connection.sendall(b"HTTP/1.1 413 No\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


def test_a_hub_that_was_there_is_waited_for(mortal, pauses, connect):
    sut = connect(mortal.url, retry=Retry(tries=4), sleep=pauses.append)
    mortal.hub.on("GET", "/v1/jobs/j7", job())
    sut.job("j7")
    sut.close()
    mortal.stop()
    with pytest.raises(UnavailableError):
        sut.job("j7")
    assert len(pauses) == 3


def test_stream_shorter_than_announced_is_no_whole_answer(sut, hub, play):
    short = play(200, b"abc", {"Content-Length": "9", "Connection": "close"})
    hub.on("GET", "/v1/jobs/j7/artifacts/a", short)
    with pytest.raises(UnavailableError), sut.artifact("j7", "a") as pieces:
        list(pieces)


def test_one_connection_serves_many_calls(hub, sut):
    hub.on("GET", "/v1/jobs/j7", job())
    sut.job("j7")
    sut.job("j7")
    first, second = hub.asked
    assert first.peer == second.peer


def test_listings_fetch_as_many_pages_as_needed(sut, hub):
    hub.on(
        "GET", "/v1/jobs",
        {"items": [job(id="j3"), job(id="j2")], "next": "c1", "total": 3},
        {"items": [job(id="j1")], "next": "", "total": 3},
    )  # fmt: skip
    page = sut.jobs(Filter((("state", "running"), ("state", "held")), "-name"))
    assert [one.id for one in page.items] == ["j3", "j2", "j1"]
    first, second = hub.asked
    assert first.query == [
        ("state", "running"), ("state", "held"), ("sort", "-name"), ("limit", "1000"),
    ]  # fmt: skip
    assert second.query[-1] == ("cursor", "c1")


def test_listings_stop_at_the_most_rows(sut, hub):
    page = {"items": [job(id="j3"), job(id="j2")], "next": "c1", "total": 9}
    hub.on("GET", "/v1/jobs", page)
    assert sut.jobs(Filter(), most=2).next == "c1"
    assert hub.asked[0].query == [("limit", "2")]


def test_wait_asks_until_the_job_has_ended(sut, hub):
    hub.on("GET", "/v1/jobs/j7/wait", job(), job(), job("succeeded"))
    seen = []
    assert sut.wait("j7", seen=lambda one: seen.append(one.state)).state == "succeeded"
    assert seen == ["running", "running", "succeeded"]


def test_wait_ends_when_the_time_is_over(sut, hub):
    hub.on("GET", "/v1/jobs/j7/wait", job())
    assert sut.wait("j7", timeout_s=0).state == "running"
    assert hub.asked[0].query == [("timeout_s", "0")]


def test_blob_is_uploaded_under_its_address(sut, hub, tmp_path):
    file = tmp_path / "scene.bin"
    file.write_bytes(b"karst" * 1000)
    hub.on("PUT", "/v1/blobs/ab", {"sha256": "ab", "size_bytes": 5000})
    assert not sut.has_blob("ab")
    assert sut.put_blob("ab", file).size_bytes == 5000
    assert hub.calls("PUT", "/v1/blobs/ab")[0].body == file.read_bytes()


def test_many_files_are_asked_about_in_few_calls(sut, hub, monkeypatch):
    monkeypatch.setattr(requests, "MAX_ADDRESSES", 2)
    hub.on("POST", "/v1/blobs:missing", {"sha256": ["b"]}, {"sha256": []})
    assert sut.missing_blobs(["a", "b", "c"]) == ["b"]
    bodies = [json.loads(one.body) for one in hub.calls("POST", "/v1/blobs:missing")]
    assert bodies == [{"sha256": ["a", "b"]}, {"sha256": ["c"]}]
    assert sut.missing_blobs([]) == []


def test_upload_is_repeated_whole(sut, hub, play, tmp_path):
    file = tmp_path / "scene.bin"
    file.write_bytes(b"karst")
    hub.on("PUT", "/v1/blobs/ab", play(drop=True), {"sha256": "ab", "size_bytes": 5})
    sut.put_blob("ab", file)
    assert [call.body for call in hub.asked] == [b"karst", b"karst"]


def test_followed_log_goes_on_where_the_stream_broke(sut, hub, play):
    done = play(200, b"", {"Fenglin-Next-Offset": "9", "Fenglin-Complete": "true"})
    more = play(200, b"", {"Fenglin-Next-Offset": "3", "Fenglin-Complete": "false"})
    hub.on(
        "GET", "/v1/jobs/j7/logs",
        play(pieces=[b"abc"], breaks=True), more, play(pieces=[b"defg", b"hi"]), done,
    )  # fmt: skip
    assert b"".join(sut.follow_log("j7", 2)) == b"abcdefghi"
    offsets = [dict(one.query)["offset"] for one in hub.asked]
    assert offsets == ["0", "3", "3", "9"]


def test_stream_that_breaks_is_no_short_answer(sut, hub, play):
    hub.on("GET", "/v1/ledger/export", play(pieces=[b"1,2\n"], breaks=True))
    with pytest.raises(UnavailableError), sut.ledger_export("csv") as pieces:
        list(pieces)


def test_stream_left_early_does_not_spoil_the_next_call(sut, hub, play, pauses):
    hub.on("GET", "/v1/ledger/export", play(pieces=[b"x" * 100_000, b"y" * 100_000]))
    hub.on("GET", "/v1/jobs/j7", job())
    with sut.ledger_export("csv") as pieces:
        next(pieces)
    assert sut.job("j7").id == "j7"
    assert pauses == []


def test_ids_cannot_change_the_route(sut, hub):
    with pytest.raises(NotFoundError):
        sut.job("../ledger/verify?x")
    assert hub.asked[0].path == "/v1/jobs/..%2Fledger%2Fverify%3Fx"


def test_batch_is_a_list_under_one_key(sut, hub):
    hub.on("POST", "/v1/jobs:batch", {"items": [SUBMITTED, SUBMITTED]})
    assert len(sut.submit_batch([{"name": "a"}, {"name": "b"}], key="k")) == 2
    assert json.loads(hub.asked[0].body) == [{"name": "a"}, {"name": "b"}]
    assert hub.asked[0].headers["idempotency-key"] == "k"


@pytest.mark.parametrize("url", ["hub", "ftp://hub", "http://", "http://hub:port", "http://h?x=1"])
def test_urls_of_no_hub_are_refused(url):
    with pytest.raises(InputError) as caught:
        Transport(url)
    assert "FENGLIN_HUB" in caught.value.hint


@pytest.mark.parametrize(
    ("failed", "dice", "asked", "pause_s"),
    [
        (1, 1.0, "", 0.1),
        (1, 0.0, "", 0.05),
        (3, 1.0, "", 0.4),
        (50, 1.0, "", 5.0),
        (1, 1.0, "2", 2.0),
        (1, 1.0, "99999", 30.0),
        (1, 1.0, "Wed, 21 Oct 2026 07:28:00 GMT", 0.1),
    ],
)
def test_pauses(failed, dice, asked, pause_s):
    assert Retry().pause_s(failed, dice, asked) == pytest.approx(pause_s)


def test_keys_differ():
    assert len({steps.new_key() for _ in range(100)}) == 100


def test_import_brings_in_nothing_heavy():
    code = "import sys, fenglin.client; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"asyncio", "httpx", "litestar", "numpy", "pydantic", "rich", "sqlalchemy", "yaml"}
    assert heavy.isdisjoint(done.stdout.split())


def test_a_deadline_ends_all_tries(hub, play, connect, pauses):
    hub.on("GET", "/v1/overview", play(503, {"code": "unavailable", "what": "starting"}))
    slow = Retry(tries=50, base_s=60.0, cap_s=60.0)
    sut = connect(hub.url, retry=slow, deadline_s=20.0, sleep=pauses.append)
    with pytest.raises(UnavailableError, match="starting"):
        sut.overview()
    assert pauses == []
    assert len(hub.asked) == 1


def test_a_hub_is_reached_through_a_unix_socket(tmp_path, connect, pauses):
    path = tmp_path / "hub.sock"
    body = json.dumps(job()).encode()
    asked = []

    def serve(server):
        connection, _ = server.accept()
        with connection:
            asked.append(connection.recv(65536))
            connection.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
            )

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        thread = threading.Thread(target=serve, args=(server,), daemon=True)
        thread.start()
        sut = connect(f"unix://{path}", "s3cret", sleep=pauses.append)
        assert sut.job("j7").id == "j7"
        sut.close()
        thread.join()
    assert asked[0].startswith(b"GET /v1/jobs/j7 HTTP/1.1\r\n")
    assert b"Bearer s3cret" in asked[0]


def event(seq):
    return {"seq": seq, "time_ms": seq, "kind": "told", "text": f"event {seq}"}


def test_a_story_is_followed_to_its_end(sut, hub):
    hub.on("GET", "/v1/jobs:watch", {"items": [], "next": "1.1"}, {"items": [], "next": "1.2"})
    hub.on("GET", "/v1/jobs/j7", job(), job(), job(), job(), job("succeeded"), job("succeeded"))
    hub.on(
        "GET", "/v1/jobs/j7/events",
        {"items": [event(1), event(2)]}, {"items": []}, {"items": [event(5)]}, {"items": []},
    )  # fmt: skip
    assert [one.seq for one in sut.follow_events("j7")] == [1, 2, 5]
    watched = [dict(one.query) for one in hub.calls("GET", "/v1/jobs:watch")]
    assert [one.get("after", "") for one in watched] == ["", "1.1"]
    assert {one["id"] for one in watched} == {"j7"}
    after = [dict(one.query)["after"] for one in hub.calls("GET", "/v1/jobs/j7/events")]
    assert after == ["0", "2", "2", "5"]


def test_the_two_clients_have_the_same_methods():
    faces = []
    for kind in (Client, AsyncClient):
        names = [name for name in dir(kind) if not name.startswith("_")]
        faces.append({name: parameters(getattr(kind, name)) for name in names})
    assert faces[0] == faces[1]


def parameters(found):
    """Return names, kinds and defaults of a method's parameters; nothing for what is none."""
    if not callable(found):
        return None
    return [(one.name, one.kind, one.default) for one in signature(found).parameters.values()]
