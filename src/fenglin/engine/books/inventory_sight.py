"""What the inventory takes from the pool and from probes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from fenglin.catalog.devices import registry
from fenglin.catalog.inventory.measured import MeasuredFigure, Measurement
from fenglin.catalog.inventory.observed import SeenFlavor, SeenSite
from fenglin.errors import ConflictError, InputError, NotFoundError
from fenglin.probes import FIGURES_FILE, read_answer, script_sha256

if TYPE_CHECKING:
    from fenglin.catalog.inventory.facts import Facility
    from fenglin.catalog.inventory.steps import State
    from fenglin.engine.pool import Pool
    from fenglin.engine.status import SiteStatus
    from fenglin.probes import ProbeAnswer
    from fenglin.wire.views import AllocationView, JobView


def seen_sites(pool: Pool) -> dict[str, SeenSite]:
    """Return what the drivers' newest reports hold."""
    return {name: _seen(name, pool.sites[name]) for name in sorted(pool.sites)}


def _seen(name: str, status: SiteStatus) -> SeenSite:
    report = status.report
    if report is None:
        return SeenSite(name=name, answers=False, drained=status.drained)
    nodes = Counter(node.flavor for node in report.nodes)
    up = Counter(node.flavor for node in report.nodes if node.up)
    return SeenSite(
        name=name,
        answers=not status.down,
        drained=status.drained,
        flavors=tuple(
            SeenFlavor(
                name=flavor.name,
                compute_class=flavor.compute_class,
                device=flavor.accelerator,
                nodes=nodes[flavor.name],
                nodes_up=up[flavor.name],
                cards_milli=flavor.node.accelerator_milli * nodes[flavor.name],
            )
            for flavor in report.flavors
        ),
    )


def measurement_of(state: State, job: JobView, data: bytes, group: str, date: str) -> Measurement:
    """Return what a probe measured, once its job proves to be one.

    Args:
        state: What stands.
        job: The job, with its allocations and its document.
        data: What it kept as `probe.json`.
        group: Whose devices it measured; empty to tell it by their name.
        date: When it ended.

    Raises:
        ConflictError: the job has not succeeded, or ran something else than our probe.
        InputError: the answer is none, or names devices of no group.
        NotFoundError: no facility has the site, or the facility has no such group.
    """
    allocation = _proved(job)
    site = allocation.site
    name = next((key for key, one in state.facilities.items() if site in one.facility.sites), "")
    if not name:
        raise NotFoundError(
            f"no facility has the site {site}", hint="declare one with it, then enter the probe"
        )
    facility = state.facilities[name].facility
    answer = read_answer(data, f"{FIGURES_FILE} of {job.id}")
    measured = answer.card or answer.cpu
    mine = group or _group(facility, measured)
    if group and group not in [one.name for one in facility.groups]:
        raise NotFoundError(f"{name} has no group {group[:80]!r}", where="group")
    parts = {one.name: registry().part(one.device) for one in facility.groups}
    part = parts.get(mine)
    if part is not None and part.cpu != (not answer.card):
        what = "a card" if answer.card else "processors"
        raise InputError(f"{job.id} measured {what}, the group {mine} has none", where="group")
    devices = 1
    if not answer.card:
        cores = part.cores if part is not None else None
        devices = answer.cores // cores if cores and answer.cores % cores == 0 else 0
    return Measurement(
        facility=name,
        group=mine,
        site=site,
        flavor=allocation.flavor,
        job=job.id,
        allocation=allocation.id,
        date=date,
        node=answer.node,
        device=measured,
        whole=devices > 0,
        figures=_figures(answer, devices),
        missing=tuple((one.what, one.why) for one in answer.missing),
    )


def _proved(job: JobView) -> AllocationView:
    """Return where a probe ran; refuse a job that is none, or has not ended well."""
    if job.state != "succeeded" or job.task_count != 1:
        raise ConflictError(
            f"{job.id} is {job.state}, with {job.task_count} tasks",
            where="job",
            hint="only a probe of one task that succeeded can be entered",
        )
    files = job.spec.get("files")
    brought = files if isinstance(files, list) else []
    if not any(isinstance(one, dict) and one.get("sha256") == script_sha256() for one in brought):
        raise ConflictError(
            f"{job.id} did not bring this version's probe", where="job",
            hint="`fenglin inventory probe SITE` runs it",
        )  # fmt: skip
    return [one for one in job.allocations if one.succeeded][-1]


def _group(facility: Facility, measured: str) -> str:
    """Return the group whose device goes by that name; empty when none does."""
    known = registry()
    part = known.part(measured)
    if part is None:
        return ""
    return next((one.name for one in facility.groups if known.part(one.device) is part), "")


def _figures(answer: ProbeAnswer, devices: int) -> tuple[MeasuredFigure, ...]:
    """Return the figures; peaks of several whole processors are those of one."""
    found = []
    for one in answer.figures:
        several = devices > 1 and one.unit in ("TFLOPS", "TOPS")
        value = one.value / devices if several else one.value
        how = f"{one.how}; divided by {devices} processors" if several else one.how
        found.append(
            MeasuredFigure(what=one.what, milli=round(value * 1_000), unit=one.unit, how=how)
        )
    return tuple(found)
