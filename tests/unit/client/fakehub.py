"""A real HTTP server in a thread that plays scripted answers and remembers what it was asked."""

import json
import socket
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit


class Asked(NamedTuple):
    """One request as it came."""

    method: str
    path: str
    query: list
    headers: dict
    body: bytes
    peer: tuple = ()


class Play(NamedTuple):
    """One scripted answer: a status with JSON or bytes, in pieces, or a dropped connection."""

    status: int = 200
    body: object = None
    headers: dict | None = None
    pieces: list | None = None
    drop: bool = False
    breaks: bool = False


class FakeHub:
    """Scripts by (method, path); the last answer of a script stays."""

    def __init__(self, url):
        self.asked = []
        self.scripts = {}
        self.url = url
        self.held = None
        self.reached = threading.Event()
        self.release = threading.Event()

    def hold(self, method, path):
        """Let a request hang until `release` is set; `reached` tells that it has come."""
        self.held = (method, path)

    def on(self, method, path, *plays):
        self.scripts[method, path] = [
            play if isinstance(play, Play) else Play(body=play) for play in plays
        ]

    def next(self, method, path, query=()):
        script = self.scripts.get((method, path))
        if ("detail", "true") in query:
            script = self.scripts.get((method, f"{path}?detail"), script)
        if script is None:
            view = {"code": "not_found", "what": f"no such thing: {path}", "hint": "look"}
            return Play(404, view)
        return script.pop(0) if len(script) > 1 else script[0]

    def calls(self, method, path):
        return [one for one in self.asked if (one.method, one.path) == (method, path)]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def handle(self):
        with suppress(ConnectionError, ValueError):  # the client may go away at any moment
            super().handle()

    def finish(self):
        with suppress(ConnectionError, ValueError):
            super().finish()

    def handle_one(self):
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.hub.asked.append(
            Asked(self.command, url.path, parse_qsl(url.query), headers, body, self.client_address)
        )
        if self.server.hub.held == (self.command, url.path):
            self.server.hub.reached.set()
            self.server.hub.release.wait(30)
        self.play(self.server.hub.next(self.command, url.path, parse_qsl(url.query)))

    do_GET = do_POST = do_PUT = do_HEAD = handle_one  # noqa: N815 - the library's names

    def play(self, play):
        if play.drop:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response(play.status)
        for name, value in (play.headers or {}).items():
            self.send_header(name, value)
        if play.pieces is not None:
            self.stream(play)
            return
        raw = isinstance(play.body, bytes)
        data = play.body if raw else json.dumps(play.body).encode()
        self.send_header("Content-Type", "application/json")
        if "Content-Length" not in (play.headers or {}):
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def stream(self, play):
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in play.pieces:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.flush()
        if play.breaks:
            self.close_connection = True
            return
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_):
        pass


@contextmanager
def serving():
    """Serve until the block ends; whoever uses the server puts a `FakeHub` into `hub`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def free_url():
    """Return the URL of a port at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"
