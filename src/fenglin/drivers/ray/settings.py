"""Settings of a `[site.NAME]` block with `driver = "ray"`, checked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from fenglin.errors import FenglinError, InputError
from fenglin.model.site import Flavor, Node
from fenglin.ports.driver import LOG_CAP_BYTES
from fenglin.quantities.durations import parse_duration_ms
from fenglin.quantities.sizes import parse_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T", bound=Struct)
MIB = 2**20
_RESOURCE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,99}", re.ASCII)
_PATH = re.compile(r"/[^\x00-\x1f]*")


class _Block(Struct, frozen=True, forbid_unknown_fields=True):
    flavors: tuple[Flavor, ...]
    nodes: tuple[Node, ...]
    address: str
    licences: tuple[tuple[str, int], ...] = ()
    token_file: str = ""
    ca_file: str = ""
    resource: dict[str, str] = {}
    python: str = "python3"
    scratch: str = ""
    poll: str | int | float = "2s"
    lost_after: str | int | float = "90s"
    log_cap: str | int = LOG_CAP_BYTES
    input_cap: str | int = 96 * MIB
    artifact_cap: str | int = 64 * MIB


class RaySettings(Struct, frozen=True):
    """What the Ray driver can be told.

    Attributes:
        flavors, nodes, licences: As declared.
        address: Of Ray's dashboard, such as `http://head.example.org:8265`.
        token_file: File with Ray's token; empty for a cluster without one.
        ca_file: Certificates that `https` is checked against; empty for the system's.
        resources: Flavor → Ray resource that marks its nodes; each place takes 0.001 of it.
        python: Python of the cluster, the one that has Ray.
        scratch: Folder on the nodes for tasks; empty for the system's temporary one.
        poll_ms: Most time between two listings while something runs.
        lost_after_ms: How long a new cluster must have stood at the address of an old one before
            that one's attempts count as ended: old nodes notice the loss of their head late.
        log_cap_bytes: Most output kept per task, whatever a job asks for.
        input_cap_bytes: Most input of a job.
        artifact_cap_bytes: Most artifacts of a task.
    """

    flavors: tuple[Flavor, ...]
    nodes: tuple[Node, ...]
    licences: tuple[tuple[str, int], ...]
    address: str
    token_file: str
    ca_file: str
    resources: dict[str, str]
    python: str
    scratch: str
    poll_ms: int
    lost_after_ms: int
    log_cap_bytes: int
    input_cap_bytes: int
    artifact_cap_bytes: int


def read_settings(settings: Mapping[str, object], where: str) -> RaySettings:
    """Check every setting.

    Raises:
        InputError: a setting is unknown, missing or wrong.
    """
    block = _convert(settings, _Block, where)
    flavors = {flavor.name for flavor in block.flavors}
    for flavor, name in block.resource.items():
        if flavor not in flavors:
            raise InputError(
                f"there is no flavor {flavor[:80]!r}",
                where=f"{where}.resource",
                hint=f"the site's flavors: {', '.join(sorted(flavors))}",
            )
        if not _RESOURCE.fullmatch(name):
            raise InputError(
                f"{name[:80]!r} is not a Ray resource", where=f"{where}.resource.{flavor}"
            )
    for name in ("token_file", "ca_file"):
        path = getattr(block, name)
        if path and not Path(path).expanduser().is_file():
            raise InputError(f"there is no file {path}", where=f"{where}.{name}")
    if block.scratch and not _PATH.fullmatch(block.scratch):
        raise InputError("scratch is not an absolute path", where=f"{where}.scratch")
    if not block.python.isprintable() or not block.python or block.python.startswith("-"):
        raise InputError("python is not a program", where=f"{where}.python", hint="python3")
    return RaySettings(
        flavors=block.flavors,
        nodes=block.nodes,
        licences=block.licences,
        address=_address(block.address, where),
        token_file=str(Path(block.token_file).expanduser()) if block.token_file else "",
        ca_file=str(Path(block.ca_file).expanduser()) if block.ca_file else "",
        resources=dict(block.resource),
        python=block.python,
        scratch=block.scratch.rstrip("/"),
        poll_ms=_duration_ms(block.poll, f"{where}.poll"),
        lost_after_ms=_duration_ms(block.lost_after, f"{where}.lost_after"),
        log_cap_bytes=_bytes(block.log_cap, f"{where}.log_cap"),
        input_cap_bytes=_bytes(block.input_cap, f"{where}.input_cap"),
        artifact_cap_bytes=_bytes(block.artifact_cap, f"{where}.artifact_cap"),
    )


def _address(text: str, where: str) -> str:
    """Return the dashboard's address without a slash at its end."""
    try:
        parts = urlsplit(text)
        good = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good or "@" in text or not text.isprintable() or " " in text:
        raise InputError(
            f"{text[:80]!r} is not the address of a Ray dashboard",
            where=f"{where}.address",
            hint="write for example http://head.example.org:8265",
        )
    return text.rstrip("/")


def _convert(given: Mapping[str, Any], kind: type[T], where: str) -> T:
    try:
        return msgspec.convert(dict(given), kind)
    except msgspec.ValidationError as error:
        known = ", ".join(field.name for field in msgspec.structs.fields(kind))
        raise InputError(
            f"wrong setting of a ray site: {error}", where=where, hint=f"known: {known}"
        ) from error


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
