"""Settings of a `[site.NAME]` block with `driver = "kubernetes"`, checked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from msgspec import Struct

from fenglin.drivers.kubernetes.views import Taint
from fenglin.errors import FenglinError, InputError
from fenglin.model.site import Flavor, Node
from fenglin.ports.driver import LOG_CAP_BYTES
from fenglin.quantities.durations import parse_duration_ms
from fenglin.quantities.sizes import parse_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", re.ASCII)
_LABEL = re.compile(r"([a-z0-9][-a-z0-9.]{0,252}/)?[A-Za-z0-9][-A-Za-z0-9_.]{0,62}", re.ASCII)
_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?", re.ASCII)
_EFFECTS = frozenset({"", "NoSchedule", "NoExecute", "PreferNoSchedule"})


class Group(Struct, frozen=True, forbid_unknown_fields=True):
    """Which nodes are of one flavor, and what its pods are given.

    Attributes:
        selector: Labels that its nodes have; also the pods' node selector.
        tolerations: Taints that its pods tolerate, as `key`, `key=value`, `key=value:Effect`.
        resource: Extended resource of its cards, such as `nvidia.com/gpu`; empty to look it up
            in the registry.
        queue: Kueue's LocalQueue; empty for the site's.
    """

    selector: dict[str, str] = {}
    tolerations: tuple[str, ...] = ()
    resource: str = ""
    queue: str = ""


class _Block(Struct, frozen=True, forbid_unknown_fields=True):
    namespace: str
    kubeconfig: str = ""
    context: str = ""
    image: str = ""
    group: dict[str, Group] = {}
    queue: str = ""
    service_account: str = ""
    pull_secret: str = ""
    non_root: bool = False
    run_as: int = -1
    shared_claim: str = ""
    shared_dir: str = ""
    image_patience: str | int | float = "2m"
    schedule_patience: str | int | float = 0
    lost_after: str | int | float = "30s"
    log_cap: str | int = LOG_CAP_BYTES


class KubernetesSettings(Struct, frozen=True):
    """What the Kubernetes driver can be told.

    Attributes:
        flavors, nodes, licences: As declared.
        namespace: Where everything of ours is.
        kubeconfig: File; empty for the service account of the hub's own pod.
        context: Of the file; empty for its current one.
        image: For jobs that name none; empty to refuse those.
        groups: Flavor → which nodes it is.
        queue: Kueue's LocalQueue to which Jobs are handed over; empty for none.
        service_account: Of the tasks' pods; empty for the namespace's default.
        pull_secret: Secret of type dockerconfigjson by which images are pulled; empty for none.
        non_root: Whether a task may not be root.
        run_as: Numeric user of all tasks; -1 for the image's.
        shared_claim: Claim on a file system that the hub sees as `shared_dir`; empty for none.
        shared_dir: Folder on the hub's machine that is that file system; None without a claim.
        image_patience_ms: How long an image may fail to be pulled.
        schedule_patience_ms: How long the cluster may have no place for a pod; 0 for ever.
        lost_after_ms: How long a pod or Job may be missing before it counts as lost.
        log_cap_bytes: Most output kept per task, whatever a job asks for.
    """

    flavors: tuple[Flavor, ...]
    nodes: tuple[Node, ...]
    licences: tuple[tuple[str, int], ...]
    namespace: str
    kubeconfig: str
    context: str
    image: str
    groups: dict[str, Group]
    queue: str
    service_account: str
    pull_secret: str
    non_root: bool
    run_as: int
    shared_claim: str
    shared_dir: Path | None
    image_patience_ms: int
    schedule_patience_ms: int
    lost_after_ms: int
    log_cap_bytes: int


def read_settings(settings: Mapping[str, object], where: str) -> KubernetesSettings:
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
    _check_names(block, where)
    return KubernetesSettings(
        flavors,
        nodes,
        licences,
        namespace=block.namespace,
        kubeconfig=block.kubeconfig,
        context=block.context,
        image=block.image,
        groups=_groups(block, {flavor.name for flavor in flavors}, where),
        queue=block.queue,
        service_account=block.service_account,
        pull_secret=block.pull_secret,
        non_root=block.non_root,
        run_as=block.run_as,
        shared_claim=block.shared_claim,
        shared_dir=_shared(block, where),
        image_patience_ms=_duration_ms(block.image_patience, f"{where}.image_patience"),
        schedule_patience_ms=_duration_ms(block.schedule_patience, f"{where}.schedule_patience"),
        lost_after_ms=_duration_ms(block.lost_after, f"{where}.lost_after"),
        log_cap_bytes=_bytes(block.log_cap, f"{where}.log_cap"),
    )


def read_taint(text: str) -> Taint:
    """Return what `key=value:Effect` tolerates; a part that is missing tolerates any.

    Raises:
        ValueError: it is none.
    """
    head, _, effect = text.partition(":")
    key, _, value = head.partition("=")
    if not _LABEL.fullmatch(key) or not _VALUE.fullmatch(value) or effect not in _EFFECTS:
        raise ValueError(text)
    return Taint(key, value, effect)


def _block(given: dict[str, Any], where: str) -> _Block:
    try:
        return msgspec.convert(given, _Block)
    except msgspec.ValidationError as error:
        known = ", ".join(field.name for field in msgspec.structs.fields(_Block))
        raise InputError(
            f"wrong setting of a kubernetes site: {error}", where=where, hint=f"known: {known}"
        ) from error


def _check_names(block: _Block, where: str) -> None:
    for name in ("namespace", "queue", "service_account", "pull_secret", "shared_claim"):
        text = getattr(block, name)
        if (text or name == "namespace") and not _NAME.fullmatch(text):
            raise InputError(
                f"{text[:80]!r} is no name of an object in Kubernetes", where=f"{where}.{name}"
            )
    if block.image and not is_image(block.image):
        raise InputError(f"{block.image[:80]!r} is no image", where=f"{where}.image")
    if not -1 <= block.run_as < 2**31 or (block.non_root and block.run_as == 0):
        raise InputError(
            "run_as is out of range", where=f"{where}.run_as", hint="a numeric user, such as 1000"
        )


def is_image(text: str) -> bool:
    """Return whether a text can be the name of an image: words without blanks or controls."""
    return re.fullmatch(r"[A-Za-z0-9][!-~]{0,511}", text, re.ASCII) is not None


def _groups(block: _Block, flavors: set[str], where: str) -> dict[str, Group]:
    """Return a group for each flavor."""
    for name, group in block.group.items():
        here = f"{where}.group.{name[:80]}"
        if name not in flavors:
            raise InputError(
                f"there is no flavor {name[:80]!r}",
                where=f"{where}.group",
                hint=f"the site's flavors: {', '.join(sorted(flavors))}",
            )
        for key, value in group.selector.items():
            if not _LABEL.fullmatch(key) or not _VALUE.fullmatch(value):
                raise InputError(f"{key[:80]!r} = {value[:80]!r} is no label", where=here)
        for text in group.tolerations:
            try:
                read_taint(text)
            except ValueError as error:
                raise InputError(
                    f"{text[:80]!r} is no toleration", where=here, hint="key=value:NoSchedule"
                ) from error
        if group.resource and not _LABEL.fullmatch(group.resource):
            raise InputError(f"{group.resource[:80]!r} is no resource", where=here)
        if group.queue and not _NAME.fullmatch(group.queue):
            raise InputError(f"{group.queue[:80]!r} is no queue", where=here)
    return {name: block.group.get(name, Group()) for name in sorted(flavors)}


def _shared(block: _Block, where: str) -> Path | None:
    if bool(block.shared_claim) != bool(block.shared_dir):
        raise InputError(
            "shared_claim and shared_dir go together",
            where=f"{where}.shared_dir",
            hint="the claim's file system must be mounted on the hub's machine too",
        )
    if not block.shared_dir:
        return None
    if not block.shared_dir.startswith("/"):
        raise InputError("not an absolute path", where=f"{where}.shared_dir")
    return Path(block.shared_dir)


def _tuple_of(kind: type[T], value: object, where: str) -> tuple[T, ...]:
    """Return a setting that bootstrap has parsed into records."""
    if not isinstance(value, tuple) or not value or not all(isinstance(v, kind) for v in value):
        raise InputError("a kubernetes site needs at least one of these", where=where)
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
