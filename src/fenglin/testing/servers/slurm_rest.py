"""A private cluster with slurmrestd before it, and tokens for it.

Needs Debian's packages `slurmrestd` and `slurm-wlm-jwt-plugin`. slurmrestd refuses to run as root:
it is another user's process then, and the token says in whose name it asks.
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

from fenglin.testing.servers.slurm import SlurmCluster, program

OTHER = "nobody"
VERSIONS = "openapi/v0.0.37,openapi/v0.0.38"
READY_WITHIN_S = 20.0
POLL_S = 0.05
TOKEN_S = 3_600


def find_rest() -> str:
    """Return why no slurmrestd can be started here; empty when one can."""
    if program("slurmrestd") is None or not list(Path("/usr/lib").glob("*/slurm*/auth_jwt.so")):
        return "no slurmrestd: apt install slurmrestd slurm-wlm-jwt-plugin"
    if os.geteuid() == 0 and shutil.which("runuser") is None:
        return "slurmrestd refuses root, and there is no runuser"
    return ""


class RestCluster(SlurmCluster):
    """A cluster that is asked through slurmrestd.

    Attributes:
        user: Who asks.
        url: Where slurmrestd listens; set by `start`.
        token_file: File with a token of that user.
    """

    url = ""

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
            with socket.create_server(("127.0.0.1", 0)) as probe:
                self.url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        port = int(self.url.rpartition(":")[2])
        words = ["slurmrestd", "-s", VERSIONS, "-a", "rest_auth/jwt", f"127.0.0.1:{port}"]
        words[0] = self.program("slurmrestd") or words[0]
        if os.geteuid() == 0:
            words = [shutil.which("runuser") or "runuser", "-u", OTHER, "--", *words]
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
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
            except OSError:
                if time.monotonic() > end_s:
                    raise TimeoutError("no slurmrestd") from None
                time.sleep(POLL_S)
            else:
                return

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

    def _write(self) -> None:
        super()._write()
        key = self.folder / "jwt.key"
        key.write_bytes(secrets.token_bytes(32))
        key.chmod(0o600)
        with self.conf.open("a") as conf:
            conf.write(f"AuthAltTypes=auth/jwt\nAuthAltParameters=jwt_key={key}\n")
