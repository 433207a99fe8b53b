"""A private cluster with slurmrestd before it, and tokens for it.

Needs Debian's packages `slurmrestd` and `slurm-wlm-jwt-plugin`. slurmrestd refuses to run as root:
it is another user's process then, and the token says in whose name it asks. It listens on a port
or, when asked to, on a socket in the file system.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from fenglin.testing.servers import packages
from fenglin.testing.servers.slurm import SlurmCluster, program

OTHER = "nobody"
VERSIONS = ("-s", "openapi/v0.0.37,openapi/v0.0.38")
# Since 23.11 what is spoken and how it is written are plugins of two kinds.
NEWER_VERSIONS = ("-s", "openapi/slurmctld")
SOCKET = "rest.sock"
READY_WITHIN_S = 20.0
POLL_S = 0.05
TOKEN_S = 3_600


def find_rest() -> str:
    """Return why no slurmrestd can be started here; empty when one can. Installs it."""
    if not _is_there():
        why = packages.install("slurmrestd", "slurm-wlm-jwt-plugin")
        if not _is_there():
            return f"no slurmrestd: {why}"
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        return "slurmrestd refuses root, and there is no setpriv"
    return ""


def _is_there() -> bool:
    plugins = Path("/usr/lib").glob("*/slurm*/auth_jwt.so")
    return program("slurmrestd") is not None and any(plugins)


class RestCluster(SlurmCluster):
    """A cluster that is asked through slurmrestd.

    Attributes:
        user: Who asks.
        url: Where slurmrestd listens; set by `start`.
        token_file: File with a token of that user.
        socket: Whether it listens on a socket in the file system.
    """

    url = ""
    socket = False

    @property
    def token_file(self) -> Path:
        """Return where the token is."""
        return self.folder / "token"

    @property
    def user(self) -> str:
        """Return who asks."""
        return pwd.getpwuid(os.geteuid()).pw_name

    def start(self) -> None:
        """Start the cluster, then slurmrestd."""
        super().start()
        told = self.command("scontrol", "token", f"username={self.user}", f"lifespan={TOKEN_S}")
        self.token_file.write_text(told)
        self.token_file.chmod(0o600)
        self.start_rest()

    def start_rest(self) -> None:
        """Start slurmrestd, where it was before.

        Raises:
            TimeoutError: it does not answer.
        """
        if not self.url:
            self.url = self._place()
        spoken = VERSIONS if self._release is None else NEWER_VERSIONS
        place = self.url.removeprefix("http://").replace("unix://", "unix:")
        words = [self.program("slurmrestd") or "", *spoken, "-a", "rest_auth/jwt", place]
        if os.geteuid() == 0:
            words = [*_as_other(), *words]
        with (self.folder / "slurmrestd.out").open("ab") as log:
            self._daemons["slurmrestd"] = subprocess.Popen(
                words,
                env={**self.env, "SLURM_JWT": "daemon"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        end_s = time.monotonic() + READY_WITHIN_S
        while not self._answers():
            if time.monotonic() > end_s:
                raise TimeoutError(f"no slurmrestd: {self._logs()}")
            time.sleep(POLL_S)

    def kill_rest(self) -> None:
        """Kill slurmrestd; the cluster goes on."""
        daemon = self._daemons.pop("slurmrestd", None)
        if daemon is not None:
            os.killpg(daemon.pid, signal.SIGKILL)
            daemon.wait()

    def mend_rest(self) -> None:
        """Have slurmrestd run."""
        if "slurmrestd" not in self._daemons:
            self.start_rest()

    def _place(self) -> str:
        """Return where slurmrestd is to listen."""
        if self.socket:
            folder = self.folder / "door"
            folder.mkdir(exist_ok=True)
            if os.geteuid() == 0:
                shutil.chown(folder, OTHER)
            return f"unix://{folder}/{SOCKET}"
        with socket.create_server(("127.0.0.1", 0)) as probe:
            return f"http://127.0.0.1:{probe.getsockname()[1]}"

    def _answers(self) -> bool:
        """Return whether somebody takes calls."""
        family = socket.AF_UNIX if self.socket else socket.AF_INET
        with socket.socket(family) as probe:
            probe.settimeout(1)
            try:
                if self.socket:
                    probe.connect(self.url.removeprefix("unix://"))
                else:
                    probe.connect(("127.0.0.1", int(self.url.rpartition(":")[2])))
            except OSError:
                return False
            return True

    def _write(self) -> None:
        super()._write()
        key = self.folder / "jwt.key"
        key.write_bytes(secrets.token_bytes(32))
        key.chmod(0o600)
        with self.conf.open("a") as conf:
            conf.write(f"AuthAltTypes=auth/jwt\nAuthAltParameters=jwt_key={key}\n")


class SocketCluster(RestCluster):
    """A cluster whose slurmrestd listens on a socket in the file system."""

    socket = True


def _as_other() -> list[str]:
    """Return what runs a program as another user, who may read what only root may.

    A release in root's cache could not be started otherwise.
    """
    user = pwd.getpwnam(OTHER)
    powers = "+dac_read_search"
    return [
        shutil.which("setpriv") or "setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}",
        "--clear-groups", f"--inh-caps={powers}", f"--ambient-caps={powers}", "--",
    ]  # fmt: skip
