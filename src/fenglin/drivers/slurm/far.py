"""A cluster reached over SSH: an agent on its login node, and a picture of its folders here.

The agent (`fenglin.runner.host.login`) runs Slurm's commands without a shell and reads what
elements have written; input files and artifacts travel by SFTP on the same connection. What is
true lies on the cluster: who has an attempt, what ran, what was stopped. The picture on the hub's
disk holds the same files, so all else of the driver is as if the folder were shared; of an
element's journal it may lack the end, never anything before it.

    SHARED_DIR/lib/, blobs/, uploads/          as on any host, see the ssh driver
    SHARED_DIR/sites/HUB/SITE/login/attempts/  orders, claims, stops, elements
    SHARED_DIR/sites/HUB/SITE/login/artifacts/ on their way to the hub
"""

from __future__ import annotations

import asyncio
import getpass
from typing import TYPE_CHECKING

from msgspec.structs import replace

from fenglin.drivers.slurm.element import BOUND_BY
from fenglin.drivers.slurm.homing import Homing
from fenglin.drivers.slurm.picture import Picture
from fenglin.drivers.slurm.shared import own_code
from fenglin.drivers.slurm.transport import Answer, variables
from fenglin.remote.agent import Remote, library
from fenglin.remote.contents import Digests
from fenglin.remote.inputs import Uploads
from fenglin.remote.line import Line
from fenglin.runner.host import claim as claims
from fenglin.runner.host.order import ORDER, encode
from fenglin.runner.orders import secret_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from fenglin.drivers.slurm.settings import SlurmSettings
    from fenglin.drivers.slurm.shared import Shared
    from fenglin.ports.driver import DriverContext, StagedInput, StartOrder

NODE = "login"
CONCURRENCY = 24
# An answer that takes longer would count as a dead connection.
LONGEST_COMMAND_S = 15.0
PULLS = 16


class Login:
    """The login node.

    Attributes:
        remote: Its agent.
        place: Folder of this hub's attempts there.
        code: Folder of what nodes run.
    """

    def __init__(self, context: DriverContext, settings: SlurmSettings) -> None:
        """Take how it is reached; nothing is opened yet."""
        assert settings.place is not None  # noqa: S101 - a site without one has no login node
        where = f"site {context.site}"
        hop = settings.place.jump
        self._jump = Line(hop, None, CONCURRENCY, where) if hop is not None else None
        self._line = Line(settings.place, self._jump, CONCURRENCY, where)
        root = str(settings.shared_dir)
        config: dict[str, object] = {
            "agent": "login",
            "root": root,
            "hub": context.hub,
            "site": context.site,
            "node": NODE,
            "commands": settings.commands,
            "variables": variables(settings.conf),
        }
        own = own_code()
        self.place = f"{root}/sites/{context.hub}/{context.site}/{NODE}"
        self.code = f"{root}/lib/{library(own)[0]}"
        self.user = settings.place.user or getpass.getuser()
        self.remote = Remote(
            NODE,
            self._line,
            config,
            context.wake,
            python=settings.python,
            concurrency=CONCURRENCY,
            files=own,
        )

    async def close(self) -> None:
        """Hang up."""
        await self.remote.close()
        await self._line.close()
        if self._jump is not None:
            await self._jump.close()


class FarCommands:
    """Commands on the login node, run there by the agent."""

    def __init__(self, login: Login) -> None:
        """Take the login node."""
        self.user = login.user
        self._remote = login.remote

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
        del hold
        within_s = min(deadline_s, LONGEST_COMMAND_S)
        head, data = await self._remote.ask(
            "run", given, command=list(command), deadline_s=within_s, lock=lock
        )
        size = int(head["size"])
        out, error = data[:size], data[size:]
        return Answer(
            int(head["status"]), out.decode("utf-8", "replace"), error.decode("utf-8", "replace")
        )

    async def settle(self, lock: str) -> None:
        """Wait until no command there holds the lock any more."""
        await self._remote.ask("settle", lock=lock)


class There:
    """The folders on the cluster, and their picture; a `Ground`.

    Attributes:
        lives: How often the folders on the cluster were lost.
    """

    def __init__(self, login: Login, shared: Shared, wake: Callable[[], None]) -> None:
        """Take the login node, the picture's folders, and whom to tell of news."""
        self.lives = 0
        self._login = login
        self._remote = login.remote
        self._shared = shared
        self._digests = Digests()
        self._uploads = Uploads()
        self._picture = Picture(shared)
        self._homing = Homing(login.remote, self._picture, wake)
        self._busy: frozenset[str] = frozenset()
        self._more = False

    async def generation(self) -> str:
        """Return the id of the folders' life."""
        answer, _ = await self._remote.ask("memory")
        return str(answer["memory"])

    def kept(self, order: StartOrder) -> StartOrder:
        """Return it without its secrets, which go to the cluster alone."""
        return replace(order, secrets=())

    async def inputs(self, order: StartOrder) -> tuple[StagedInput, ...]:
        """Return an order's inputs as nodes will find them: every file by its content."""
        contents = await asyncio.to_thread(self._digests.contents, order.inputs)
        folder = f"{self._login.place}/attempts/{order.key}/inputs"
        return tuple(
            # What is not there is missed, and told, by the task that needs it.
            replace(
                order.inputs[0],
                target=one.target,
                source=f"{folder}/{one.digest or 'missing'}",
                executable=one.executable,
            )
            for one in contents
        )

    def outputs(self, key: str) -> str:
        """Return where nodes leave an attempt's artifacts."""
        return f"{self._login.place}/artifacts/{key}"

    async def bring(self, order: StartOrder) -> None:
        """Send the inputs, then the order."""
        await self._remote.ready()
        contents = await asyncio.to_thread(self._digests.contents, order.inputs)
        await self._uploads.bring(self._remote, contents)
        path = self._shared.attempts.active / order.key / ORDER
        data = await asyncio.to_thread(path.read_bytes)
        # `encode` closes the file anew.
        data = data.removesuffix(b"end\n") + encode(secret_lines(order))
        digests = sorted({one.digest for one in contents if one.digest})
        await self._remote.ask(
            "start", data, key=order.key, epoch=order.epoch, inputs=digests, go=False
        )

    async def code(self) -> tuple[str, str]:
        """Return where nodes find what they run, and the folder of attempts."""
        return self._login.code, f"{self._login.place}/attempts"

    async def bind(self, path: Path, array: int) -> bool:
        """Bind an attempt to an array, on the cluster and then here."""
        answer, _ = await self._remote.ask("bind", key=path.name, array=array, by=BOUND_BY)
        await asyncio.to_thread(self._picture.claim, path.name, str(answer["claim"]))
        claim = await asyncio.to_thread(claims.read, str(path))
        return claim is not None and claim.pid == array

    async def stop(self, key: str, grace_ms: int) -> None:
        """Leave a stop on the cluster; learn who has the attempt."""
        answer, _ = await self._remote.ask("stop", key=key, grace_ms=grace_ms)
        await asyncio.to_thread(self._picture.claim, key, str(answer["claim"]))

    async def stop_tasks(self, key: str, tasks: Collection[int], grace_ms: int) -> None:
        """Leave word of unwanted tasks on the cluster."""
        await self._remote.ask("unwanted", key=key, tasks=list(tasks), grace_ms=grace_ms)

    async def pull(self, keys: Collection[str]) -> bool:
        """Take in what elements have written since the last time."""
        for key in await asyncio.to_thread(self._picture.lacking, keys):
            answer, order = await self._remote.ask("order", key=key)
            await asyncio.to_thread(self._picture.adopt, key, order)
        busy: set[str] = set()
        for _ in range(PULLS):
            asked = await asyncio.to_thread(self._picture.wanted, keys)
            answer, data = await self._remote.ask("news", keys=asked)
            if await asyncio.to_thread(self._picture.renew, str(answer["memory"])):
                # The cluster has forgotten: so must we.
                self.lives += 1
                continue
            busy.update(map(str, answer["busy"]))
            pieces = await asyncio.to_thread(self._picture.take, answer["found"], data)
            ready = self._homing.keep_back(pieces)
            await asyncio.to_thread(self._picture.write_all, ready)
            self._more = bool(answer["more"])
            if not self._more:
                break
        self._busy = frozenset(busy)
        self._homing.go_on()
        return True

    def is_late(self, key: str) -> bool:
        """Return whether something of an attempt is still on its way."""
        return self._more or self._homing.is_waiting(key)

    def is_busy(self, key: str) -> bool:
        """Return whether an sbatch of the key was on its way when it was last asked."""
        return key in self._busy

    async def proof(self, key: str, elements: Collection[int]) -> None:
        """Take in when some elements were last seen to write anything."""
        answer, _ = await self._remote.ask("proof", key=key, elements=sorted(elements))
        await asyncio.to_thread(self._picture.prove, key, answer["times"])

    async def read(
        self, key: str, names: Sequence[str], offset: int, limit: int
    ) -> tuple[bytes, int] | None:
        """Return a piece and the size of the first of some files that is there."""
        answer, data = await self._remote.ask(
            "output", key=key, names=list(names), offset=offset, limit=limit
        )
        return (data, int(answer["size"])) if answer["there"] else None

    async def keys(self) -> frozenset[str]:
        """Return the attempts that are not forgotten."""
        answer, _ = await self._remote.ask("keys")
        return frozenset(map(str, answer["keys"]))

    async def forget(self, key: str) -> None:
        """Drop an ended attempt there, but for its output."""
        await self._remote.ask("forget", key=key)
        self._picture.forget(key)
        self._homing.forget(key)

    async def close(self) -> None:
        """Hang up. What runs goes on."""
        await self._uploads.close()
        await self._homing.close()
        await self._login.close()
