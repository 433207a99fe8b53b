"""Settings of a `[site.NAME]` block with `driver = "ssh"`, checked."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from msgspec import Struct

from fenglin.errors import FenglinError, InputError
from fenglin.model.site import Flavor, Node
from fenglin.ports.driver import LOG_CAP_BYTES
from fenglin.quantities.sizes import parse_bytes
from fenglin.remote.place import Place, Way, checked_place
from fenglin.runner.containers import ContainerSettings, read_containers, read_isolation
from fenglin.runner.host.container import AUTO
from fenglin.runner.host.isolation import NONE as NO_ISOLATION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

T = TypeVar("T", bound=Struct)
MOST_NICE = 19
MOST_CALLS = 256
CACHE_BYTES = 20 * 2**30
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)


class _Way(Way, frozen=True, forbid_unknown_fields=True):
    jump: str = ""


class _HostBlock(_Way, frozen=True, forbid_unknown_fields=True):
    flavor: str = ""
    count: int = 1


class _Block(Struct, frozen=True, forbid_unknown_fields=True):
    flavors: tuple[Flavor, ...]
    nodes: tuple[Node, ...]
    licences: tuple[tuple[str, int], ...] = ()
    hosts: list[dict[str, Any]] = []
    jumps: dict[str, dict[str, Any]] = {}
    user: str = ""
    key_file: str = ""
    known_hosts: str = "~/.ssh/known_hosts"
    root: str = "~/.fenglin"
    python: str = "python3"
    concurrency: int = 8
    log_cap: str | int = LOG_CAP_BYTES
    nice: int = 0
    pass_env: list[str] = []
    cache: str | int = CACHE_BYTES
    containers: str = AUTO
    container_options: list[str] = []
    isolation: str = NO_ISOLATION


class SshSettings(Struct, frozen=True):
    """What the SSH driver can be told.

    Attributes:
        flavors: Of the site.
        nodes: Their nodes.
        licences: (name, count), sorted.
        places: Node → how its host is reached; nodes of one host share a `Place`.
        root: Folder on each host, `~` for the user's home there.
        python: Its interpreter, 3.9 or later.
        concurrency: Most calls, and most files on their way, per host at once.
        log_cap_bytes: Most output kept per task, whatever a job asks for.
        nice: Added to the niceness of tasks.
        pass_env: Variables of the session on the host that tasks see besides the usual few.
        cache_bytes: Most kept per host of input files that no attempt uses (`cache`).
        containers: How images are run (`containers`, `container_options`).
        isolation: What keeps tasks together: `none`, `cgroup`, `systemd` or `auto`.
    """

    flavors: tuple[Flavor, ...]
    nodes: tuple[Node, ...]
    licences: tuple[tuple[str, int], ...]
    places: dict[str, Place]
    root: str
    python: str
    concurrency: int
    log_cap_bytes: int
    nice: int
    pass_env: tuple[str, ...]
    cache_bytes: int
    containers: ContainerSettings
    isolation: str


def read_settings(settings: Mapping[str, object], where: str) -> SshSettings:
    """Check every setting.

    Raises:
        InputError: a setting is unknown or wrong.
    """
    block = _convert(settings, _Block, where)
    if not block.hosts:
        raise InputError(
            "an ssh site needs hosts",
            where=f"{where}.settings.hosts",
            hint=f"give at least one [[{where}.settings.hosts]] with an address",
        )
    _in_range("nice", block.nice, 0, MOST_NICE, where)
    _in_range("concurrency", block.concurrency, 1, MOST_CALLS, where)
    for name in block.pass_env:
        if not _VARIABLE.fullmatch(name) or name.startswith("FENGLIN_"):
            raise InputError(f"{name[:80]!r} cannot be passed on", where=f"{where}.pass_env")
    for name in ("root", "python"):
        text = getattr(block, name)
        if not text or not text.isprintable() or text.startswith("-"):
            raise InputError(f"{name} is not a path", where=f"{where}.settings.{name}")
    return SshSettings(
        flavors=block.flavors,
        nodes=block.nodes,
        licences=block.licences,
        places=_Places(block, where).by_node(),
        root=block.root,
        python=block.python,
        concurrency=block.concurrency,
        log_cap_bytes=_size(block.log_cap, f"{where}.log_cap"),
        nice=block.nice,
        pass_env=tuple(block.pass_env),
        cache_bytes=_size(block.cache, f"{where}.cache"),
        containers=read_containers(block.containers, block.container_options, where),
        isolation=read_isolation(block.isolation, where),
    )


def _size(value: str | int, where: str) -> int:
    try:
        return parse_bytes(value)
    except FenglinError as error:
        raise InputError(error.what, where=where, hint=error.hint) from error


class _Places:
    """Turns host blocks into places, node by node."""

    def __init__(self, block: _Block, where: str) -> None:
        self._block = block
        self._where = f"{where}.settings"

    def by_node(self) -> dict[str, Place]:
        """Give each flavor's nodes, in order, the hosts that name the flavor.

        Raises:
            InputError: hosts and nodes do not match.
        """
        names = [flavor.name for flavor in self._block.flavors]
        wanted: dict[str, list[Place]] = {name: [] for name in names}
        for at, raw in enumerate(self._block.hosts):
            where = f"{self._where}.hosts[{at}]"
            host = _convert(raw, _HostBlock, where)
            flavor = host.flavor or (names[0] if len(names) == 1 else "")
            if flavor not in wanted:
                raise InputError(
                    f"there is no flavor {flavor!r}" if flavor else "this host names no flavor",
                    where=f"{where}.flavor",
                    hint=f"one of {', '.join(names)}",
                )
            _in_range("count", host.count, 1, 10_000, where)
            wanted[flavor] += [self._place(host, where, ())] * host.count
        places: dict[str, Place] = {}
        for name, hosts in wanted.items():
            nodes = [node.name for node in self._block.nodes if node.flavor == name]
            if len(nodes) != len(hosts):
                raise InputError(
                    f"flavor {name} has {len(nodes)} nodes and {len(hosts)} hosts",
                    where=f"{self._where}.hosts",
                    hint=f"write nodes = {len(hosts)} in the flavor, or name more hosts",
                )
            places.update(zip(nodes, hosts, strict=True))
        return places

    def _place(self, way: _Way, where: str, behind: tuple[str, ...]) -> Place:
        return checked_place(
            msgspec.structs.replace(
                way,
                user=way.user or self._block.user,
                key_file=way.key_file or self._block.key_file,
            ),
            where,
            self._block.known_hosts,
            self._jump(way.jump, where, behind) if way.jump else None,
        )

    def _jump(self, name: str, where: str, behind: tuple[str, ...]) -> Place:
        if name not in self._block.jumps:
            raise InputError(
                f"there is no jump host {name[:80]!r}",
                where=f"{where}.jump",
                hint=f"add a [{self._where}.jumps.NAME] block with an address",
            )
        if name in behind:
            raise InputError(f"jump host {name!r} leads to itself", where=f"{where}.jump")
        there = f"{self._where}.jumps.{name}"
        return self._place(_convert(self._block.jumps[name], _Way, there), there, (*behind, name))


def _convert(raw: Mapping[str, object], kind: type[T], where: str) -> T:
    """Read a block; an error says which keys there are."""
    try:
        return msgspec.convert(dict(raw), kind)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$")
        keys = [field.name for field in msgspec.structs.fields(kind)]
        shown: Sequence[str] = [k for k in keys if k not in ("flavors", "nodes", "licences")]
        raise InputError(
            what, where=f"{where}{path.rstrip('`')}", hint=f"known here: {', '.join(shown)}"
        ) from error


def _in_range(name: str, value: int, least: int, most: int, where: str) -> None:
    if not least <= value <= most:
        raise InputError(
            f"{name} is out of range", where=f"{where}.{name}", hint=f"{least} to {most}"
        )
