"""How Slurm's commands are reached: on the hub's own machine, or over SSH (`far`)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from fenglin.errors import DriverError

if TYPE_CHECKING:
    from collections.abc import Sequence

# What a pipe holds before anybody reads from it.
PIPE_BYTES = 2**16
# Of the hub's environment only these reach the commands, and by `sbatch` the jobs.
PASSED = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SHELL", "TZ", "USER")


class Answer(Struct, frozen=True):
    """What a command said.

    Attributes:
        status: Exit status.
        out: Standard output.
        error: Standard error.
    """

    status: int
    out: str
    error: str


class Transport(Protocol):
    """Runs Slurm's commands somewhere.

    Attributes:
        user: Under whose name they run there.
    """

    user: str

    async def run(
        self,
        command: Sequence[str],
        *,
        given: bytes = b"",
        deadline_s: float,
        hold: int = -1,
        lock: str = "",
    ) -> Answer:
        """Run a command, never through a shell.

        Args:
            command: Name of the program and its arguments.
            given: Its standard input, at most 64 KiB.
            deadline_s: It is killed after that.
            hold: An open file that stays open as long as the command lives, whatever becomes
                of us; -1 for none.
            lock: Name of a lock that it holds likewise, where it runs on another machine.

        Raises:
            DriverError: it could not be run (`effect_unknown` False), or was killed (True).
        """
        ...

    async def settle(self, lock: str) -> None:
        """Wait until no command on another machine holds the lock any more.

        Raises:
            DriverError: one does, or nobody can tell.
        """
        ...


def variables(conf: str) -> dict[str, str]:
    """Return what commands find in their environment; `conf` is empty for Slurm's default."""
    # Array indices of pending elements are cut after 64 bytes otherwise.
    fixed = {"SLURM_BITSTR_LEN": "0", "SLURM_TIME_FORMAT": "standard"}
    return {**fixed, "SLURM_CONF": conf} if conf else fixed


class LocalCommands:
    """Commands on this machine, in an environment without any of the hub's secrets."""

    def __init__(self, where: str, conf: str = "", folder: str = "") -> None:
        """Take the environment.

        Args:
            where: Name of the site, for errors.
            conf: Value of SLURM_CONF; empty for Slurm's default.
            folder: Where the commands are; empty for wherever PATH finds them.
        """
        self.user = pwd.getpwuid(os.geteuid()).pw_name
        self._where = where
        self._folder = folder
        self._env = {name: os.environ[name] for name in PASSED if name in os.environ}
        self._env |= variables(conf)
        if folder:
            self._env["PATH"] = f"{folder}:{self._env.get('PATH', os.defpath)}"

    async def run(
        self,
        command: Sequence[str],
        *,
        given: bytes = b"",
        deadline_s: float,
        hold: int = -1,
        lock: str = "",
    ) -> Answer:
        """Run a command; see the protocol."""
        del lock
        name = command[0]
        program = f"{self._folder}/{name}" if self._folder else name
        given_file = _filled_pipe(given)
        try:
            process = await asyncio.create_subprocess_exec(
                program,
                *command[1:],
                stdin=given_file,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=self._env,
                pass_fds=(hold,) if hold >= 0 else (),
                start_new_session=True,
            )
        except OSError as error:
            raise DriverError(
                f"cannot run {program}: {error.strerror}",
                where=self._where,
                hint="install Slurm's commands on the hub's machine, or set `commands`",
            ) from error
        finally:
            os.close(given_file)
        try:
            async with asyncio.timeout(deadline_s):
                out, error_text = await process.communicate()
        except TimeoutError as error:
            raise DriverError(
                f"{name} gave no answer within {deadline_s:g} s",
                where=self._where,
                hint="is slurmctld up? try `scontrol ping` on the hub's machine",
                effect_unknown=True,
            ) from error
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
        return Answer(process.returncode or 0, _text(out), _text(error_text))

    async def settle(self, lock: str) -> None:
        """Do nothing: locks of this machine are the submitter's own."""


def _filled_pipe(data: bytes) -> int:
    """Return a pipe to read the data from.

    Not one that the loop feeds: uvloop raises when the command has ended before it was fed.
    """
    if len(data) > PIPE_BYTES:
        raise ValueError(f"{len(data)} bytes of input, more than a pipe holds")
    reading, writing = os.pipe2(os.O_CLOEXEC)
    try:
        os.write(writing, data)
    finally:
        os.close(writing)
    return reading


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
