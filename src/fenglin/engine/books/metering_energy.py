"""Energy of attempts: modelled when they are settled, replaced by what the site measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from fenglin.catalog.energy import measured_energy, model_energy
from fenglin.ledger.metering.energy_note import energy_of
from fenglin.ledger.metering.records import ProviderRecord
from fenglin.model.ids import attempt_key, parse_job_id
from fenglin.wire.metering_views import EnergyReport, EnergySum

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fenglin.engine.pool import Pool
    from fenglin.ledger.entry import Entry
    from fenglin.ledger.metering.reconcile import Used
    from fenglin.model.energy import Energy
    from fenglin.model.site import Site
    from fenglin.ports.energy import MeasuresEnergy
    from fenglin.ports.metering import Metering
    from fenglin.ports.store import AllocationRecord
    from fenglin.wire.views import JobView

UNKNOWN = "unknown"
_ENDED = "ended"
# As many as the contract says how long they take.
_MOST_ASKED = 1_000


def energy_at_settlement(site: Site | None, record: AllocationRecord) -> Energy | None:
    """Return the modelled energy of an attempt; None where its site or power is not known."""
    if site is None:
        return None
    for flavor in site.flavors:
        if flavor.name == record.flavor:
            return model_energy(site, flavor, record.resources, record.nodes, record.usage)
    return None


def best_energy(
    site: Site | None, modelled: Energy | None, measured_j: int | None
) -> Energy | None:
    """Return what the site measured of an attempt, else what was modelled."""
    if measured_j is None or site is None:
        return modelled
    return measured_energy(site, measured_j)


async def measured_by(driver: MeasuresEnergy, used: Sequence[Used]) -> list[ProviderRecord]:
    """Return what a site's own meters say of attempts, without those that it cannot tell.

    Raises:
        DriverError: it cannot be asked now.
    """
    found: dict[str, int] = {}
    for start in range(0, len(used), _MOST_ASKED):
        found |= await driver.energy([one.attempt for one in used[start : start + _MOST_ASKED]])
    return [
        ProviderRecord(
            one.attempt, one.attempt, "", one.begun_ms, one.ended_ms,
            energy_j=found[one.attempt], what="measured by the site",
        )
        for one in used
        if found.get(one.attempt, 0) > 0
    ]  # fmt: skip


async def with_energy(view: JobView, pool: Pool, meters: Metering) -> JobView:
    """Return a job's view, its ended allocations with their energy."""
    keys = {
        one.id: attempt_key(pool.hub, int(one.id[1:]), one.attempt)
        for one in view.allocations
        if one.state == _ENDED
    }
    if not keys:
        return view
    notes = await notes_of(parse_job_id(view.id), meters)
    measured = await meters.measured_j(list(keys.values()))
    return structs.replace(
        view,
        allocations=[
            structs.replace(
                one,
                energy=best_energy(
                    site_of(pool, one.site), notes.get(keys[one.id]), measured.get(keys[one.id])
                ),
            )
            if one.id in keys
            else one
            for one in view.allocations
        ],
    )


async def notes_of(job: int, meters: Metering) -> dict[str, Energy]:
    """Return the energy that a job's postings tell of, by attempt."""
    return _notes(await meters.postings(job))


def report(
    period: str,
    entries: Sequence[Entry],
    sites: Mapping[str, Site],
    measured_j: Mapping[str, int],
) -> EnergyReport:
    """Return a month's energy by account, site and grade."""
    notes = _notes(entries)
    sums: dict[tuple[str, str, str], list[int]] = {}
    factors: set[str] = set()
    for entry in entries:
        site = entry.detail("site")
        energy = best_energy(
            sites.get(site), notes.get(entry.attempt), measured_j.get(entry.attempt)
        )
        grade = energy.grade if energy is not None else UNKNOWN
        total = sums.setdefault((_account_of(entry), site, grade), [0, 0, 0, 0])
        total[0] += 1
        total[1] += energy.energy_j if energy is not None else 0
        carbon_mg = energy.carbon_mg if energy is not None else None
        total[2] += carbon_mg or 0
        total[3] += carbon_mg is None
        if energy is not None and energy.factor:
            factors.add(energy.factor)
    return EnergyReport(
        period=period,
        rows=[
            EnergySum(
                account=account,
                site=site,
                grade=grade,
                attempts=total[0],
                energy_j=total[1],
                carbon_mg=total[2],
                carbon_unknown=total[3],
            )
            for (account, site, grade), total in sorted(sums.items())
        ],
        factors=sorted(factors),
    )


def site_of(pool: Pool, name: str) -> Site | None:
    """Return a site of the pool; None for one that is no longer configured."""
    status = pool.sites.get(name)
    return status.site if status is not None else None


def _notes(entries: Iterable[Entry]) -> dict[str, Energy]:
    found = {entry.attempt: energy_of(entry) for entry in entries}
    return {attempt: energy for attempt, energy in found.items() if energy is not None}


def _account_of(entry: Entry) -> str:
    """Return the tenant's account of a posting."""
    return next(
        (leg.account.split(":")[1] for leg in entry.legs if leg.account.startswith("tenant:")), ""
    )
