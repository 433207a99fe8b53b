"""Answers for metering, whatever is asked."""

from __future__ import annotations

from fenglin.wire.metering_views import (
    BackView,
    CheckReport,
    EnergyReport,
    Imported,
    ItemView,
    JobMetering,
    Recorded,
    StepView,
)
from fenglin.wire.views import Page

IMPORTED = Imported(
    number=3, site="west", source="sacct", added=2, unchanged=1, contradicting=0, passed=0,
    from_ms=1, to_ms=2,
)  # fmt: skip
ITEM = ItemView(
    id="d7", kind="duration", state="open", site="west", source="sacct", account="lab", job="j7",
    attempt="hub-a7-1", subject="", ours="1.000 s", theirs="9.000 s", text="", period="2026-11",
    steps=[StepView(state="open", who="ada", why="found", time_ms=1)],
)  # fmt: skip


class FakeMetering:
    """Notes what it is asked."""

    def __init__(self, asked):
        self._asked = asked

    async def with_energy(self, view):
        return view

    async def load(self, file, head, zone, principal):
        self._asked("load_metering", file.read(), head, zone, principal.name)
        return IMPORTED

    async def record(self, uses, principal):
        self._asked("record_use", [one.key for one in uses], principal.name)
        return Recorded(new=1, repeated=0, contradicting=0, foreign=0, billed=1)

    async def collect(self, site, period, principal):
        self._asked("collect", site, period, principal.name)
        return [IMPORTED]

    async def check(self, site, period, principal):
        self._asked("check_metering", site, period, principal.name)
        return CheckReport(
            period=period, series=[], without=[], found=0, opened=[], pending=0, stale=[]
        )

    async def items(self, listing, principal):
        self._asked("discrepancies", listing, principal.name)
        return Page([ITEM])

    async def item(self, name, principal):
        self._asked("discrepancy", name, principal.name)
        return ITEM

    async def resolve(self, name, state, why, principal):
        self._asked("resolve", name, state, why, principal.name)
        return ITEM

    async def give_back(self, asked, principal):
        self._asked("give_back", asked.line, asked.quantity, asked.held_bytes, principal.name)
        return BackView(
            entry=9, key=f"adjust:back:{asked.key}", time_ms=1, account="lab", unit="frame",
            quantity="5", left="0", amount_micro=7, vouchers_micro=0,
        )  # fmt: skip

    async def job(self, number, principal):
        self._asked("job_metering", number, principal.name)
        return JobMetering(job=f"j{number}", attempts=[], discrepancies=[])

    async def energy(self, period, principal):
        self._asked("energy", period, principal.name)
        return EnergyReport(period=period, rows=[], factors=[])
