"""Totals per class and per precision, and the rows behind each. Precisions are never added."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from fenglin.catalog.device import Measure, ruling
from fenglin.catalog.inventory.checks import PRECISIONS
from fenglin.catalog.inventory.facts import Status
from fenglin.errors import InputError
from fenglin.model.states import ComputeClass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fenglin.catalog.device import Figure
    from fenglin.catalog.devices import Registry
    from fenglin.catalog.inventory.facts import Facility
    from fenglin.catalog.inventory.observed import SeenSite

# Grade of what drivers see; nobody can declare it.
LIVE = "live"


class InventoryRow(Struct, frozen=True, kw_only=True):
    """One group of equal devices behind a total.

    Attributes:
        place: `FACILITY/GROUP`.
        basis: Grade of the count; `live` for what drivers see, which is never added to the rest.
        compute_class: Class.
        precision: Precision.
        device: Registry name, or what was declared.
        count_milli: Devices, in thousandths.
        each_gflops: Nominal dense peak of one; None for unknown.
        total_gflops: Of all; None for unknown.
        measured_gflops: What a test reached, times the count; None for untested.
        evidence: Where the count stands, in words.
        figure: Where the peak stands, in words.
        measured_evidence: Where the test stands, in words.
    """

    place: str
    basis: str
    compute_class: ComputeClass
    precision: str
    device: str
    count_milli: int
    each_gflops: int | None
    total_gflops: int | None
    measured_gflops: int | None = None
    evidence: str
    figure: str
    measured_evidence: str = ""


class InventoryTotal(Struct, frozen=True, kw_only=True):
    """One class in one precision.

    Attributes:
        compute_class: Class.
        precision: Precision; another one's total must not be added to this.
        devices_milli: Declared devices whose peak is known, in thousandths.
        nominal_gflops: Their dense peaks.
        unknown_milli: Declared devices whose peak is unknown; not in the sum.
        measured_milli: Declared devices of a group that was tested.
        measured_gflops: What tests reached on them.
        measured_of_gflops: Nominal peaks of just those, to compare with.
        seen_milli: Devices that drivers see, of which the peak is known.
        seen_gflops: Their dense peaks.
    """

    compute_class: ComputeClass
    precision: str
    devices_milli: int
    nominal_gflops: int
    unknown_milli: int
    measured_milli: int
    measured_gflops: int
    measured_of_gflops: int
    seen_milli: int = 0
    seen_gflops: int = 0


def parse_total(text: str) -> tuple[ComputeClass, str]:
    """Return class and precision of `CLASS:PRECISION`.

    Raises:
        InputError: it is none, or asks for what must not be added.
    """
    word, colon, precision = text.partition(":")
    classes = ", ".join(ComputeClass)
    if not colon or word not in tuple(ComputeClass):
        raise InputError(
            f"{text[:80]!r} is no total", where="total",
            hint=f"CLASS:PRECISION, CLASS one of {classes}, such as ai:fp16",
        )  # fmt: skip
    return ComputeClass(word), one_precision(precision)


def one_precision(text: str) -> str:
    """Return a precision.

    Raises:
        InputError: it is none, or more than one.
    """
    if text in PRECISIONS:
        return text
    if text in ("", "all", "sum", "*") or set(text) & set(",+"):
        raise InputError(
            "peaks of different precisions cannot be added: a FLOP at INT8 is not one at FP64, and "
            "the same device would count once for each precision",
            where="precision",
            hint=f"ask for one of {', '.join(PRECISIONS)}",
        )
    raise InputError(
        f"{text[:80]!r} is no precision", where="precision", hint=f"one of {', '.join(PRECISIONS)}"
    )


def rows(facilities: Sequence[Facility], known: Registry, precision: str) -> Iterator[InventoryRow]:
    """Yield the rows of all facilities in use, in one precision."""
    measure = Measure(precision)
    for facility in facilities:
        if facility.status is not Status.IN_USE:
            continue
        for group in facility.groups:
            part = known.part(group.device)
            figure = ruling(part.figures, measure) if part is not None else None
            test = group.measured.get(precision)
            count = group.count.milli
            yield InventoryRow(
                place=f"{facility.name}/{group.name}",
                basis=group.count.grade,
                compute_class=group.compute_class,
                precision=precision,
                device=part.key if part is not None else group.device,
                count_milli=count,
                each_gflops=figure.value if figure else None,
                total_gflops=figure.value * count // 1_000 if figure else None,
                measured_gflops=test.milli * count // 1_000 if test else None,
                evidence=f"{group.count.document}, {group.count.date}",
                figure=_words(figure),
                measured_evidence=f"{test.grade}: {test.document}, {test.date}" if test else "",
            )


def live_rows(seen: Iterable[SeenSite], known: Registry, precision: str) -> Iterator[InventoryRow]:
    """Yield a row for each flavor with cards that drivers see, in one precision."""
    measure = Measure(precision)
    for site in seen:
        for flavor in site.flavors:
            if not flavor.cards_milli:
                continue
            part = known.part(flavor.device)
            figure = ruling(part.figures, measure) if part is not None else None
            count = flavor.cards_milli
            yield InventoryRow(
                place=f"{site.name}/{flavor.name}",
                basis=LIVE,
                compute_class=flavor.compute_class,
                precision=precision,
                device=part.key if part is not None else flavor.device,
                count_milli=count,
                each_gflops=figure.value if figure else None,
                total_gflops=figure.value * count // 1_000 if figure else None,
                evidence="what the site's driver reports now",
                figure=_words(figure),
            )


def total(
    compute_class: ComputeClass, precision: str, found: Sequence[InventoryRow]
) -> InventoryTotal:
    """Add up the rows of one class and one precision.

    Raises:
        InputError: a row is of another precision.
    """
    if any(row.precision != precision for row in found):
        one_precision("sum")
    every = [row for row in found if row.compute_class is compute_class]
    seen = [row for row in every if row.basis == LIVE and row.total_gflops is not None]
    mine = [row for row in every if row.basis != LIVE]
    known = [row for row in mine if row.total_gflops is not None]
    tested = [row for row in known if row.measured_gflops is not None]
    return InventoryTotal(
        compute_class=compute_class,
        precision=precision,
        devices_milli=sum(row.count_milli for row in known),
        nominal_gflops=sum(row.total_gflops or 0 for row in known),
        unknown_milli=sum(row.count_milli for row in mine if row.total_gflops is None),
        measured_milli=sum(row.count_milli for row in tested),
        measured_gflops=sum(row.measured_gflops or 0 for row in tested),
        measured_of_gflops=sum(row.total_gflops or 0 for row in tested),
        seen_milli=sum(row.count_milli for row in seen),
        seen_gflops=sum(row.total_gflops or 0 for row in seen),
    )


def _words(figure: Figure | None) -> str:
    return f"{figure.grade}: {figure.source}, {figure.date}" if figure is not None else ""
