"""A `JobSpec` as the canonical document that gives it back: what `job show` and exports print."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from fenglin.model.job import AcceleratorNeed, JobSpec

if TYPE_CHECKING:
    from fenglin.model.job import DataNeed, Dependency, FileInput, Retries

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BINARY = (("PiB", 2**50), ("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20))
_DEFAULT = JobSpec(name="default")


def to_document(spec: JobSpec) -> dict[str, object]:
    """Return the document of a job; what equals the default is left out, except resources."""
    whole: dict[str, object] = {
        "name": spec.name,
        "queue": _unless(spec.queue, _DEFAULT.queue),
        "account": _unless(spec.account, _DEFAULT.account),
        "priority": _unless(spec.priority, _DEFAULT.priority),
        "tasks": _unless(spec.tasks, _DEFAULT.tasks),
        "concurrency": spec.concurrency,
        "nodes": _unless(spec.nodes, _DEFAULT.nodes),
        "resources": _resources(spec),
        "command": list(spec.command),
        "script": spec.script,
        "workdir": spec.workdir,
        "image": spec.image,
        "setup": spec.setup,
        "env": dict(spec.env),
        "secrets": dict(spec.secrets),
        "files": [_file(file) for file in spec.files],
        "artifacts": list(spec.artifacts),
        "retries": _retries(spec.retries),
        "estimate": _duration(spec.estimate_ms),
        "timeout": _duration(spec.timeout_ms),
        "deadline": _moment(spec.deadline_ms),
        "not_before": _moment(spec.not_before_ms),
        "after": [_dependency(parent) for parent in spec.after],
        "overlap": _unless(spec.overlap.value, _DEFAULT.overlap.value),
        "class": spec.compute_class.value if spec.compute_class else None,
        "sites": list(spec.sites),
        "regions": list(spec.regions),
        "require": dict(spec.require),
        "topology": _unless(spec.topology.value, _DEFAULT.topology.value),
        "near": spec.near,
        "latency": _duration(spec.latency_ms),
        "data": [_dataset(need) for need in spec.data],
        "preemptible": spec.preemptible,
        "checkpoint": _duration(spec.checkpoint_ms),
        "labels": dict(spec.labels),
        "mode": _unless(spec.mode.value, _DEFAULT.mode.value),
    }
    # Nothing that a user may write is empty or zero, so what is left out reads back as default.
    return {key: value for key, value in whole.items() if value}


def _unless(value: object, default: object) -> object:
    """Return a value, or None when it is the default."""
    return None if value == default else value


def _resources(spec: JobSpec) -> dict[str, object]:
    """Return the mapping `resources`, always with cpu and memory."""
    need = spec.resources
    document: dict[str, object] = {
        "cpu": _decimal(need.cpu_milli),
        "memory": size_text(need.memory_bytes),
    }
    if need.disk_bytes:
        document["disk"] = size_text(need.disk_bytes)
    if spec.accelerator is not None:
        document["accelerators"] = _accelerators(need.accelerator_milli, spec.accelerator)
    if spec.licences:
        document["licences"] = dict(spec.licences)
    return document


def _accelerators(cards_milli: int, need: AcceleratorNeed) -> object:
    """Return a count, or the mapping of a need."""
    if need == AcceleratorNeed():
        return _decimal(cards_milli)
    document: dict[str, object] = {"count": _decimal(cards_milli)}
    if need.model:
        document["model"] = need.model
    if need.memory_bytes:
        document["memory"] = size_text(need.memory_bytes)
    if need.vendor:
        document["vendor"] = need.vendor
    if need.domestic:
        document["domestic"] = True
    for key, gflops in (("fp16", need.fp16_gflops), ("fp64", need.fp64_gflops)):
        if gflops:
            document[key] = _decimal(gflops)
    return document


def _file(file: FileInput) -> dict[str, object]:
    """Return an entry of `files`."""
    if file.artifacts_of:
        return {"artifacts_of": file.artifacts_of, "target": file.target}
    document: dict[str, object] = {
        "target": file.target,
        "sha256": file.sha256,
        "size": file.size_bytes,
    }
    if file.executable:
        document["executable"] = True
    return document


def _retries(retries: Retries) -> object:
    """Return a limit, or the mapping when it is qualified."""
    if not retries.exit_codes and not retries.reasons:
        return retries.limit
    document: dict[str, object] = {"limit": retries.limit}
    if retries.exit_codes:
        document["exit_codes"] = list(retries.exit_codes)
    if retries.reasons:
        document["reasons"] = [reason.value for reason in retries.reasons]
    return document


def _dependency(parent: Dependency) -> object:
    """Return an id, or the mapping when it is more than `ok`."""
    if not parent.per_task and parent.condition == "ok":
        return parent.job
    document: dict[str, object] = {"job": parent.job, "condition": parent.condition.value}
    if parent.per_task:
        document["per_task"] = True
    return document


def _dataset(need: DataNeed) -> dict[str, object]:
    """Return an entry of `data`."""
    return {"name": need.name, "size": size_text(need.size_bytes), "sites": list(need.sites)}


def _decimal(milli: int) -> int | float:
    """Return thousandths as a number that reads back exactly."""
    return milli // 1_000 if milli % 1_000 == 0 else milli / 1_000


def size_text(amount_bytes: int) -> int | str:
    """Return bytes in the largest binary unit that divides them, else as a plain number."""
    for unit, factor in _BINARY:
        if amount_bytes and amount_bytes % factor == 0:
            return f"{amount_bytes // factor}{unit}"
    return amount_bytes


def _duration(length_ms: int) -> str:
    """Return whole seconds when they are exact, else milliseconds; empty for none."""
    if not length_ms:
        return ""
    return f"{length_ms}ms" if length_ms % 1_000 else f"{length_ms // 1_000}s"


def _moment(moment_ms: int) -> str:
    """Return an RFC 3339 time in UTC, exact to the millisecond; empty for none."""
    if not moment_ms:
        return ""
    moment = _EPOCH + timedelta(milliseconds=moment_ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
