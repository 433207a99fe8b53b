import asyncio

import httpx
import msgspec
import pytest

from fenglin.drivers.ray.rest import RayApi, RefusedError
from fenglin.errors import DriverError

TAKEN = (
    "Traceback (most recent call last):\n  File job_head.py\nRuntimeError: Request failed with "
    "status code 400: Traceback (most recent call last):\n  File job_manager.py\n"
    "ValueError: Job with submission_id h-a1-1 already exists. Please use a different "
    "submission_id.\n.\n"
)


@pytest.fixture
def ask(monkeypatch):
    """Return a function that makes one call of an API whose answers are given."""
    real = httpx.AsyncClient

    def run(call, answer, token_file=""):
        def client(**options):
            options.pop("verify")
            return real(transport=httpx.MockTransport(answer), **options)

        monkeypatch.setattr(httpx, "AsyncClient", client)

        async def use():
            api = RayApi("http://head:8265", token_file, "", "site.rays")
            try:
                return await call(api)
            finally:
                await api.close()

        return asyncio.run(use())

    return run


def test_a_taken_id_is_told_through_the_error_that_wraps_it(ask):
    with pytest.raises(RefusedError) as caught:
        ask(lambda api: api.submit({}), lambda _: httpx.Response(500, text=TAKEN))
    assert caught.value.exists
    assert not caught.value.effect_unknown
    assert "already exists" in caught.value.what


@pytest.mark.parametrize(
    ("status", "text", "unknown"),
    [
        (400, "TypeError: entrypoint", False),
        (401, "Unauthorized", False),
        (500, "No available agent to submit job, please try again later.", True),
        (502, "Bad Gateway", True),
    ],
)
def test_only_a_clear_no_is_certain(ask, status, text, unknown):
    with pytest.raises(RefusedError) as caught:
        ask(lambda api: api.submit({}), lambda _: httpx.Response(status, text=text))
    assert caught.value.effect_unknown is unknown
    assert not caught.value.exists
    assert bool(caught.value.hint) == (status == 401)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_neither_followed_nor_taken_for_a_yes(ask, status):
    """Attacks 99 and 104: a page of a login before the dashboard has started nothing."""
    asked = []

    def elsewhere(request):
        asked.append(request.url.path)
        return httpx.Response(status, headers={"Location": "http://169.254.169.254/"})

    with pytest.raises(RefusedError, match=f"HTTP {status}") as caught:
        ask(lambda api: api.submit({}), elsewhere)
    assert not caught.value.effect_unknown
    assert asked == ["/api/jobs/"]


@pytest.mark.parametrize(
    ("error", "unknown"), [(httpx.ConnectError, False), (httpx.ReadTimeout, True)]
)
def test_what_was_sent_may_have_had_its_effect(ask, error, unknown):
    def fail(request):
        raise error("no", request=request)

    with pytest.raises(DriverError, match="cannot be reached") as caught:
        ask(lambda api: api.submit({}), fail)
    assert caught.value.effect_unknown is unknown


def test_what_is_not_there_is_no_error(ask):
    def gone(_):
        return httpx.Response(404, text="Job h-a1-1 does not exist")

    assert ask(lambda api: api.job("h-a1-1"), gone) is None
    assert ask(lambda api: api.stop("h-a1-1"), gone) is False
    assert ask(lambda api: api.has_package("x.zip"), gone) is False
    ask(lambda api: api.delete("h-a1-1"), gone)


def listed(total, count, warning=""):
    rows = [{"node_id": str(n), "state": "ALIVE"} for n in range(count)]
    result = {
        "total": total, "num_after_truncation": count, "result": rows,
        "partial_failure_warning": warning,
    }  # fmt: skip
    return httpx.Response(200, content=msgspec.json.encode({"data": {"result": result}}))


def test_part_of_a_listing_is_an_error(ask):
    assert len(ask(lambda api: api.nodes(), lambda _: listed(2, 2))) == 2
    for answer in (listed(3, 2), listed(2, 2, "a source did not answer")):
        with pytest.raises(DriverError, match="only some"):
            ask(lambda api: api.nodes(), lambda _, answer=answer: answer)


def test_an_answer_that_is_no_ray_is_an_error(ask):
    with pytest.raises(DriverError, match="makes no sense"):
        ask(lambda api: api.jobs(), lambda _: httpx.Response(200, text="<html>"))


@pytest.mark.parametrize("status", [200, 500])
def test_an_endless_answer_is_given_up(ask, monkeypatch, status):
    """Attack 103."""
    monkeypatch.setattr("fenglin.remote.answers.MOST_BYTES", 2**20)
    sent = []

    async def endless():
        while len(sent) < 1_000:
            sent.append(2**16)
            yield b" " * 2**16

    def answer(_):
        return httpx.Response(status, content=endless())

    with pytest.raises(DriverError, match="longer than") as caught:
        ask(lambda api: api.submit({}), answer)
    assert caught.value.effect_unknown
    assert sum(sent) == 2**20 + 2**16


def test_the_token_is_read_anew_for_each_call(ask, tmp_path):
    seen = []
    token = tmp_path / "token"

    def answer(request):
        seen.append(request.headers.get("authorization"))
        token.write_text("second")
        return httpx.Response(200, json={"session_name": "s"})

    async def twice(api):
        return [await api.session(), await api.session()]

    token.write_text("first\n")
    assert ask(twice, answer, str(token)) == ["s", "s"]
    assert seen == ["Bearer first", "Bearer second"]
