"""Providers' accounting as sheets: Slurm's sacct, FOCUS bills of clouds, and a plain CSV."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from fenglin.errors import InputError
from fenglin.ledger.metering import cells
from fenglin.ledger.metering.cells import CellError, Reading, Row
from fenglin.ledger.metering.metered import MeteredUse
from fenglin.ledger.metering.records import MOST_MS, ProviderRecord
from fenglin.model.ids import parse_job_id
from fenglin.quantities.shown import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

SACCT_NEEDED = ("JobID", "JobName", "Start", "End", "ElapsedRaw")
SACCT_FORMAT = (
    "JobID,JobName,State,Start,End,ElapsedRaw,AllocCPUS,AllocTRES,ConsumedEnergyRaw,NodeList"
)
FOCUS_NEEDED = (
    "BilledCost", "BillingCurrency", "ChargeCategory", "ChargePeriodStart", "ChargePeriodEnd",
)  # fmt: skip
CSV_NEEDED = ("line", "start", "end")
CSV_COLUMNS = (
    "line", "attempt", "resource", "start", "end", "wall_s", "cores", "cards", "energy_kwh",
    "cost", "currency", "what", "account", "unit", "quantity", "bytes", "job",
)  # fmt: skip
# What is metered by who sells it and charged by the price book, and how much of it one line may
# tell of: byte-milliseconds, bytes, frames.
UNITS = {"storage_tb_month": 10**30, "egress_gb": 10**18, "frame": 10**12}
TAGS = ("fenglin/attempt", "fenglin-attempt", "fenglin:attempt", "fenglin_attempt")
# Steps that last as long as their job.
_WHOLE_STEPS = frozenset({"batch", "extern"})
_NO_TIME = frozenset({"Unknown", "None", ""})
_CARDS = re.compile(r"gres/(?:gpu|dcu|npu|mlu)=(\d{1,6})")
_MOST_CORES = 10_000_000
_MOST_J = 10**15
# Slurm writes what it does not know as the largest numbers there are.
_NO_VALUE_DIGITS = 19
_MOST_BYTES = 10**18
# Part of the name by which the ledger knows a line.
_MOST_LINE_CHARS = 200
_HOUR_MS = 3_600_000
_UNITS_MS = {"hours": _HOUR_MS, "hour": _HOUR_MS, "seconds": 1_000, "minutes": 60_000}
_TAG_DECODER = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TEXT_DECODER = msgspec.json.Decoder(str)


def read_sacct(lines: Iterable[str], reading: Reading, offset_min: int) -> Iterator[ProviderRecord]:
    """Yield what `sacct --parsable2 --format=…` printed, one record for each ended job or element.

    Columns: `SACCT_FORMAT`, in any order; the last four and State may be missing. The line is the
    job's id and start, the tag is the job's name, which our driver sets to the attempt's key.
    Steps are no records of their own, but where a job has no energy that of its steps is taken,
    both in joules and without the facility's overhead: of the batch step, of the one on all nodes,
    and of all others together the largest, since they lie over one another. Times without an offset
    are by the books' clock. A job that has not ended is passed over.
    """
    waiting: ProviderRecord | None = None
    steps_j: dict[str, int] = {}
    for line, places, row in cells.rows(lines, reading, "|", SACCT_NEEDED):
        try:
            job = cells.name(row, "JobID")
            energy_j = _joules(row)
            if "." in job:
                reading.passed += 1
                step = job.partition(".")[2]
                step = step if step in _WHOLE_STEPS else ""
                steps_j[step] = steps_j.get(step, 0) + (energy_j or 0)
                continue
            if waiting is not None:
                yield _with_steps(waiting, steps_j)
            waiting, steps_j = None, {}
            if row.get("Start") in _NO_TIME or row.get("End") in _NO_TIME:
                reading.passed += 1
                continue
            waiting = _sacct(row, job, energy_j, offset_min)
        except CellError as error:
            _wrong(reading, error, line, places)
    if waiting is not None:
        yield _with_steps(waiting, steps_j)


def _sacct(row: Row, job: str, energy_j: int | None, offset_min: int) -> ProviderRecord:
    wall_ms = cells.wall_ms(row, "ElapsedRaw")
    if wall_ms is None:
        raise CellError("ElapsedRaw", "the seconds are missing")
    cores = cells.scaled(row, "AllocCPUS", 1, _MOST_CORES)
    tres = row.get("AllocTRES")
    found = _CARDS.search(tres) if tres else None
    start = row.get("Start")
    return _ordered(
        ProviderRecord(
            f"{job}/{start}",
            cells.attempt_of(row.get("JobName")),
            job,
            cells.moment_ms(row, "Start", offset_min),
            cells.moment_ms(row, "End", offset_min),
            wall_ms,
            None if cores is None else cores * wall_ms,
            None if not tres else int(found[1]) * wall_ms if found else 0,
            energy_j,
            None,
            "",
            cells.words(row, "State"),
        ),
        "End",
    )


def _joules(row: Row) -> int | None:
    """Return measured energy; a cluster that measures none prints nothing, 0 or a huge number."""
    text = row.get("ConsumedEnergyRaw")
    if not text or text == "0" or (text.isdigit() and len(text) >= _NO_VALUE_DIGITS):
        return None
    return cells.scaled(row, "ConsumedEnergyRaw", 1, _MOST_J)


def _with_steps(record: ProviderRecord, steps_j: Mapping[str, int]) -> ProviderRecord:
    most_j = max(steps_j.values(), default=0)
    if record.energy_j is not None or not most_j:
        return record
    return replace(record, energy_j=most_j)


def read_focus(lines: Iterable[str], reading: Reading, offset_min: int) -> Iterator[ProviderRecord]:
    """Yield the rows of a FOCUS 1.2 bill (https://focus.finops.org), Usage or not.

    FOCUS gives rows no name. A row is named by what identifies its charge (account, resource, SKU,
    category, period and description) and by how many rows before it share all that; so a cost that
    was changed later contradicts the row as it was, instead of being a new one.
    """
    seen: dict[str, int] = {}
    for line, places, row in cells.rows(lines, reading, ",", FOCUS_NEEDED):
        try:
            record = _focus(row, offset_min)
        except CellError as error:
            _wrong(reading, error, line, places)
            continue
        nth = seen[record.line] = seen.get(record.line, 0) + 1
        yield record if nth == 1 else replace(record, line=f"{record.line}#{nth}")


def _focus(row: Row, offset_min: int) -> ProviderRecord:
    cost_micro = cells.money_micro(row, "BilledCost")
    if cost_micro is None:
        raise CellError("BilledCost", "the cost is missing")
    category = cells.name(row, "ChargeCategory")
    resource = cells.words(row, "ResourceId")
    sku = row.get("SkuPriceId") or row.get("SkuId")
    what = cells.words(row, "ChargeDescription") or cells.words(row, "ServiceName")
    unit_ms = _UNITS_MS.get(row.get("ConsumedUnit").casefold())
    wall_ms = None
    if unit_ms and category == "Usage":
        wall_ms = cells.scaled(row, "ConsumedQuantity", unit_ms, MOST_MS)
    period = (row.get("ChargePeriodStart"), row.get("ChargePeriodEnd"))
    named = (
        row.get("SubAccountId") or row.get("BillingAccountId"), resource, sku, category, *period,
        row.get("ChargeClass"), what,
    )  # fmt: skip
    return _ordered(
        ProviderRecord(
            "|".join(cell if cell.isprintable() else repr(cell) for cell in named),
            _tag(row),
            # Credits and taxes lie over the use that they belong to.
            f"{resource} {sku}".strip() if category == "Usage" else "",
            cells.moment_ms(row, "ChargePeriodStart", offset_min),
            cells.moment_ms(row, "ChargePeriodEnd", offset_min),
            wall_ms,
            None,
            None,
            None,
            cost_micro,
            cells.currency(row, "BillingCurrency"),
            what if category == "Usage" else f"{category}: {what}",
        ),
        "ChargePeriodEnd",
    )


def _tag(row: Row) -> str:
    text = row.get("Tags")
    if not text:
        return ""
    try:
        tags = _TAG_DECODER.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        raise CellError(
            "Tags", "this is no JSON object", 'such as {"fenglin/attempt": …}'
        ) from None
    for name in TAGS:
        if name in tags:
            try:
                return cells.attempt_of(_TEXT_DECODER.decode(tags[name]))
            except (msgspec.DecodeError, UnicodeError):
                return ""
    return ""


def read_csv(
    lines: Iterable[str], reading: Reading, offset_min: int
) -> Iterator[ProviderRecord | MeteredUse]:
    """Yield the rows of a plain CSV with `CSV_COLUMNS`; `line`, `start` and `end` are needed.

    A row with a `unit` is use that is charged: it needs `account`, and `quantity` or, of storage,
    the `bytes` that were held from start to end. One without is compared with what the hub saw.
    """
    for line, places, row in cells.rows(lines, reading, ",", CSV_NEEDED):
        try:
            told = any(row.get(column) for column in ("unit", "account", "quantity", "bytes"))
            yield _metered(row, offset_min, line) if told else _plain(row, offset_min)
        except CellError as error:
            _wrong(reading, error, line, places)


def _plain(row: Row, offset_min: int) -> ProviderRecord:
    attempt = row.get("attempt")
    if attempt and not cells.attempt_of(attempt):
        raise CellError("attempt", "this is no attempt key", "such as hub-a12-1; or leave it empty")
    started_ms = cells.moment_ms(row, "start", offset_min)
    ended_ms = cells.moment_ms(row, "end", offset_min)
    wall_ms = cells.wall_ms(row, "wall_s")
    wall_ms = max(0, ended_ms - started_ms) if wall_ms is None else wall_ms
    cores_milli = cells.scaled(row, "cores", 1_000, _MOST_CORES * 1_000)
    cards_milli = cells.scaled(row, "cards", 1_000, _MOST_CORES * 1_000)
    cost_micro = cells.money_micro(row, "cost")
    return _ordered(
        ProviderRecord(
            cells.name(row, "line"),
            attempt,
            cells.words(row, "resource"),
            started_ms,
            ended_ms,
            wall_ms,
            None if cores_milli is None else cores_milli * wall_ms // 1_000,
            None if cards_milli is None else cards_milli * wall_ms // 1_000,
            cells.scaled(row, "energy_kwh", _HOUR_MS, _MOST_J),
            cost_micro,
            "" if cost_micro is None else cells.currency(row, "currency"),
            cells.words(row, "what"),
        ),
        "end",
    )


def _metered(row: Row, offset_min: int, line: int) -> MeteredUse:
    unit = row.get("unit")
    if unit not in UNITS:
        hint = f"one of {', '.join(UNITS)}; cores, memory, cards, nodes and tasks are charged by"
        hint += " what the hub sees of each attempt"
        what = f"{shown(unit)} is no unit that is charged by lines"
        raise CellError("unit", what if unit else "the unit is missing", hint)
    for column in ("wall_s", "cores", "cards", "energy_kwh", "cost", "currency"):
        if row.get(column):
            hint = "tell it in a line of its own, without a unit"
            raise CellError(column, "use that is charged has no such figure", hint)
    name = cells.name(row, "line")
    if len(name) > _MOST_LINE_CHARS:
        raise CellError("line", f"the name is longer than {_MOST_LINE_CHARS} characters")
    attempt = row.get("attempt")
    if attempt and not cells.attempt_of(attempt):
        raise CellError("attempt", "this is no attempt key", "such as hub-a12-1; or leave it empty")
    started_ms = cells.moment_ms(row, "start", offset_min)
    ended_ms = cells.moment_ms(row, "end", offset_min)
    if not 0 <= ended_ms - started_ms <= MOST_MS:
        raise CellError("end", "it ends before it starts, or more than ten years later")
    return MeteredUse(
        name,
        cells.name(row, "account"),
        unit,
        _quantity(row, unit, ended_ms - started_ms),
        started_ms,
        ended_ms,
        cells.words(row, "resource"),
        _job(row),
        attempt,
        line,
    )


def _quantity(row: Row, unit: str, span_ms: int) -> int:
    quantity = cells.whole(row, "quantity", UNITS[unit])
    held_bytes = cells.whole(row, "bytes", _MOST_BYTES)
    if held_bytes is not None and unit != "storage_tb_month":
        raise CellError("bytes", "only storage is told by the bytes that are held")
    if (quantity is None) == (held_bytes is None):
        hint = "storage by `bytes` from start to end, or by `quantity` in byte-milliseconds"
        if unit != "storage_tb_month":
            hint = "bytes of egress, or frames, as a whole number"
        raise CellError("quantity", "the quantity is missing, or told twice", hint)
    return quantity if quantity is not None else (held_bytes or 0) * span_ms


def _job(row: Row) -> int:
    text = row.get("job")
    if not text:
        return 0
    try:
        return parse_job_id(text)
    except InputError as error:
        raise CellError("job", f"{shown(text)} is no job", error.hint) from error


def _ordered(record: ProviderRecord, column: str) -> ProviderRecord:
    if record.ended_ms < record.started_ms:
        raise CellError(column, "it ends before it starts")
    return record


def _wrong(reading: Reading, error: CellError, line: int, places: dict[str, int]) -> None:
    column = places.get(error.column, -1) + 1
    reading.wrong(error.column, error.what, error.hint, line=line, column=column)
