"""One connection to one host: verified, kept, made again with ever longer pauses."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

import asyncssh

from fenglin.errors import DriverError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from fenglin.remote.place import Place

CONNECT_TIMEOUT_S = 8.0
CLOSE_TIMEOUT_S = 2.0
KEEPALIVE_S = 10.0
KEEPALIVES = 3
PAUSE_FIRST_S = 0.5
PAUSE_LAST_S = 60.0


class Opener:
    """Opens something once for all who want it, and not again before a pause has passed.

    A caller that gives up waiting does not stop the opening.
    """

    def __init__(self, open_it: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Take what opens; it raises DriverError when it cannot."""
        self._open_it = open_it
        self._task: asyncio.Task[None] | None = None
        self._pause_s = PAUSE_FIRST_S
        self._again_at_s = 0.0
        self._failure: DriverError | None = None

    async def open(self) -> None:
        """Open, or wait for the opening that is under way.

        Raises:
            DriverError: it failed, now or just before.
        """
        if self._task is None:
            if self._failure is not None and time.monotonic() < self._again_at_s:
                failed = self._failure
                raise DriverError(failed.what, where=failed.where, hint=failed.hint)
            self._task = asyncio.create_task(self._run())
            self._task.add_done_callback(_heard)
        await asyncio.shield(self._task)

    def cancel(self) -> None:
        """Give an opening up that is under way."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        try:
            await self._open_it()
        except DriverError as error:
            self._failure = error
            # Spread out, so that many hosts behind one gate do not come back at once.
            pause_s = self._pause_s * random.uniform(0.8, 1.2)  # noqa: S311 - no secret
            self._again_at_s = time.monotonic() + pause_s
            self._pause_s = min(PAUSE_LAST_S, self._pause_s * 2)
            raise
        else:
            self._failure = None
            self._pause_s = PAUSE_FIRST_S
        finally:
            self._task = None


def _heard(opening: asyncio.Task[None]) -> None:
    """Take note of how an opening ended, where nobody waits for it any more."""
    if not opening.cancelled():
        opening.exception()


class Line:
    """The connection to a host, shared by its nodes."""

    def __init__(self, place: Place, jump: Line | None, most_files: int, where: str) -> None:
        """Take where to go and through what; nothing is opened yet."""
        self._place = place
        self._jump = jump
        self._where = where
        self._connection: asyncssh.SSHClientConnection | None = None
        self._sftp: asyncssh.SFTPClient | None = None
        self._sftp_lock = asyncio.Lock()
        self._opener = Opener(self._connect)
        self.files = asyncio.Semaphore(most_files)

    async def connection(self) -> asyncssh.SSHClientConnection:
        """Return the open connection.

        Raises:
            DriverError: there is none now; nothing was sent.
        """
        while self._connection is None or self._connection.is_closed():
            await self._opener.open()
        return self._connection

    async def sftp(self) -> asyncssh.SFTPClient:
        """Return the file channel of the connection.

        Raises:
            DriverError: the host has none.
        """
        connection = await self.connection()
        async with self._sftp_lock:
            if self._sftp is None:
                try:
                    self._sftp = await connection.start_sftp_client()
                except (asyncssh.Error, OSError) as error:
                    raise DriverError(
                        f"no SFTP: {error}",
                        where=self._where,
                        hint="the host's sshd_config needs `Subsystem sftp internal-sftp`",
                    ) from error
            return self._sftp

    def drop_sftp(self, sftp: asyncssh.SFTPClient) -> None:
        """Have the next file use a new channel: this one has failed."""
        if self._sftp is sftp:
            self._sftp = None
            sftp.exit()

    async def close(self) -> None:
        """Hang up; a host that does not even take that is left."""
        self._opener.cancel()
        connection, self._connection, self._sftp = self._connection, None, None
        if connection is None:
            return
        connection.close()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await connection.wait_closed()
        except TimeoutError:
            connection.abort()

    async def _connect(self) -> None:
        """Connect and verify.

        Raises:
            DriverError: it cannot be reached, is not who it should be, or lets us not in.
        """
        place = self._place
        tunnel = await self._jump.connection() if self._jump is not None else None
        guard = _Guard(place)
        options: dict[str, Any] = {"username": place.user} if place.user else {}
        if place.key_file:
            options |= {"client_keys": [place.key_file], "agent_path": None}
        self._sftp = None
        try:
            self._connection = await asyncssh.connect(
                place.address,
                place.port,
                tunnel=tunnel,
                config=None,  # ~/.ssh/config may hold commands
                known_hosts=([], [], []) if place.host_key else place.known_hosts,
                client_factory=lambda: guard,
                preferred_auth="publickey",
                agent_forwarding=False,
                compression_algs=None,
                connect_timeout=CONNECT_TIMEOUT_S,
                login_timeout=CONNECT_TIMEOUT_S,
                keepalive_interval=KEEPALIVE_S,
                keepalive_count_max=KEEPALIVES,
                **options,
            )
        except (asyncssh.Error, OSError, ValueError, TimeoutError) as error:
            raise self._told(error, guard) from error

    def _told(self, error: Exception, guard: _Guard) -> DriverError:
        """Return what the operator is told."""
        place = self._place
        if isinstance(error, asyncssh.HostKeyNotVerifiable | asyncssh.KeyExchangeFailed):
            what, hint = guard.verdict(str(error))
        elif isinstance(error, asyncssh.PermissionDenied):
            what = f"{place} does not let us in: {error.reason}"
            hint = "put the public key into ~/.ssh/authorized_keys of that user on the host"
        elif isinstance(error, asyncssh.KeyImportError | asyncssh.KeyEncryptionError):
            what = f"the key {place.key_file} cannot be used: {error}"
            hint = "a key without passphrase; one with a passphrase goes into an SSH agent"
        elif isinstance(error, FileNotFoundError) and error.filename == place.known_hosts:
            what = f"there is no file {place.known_hosts}: no host key can be verified"
            hint = 'write it with ssh-keyscan and check it, or set host_key = "SHA256:…"'
        else:
            what = f"{place} cannot be reached: {str(error) or type(error).__name__}"
            hint = "is the host up, sshd running, and the way free of firewalls?"
        return DriverError(what, where=self._where, hint=hint)


class _Guard(asyncssh.SSHClient):
    """Judges host keys that `known_hosts` did not vouch for: only a pinned one is let through."""

    def __init__(self, place: Place) -> None:
        """Take what is expected."""
        self._place = place
        self._offered = ""

    def validate_host_public_key(
        self, host: str, addr: str, port: int, key: asyncssh.SSHKey
    ) -> bool:
        """Return whether the key is the one pinned in the configuration."""
        del host, addr, port
        self._offered = key.get_fingerprint()
        return bool(self._place.host_key) and self._offered == self._place.host_key

    def verdict(self, said: str) -> tuple[str, str]:
        """Return what is wrong with the host's key, and what to do."""
        place = self._place
        offered = f"it offers {self._offered}" if self._offered else said
        if place.host_key:
            what = f"the host key of {place} is not the pinned one: {offered}, not {place.host_key}"
            return what, "refused; find out why it changed before you change host_key"
        keys = asyncssh.match_known_hosts(place.known_hosts, place.address, "", place.port)[0]
        if keys:
            return (
                f"the host key of {place} has changed: {offered}, {place.known_hosts} has another",
                "refused; find out why it changed before you replace its line there",
            )
        return (
            f"the host key of {place} is not known: {offered}",
            f"compare it with the host's own, then add it to {place.known_hosts}",
        )
