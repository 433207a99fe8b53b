"""SSH hosts behind a cable that can be pulled: a network of their own, joined by one link.

Nothing answers while the cable is out, not even with a refusal; what runs on the hosts goes on.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

from fenglin.testing.servers import packages
from fenglin.testing.servers.sshd import SshHosts, find_sshd

if TYPE_CHECKING:
    from types import TracebackType

# TEST-NET-2 (RFC 5737): nobody's addresses. Each cable takes four of them.
NETWORK = "198.51.100"
MOST_CABLES = 64
PORT = 2_222
LOCK = Path(tempfile.gettempdir()) / "fenglin-apart.lock"


def find_apart() -> str:
    """Return why there can be no such hosts here; empty when there can. Installs what it needs."""
    if why := find_sshd():
        return why
    if os.geteuid() != 0:
        return "only root may make a network of its own"
    if shutil.which("ip") is None and (why := packages.install("iproute2")):
        return f"no `ip` here: {why}"
    probe = f"fl-probe-{os.getpid()}"
    done = _ip("netns", "add", probe, check=False)
    _ip("netns", "delete", probe, check=False)
    return f"no network of its own: {done.stderr.strip()}" if done.returncode else ""


class HostApart(SshHosts):
    """One SSH host in a network of its own; gone with the block.

    with HostApart() as host:
        host.cut()
        host.mend()
    """

    def __init__(self) -> None:
        """Take nothing; nothing is made yet."""
        super().__init__(1)
        self._number = -1

    def __enter__(self) -> Self:
        """Lay the cable and start the host."""
        self._number = _lay()
        self.addresses = [f"{NETWORK}.{4 * self._number + 2}"]
        self._within = ("ip", "netns", "exec", _name(self._number))
        try:
            return super().__enter__()
        except BaseException:
            _remove(self._number)
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the host and remove its network."""
        super().__exit__(kind, error, trace)
        _remove(self._number)

    def _free_port(self) -> int:
        # All are: the network is new.
        return PORT

    def cut(self) -> None:
        """Pull the cable out."""
        self._plug("down")

    def mend(self) -> None:
        """Put it in again."""
        self._plug("up")

    def _plug(self, state: str) -> None:
        # At the far end: here the address and the route stay, and packets find nobody.
        _ip("-n", _name(self._number), "link", "set", "far", state)


def _name(number: int) -> str:
    return f"fl-apart-{number}"


def _lay() -> int:
    """Make a network and a cable to it; return its number."""
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for number in range(MOST_CABLES):
            if not _ip("netns", "add", _name(number), check=False).returncode:
                break
        else:
            raise OSError(f"{MOST_CABLES} networks are in use: see `ip netns list`")
    name, first = _name(number), 4 * number
    try:
        _ip("link", "add", name, "type", "veth", "peer", "name", "far", "netns", name)
        _ip("address", "add", f"{NETWORK}.{first + 1}/30", "dev", name)
        _ip("link", "set", name, "up")
        for words in (
            ("address", "add", f"{NETWORK}.{first + 2}/30", "dev", "far"),
            ("link", "set", "far", "up"),
            ("link", "set", "lo", "up"),
        ):
            _ip("-n", name, *words)
    except BaseException:
        _remove(number)
        raise
    return number


def _remove(number: int) -> None:
    for words in (("link", "delete", _name(number)), ("netns", "delete", _name(number))):
        with contextlib.suppress(OSError):
            _ip(*words, check=False)


def _ip(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run `ip`.

    Raises:
        OSError: it refused, and `check` is set.
    """
    done = subprocess.run(
        [shutil.which("ip") or "ip", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    if check and done.returncode:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done
