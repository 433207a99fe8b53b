"""Calls of metering, for `Client.call`, `Client.pages` and those of `AsyncClient`."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import msgspec

from fenglin.client.requests import API, Call
from fenglin.wire.metering_views import (
    BackView,
    CheckReport,
    DiscrepancyStep,
    EnergyReport,
    GiveBack,
    Imported,
    ItemView,
    JobMetering,
    LateUses,
    Recorded,
)
from fenglin.wire.views import Page

if TYPE_CHECKING:
    from pathlib import Path

    from fenglin.client.requests import Filter

_JSON = (("Content-Type", "application/json"),)
# A million lines take a hub about half a minute.
LONG_S = 900.0


def import_file(
    body: Path | bytes, *, site: str, form: str, file: str, source: str = "", zone: str = ""
) -> Call[Imported]:
    """Import a file of a provider's accounting."""
    fields = {"site": site, "format": form, "source": source, "file": file, "zone": zone}
    headers = (("Content-Type", "text/plain"),)
    path = f"{API}/metering:import?{_query(fields)}"
    return Call("POST", path, Imported, headers, body, extra_s=LONG_S)


def record(uses: LateUses) -> Call[Recorded]:
    """Tell of use that the hub has not heard of."""
    return Call(
        "POST", f"{API}/metering/records", Recorded, _JSON, msgspec.json.encode(uses), LONG_S
    )


def collect(site: str, period: str) -> Call[list[Imported]]:
    """Ask a site's driver for its own totals and charges of a month."""
    path = f"{API}/metering:collect?{_query({'site': site, 'period': period})}"
    return Call("POST", path, list[Imported], extra_s=LONG_S)


def check(site: str, period: str) -> Call[CheckReport]:
    """Compare a month of a site, or (empty) of all, with what was imported."""
    path = f"{API}/metering:check?{_query({'site': site, 'period': period})}"
    return Call("POST", path, CheckReport, extra_s=LONG_S)


def discrepancies(cut: Filter) -> Call[Page[ItemView]]:
    """List discrepancies, cut by the filter."""
    path = f"{API}/metering/discrepancies?{urlencode(cut.query())}"
    return Call("GET", path, Page[ItemView])


def discrepancy(name: str) -> Call[ItemView]:
    """Show one discrepancy, such as `d7`."""
    return Call("GET", f"{API}/metering/discrepancies/{quote(name, safe='')}", ItemView)


def resolve(name: str, step: DiscrepancyStep) -> Call[ItemView]:
    """Take a discrepancy a step on."""
    path = f"{API}/metering/discrepancies/{quote(name, safe='')}/resolve"
    return Call("POST", path, ItemView, _JSON, msgspec.json.encode(step))


def give_back(asked: GiveBack) -> Call[BackView]:
    """Give back what a line of use was charged too much."""
    return Call("POST", f"{API}/metering:give-back", BackView, _JSON, msgspec.json.encode(asked))


def job_metering(job: str) -> Call[JobMetering]:
    """Show what was metered of a job."""
    return Call("GET", f"{API}/metering/jobs/{quote(job, safe='')}", JobMetering)


def energy(period: str) -> Call[EnergyReport]:
    """Get a month's energy and CO2."""
    return Call("GET", f"{API}/metering/energy?{_query({'period': period})}", EnergyReport)


def _query(fields: dict[str, str]) -> str:
    return urlencode({name: value for name, value in fields.items() if value})
