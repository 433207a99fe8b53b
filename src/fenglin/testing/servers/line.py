"""A line to a server that a test can cut, hang, or have lose what is said over it.

with Line("127.0.0.1", 6443) as line:
    connect_to(line.port)
    line.cut()
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

PIECE_BYTES = 2**16


class Line:
    """Listens on a port of its own and passes bytes on, both ways.

    Attributes:
        port: Where to connect to.
        held: Set when a part of a question waits since the last `hang`.
    """

    def __init__(self, host: str, port: int) -> None:
        """Take the server behind it."""
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._lock = threading.Lock()
        self._open = True
        self._flows = threading.Event()
        self._flows.set()
        self.held = threading.Event()

    def __enter__(self) -> Self:
        """Begin to listen."""
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close everything."""
        self.mend()
        self.cut()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def cut(self) -> None:
        """Break what is connected, and refuse what comes, until `mend`."""
        self._open = False
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            _close(*pair)

    def hang(self) -> None:
        """Pass nothing on, until `mend`."""
        self.held.clear()
        self._flows.clear()

    def mend(self) -> None:
        """Undo `cut` and `hang`."""
        self._open = True
        self._flows.set()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if not self._open:
                _close(near)
                continue
            try:
                far = socket.create_connection(self._server)
            except OSError:
                _close(near)
                continue
            with self._lock:
                self._pairs.append((near, far))
            for way in ((near, far, True), (far, near, False)):
                threading.Thread(target=self._pass_on, args=way, daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, asks: bool) -> None:  # noqa: FBT001 - of a thread
        with contextlib.suppress(OSError):
            while data := source.recv(PIECE_BYTES):
                if asks and not self._flows.is_set():
                    self.held.set()
                self._flows.wait()
                target.sendall(data)
        _close(source, target)


def _close(*sockets: socket.socket) -> None:
    for one in sockets:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()
