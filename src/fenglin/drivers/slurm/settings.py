"""Settings of a `[site.NAME]` block with `driver = "slurm"`, checked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from msgspec import Struct

from fenglin.drivers.slurm.wishes import PerJob
from fenglin.errors import FenglinError, InputError
from fenglin.model.site import Flavor, Node
from fenglin.ports.driver import LOG_CAP_BYTES
from fenglin.quantities.durations import parse_duration_ms
from fenglin.quantities.sizes import parse_bytes
from fenglin.remote.place import Place, Way, checked_place
from fenglin.runner.containers import NONE, ContainerSettings, read_containers

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")
# Slurm expands `%` in paths and reads `\` as an escape; blanks end words in its own files.
_PATH = re.compile(r"/[A-Za-z0-9._/+@=-]*", re.ASCII)
_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._:,+@/&|*()\[\]-]{0,199}", re.ASCII)
_OPTION = re.compile(r"--[a-z][a-z0-9-]*(=[^\x00-\x1f]*)?", re.ASCII)
_URL = re.compile(
    r"https?://[A-Za-z0-9.:\[\]-]+[A-Za-z0-9./_-]*|unix:///[A-Za-z0-9._/+@=-]+", re.ASCII
)
# Of the options that people may set these can be said to slurmrestd.
REST_OPTIONS = frozenset({"exclude", "licenses"})
# What the driver itself says to sbatch; another word on it would break what the hub relies on.
OWN_OPTIONS = frozenset(
    {
        "array", "chdir", "clusters", "comment", "dependency", "error", "export", "export-file",
        "get-user-env", "help", "input", "job-name", "mem", "nodes", "ntasks", "open-mode",
        "output", "parsable", "quiet", "requeue", "no-requeue", "signal", "test-only", "time",
        "uid", "usage", "wait", "wrap", "cpus-per-task", "partition", "account", "qos",
        "reservation", "constraint",
    }
)  # fmt: skip


class Partition(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the orders of one flavor go.

    Attributes:
        name: Partition; empty for one called like the flavor.
        qos: Instead of the site's.
        constraint: Node features that are asked for; only nodes with all of `A&B` count.
        gres: Type of the cards as the cluster spells it; empty to look it up by the registry.
        account, reservation: Instead of the site's.
        options: Further options of `sbatch`, after the site's.
    """

    name: str = ""
    qos: str = ""
    constraint: str = ""
    gres: str = ""
    account: str = ""
    reservation: str = ""
    options: tuple[str, ...] = ()


class _Ssh(Way, frozen=True, forbid_unknown_fields=True):
    known_hosts: str = "~/.ssh/known_hosts"
    jump: Way | None = None


class Rest(Struct, frozen=True, forbid_unknown_fields=True):
    """A slurmrestd.

    Attributes:
        url: `http://…`, `https://…`, or `unix:///…` for a socket of this machine.
        user: In whose name; for a token.
        token_file: File with a token, read for each call; empty where a socket knows who asks.
        array_size: The cluster's MaxArraySize.
    """

    url: str
    user: str = ""
    token_file: str = ""
    array_size: int = 1_001


class _Block(Struct, frozen=True, forbid_unknown_fields=True):
    shared_dir: str
    partition: dict[str, str | Partition] = {}
    account: str = ""
    qos: str = ""
    reservation: str = ""
    options: tuple[str, ...] = ()
    accounts: dict[str, str] = {}
    per_job: PerJob = PerJob()
    conf: str = ""
    commands: str = ""
    ssh: _Ssh | None = None
    rest: Rest | None = None
    python: str = "python3"
    pack: int = 1
    time_limit: str | int | float = 0
    poll: str | int | float = "5s"
    lost_after: str | int | float = "60s"
    log_cap: str | int = LOG_CAP_BYTES
    containers: str = NONE
    container_options: tuple[str, ...] = ()


class SlurmSettings(Struct, frozen=True):
    """What the Slurm driver can be told.

    Attributes:
        flavors, nodes, licences: As declared.
        shared_dir: Folder that hub and nodes see under the same path.
        partitions: Flavor → where its orders go.
        account, qos, reservation: For `sbatch`; empty for Slurm's own default.
        options: Further options of `sbatch`.
        accounts: Account of the hub → Slurm account of its jobs, before any other.
        per_job: What a job may choose itself.
        conf: Value of SLURM_CONF; empty for the default.
        commands: Folder of Slurm's commands; empty for PATH.
        rest: slurmrestd, instead of commands.
        place: Login node on which commands and `shared_dir` are; None for the hub's machine.
        python: Python of the nodes, 3.9 or later.
        pack: Least number of tasks that one array element runs.
        time_limit_ms: Limit of an element whose job has none; 0 for the partition's.
        poll_ms: Least time between two listings.
        lost_after_ms: How long an element that Slurm no longer lists may keep silent, while
            its last words travel through the shared file system.
        log_cap_bytes: Most output kept per task, whatever a job asks for.
        containers: How nodes run images (`containers`, `container_options`); they cannot be asked.
    """

    flavors: tuple[Flavor, ...]
    nodes: tuple[Node, ...]
    licences: tuple[tuple[str, int], ...]
    shared_dir: Path
    partitions: dict[str, Partition]
    account: str = ""
    qos: str = ""
    reservation: str = ""
    options: tuple[str, ...] = ()
    accounts: dict[str, str] = {}
    per_job: PerJob = PerJob()
    conf: str = ""
    commands: str = ""
    rest: Rest | None = None
    place: Place | None = None
    python: str = "python3"
    pack: int = 1
    time_limit_ms: int = 0
    poll_ms: int = 5_000
    lost_after_ms: int = 60_000
    log_cap_bytes: int = LOG_CAP_BYTES
    containers: ContainerSettings = ContainerSettings(NONE)


def read_settings(settings: Mapping[str, object], where: str) -> SlurmSettings:
    """Check every setting.

    Raises:
        InputError: a setting is unknown, missing or wrong.
    """
    given = dict(settings)
    flavors = _tuple_of(Flavor, given.pop("flavors", ()), f"{where}.flavors")
    nodes = _tuple_of(Node, given.pop("nodes", ()), f"{where}.nodes")
    licences = given.pop("licences", ())
    if not isinstance(licences, tuple):
        raise InputError("licences must be a tuple of (name, count)", where=f"{where}.licences")
    block = _block(given, where)
    _check_words(block, where)
    for option in block.options:
        _check_option(option, where)
    if block.pack < 1:
        raise InputError("pack is out of range", where=f"{where}.pack", hint="1 or more")
    return SlurmSettings(
        flavors,
        nodes,
        licences,
        Path(_path(block.shared_dir, f"{where}.shared_dir")),
        _partitions(block, {flavor.name for flavor in flavors}, where),
        account=block.account,
        qos=block.qos,
        reservation=block.reservation,
        options=block.options,
        accounts=block.accounts,
        per_job=block.per_job,
        conf=block.conf and _path(block.conf, f"{where}.conf"),
        commands=block.commands and _path(block.commands, f"{where}.commands").rstrip("/"),
        rest=_rest(block, f"{where}.rest"),
        place=_place(block.ssh, f"{where}.ssh"),
        python=block.python,
        pack=block.pack,
        time_limit_ms=_duration_ms(block.time_limit, f"{where}.time_limit"),
        poll_ms=_duration_ms(block.poll, f"{where}.poll"),
        lost_after_ms=_duration_ms(block.lost_after, f"{where}.lost_after"),
        log_cap_bytes=_bytes(block.log_cap, f"{where}.log_cap"),
        containers=read_containers(block.containers, block.container_options, where),
    )


def _block(given: dict[str, Any], where: str) -> _Block:
    try:
        return msgspec.convert(given, _Block)
    except msgspec.ValidationError as error:
        known = ", ".join(field.name for field in msgspec.structs.fields(_Block))
        raise InputError(
            f"wrong setting of a slurm site: {error}", where=where, hint=f"known: {known}"
        ) from error


def _partitions(block: _Block, flavors: set[str], where: str) -> dict[str, Partition]:
    """Return a partition for each flavor."""
    for name in block.partition:
        if name not in flavors:
            raise InputError(
                f"there is no flavor {name[:80]!r}",
                where=f"{where}.partition",
                hint=f"the site's flavors: {', '.join(sorted(flavors))}",
            )
    found = {}
    for flavor in sorted(flavors):
        value = block.partition.get(flavor, Partition())
        value = Partition(value) if isinstance(value, str) else value
        there = f"{where}.partition.{flavor}"
        names = (value.name, value.qos, value.constraint, value.gres)
        for word in (*names, value.account, value.reservation):
            _word(word, there)
        for option in value.options:
            _check_option(option, there)
        found[flavor] = value if value.name else msgspec.structs.replace(value, name=flavor)
    return found


def _rest(block: _Block, where: str) -> Rest | None:
    rest = block.rest
    if rest is None:
        return None
    if block.ssh is not None:
        raise InputError("either ssh or rest, not both", where=where)
    if not _URL.fullmatch(rest.url):
        raise InputError(
            f"{rest.url[:80]!r} is not where slurmrestd is",
            where=f"{where}.url",
            hint="http://HOST:6820, https://HOST/PATH, or unix:///run/slurmrestd.socket",
        )
    if rest.token_file:
        _path(rest.token_file, f"{where}.token_file")
        if not rest.user:
            raise InputError("a token needs a user", where=f"{where}.user")
        _word(rest.user, f"{where}.user")
    for option in (o for value in (block, *block.partition.values()) for o in _options(value)):
        if option[2:].partition("=")[0] not in REST_OPTIONS:
            raise InputError(
                f"{option[:80]} cannot be said to slurmrestd",
                where=where,
                hint=f"it takes {', '.join(sorted(REST_OPTIONS))}",
            )
    return rest


def _options(value: object) -> tuple[str, ...]:
    return value.options if isinstance(value, _Block | Partition) else ()


def _place(block: _Ssh | None, where: str) -> Place | None:
    if block is None:
        return None
    jump = block.jump
    way = checked_place(jump, f"{where}.jump", block.known_hosts, None) if jump else None
    return checked_place(block, where, block.known_hosts, way)


def _check_words(block: _Block, where: str) -> None:
    for name in ("account", "qos", "reservation"):
        _word(getattr(block, name), f"{where}.{name}")
    for word in block.accounts.values():
        _word(word, f"{where}.accounts", empty=False)
    for word in block.per_job.names():
        _word(word, f"{where}.per_job", empty=False)
    if not block.python or any(c in block.python for c in "\n\0"):
        raise InputError("python is not a program", where=f"{where}.python", hint="python3")


def _word(text: str, where: str, *, empty: bool = True) -> None:
    if (text or not empty) and not _WORD.fullmatch(text):
        raise InputError(f"{text[:80]!r} is not a name that Slurm takes", where=where)


def _check_option(option: str, where: str) -> None:
    name = option[2:].partition("=")[0]
    if not _OPTION.fullmatch(option):
        raise InputError(
            f"{option[:80]!r} is not a long option",
            where=f"{where}.options",
            hint='write for example options = ["--exclude=node7"]',
        )
    if name in OWN_OPTIONS:
        raise InputError(
            f"--{name} is the driver's own",
            where=f"{where}.options",
            hint="partition, account, qos, reservation, constraint and time_limit are settings",
        )


def _path(text: str, where: str) -> str:
    if not _PATH.fullmatch(text):
        raise InputError(
            f"{text[:80]!r} is not a path that can be used",
            where=where,
            hint="an absolute path of letters, digits and . _ / + @ = -",
        )
    return text


def _tuple_of(kind: type[T], value: object, where: str) -> tuple[T, ...]:
    """Return a setting that bootstrap has parsed into records."""
    if not isinstance(value, tuple) or not value or not all(isinstance(v, kind) for v in value):
        raise InputError("a slurm site needs at least one of these", where=where)
    return value


def _duration_ms(value: str | float, where: str) -> int:
    try:
        return parse_duration_ms(value)
    except FenglinError as error:
        raise InputError(error.what, where=where, hint=error.hint) from error


def _bytes(value: str | int, where: str) -> int:
    try:
        return parse_bytes(value)
    except FenglinError as error:
        raise InputError(error.what, where=where, hint=error.hint) from error
