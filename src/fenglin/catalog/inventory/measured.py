"""What a probe measured at a site, and to which declared devices it belongs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from fenglin.catalog.device import Grade
from fenglin.catalog.inventory.facts import Fact

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fenglin.catalog.inventory.facts import Facility, Group


class MeasuredFigure(Struct, frozen=True, kw_only=True):
    """One figure of a probe.

    Attributes:
        what: A precision for a peak of matrix products, or such as `memory_stream`.
        milli: Value in thousandths of its unit.
        unit: Its unit.
        how: In words: library, sizes, repetitions.
    """

    what: str
    milli: int
    unit: str
    how: str


class Measurement(Struct, frozen=True, kw_only=True):
    """One probe of one flavor of a site.

    Attributes:
        facility: In which the site stands.
        group: Of it, whose devices were measured; empty when none fits.
        site: Where it ran.
        flavor: On which flavor.
        job: Which job it was, such as `j12`.
        allocation: And which allocation, such as `a34`.
        date: `YYYY-MM-DD`.
        node: Where, as the machine calls itself.
        device: What the machine calls what was measured.
        whole: Whether all of one device was measured, so that it stands for its like.
        figures: What was measured.
        missing: (what, why) of what was not.
    """

    facility: str
    group: str
    site: str
    flavor: str
    job: str
    allocation: str
    date: str
    node: str
    device: str
    whole: bool
    figures: tuple[MeasuredFigure, ...]
    missing: tuple[tuple[str, str], ...] = ()

    @property
    def document(self) -> str:
        """Return where it stands, as evidence."""
        return f"probe {self.job}, allocation {self.allocation}, at {self.site}/{self.flavor}"


def with_measured(facility: Facility, found: Iterable[Measurement]) -> Facility:
    """Return a facility with what probes reached on whole devices of its groups.

    A probe stands before a declared test: it is newer, and everybody can repeat it.
    """
    mine: dict[str, list[Measurement]] = {}
    for one in found:
        if one.facility == facility.name and one.whole and one.group:
            mine.setdefault(one.group, []).append(one)
    if not mine:
        return facility
    groups = tuple(_with(group, mine.get(group.name, ())) for group in facility.groups)
    return replace(facility, groups=groups)


def _with(group: Group, found: Iterable[Measurement]) -> Group:
    measured = dict(group.measured)
    for one in sorted(found, key=lambda each: each.date):
        for figure in one.figures:
            if figure.unit in ("TFLOPS", "TOPS"):
                measured[figure.what] = Fact(
                    milli=figure.milli,
                    grade=Grade.MEASURED,
                    date=one.date,
                    document=one.document,
                )
    return replace(group, measured=measured)


def vouched(facility: Facility, verified_by: str, verified: str) -> Facility:
    """Return a facility whose declared figures are graded as verified, by whom and what."""

    def raised(fact: Fact) -> Fact:
        if fact.grade is not Grade.DECLARED:
            return fact
        document = f"{fact.document}; verified by {verified_by}: {verified}"
        return replace(fact, grade=Grade.VERIFIED, document=document)

    def optional(fact: Fact | None) -> Fact | None:
        return raised(fact) if fact is not None else None

    return replace(
        facility,
        facts={key: raised(fact) for key, fact in facility.facts.items()},
        links={
            place: {key: raised(fact) for key, fact in facts.items()}
            for place, facts in facility.links.items()
        },
        groups=tuple(
            replace(
                group,
                count=raised(group.count),
                nodes=optional(group.nodes),
                sellable=optional(group.sellable),
                reserved=optional(group.reserved),
                stated={key: raised(fact) for key, fact in group.stated.items()},
            )
            for group in facility.groups
        ),
    )
