"""The door of a hub that waits: what it hands on arrives whole, and what breaks is said."""

import asyncio

import pytest

from fenglin.api.forward import WaitingDoor
from fenglin.errors import UnavailableError


class Quiet:
    """Stands for the door that answers from the database."""

    def __init__(self):
        self.asked = []

    async def __call__(self, scope, _receive, send):
        self.asked.append(scope["path"])
        await send({"type": "http.response.start", "status": 299, "headers": []})
        await send({"type": "http.response.body", "body": b"quiet"})

    def begin_stop(self):
        pass


class Ask:
    """One request, in pieces, and what was answered."""

    def __init__(self, method="GET", path="/v1/jobs", headers=(), pieces=(b"",)):
        self.scope = {
            "type": "http", "method": method, "path": path, "raw_path": path.encode(),
            "query_string": b"a=%20b", "headers": list(headers),
        }  # fmt: skip
        self.messages = [
            {"type": "http.request", "body": piece, "more_body": n < len(pieces) - 1}
            for n, piece in enumerate(pieces)
        ]
        self.status = 0
        self.headers = {}
        self.body = b""
        self.ended = False

    async def receive(self):
        if self.messages:
            return self.messages.pop(0)
        await asyncio.Event().wait()
        raise AssertionError

    async def send(self, message):
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
        else:
            self.body += message["body"]
            self.ended = not message.get("more_body", False)


def play(reply, ask, *, leads=True, between=None):
    """Hand one request to a leader that answers raw bytes; return what it got, and who answered."""

    bodied = len(ask.messages) > 1

    async def scene():
        heard = bytearray()
        got, gone = asyncio.Event(), asyncio.Event()

        async def leader(reader, writer):
            try:
                whole = b"END" if bodied else b"\r\n\r\n"
                while whole not in heard and (piece := await reader.read(1000)):
                    heard.extend(piece)
                if b"chunked" in heard and not heard.endswith(b"0\r\n\r\n"):
                    heard.extend(await reader.readuntil(b"0\r\n\r\n"))
                got.set()
                # Without an answer it keeps still until it is hung up on.
                writer.write(await reader.read() if reply is None else reply)
                await writer.drain()
            finally:
                writer.close()
                gone.set()

        server = await asyncio.start_server(leader, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        quiet = Quiet()

        async def where():
            if leads is None:
                raise UnavailableError("away")
            return f"http://127.0.0.1:{port}" if leads else ""

        door = WaitingDoor(where, quiet)
        try:
            serving = asyncio.ensure_future(door(ask.scope, ask.receive, ask.send))
            if between is not None:
                await got.wait()
                between(door)
            await serving
        finally:
            if heard:
                await gone.wait()
            server.close()
            await server.wait_closed()
        return bytes(heard), quiet.asked

    return asyncio.run(scene())


def test_a_request_and_its_answer_go_through_as_they_are():
    reply = b"HTTP/1.1 201 Created\r\nx-a: b\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello"
    headers = [(b"authorization", b"Bearer t"), (b"content-length", b"6"), (b"host", b"me")]
    ask = Ask("POST", headers=headers, pieces=(b"abc", b"END"))
    heard, quiet = play(reply, ask)
    head, _, body = heard.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /v1/jobs?a=%20b HTTP/1.1"
    assert b"authorization: Bearer t" in lines
    assert b"host: me" not in lines
    assert body == b"abcEND"
    assert (ask.status, ask.body, ask.ended, quiet) == (201, b"hello", True, [])
    assert ask.headers == {b"x-a": b"b", b"content-length": b"5"}


def test_bodies_without_a_length_go_in_pieces_both_ways():
    reply = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    ask = Ask("PUT", headers=[(b"transfer-encoding", b"chunked")], pieces=(b"x" * 20, b"END"))
    heard, _ = play(reply, ask)
    assert heard.endswith(b"14\r\n" + b"x" * 20 + b"\r\n3\r\nEND\r\n0\r\n\r\n")
    assert (ask.status, ask.body, ask.ended) == (200, b"abcde", True)


def test_the_answer_to_head_has_no_body():
    ask = Ask("HEAD")
    play(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n", ask)
    assert (ask.status, ask.body, ask.ended) == (200, b"", True)


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 200 OK\r\ncontent-le", b"SSH-2.0-x\r\n\r\n"])
def test_a_leader_that_breaks_off_is_said(reply):
    ask = Ask()
    play(reply, ask)
    assert ask.status == 503
    assert ask.headers[b"retry-after"]
    assert b"the hub that leads does not answer" in ask.body


def test_an_answer_that_is_cut_short_ends_abruptly():
    ask = Ask()
    with pytest.raises(EOFError):
        play(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhalf", ask)
    assert (ask.status, ask.ended) == (200, False)


def test_who_leads_no_more_is_waited_for_no_more():
    ask = Ask()
    play(None, ask, between=lambda door: door.drop())
    assert ask.status == 503
    assert b"it leads no more" in ask.body


@pytest.mark.parametrize(
    ("leads", "path", "headers"),
    [
        (False, "/v1/jobs", ()),
        (None, "/v1/jobs", ()),  # even the database is away
        (True, "/healthz", ()),  # asked of this process
        (True, "/v1/jobs", [(b"x-fenglin-passed-on", b"1")]),  # never twice from hand to hand
    ],
)
def test_what_is_answered_here(leads, path, headers):
    ask = Ask(path=path, headers=headers)
    heard, quiet = play(b"", ask, leads=leads)
    assert (ask.status, heard, quiet) == (299, b"", [path])
