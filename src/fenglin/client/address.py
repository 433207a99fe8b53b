"""Where a hub is, and what stands in the head of every request to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from fenglin import __version__
from fenglin.errors import InputError

if TYPE_CHECKING:
    from fenglin.client.requests import Call

HTTP_PORT = 80
HTTPS_PORT = 443


@dataclass(frozen=True, slots=True)
class Address:
    """A hub's URL, taken apart.

    Attributes:
        host: Name or address; empty for a Unix socket.
        port: TCP port.
        secure: Whether it speaks TLS.
        prefix: Path in front of `/v1`.
        socket: Path of a Unix socket; empty for TCP.
    """

    host: str
    port: int
    secure: bool = False
    prefix: str = ""
    socket: str = ""

    @classmethod
    def parse(cls, hub: str) -> Address:
        """Read a URL.

        Raises:
            InputError: it is not one of an HTTP server.
        """
        try:
            url = urlsplit(hub)
            host, port = url.hostname, url.port
            plain = not url.query and not url.fragment
            if url.scheme == "unix" and not url.netloc and url.path.strip("/") and plain:
                return cls("", 0, socket=unquote(url.path))
            if url.scheme in ("http", "https") and host and plain:
                secure = url.scheme == "https"
                usual = HTTPS_PORT if secure else HTTP_PORT
                return cls(host, usual if port is None else port, secure, url.path)
        except ValueError:
            pass  # a port that is no number: the same remedy
        raise InputError(
            f"{hub[:200]!r} is not the URL of a hub",
            hint="write for example http://127.0.0.1:8642, in FENGLIN_HUB or --hub",
        )

    @property
    def host_header(self) -> str:
        """What the header `Host` says."""
        if self.socket:
            return "localhost"
        name = f"[{self.host}]" if ":" in self.host else self.host
        usual = HTTPS_PORT if self.secure else HTTP_PORT
        return name if self.port == usual else f"{name}:{self.port}"


def headers_of(call: Call[Any], token: str) -> dict[str, str]:
    """Return the headers of a request, but for those about its connection and its length."""
    return {
        "Accept": "*/*",
        "User-Agent": f"fenglin/{__version__}",
        **({"Authorization": f"Bearer {token}"} if token else {}),
        **dict(call.headers),
    }
