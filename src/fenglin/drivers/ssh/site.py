"""A group of hosts as the engine sees it."""

from __future__ import annotations

import asyncio
import hashlib
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import msgspec
import structlog
from msgspec.structs import replace

from fenglin.drivers.ssh.artifacts import Artifacts
from fenglin.drivers.ssh.cards import cards_variable
from fenglin.drivers.ssh.inventory import NodeFacts, judge, run_images
from fenglin.drivers.ssh.observer import Observer
from fenglin.drivers.ssh.parts import Note, Notes, Part, divide, part_lines
from fenglin.drivers.ssh.rounds import Rounds
from fenglin.drivers.ssh.usage import read_log, usage_of
from fenglin.errors import DriverError, InputError
from fenglin.ports.driver import Capability, LogChunk, SiteReport
from fenglin.remote.agent import Remote
from fenglin.remote.contents import Content, Digests
from fenglin.remote.inputs import Uploads
from fenglin.remote.line import Line
from fenglin.runner.containers import NONE, container_lines
from fenglin.runner.host.order import encode
from fenglin.runner.orders import order_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
    from typing import Any

    from fenglin.drivers.ssh.settings import SshSettings
    from fenglin.model.allocation import Usage
    from fenglin.model.site import Node
    from fenglin.ports.driver import DriverContext, Observation, StartOrder
    from fenglin.quantities.taskset import TaskSet
    from fenglin.remote.place import Place

T = TypeVar("T")
# The watcher waits for the inventory before it looks: a host that hangs must not stop it.
INVENTORY_PATIENCE_S = 3.0
INVENTORY_DEADLINE_S = 12.0
FRESH_MS = 30_000
FACTS_FILE = "nodes.json"

_log = structlog.get_logger("fenglin.ssh")


class SshDriver:
    """A site that is a group of hosts. See the package for what stands where."""

    kind = "ssh"
    capabilities = frozenset(
        {
            Capability.ARRAYS,
            Capability.GANGS,
            Capability.IMAGES,
            Capability.SETUP,
            Capability.SECRETS,
            Capability.INPUTS,
            Capability.ARTIFACTS,
            Capability.FOLLOW,
            Capability.FENCE,
            Capability.MEMORY_LIMIT,
            Capability.METERS,
            Capability.STOP_TASKS,
        }
    )

    def __init__(self, context: DriverContext, settings: SshSettings) -> None:
        """Make the hub's own folders; no host is asked yet.

        Raises:
            InputError: the site's folder cannot be used.
        """
        self._context = context
        self._settings = settings
        self._where = f"site {context.site}"
        if settings.containers.runtime == NONE:
            self.capabilities = self.capabilities - {Capability.IMAGES}
        try:
            self._notes = Notes(context.directory)
        except OSError as error:
            raise InputError(
                f"cannot use {error.filename or context.directory}: {error.strerror}",
                where=self._where,
                hint="the hub's user must be able to write its data directory",
            ) from error
        self._lines: dict[Place, Line] = {}
        self._remotes = {node.name: self._remote(node) for node in settings.nodes}
        self._digests = Digests()
        self._uploads = Uploads()
        self._artifacts = Artifacts(self._remotes, context.wake)
        self._observer = Observer(self._remotes, self._notes, self._artifacts)
        self._facts: dict[str, NodeFacts] = {}
        self._rounds: Rounds[NodeFacts] = Rounds(INVENTORY_PATIENCE_S, keep_late=True)
        # (key, node) whose start was sent: whether it took effect may be unknown from then on.
        self._sent: set[tuple[str, str]] = set()

    async def inventory(self) -> SiteReport:
        """Return which hosts can be used; what each is goes into `nodes.json`.

        Raises:
            DriverError: none can; says why the first cannot.
        """
        nodes = self._settings.nodes
        told = await self._rounds.ask({node.name: partial(self._look_at, node) for node in nodes})
        facts = [told.get(node.name) or self._not_told(node) for node in nodes]
        for old, new in ((self._facts.get(one.node), one) for one in facts):
            if old is None or (old.problem, old.remarks) != (new.problem, new.remarks):
                say = _log.warning if new.problem or new.remarks else _log.info
                say("ssh_host", site=self._context.site, **_brief(new))
        self._facts = {one.node: one for one in facts}
        await asyncio.to_thread(self._write_facts)
        bad = [one for one in facts if one.problem]
        if len(bad) == len(facts):
            more = f" (and {len(bad) - 1} more hosts)" if len(bad) > 1 else ""
            raise DriverError(f"{bad[0].node}: {bad[0].problem}{more}", where=self._where)
        up = {one.node for one in facts if not one.problem}
        can = self.capabilities
        if not run_images(facts, self._settings.containers.runtime):
            can = can - {Capability.IMAGES}
        return SiteReport(
            self._settings.flavors,
            tuple(replace(node, up=node.name in up) for node in nodes),
            self._settings.licences,
            # A host that does not answer has not forgotten: what it said last stands.
            generation=hashlib.sha256("".join(one.memory for one in facts).encode()).hexdigest(),
            capabilities=can,
        )

    async def start(self, order: StartOrder) -> None:
        """Make the attempt exist, at most once per key.

        Over several nodes all get their order before any runs it. Inputs go ahead of it.

        Raises:
            DriverError: refused, or unclear once a host had been told.
        """
        if order.image and Capability.IMAGES not in self.capabilities:
            raise DriverError("containers are switched off for this site", where=self._where)
        note = await self._own(self._noted, order)
        if note is None:
            return
        contents = await self._own(self._digests.contents, order.inputs)
        several = len(note.parts) > 1
        calls = [self._start_part(order, note, p, contents, go=not several) for p in note.parts]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        failures = [one for one in outcomes if isinstance(one, BaseException)]
        if failures:
            reached = [p.node for p, one in zip(note.parts, outcomes, strict=True) if one is None]
            raise await self._taken_back(note, failures, reached)
        if several:
            try:
                await self._every(note, lambda remote: remote.ask("go", key=note.key))
            except DriverError as error:
                # Some may run: those that do not are told again when they are next seen.
                raise _unclear(error) from error

    async def observe(self, cursors: Mapping[str, str]) -> Sequence[Observation]:
        """Return one observation per key, since that key's cursor; one call per host."""
        found = await self._observer.observe(cursors)
        if self._observer.unread:
            self._context.wake()
        return found

    async def stop(self, key: str, grace_ms: int) -> None:
        """Ask the attempt to end on all its hosts; one that never started never will.

        Raises:
            DriverError: a host could not be told; those that could have been.
        """
        note = await self._own(self._notes.find, key)
        if note is None:
            # No host was ever told, unless our folder was lost: those that are there are asked.
            await self._own(self._notes.write, Note(key))
            calls = (r.ask("stop", key=key, grace_ms=grace_ms) for r in self._remotes.values())
            answers = await asyncio.gather(*calls, return_exceptions=True)
            if all(isinstance(answer, DriverError) for answer in answers):
                raise DriverError("no host answers", where=self._where)
            return
        await self._every(note, lambda remote: remote.ask("stop", key=key, grace_ms=grace_ms))

    async def stop_tasks(self, key: str, tasks: TaskSet, grace_ms: int) -> None:
        """End some tasks on whichever hosts have them; those that wait never begin.

        Raises:
            DriverError: a host could not be told; those that could have been.
        """
        note = await self._own(self._notes.find, key)
        if note is not None:
            named = list(tasks)
            await self._every(
                note,
                lambda remote: remote.ask("unwanted", key=key, tasks=named, grace_ms=grace_ms),
            )

    async def usage(self, key: str) -> Usage:
        """Return the total of the ends in the journals of all hosts.

        Raises:
            DriverError: there is no record of the key, or a host does not answer.
        """
        note = await self._found(key)
        answers = await self._every(note, lambda remote: remote.ask("journal", key=key))
        journals = {
            part.node: data
            for part, (head, data) in zip(note.parts, answers, strict=True)
            if head.get("there")
        }
        if not journals:
            raise DriverError(f"no record of attempt {key}", where=self._where)
        return usage_of(note, journals)

    async def read_log(self, key: str, task: int, offset: int, limit: int) -> LogChunk:
        """Return up to `limit` bytes (at most 1 MiB) of a task's output.

        A gang's is that of its ranks one after another.

        Raises:
            DriverError: the host does not answer.
        """
        note = await self._own(self._notes.find, key)
        note = note or await self._observer.recovered(key)
        if note is None:
            return LogChunk(b"", offset, complete=False)
        return await read_log(note, self._remotes, task, offset, limit)

    async def keys(self) -> frozenset[str]:
        """Return all keys that are not forgotten, of all hosts.

        Raises:
            DriverError: a host does not answer, so the listing is not complete.
        """
        stopped = await self._own(self._notes.stopped)
        answers = await _all(remote.ask("keys") for remote in self._remotes.values())
        held = {str(key) for head, _ in answers for key in head["keys"]}
        return frozenset(held | set(stopped))

    async def forget(self, key: str) -> None:
        """Drop an ended attempt's leftovers except its output and its journal.

        Raises:
            DriverError: it still runs, or a host does not answer.
        """
        note = await self._own(self._notes.find, key)
        if note is None:
            calls = (remote.ask("forget", key=key) for remote in self._remotes.values())
            await _all(calls)
            return
        await self._every(note, lambda remote: remote.ask("forget", key=key))
        await self._own(self._notes.forget, key)
        self._artifacts.forget(key)
        self._sent -= {(key, node) for node in self._remotes}

    async def close(self) -> None:
        """Hang up. Runners go on."""
        await self._rounds.close()
        await self._observer.close()
        await self._uploads.close()
        await self._artifacts.close()
        await asyncio.gather(*(remote.close() for remote in self._remotes.values()))
        # Those behind a jump host first, then the way to them.
        for line in reversed(list(self._lines.values())):
            await line.close()

    # --- hosts ------------------------------------------------------------------------------

    def _line(self, place: Place) -> Line:
        """Return the one connection of a host; a jump host's is shared too."""
        if place not in self._lines:
            jump = self._line(place.jump) if place.jump is not None else None
            self._lines[place] = Line(place, jump, self._settings.concurrency, self._where)
        return self._lines[place]

    def _remote(self, node: Node) -> Remote:
        settings, context = self._settings, self._context
        config: dict[str, object] = {
            "root": settings.root,
            "hub": context.hub,
            "site": context.site,
            "node": node.name,
            "pass_env": settings.pass_env,
            "cache_bytes": settings.cache_bytes,
        }
        line = self._line(settings.places[node.name])
        return Remote(
            node.name,
            line,
            config,
            context.wake,
            python=settings.python,
            concurrency=settings.concurrency,
        )

    async def _look_at(self, node: Node) -> NodeFacts:
        place = str(self._settings.places[node.name])
        try:
            async with asyncio.timeout(INVENTORY_DEADLINE_S):
                told, _ = await self._remotes[node.name].ask("machine")
            flavor = next(f for f in self._settings.flavors if f.name == node.flavor)
            return judge(node.name, place, flavor, told, self._context.now_ms())
        except TimeoutError:
            problem = "no answer in time"
        except DriverError as error:
            problem = f"{error.what} ({error.hint})" if error.hint else error.what
        except (KeyError, TypeError, ValueError) as error:
            problem = f"it told something else than was asked: {error}"
        old = self._facts.get(node.name)
        memory = old.memory if old is not None else ""
        now_ms = self._context.now_ms()
        return NodeFacts(node.name, place, problem, memory=memory, seen_ms=now_ms)

    def _not_told(self, node: Node) -> NodeFacts:
        """Return what holds of a host that takes its time: what it told last, if that is fresh."""
        old = self._facts.get(node.name)
        now_ms = self._context.now_ms()
        if old is not None and now_ms - old.seen_ms < FRESH_MS:
            return old
        memory = old.memory if old is not None else ""
        place = str(self._settings.places[node.name])
        return NodeFacts(node.name, place, "no answer in time", memory=memory, seen_ms=now_ms)

    def _write_facts(self) -> None:
        """Leave the facts for people (in a worker thread); a full disk is no reason to fail."""
        path = self._context.directory / FACTS_FILE
        try:
            data = msgspec.json.encode(list(self._facts.values()))
            path.write_bytes(msgspec.json.format(data, indent=2) + b"\n")
        except OSError as error:
            _log.warning("ssh_facts", error=str(error))

    # --- starting ---------------------------------------------------------------------------

    def _noted(self, order: StartOrder) -> Note | None:
        """Write down where an attempt goes (in a worker thread); None when it must not run."""
        note = self._notes.find(order.key)
        if note is None:
            note = divide(order, self._where)
            strange = [part.node for part in note.parts if part.node not in self._remotes]
            if strange:
                raise DriverError(f"there is no node {strange[0]!r}", where=self._where)
            self._notes.write(note)
        return note if note.parts and not self._notes.is_kept(order.key) else None

    async def _start_part(
        self, order: StartOrder, note: Note, part: Part, contents: list[Content], *, go: bool
    ) -> None:
        remote = self._remotes[part.node]
        try:
            await remote.ready()
            await self._uploads.bring(remote, contents)
        except DriverError as error:
            # An earlier start of the key may have been carried out all the same.
            unknown = (order.key, part.node) in self._sent
            raise DriverError(
                error.what, where=error.where, hint=error.hint, effect_unknown=unknown
            ) from error
        data = self._order(order, note, part, contents)
        digests = sorted({one.digest for one in contents if one.digest})
        self._sent.add((order.key, part.node))
        await remote.ask("start", data, key=order.key, epoch=order.epoch, inputs=digests, go=go)

    def _order(self, order: StartOrder, note: Note, part: Part, contents: list[Content]) -> bytes:
        """Return the order file of one part.

        Raises:
            DriverError: the job holds text that cannot be written.
        """
        place = self._remotes[part.node].place
        own = replace(
            order,
            tasks=part.tasks,
            shares=(part.share,),
            nodes=1,
            inputs=(),
            artifacts_dir=f"{place}/artifacts/{order.key}",
        )
        flavor = next((f for f in self._settings.flavors if f.name == order.flavor), None)
        nodes = [p.node for p in note.parts] if note.gang else []
        addresses = {node: self._settings.places[node].address for node in nodes}
        lines = [
            *order_lines(own, self._settings.log_cap_bytes, self._settings.nice),
            # One folder for all nodes of a host: it is made once there.
            *container_lines(self._settings.containers, f"{place.rsplit('/sites/', 1)[0]}/envs"),
            ("isolation", self._settings.isolation),
            *part_lines(note, addresses),
            ("cards_variable", cards_variable(flavor.accelerator) if flavor else ""),
            *(("rank", f"{i} {rank} {','.join(gang)}") for i, rank, gang in part.ranks),
        ]
        for one in contents:
            # What is not there fails each task that needs it, with its name in the output.
            name = one.digest or "not-on-the-hub"
            source = f"{place}/attempts/{order.key}/inputs/{name}"
            flag = "x" if one.executable else "-"
            lines.append(("input", f"{flag} {len(one.target)} {one.target}{source}"))
        try:
            return encode(lines)
        except UnicodeEncodeError as error:
            raise DriverError(
                "the job holds text that is no valid Unicode", where=self._where
            ) from error

    async def _taken_back(
        self, note: Note, failures: Sequence[BaseException], reached: Sequence[str]
    ) -> BaseException:
        """Undo what some hosts were told when others could not be; return what to raise."""
        first = failures[0]
        unclear = [e for e in failures if not isinstance(e, DriverError) or e.effect_unknown]
        if unclear or not isinstance(first, DriverError):
            return _unclear(first) if isinstance(first, DriverError) else first
        try:
            # None of them has run anything: a stop now means that none ever will.
            await _all(
                self._remotes[node].ask("stop", key=note.key, grace_ms=0) for node in reached
            )
        except DriverError:
            return _unclear(first)
        return first

    # --- small things -----------------------------------------------------------------------

    async def _every(self, note: Note, call: Callable[[Remote], Coroutine[Any, Any, T]]) -> list[T]:
        """Ask all nodes of an attempt; a node that is no longer configured cannot answer."""
        gone = [part.node for part in note.parts if part.node not in self._remotes]
        if gone:
            raise DriverError(
                f"node {gone[0]} of attempt {note.key} is no longer configured",
                where=self._where,
                hint="put its host back until the attempt has ended",
            )
        return await _all(call(self._remotes[part.node]) for part in note.parts)

    async def _found(self, key: str) -> Note:
        note = await self._own(self._notes.find, key)
        note = note or await self._observer.recovered(key)
        if note is None or not note.parts:
            raise DriverError(f"no record of attempt {key}", where=self._where)
        return note

    async def _own(self, work: Callable[..., T], *arguments: object) -> T:
        """Do something on the hub's own disk, off the loop's thread.

        Raises:
            DriverError: the disk refuses; nothing has left this machine.
        """
        try:
            return await asyncio.to_thread(work, *arguments)
        except OSError as error:
            raise DriverError(
                f"cannot use {error.filename}: {error.strerror}",
                where=self._where,
                hint="is the disk of the hub's data directory mounted, well and not full?",
            ) from error


async def _all(calls: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Make all calls to their ends, then raise the first failure if there is one."""
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    good = [one for one in outcomes if not isinstance(one, BaseException)]
    for one in outcomes:
        if isinstance(one, BaseException):
            raise one
    return good


def _unclear(error: DriverError) -> DriverError:
    return DriverError(error.what, where=error.where, hint=error.hint, effect_unknown=True)


def _brief(facts: NodeFacts) -> dict[str, object]:
    """Return what the log tells of a host."""
    return {
        "node": facts.node,
        "host": facts.host,
        "problem": facts.problem,
        "remarks": list(facts.remarks),
        "cards": len(facts.cards),
    }
