"""The hub's side of one agent: requests out, answers and news in; see `runner.host.agent`."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import shlex
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import asyncssh
import msgspec

import fenglin.runner
from fenglin.errors import DriverError
from fenglin.ports.crashpoint import crash_point
from fenglin.remote.line import Opener
from fenglin.runner.host.boot import MARK

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from fenglin.remote.line import Line

    Process = asyncssh.SSHClientProcess[bytes]

BOOT_TIMEOUT_S = 10.0
ASK_TIMEOUT_S = 20.0
MOST_HEAD_BYTES = 2**25
MOST_BODY_BYTES = 2**23
NOISE_LINES = 200
# A command may have had its effect: it is not sent again.
RUN = "run"
CRASH_POINTS = {"start": "c4", "stop": "c8"}
# All that ever stands in a command line on a host; the rest is read from standard input.
LOADER = "import sys;exec(sys.stdin.buffer.read(int(sys.stdin.buffer.readline())))"
_PACKAGE = Path(fenglin.runner.__file__).parent


def library(more: Mapping[str, str] | None = None) -> tuple[str, dict[str, str]]:
    """Return the digest and the files of what runs on hosts; `more` are names and texts."""
    paths = [_PACKAGE / "launch.py", *sorted((_PACKAGE / "host").glob("*.py"))]
    files = {str(path.relative_to(_PACKAGE)): path.read_text("utf-8") for path in paths}
    files |= more or {}
    digest = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
    return digest[:32], files


class LostError(DriverError):
    """The connection ended while an answer was awaited."""


class Remote:
    """One agent, started when it is needed.

    Attributes:
        node: Which node it is for.
        line: The connection to its host.
        place: Folder of this hub's attempts there; empty until it was first reached.
    """

    def __init__(
        self,
        node: str,
        line: Line,
        config: dict[str, object],
        poked: Callable[[], None],
        *,
        python: str,
        concurrency: int,
        files: Mapping[str, str] | None = None,
    ) -> None:
        """Take the way to a host and what runs there; nothing is opened yet.

        Args:
            node: Which node it is for.
            line: The connection.
            config: What the agent must know.
            poked: Whom to tell of news.
            python: Interpreter there.
            concurrency: Most requests at once.
            files: Names and texts that stand beside the agent's own.
        """
        self.node = node
        self.line = line
        self.place = ""
        self._config = config
        self._where = f"site {config['site']}, node {node}"
        self._python = python
        self._files = files
        self._poked = poked
        self._opener = Opener(self._boot)
        self._calls = asyncio.Semaphore(concurrency)
        self._process: Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[tuple[dict[str, Any], bytes]]] = {}

    @property
    def connected(self) -> bool:
        """Whether the agent is there now."""
        return self._process is not None

    async def ready(self) -> None:
        """Have the agent run.

        Raises:
            DriverError: the host cannot be reached or cannot run it.
        """
        while self._process is None:
            await self._opener.open()

    async def ask(
        self, operation: str, body: bytes = b"", **head: object
    ) -> tuple[dict[str, Any], bytes]:
        """Send a request and return its answer.

        Raises:
            DriverError: refused or unreachable; `effect_unknown` once it has been sent.
        """
        async with self._calls:
            try:
                answer, data = await self._once(operation, body, head)
            except LostError:
                if operation == RUN:
                    raise
                # Often the line was dead for long and nobody had noticed. All other requests may
                # be repeated, and an agent that was left behind does nothing any more.
                answer, data = await self._once(operation, body, head)
        failure = answer.get("error")
        if failure:
            raise DriverError(
                str(failure.get("what"))[:1000],
                where=self._where,
                hint=str(failure.get("hint", ""))[:1000],
                effect_unknown=bool(failure.get("unknown", True)),
            )
        return answer, data

    async def _once(
        self, operation: str, body: bytes, head: dict[str, object]
    ) -> tuple[dict[str, Any], bytes]:
        """Send a request once and wait for its answer."""
        await self.ready()
        number = next(self._numbers)
        text = msgspec.json.encode({**head, "id": number, "op": operation})
        future = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            async with asyncio.timeout(ASK_TIMEOUT_S):
                self._write(b"%d %d\n%b%b" % (len(text), len(body), text, body))
                if operation in CRASH_POINTS:
                    crash_point(CRASH_POINTS[operation])
                answer: tuple[dict[str, Any], bytes] = await future
                return answer
        except TimeoutError as error:
            # What it still does comes to light by its journals; the line may be dead.
            self._hang_up("no answer in time")
            raise DriverError(
                "no answer in time", where=self._where, effect_unknown=True
            ) from error
        finally:
            self._waiting.pop(number, None)

    async def close(self) -> None:
        """End the agent; runners go on."""
        self._opener.cancel()
        self._hang_up("closed")
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)

    # --- its start --------------------------------------------------------------------------

    async def _boot(self) -> None:
        """Start the agent, bringing it to the host first where it is missing."""
        connection = await self.line.connection()
        digest, files = library(self._files)
        boot = files["host/boot.py"].encode()
        config = msgspec.json.encode({**self._config, "library": digest})
        command = f"exec {shlex.quote(self._python)} -I -S -E -c '{LOADER}'"
        process: Process | None = None
        try:
            async with asyncio.timeout(BOOT_TIMEOUT_S):
                process = await connection.create_process(
                    command, encoding=None, stderr=asyncssh.PIPE, request_pty=False
                )
                # One that has ended already says why on standard error.
                with contextlib.suppress(OSError):
                    process.stdin.write(b"%d\n%b%b\n" % (len(boot), boot, config))
                said = await self._said(process)
                if said["say"] == "need":
                    text = msgspec.json.encode(files)
                    process.stdin.write(b"%d\n%b" % (len(text), text))
                    said = await self._said(process)
        except (asyncssh.Error, OSError, TimeoutError, ValueError, KeyError) as error:
            if process is not None:
                process.close()
            raise DriverError(
                f"the agent does not start: {str(error) or type(error).__name__}",
                where=self._where,
                hint="try `ssh HOST python3 -c 'print(1)'` as the hub's user",
            ) from error
        if said["say"] != "ready":
            process.close()
            raise DriverError(
                f"the host cannot run tasks: {str(said.get('what'))[:300]}",
                where=self._where,
                hint="needed are Python 3.9 (setting `python`), Linux 5.3 and a writable `root`",
            )
        self.place = str(said["place"])
        self._process = process
        self._reader = asyncio.create_task(self._read(process))

    async def _said(self, process: Process) -> dict[str, Any]:
        """Return the agent's next line, passing over what a login shell printed.

        Raises:
            ValueError: it ended instead; says what it wrote on standard error.
        """
        for _ in range(NOISE_LINES):
            line = await process.stdout.readline()
            if not line:
                problem = (await process.stderr.read(2_000)).decode("utf-8", "replace").strip()
                last = problem.splitlines()[-1] if problem else "it ended without a word"
                raise ValueError(last[:300])
            if line.startswith(MARK.encode() + b" "):
                said = msgspec.json.decode(line[len(MARK) + 1 :])
                if isinstance(said, dict):
                    return said
        raise ValueError("the login shell prints too much")

    # --- its life ---------------------------------------------------------------------------

    def _write(self, data: bytes) -> None:
        process = self._process
        if process is None:
            raise self._lost("the connection was lost")
        try:
            process.stdin.write(data)
        except (asyncssh.Error, OSError) as error:
            raise self._lost(str(error)) from error

    async def _read(self, process: Process) -> None:
        """Hand out answers and news until the agent or the line ends."""
        why = "the connection was lost"
        try:
            while True:
                line = await process.stdout.readline()
                if not line:
                    return
                head_size, body_size = (int(word) for word in line[:64].split())
                if not (0 <= head_size <= MOST_HEAD_BYTES and 0 <= body_size <= MOST_BODY_BYTES):
                    why = f"an answer of {head_size + body_size} bytes is more than is read"
                    return
                head = msgspec.json.decode(await process.stdout.readexactly(head_size))
                body = await process.stdout.readexactly(body_size) if body_size else b""
                self._take(head, body)
        except (asyncssh.Error, OSError, EOFError, ValueError, KeyError) as error:
            why = f"the connection was lost: {error}" if str(error) else why
        finally:
            if self._process is process:
                self._hang_up(why)
            process.close()

    def _take(self, head: dict[str, Any], body: bytes) -> None:
        if head["id"] == 0:
            self._poked()
            return
        future = self._waiting.get(head["id"])
        if future is not None and not future.done():
            future.set_result((head, body))

    def _hang_up(self, why: str) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.close()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(self._lost(why))

    def _lost(self, why: str) -> LostError:
        return LostError(
            why, where=self._where, hint="it is tried again by itself", effect_unknown=True
        )
