"""The witness's door, over a real socket."""

import asyncio
import contextlib
import http.client
import socket
import threading

import pytest
import uvicorn

from fenglin.ledger import note, tree
from fenglin.witness import server
from fenglin.witness.memory import Memory
from fenglin.witness.rules import MAX_REQUEST_BYTES, Witness, write_request

HUB = note.new_key("hub.test", bytes(range(32)))
OWN = note.new_key("witness.test", bytes(range(1, 33)), note.COSIGNATURE)
ROOT = tree.leaf_hash(b"a" * 32)
CHECKPOINT = str(note.sign(note.Checkpoint("hub.test", 1, ROOT).text(), HUB))


@contextlib.contextmanager
def running(witness):
    sock = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(server.door(witness), log_config=None, lifespan="off")
    inside = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(inside.serve(sockets=[sock])))
    thread.start()
    try:
        yield sock.getsockname()[1]
    finally:
        inside.should_exit = True
        thread.join(20)


@pytest.fixture
def port(tmp_path):
    with Memory(tmp_path) as memory:
        witness = Witness(OWN, [HUB.public], memory, lambda: 1_700_000_000)
        with running(witness) as port:
            yield port


def ask(port, method, path, body=b""):
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    line.request(method, path, body)
    answer = line.getresponse()
    text = answer.read().decode()
    line.close()
    return answer.status, answer.headers["content-type"], text


def test_it_answers_as_logs_expect(port):
    body = write_request(0, (), CHECKPOINT)
    status, kind, line = ask(port, "POST", server.PATH, body)
    assert (status, kind) == (200, "text/plain; charset=utf-8")
    signed = note.read_note((CHECKPOINT + line).encode())
    assert note.verify_note(signed, [OWN.public]) == {"witness.test": 1_700_000_000}
    assert ask(port, "POST", server.PATH, body) == (409, "text/x.tlog.size", "1\n")


def test_other_requests(port):
    assert ask(port, "GET", server.PATH)[0] == 405
    assert ask(port, "POST", "/")[0] == 404
    assert ask(port, "POST", server.PATH, b"x" * (MAX_REQUEST_BYTES + 1))[0] == 413
    assert ask(port, "POST", server.PATH, b"hello")[0] == 400


def test_a_memory_that_cannot_be_used_tells_no_secrets(port, tmp_path):
    ask(port, "POST", server.PATH, write_request(0, (), CHECKPOINT))
    (file,) = tmp_path.glob("*.checkpoint")
    file.write_text("spoilt")
    status, _, text = ask(port, "POST", server.PATH, write_request(1, (), CHECKPOINT))
    assert status == 500
    assert text == "the witness cannot work\n"
