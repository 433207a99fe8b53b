"""Cross-checks: figures of one declaration that cannot all be true."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fenglin.catalog.device import PEAKS, SPARSE_ABLE, Measure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fenglin.catalog.devices import Registry
    from fenglin.catalog.inventory.facts import Facility, Fact, Group

# Figures that are told rounded may differ by this much, in percent.
TOLERANCE_PERCENT = 1
# What a server draws beside its devices, against the devices: more than this is not credible.
MOST_DRAW = 3
SPARSE = "peak_is_dense"
UNKNOWN_DEVICE = "device_known"
# What is no matter of evidence but a mistake in the file: a hub refuses such a declaration.
REFUSED = frozenset({SPARSE, UNKNOWN_DEVICE})


class Finding(NamedTuple):
    """What does not fit.

    Attributes:
        rule: Name of the check.
        subject: What it is about, within the facility.
        what: In words, with both figures.
    """

    rule: str
    subject: str
    what: str


# (rule, what must not exceed, what it must not exceed)
_BOUNDS = (
    ("it_energy_within_total", "energy_it", "energy_total"),
    ("green_energy_within_total", "energy_green", "energy_total"),
    ("racks_within_built", "racks_in_use", "racks_built"),
    ("power_within_approved", "power_actual", "power_approved"),
    ("busy_within_allocated", "busy_card_hours", "allocated_card_hours"),
    ("storage_tiers_within_storage", "storage_hot", "storage"),
    ("storage_tiers_within_storage", "storage_warm", "storage"),
    ("storage_tiers_within_storage", "storage_cold", "storage"),
)


def check(facility: Facility, known: Registry) -> list[Finding]:
    """Return all that does not fit, in a fixed order.

    Args:
        facility: As declared.
        known: The device registry.
    """
    return [
        *_figures(facility),
        *_hours(facility, known),
        *(finding for group in facility.groups for finding in _group(group, known)),
    ]


def _figures(facility: Facility) -> Iterator[Finding]:
    facts = facility.facts
    for rule, small, large in _BOUNDS:
        if small in facts and large in facts and facts[small].milli > facts[large].milli:
            yield Finding(
                rule, small, f"{small} is {_n(facts[small])}, more than {large}, {_n(facts[large])}"
            )
    total, used, pue = (facts.get(key) for key in ("energy_total", "energy_it", "pue"))
    if total and used and pue and used.milli > 0:
        reckoned_milli = total.milli * 1_000 // used.milli
        if _differ(pue.milli, reckoned_milli):
            yield Finding(
                "pue_is_energy_ratio",
                "pue",
                f"pue is {_n(pue)}, energy_total / energy_it is {reckoned_milli / 1_000:g}",
            )


def _hours(facility: Facility, known: Registry) -> Iterator[Finding]:
    """Check what depends on the length of the month."""
    facts, hours = facility.facts, facility.period_h
    if not hours:
        return
    used, approved = facts.get("energy_it"), facts.get("power_approved")
    if used and approved and used.milli > approved.milli * hours:
        yield Finding(
            "it_energy_within_approved_power",
            "energy_it",
            f"energy_it is {_n(used)} kWh, the approved power allows {_n(approved)} kW x {hours} h",
        )
    parts = [(known.part(group.device), group.count.milli) for group in facility.groups]
    watts = [part.power_w for part, _ in parts if part is not None and part.power_w is not None]
    if used and parts and len(watts) == len(parts):
        draw_kw = sum(w * milli for w, (_, milli) in zip(watts, parts, strict=True)) / 1_000_000
        if used.milli / 1_000 > MOST_DRAW * draw_kw * hours:
            yield Finding(
                "it_energy_within_installed_power",
                "energy_it",
                f"energy_it is {_n(used)} kWh, more than {MOST_DRAW} times what the devices can "
                f"draw, {draw_kw:g} kW x {hours} h",
            )
    cards_milli = sum(milli for part, milli in parts if part is None or not part.cpu)
    for key in ("busy_card_hours", "allocated_card_hours"):
        if key in facts and facts[key].milli > cards_milli * hours:
            yield Finding(
                "card_hours_within_cards",
                key,
                f"{key} is {_n(facts[key])}, {cards_milli // 1_000} cards have "
                f"{cards_milli * hours // 1_000:,} in {facility.period}",
            )


def _group(group: Group, known: Registry) -> Iterator[Finding]:
    place = f"compute.{group.name}"
    kept_milli = sum(fact.milli for fact in (group.sellable, group.reserved) if fact is not None)
    if kept_milli > group.count.milli:
        yield Finding(
            "sellable_and_reserved_within_count",
            place,
            f"sellable and reserved are {kept_milli / 1_000:g}, count is {_n(group.count)}",
        )
    part = known.part(group.device)
    if part is None:
        yield Finding(UNKNOWN_DEVICE, f"{place}.device", f"the registry knows no {group.device!r}")
        return
    for measure in PEAKS:
        peak = part.value(measure)
        stated, measured = group.stated.get(measure), group.measured.get(measure)
        if peak is None:
            continue
        reckoned_milli = peak * group.count.milli // 1_000
        if stated is not None and _differ(stated.milli, reckoned_milli):
            sparse = stated.milli == 2 * reckoned_milli and measure in SPARSE_ABLE
            twice = " (twice: a sparse peak?)" if sparse else ""
            yield Finding(
                SPARSE if sparse else "peak_is_count_times_nominal",
                f"{place}.{measure}",
                f"{measure} is stated as {_n(stated)}, {_n(group.count)} x {peak / 1_000:g} is "
                f"{reckoned_milli / 1_000:,g}{twice}",
            )
        if measured is not None and measured.milli > peak:
            yield Finding(
                "measured_within_nominal",
                f"{place}.{measure}",
                f"{measure} was measured as {_n(measured)}, the nominal peak is {peak / 1_000:g}",
            )


def _differ(one: int, other: int) -> bool:
    return abs(one - other) * 100 > TOLERANCE_PERCENT * max(abs(one), abs(other))


def _n(fact: Fact) -> str:
    return f"{fact.milli / 1_000:,.10g}"


PRECISIONS = tuple(str(Measure(one)) for one in PEAKS)
"""In which totals may be asked for; never added to one another."""
