"""Settings of a `[site.NAME]` block with `driver = "local"`, checked."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct

from fenglin.errors import FenglinError, InputError
from fenglin.model.site import Flavor, Node
from fenglin.ports.driver import LOG_CAP_BYTES
from fenglin.quantities.sizes import parse_bytes
from fenglin.runner.containers import ContainerSettings, read_containers, read_isolation
from fenglin.runner.host.container import AUTO
from fenglin.runner.host.isolation import NONE as NO_ISOLATION

if TYPE_CHECKING:
    from collections.abc import Mapping


T = TypeVar("T")
ALLOWED = (
    "container_options",
    "containers",
    "flavors",
    "isolation",
    "licences",
    "log_cap",
    "nice",
    "nodes",
    "pass_env",
)
MOST_NICE = 19


class LocalSettings(Struct, frozen=True):
    """What the local driver can be told.

    Attributes:
        flavors: Shares of this machine.
        nodes: Their nodes.
        licences: (name, count), sorted.
        log_cap_bytes: Most output kept per task, whatever a job asks for (`log_cap`).
        nice: Added to the niceness of tasks: 0 the hub's own, 19 the least favoured. Shares of
            one machine get unlike speeds by it.
        pass_env: Names of the hub's variables that tasks see besides the usual few.
        containers: How images are run (`containers`, `container_options`).
        isolation: What keeps tasks together: `none`, `cgroup`, `systemd` or `auto`.
    """

    flavors: tuple[Flavor, ...]
    nodes: tuple[Node, ...]
    licences: tuple[tuple[str, int], ...] = ()
    log_cap_bytes: int = LOG_CAP_BYTES
    nice: int = 0
    pass_env: tuple[str, ...] = ()
    containers: ContainerSettings = ContainerSettings()
    isolation: str = NO_ISOLATION


def read_settings(settings: Mapping[str, object], where: str) -> LocalSettings:
    """Check every setting.

    Raises:
        InputError: a setting is unknown or wrong.
    """
    unknown = sorted(set(settings) - set(ALLOWED))
    if unknown:
        raise InputError(
            f"unknown setting {unknown[0]!r} for a local site",
            where=where,
            hint=f"allowed: {', '.join(ALLOWED)}",
        )
    flavors = _tuple_of(Flavor, settings, "flavors", where)
    nodes = _tuple_of(Node, settings, "nodes", where)
    licences = settings.get("licences", ())
    if not isinstance(licences, tuple):
        raise InputError("licences must be a tuple of (name, count)", where=f"{where}.licences")
    cap = settings.get("log_cap", LOG_CAP_BYTES)
    if not isinstance(cap, str | int):
        raise InputError("log_cap is not a size", where=where, hint="write for example 4MiB")
    try:
        cap_bytes = parse_bytes(cap)
    except FenglinError as error:
        raise InputError(error.what, where=f"{where}.log_cap", hint=error.hint) from error
    nice = settings.get("nice", 0)
    if not isinstance(nice, int) or isinstance(nice, bool) or not 0 <= nice <= MOST_NICE:
        raise InputError("nice is out of range", where=f"{where}.nice", hint=f"0 to {MOST_NICE}")
    containers = read_containers(
        settings.get("containers", AUTO), settings.get("container_options", ()), where
    )
    names = _names(settings, where)
    isolation = read_isolation(settings.get("isolation", NO_ISOLATION), where)
    return LocalSettings(flavors, nodes, licences, cap_bytes, nice, names, containers, isolation)


def _tuple_of(
    kind: type[T], settings: Mapping[str, object], name: str, where: str
) -> tuple[T, ...]:
    """Return a setting that bootstrap has parsed into records."""
    value = settings.get(name, ())
    if not isinstance(value, tuple) or not value or not all(isinstance(v, kind) for v in value):
        raise InputError(
            f"a local site needs {name}",
            where=f"{where}.{name}",
            hint=f"give at least one [[{where}.{name}]]",
        )
    return value


def _names(settings: Mapping[str, object], where: str) -> tuple[str, ...]:
    """Return the variables to pass on; never the hub's own, which hold its secrets."""
    value = settings.get("pass_env", ())
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        raise InputError(
            "pass_env is not a list of names",
            where=f"{where}.pass_env",
            hint='write for example pass_env = ["LD_LIBRARY_PATH"]',
        )
    for name in value:
        if name.startswith("FENGLIN_"):
            raise InputError(f"{name} belongs to the hub and is not passed on", where=where)
    return tuple(value)


def check_machine(where: str) -> None:
    """Refuse a machine without what identity and waiting rest on."""
    try:
        os.close(os.pidfd_open(os.getpid()))
        Path("/proc/self/stat").read_bytes()
    except (AttributeError, OSError) as error:
        raise InputError(
            "this machine cannot run tasks: no pidfd_open or no /proc",
            where=where,
            hint="a local site needs Linux 5.3 or later with /proc mounted",
        ) from error
    if not sys.executable:
        raise InputError("the Python interpreter's own path is unknown", where=where)
