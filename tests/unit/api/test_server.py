"""The server on a real socket: its limits, and how it stops."""

import asyncio
import contextlib
import json
import signal

import pytest

from fenglin.api import bind, create_app, serve
from fenglin.errors import UnavailableError

TOKEN = b"authorization: Bearer full\r\n"


@contextlib.asynccontextmanager
async def serving(hub, **limits):
    """Run a server; yields its port and the event that stops it."""
    bound = bind("127.0.0.1", 0)
    stop, started = asyncio.Event(), asyncio.Event()
    app = create_app(hub)
    task = asyncio.create_task(
        serve(app, sockets=[bound], stop=stop, started=started.set, **limits)
    )
    await started.wait()
    try:
        yield bound.getsockname()[1], stop
    finally:
        stop.set()
        async with asyncio.timeout(10):
            await task


async def talk(port, *pieces):
    """Send pieces of text and return all that comes back until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        async with asyncio.timeout(5):
            return await reader.read()
    finally:
        writer.close()


def read(answer):
    """Return the status and the body of the last answer in a text."""
    head, _, body = answer[answer.rindex(b"HTTP/1.1 ") :].partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def get(target, more=b""):
    return b"GET " + target + b" HTTP/1.1\r\nhost: 127.0.0.1\r\n" + TOKEN + more + b"\r\n"


CLOSE = b"connection: close\r\n"


def test_a_request_over_the_wire(hub):
    async def story():
        async with serving(hub) as (port, _):
            document = b'{"name": "karst", "command": ["true"]}'
            post = b"POST /v1/jobs HTTP/1.1\r\nhost: h\r\n" + TOKEN + b"content-length: 38\r\n\r\n"
            return await talk(port, post + document, get(b"/v1/jobs/j7", CLOSE))

    answer = asyncio.run(story())
    assert answer.startswith(b"HTTP/1.1 201 Created\r\n")
    assert b"server:" not in answer.lower()
    assert read(answer)[1]["id"] == "j7"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ([b"GET /healthz HTTP/1.1\r\n" + b"a: b\r\n" * 101 + b"\r\n"], 431),
        ([b"GET /healthz HTTP/1.1\r\na: ", *[b"x" * 8192] * 8], 431),
        ([b"GET /", *[b"x" * 8192] * 8], 431),
        ([b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"], 400),
        ([b"GET /\xff\xfe HTTP/1.1\r\nhost: h\r\n\r\n"], 400),
        ([b"POST /v1/jobs HTTP/1.1\r\nhost: h\r\ncontent-length: x\r\n\r\n"], 400),
        ([b"POST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n"], 400),
    ],
    ids=["many headers", "endless header", "endless path", "TLS", "raw", "length", "smuggling"],
)  # fmt: skip
def test_what_is_not_decent_http_is_turned_away(hub, sent, status):
    async def story():
        async with serving(hub) as (port, _):
            bad = await talk(port, *sent)
            return bad, await talk(port, get(b"/healthz", CLOSE))

    bad, good = asyncio.run(story())
    assert read(bad)[0] == status
    assert read(bad)[1]["code"] in ("over_limit", "bad_input")
    assert read(good)[0] == 200
    assert hub.calls == []


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nx-slow: 1"])
def test_slow_headers_are_given_up(hub, monkeypatch, sent):
    monkeypatch.setattr("fenglin.api.protocol.HEADERS_S", 0.05)

    async def story():
        async with serving(hub) as (port, _):
            return await talk(port, sent)

    assert read(asyncio.run(story()))[0] == 408


@pytest.mark.slow
def test_a_request_within_its_time_is_not_cut_off(hub, monkeypatch):
    monkeypatch.setattr("fenglin.api.protocol.HEADERS_S", 0.05)

    async def story():
        async with serving(hub) as (port, _):
            return await talk(port, get(b"/v1/jobs/j7/wait?timeout_s=0.2", CLOSE))

    assert read(asyncio.run(story()))[0] == 200


def test_connections_beyond_the_limit_are_told_to_come_back(hub):
    async def story():
        async with serving(hub, max_connections=3) as (port, _):
            held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
            for reader, writer in held:
                writer.write(get(b"/v1/jobs/j7"))
                await reader.readuntil(b"\r\n\r\n")
            refused = await talk(port)
            for _, writer in held:
                writer.close()
                await writer.wait_closed()
            await asyncio.sleep(0.05)
            return refused, await talk(port, get(b"/healthz", CLOSE))

    refused, served = asyncio.run(story())
    assert read(refused)[0] == 503
    assert b"\r\nretry-after: 1\r\n" in refused
    assert read(served)[0] == 200


def test_a_stop_ends_waiters_and_streams_soon_and_answers_what_it_can(hub, until):
    async def story():
        async with serving(hub) as (port, stop):
            wait = asyncio.create_task(talk(port, get(b"/v1/jobs/j7/wait")))
            logs = asyncio.create_task(talk(port, get(b"/v1/jobs/j7/logs?follow=true")))
            await until(lambda: len(hub.calls) >= 3)
            stop.set()
            return await wait, await logs

    wait, logs = asyncio.run(story())
    assert read(wait)[0] == 503
    assert logs.startswith(b"HTTP/1.1 200 OK\r\n")
    assert not logs.endswith(b"0\r\n\r\n")


def test_a_request_that_will_not_end_does_not_keep_the_hub_from_stopping(hub):
    asked = asyncio.Event()

    async def never(number, principal):
        del number, principal
        asked.set()
        await asyncio.Event().wait()

    hub.explain = never

    async def story():
        async with serving(hub, grace_s=0) as (port, _):
            stuck = asyncio.create_task(talk(port, get(b"/v1/jobs/j7/explain")))
            await asked.wait()
        return await stuck

    assert read(asyncio.run(story()))[0] == 503


def test_the_process_keeps_its_own_signal_handlers(hub):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)

    async def story():
        async with serving(hub):
            return signal.getsignal(signal.SIGTERM)

    assert asyncio.run(story()) == before[0]
    assert signal.getsignal(signal.SIGTERM) == before[0]


def test_a_port_in_use_says_so():
    with bind("127.0.0.1", 0) as first:
        first.listen()
        port = first.getsockname()[1]
        with pytest.raises(UnavailableError, match=rf"127.0.0.1:{port}: cannot listen: .*in use"):
            bind("127.0.0.1", port)


def test_an_address_of_another_machine_says_so():
    with pytest.raises(UnavailableError, match="cannot listen"):
        bind("192.0.2.1", 0)
