"""Slurm's accounting for a private cluster: slurmdbd on a MariaDB of its own.

Debian's `mariadb-server-core` has the programs without the service of the whole machine.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
from typing import TYPE_CHECKING

from fenglin.testing.servers import packages

if TYPE_CHECKING:
    from pathlib import Path

PACKAGES = ("slurmdbd", "mariadb-server-core", "mariadb-client-core")
PROGRAMS = ("slurmdbd", "mariadbd", "mariadb-install-db", "mariadb", "sacct", "sacctmgr")
FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin")
READY_WITHIN_S = 120.0
STOP_WITHIN_S = 10.0
POLL_S = 0.05
MOST_SAID = 500


def find_accounts() -> str:
    """Return why there can be no accounting here; empty when there can. Installs it."""
    if not _missing():
        return ""
    why = packages.install(*PACKAGES)
    missing = _missing()
    return f"no accounting: {', '.join(missing)} missing: {why}" if missing else ""


def _missing() -> list[str]:
    return [name for name in PROGRAMS if not _program(name)]


class Accounts:
    """A database and slurmdbd beside a cluster's slurm.conf; children of this process."""

    def __init__(self, folder: Path, munge: Path, ports: int) -> None:
        """Take the cluster's folder, its munge socket, and the first of two free ports."""
        self._folder = folder
        self._munge = munge
        self._ports = (ports, ports + 1)
        self._user = pwd.getpwuid(os.geteuid()).pw_name
        self._daemons: list[subprocess.Popen[bytes]] = []

    def conf(self) -> str:
        """Return the lines of slurm.conf that lead here."""
        return (
            "AccountingStorageType=accounting_storage/slurmdbd\n"
            "AccountingStorageHost=127.0.0.1\n"
            f"AccountingStoragePort={self._ports[1]}\n"
            f"AccountingStoragePass={self._munge}\n"
        )

    def start(self, cluster: str) -> None:
        """Start both and make the cluster known; munged must run, slurmctld not yet.

        Raises:
            RuntimeError, TimeoutError: it does not work; says what a program said last.
        """
        data = self._folder / "db"
        if not data.exists():
            self._run(
                "mariadb-install-db", "--no-defaults", f"--datadir={data}", f"--user={self._user}",
                "--auth-root-authentication-method=normal", "--skip-test-db",
            )  # fmt: skip
        self._daemon(
            "mariadbd", "--no-defaults", f"--datadir={data}", f"--user={self._user}",
            f"--socket={self._folder}/db.sock", f"--port={self._ports[0]}",
            "--bind-address=127.0.0.1", "--innodb-buffer-pool-size=32M", "--skip-name-resolve",
            "--innodb-flush-log-at-trx-commit=0",
        )  # fmt: skip
        self._wait(self._ports[0], "mariadbd")
        self._run(
            "mariadb", "--no-defaults", f"--socket={self._folder}/db.sock", "--user=root", "-e",
            "CREATE DATABASE IF NOT EXISTS accounts; CREATE USER IF NOT EXISTS "
            "slurm@'127.0.0.1'; GRANT ALL ON accounts.* TO slurm@'127.0.0.1'",
        )  # fmt: skip
        conf = self._folder / "slurmdbd.conf"
        conf.touch(mode=0o600)
        conf.write_text(
            f"AuthType=auth/munge\nAuthInfo={self._munge}\nDbdHost=localhost\nDbdAddr=127.0.0.1\n"
            f"DbdPort={self._ports[1]}\nSlurmUser={self._user}\nStorageLoc=accounts\n"
            f"StorageType=accounting_storage/mysql\nStorageHost=127.0.0.1\nStorageUser=slurm\n"
            f"StoragePort={self._ports[0]}\nPidFile={self._folder}/slurmdbd.pid\n"
            f"LogFile={self._folder}/slurmdbd.log\n"
        )
        self._daemon("slurmdbd", "-D")
        self._wait(self._ports[1], "slurmdbd")
        self._run("sacctmgr", "--immediate", "add", "cluster", cluster)

    def stop(self) -> None:
        """End both, slurmdbd first."""
        for daemon in reversed(self._daemons):
            daemon.terminate()
            try:
                daemon.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        self._daemons.clear()

    def _env(self) -> dict[str, str]:
        return {**os.environ, "SLURM_CONF": str(self._folder / "slurm.conf")}

    def _run(self, name: str, *words: str) -> None:
        done = subprocess.run(
            [_program(name), *words],
            env=self._env(), check=False, capture_output=True, timeout=READY_WITHIN_S,
        )  # fmt: skip
        if done.returncode:
            said = (done.stdout + done.stderr).decode(errors="replace")[-MOST_SAID:]
            raise RuntimeError(f"{name} ended with {done.returncode}: {said}")

    def _daemon(self, name: str, *words: str) -> None:
        with (self._folder / f"{name}.out").open("ab") as log:
            self._daemons.append(
                subprocess.Popen(
                    [_program(name), *words], env=self._env(), stdin=subprocess.DEVNULL,
                    stdout=log, stderr=log, start_new_session=True,
                )
            )  # fmt: skip

    def _wait(self, port: int, what: str) -> None:
        end_s = time.monotonic() + READY_WITHIN_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
            except OSError:
                if time.monotonic() > end_s:
                    raise TimeoutError(f"no {what} within {READY_WITHIN_S:g} s") from None
                time.sleep(POLL_S)
            else:
                return


def _program(name: str) -> str:
    """Return where a program is; empty when it is nowhere."""
    folders = os.pathsep.join([os.environ.get("PATH", ""), *FOLDERS])
    return shutil.which(name, path=folders) or ""
