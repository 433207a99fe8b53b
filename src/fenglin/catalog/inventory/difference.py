"""Differences between two publications, and those that somebody must explain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from fenglin.catalog.device import Grade
from fenglin.catalog.inventory.checks import Finding
from fenglin.catalog.inventory.facts import Status

if TYPE_CHECKING:
    from fenglin.catalog.inventory.facts import Facility
    from fenglin.catalog.inventory.steps import Snapshot

# A figure that moves by more than this from one publication to the next is explained, in percent.
JUMP_PERCENT = 50
_GRADES = (Grade.DECLARED, Grade.VERIFIED, Grade.MEASURED)
_LIFE = (Status.PLANNED, Status.BUILDING, Status.IN_USE, Status.RETIRED)


class Change(Struct, frozen=True, kw_only=True):
    """One difference between two publications.

    Attributes:
        facility: Of which facility.
        key: What changed.
        before: Value and grade; empty when it was not there.
        after: The same in the later one.
    """

    facility: str
    key: str
    before: str
    after: str


def differences(before: Snapshot | None, after: Snapshot | None) -> list[Change]:
    """Return every figure and word in which two publications differ."""
    old, new = _facilities(before), _facilities(after)
    found = []
    for name in sorted({*old, *new}):
        past = old[name].rows() if name in old else {}
        now = new[name].rows() if name in new else {}
        found += [
            Change(facility=name, key=key, before=past.get(key, ""), after=now.get(key, ""))
            for key in sorted({*past, *now})
            if past.get(key, "") != now.get(key, "")
        ]
    return found


def suspicious(before: Snapshot | None, after: Snapshot) -> dict[str, list[Finding]]:
    """Return by facility what changed so that somebody must say why; names begin with `change_`.

    Devices that came, went or became others; a figure that jumped; evidence that got worse; a
    life that went backwards.
    """
    old, new = _facilities(before), _facilities(after)
    found = {name: _explain(old[name], new[name]) for name in sorted({*old} & {*new})}
    return {name: changes for name, changes in found.items() if changes}


def _explain(old: Facility, new: Facility) -> list[Finding]:
    found = []
    if _LIFE.index(new.status) < _LIFE.index(old.status):
        found.append(Finding("change_of_status", "status", f"{old.status} became {new.status}"))
    groups = {group.name: group for group in new.groups}
    for group in old.groups:
        now, place = groups.pop(group.name, None), f"compute.{group.name}"
        count = group.count.milli
        if now is None:
            what = f"{count / 1_000:,.10g} x {group.device} are no longer there"
            found.append(Finding("change_of_devices", place, what))
        elif (now.device, now.count.milli) != (group.device, count):
            what = (
                f"{count / 1_000:,.10g} x {group.device} became "
                f"{now.count.milli / 1_000:,.10g} x {now.device}"
            )
            found.append(Finding("change_of_devices", place, what))
    for group in groups.values():
        what = f"{group.count.milli / 1_000:,.10g} x {group.device} are new"
        found.append(Finding("change_of_devices", f"compute.{group.name}", what))
    for key in sorted({*old.facts} & {*new.facts}):
        past, fact = old.facts[key], new.facts[key]
        if abs(fact.milli - past.milli) * 100 > JUMP_PERCENT * past.milli:
            what = f"{key} went from {past.milli / 1_000:,.10g} to {fact.milli / 1_000:,.10g}"
            found.append(Finding("change_of_figure", key, what))
        if _GRADES.index(fact.grade) < _GRADES.index(past.grade):
            what = f"{key} was {past.grade}, and is only {fact.grade} now"
            found.append(Finding("change_of_evidence", key, what))
    return found


def _facilities(snapshot: Snapshot | None) -> dict[str, Facility]:
    if snapshot is None:
        return {}
    return {one.facility.name: one.facility for one in snapshot.facilities}
