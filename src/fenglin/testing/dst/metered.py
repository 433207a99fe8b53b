"""Use that whoever sells it meters: an operator imports files of its lines, right and wrong ones.

Lines come late, twice, in any order and in any number of files; some files say something else of
a line that was charged, or hold a unit without a price: nothing of these may count. What accounts
owe at the end is the price of all that they used, tiers and all, whatever came when (M5). Drawn
from a stream of its own.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple

from fenglin.catalog.pricebook.items import FOREVER_MS, PriceKey, PriceTerms, PriceVersion
from fenglin.errors import ConflictError, InputProblems
from fenglin.ledger.posting import CURRENCY
from fenglin.ports.prices import PriceBatch
from fenglin.quantities.period import period_of
from fenglin.storage import prices
from fenglin.testing.dst.books import OFFSET_MIN
from fenglin.testing.dst.users import ADMIN, at_desk
from fenglin.testing.dst.workload import ACCOUNTS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence
    from random import Random

    from fenglin.testing.dst.world import World
    from fenglin.wire.metering_views import Imported

# Share of the runs in which use is metered, and how often a file of it comes.
SHARE = 0.1
FILES, MOST_LINES = 12, 4
SITE, SOURCE = "alpha", "meter"
SOLD, UNPRICED = "egress_gb", "frame"
GB = 10**9
# An account's first units of a month cost more than all after them: the order could show.
TIER_GB, FIRST_MICRO, LATER_MICRO = 100, 700, 300
MOST_GB = 60
LATE_S = 86_400
# Prices begin long before any use.
_PRICED_FROM_MS = 1_700_000_000_000
# A hub whose date is behind believes that a use has not ended yet.
AGAIN_S = 600.0
_ACTS = ("new", "new", "again", "other body", "unpriced")
_HEAD = "line,account,unit,quantity,start,end\n"


class MeteredLine(NamedTuple):
    """One line.

    Attributes:
        name: Unique in the series.
        account: Who pays.
        unit: What was used.
        gb: How much of it.
        started_s: Unix time.
        ended_s: Unix time.
    """

    name: str
    account: str
    unit: str
    gb: int
    started_s: int
    ended_s: int

    @property
    def row(self) -> str:
        """Return it as a file has it."""
        quantity = self.gb * GB if self.unit == SOLD else self.gb
        parts = (self.name, self.account, self.unit, quantity, self.started_s, self.ended_s)
        return ",".join(str(one) for one in parts)


@dataclass(slots=True)
class Sheets:
    """All of it in a run.

    Attributes:
        files: (when, what is in it).
        random: Source of the rest.
        lines: All that were ever told rightly, by name.
        taken: Names that a hub has acknowledged.
        refused: Names that stood in no file but refused ones.
        doubted: Names that were taken with another body when a restored backup had lost them;
            none is told again.
        numbers: Of names.
    """

    files: list[tuple[float, str]]
    random: Random
    lines: dict[str, MeteredLine] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    doubted: set[str] = field(default_factory=set)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def new_line(self, now_ms: int, unit: str = SOLD) -> MeteredLine:
        """Return a line of use that has ended, be it long ago."""
        random = self.random
        ended_s = now_ms // 1_000 - round(LATE_S * random.random() ** 2)
        name = f"l{next(self.numbers)}"
        account = random.choice(ACCOUNTS)
        started_s = ended_s - random.randint(0, 7_200)
        return MeteredLine(name, account, unit, random.randint(0, MOST_GB), started_s, ended_s)

    def some(self, most: int) -> list[MeteredLine]:
        """Return some that were told before, in any order."""
        known = [self.lines[name] for name in sorted(self.taken)]
        return self.random.sample(known, min(most, len(known)))


def draw_sheets(random: Random, span_s: float) -> Sheets:
    """Return what comes when in a run of so many seconds."""
    times = sorted(random.random() * span_s for _ in range(FILES))
    return Sheets([(at_s, random.choice(_ACTS)) for at_s in times], random)


def furnish(world: World) -> None:
    """Put the price of what is sold into the price book."""
    terms = PriceTerms(CURRENCY, FIRST_MICRO, ((TIER_GB, LATER_MICRO),))
    key = PriceKey(SOLD)
    version = PriceVersion(1, key, terms, _PRICED_FROM_MS, FOREVER_MS, 0, FOREVER_MS)
    prices.append(world.disk.conn, 0, [version], PriceBatch(_PRICED_FROM_MS, "operator", ""))


async def import_all(world: World, sheets: Sheets) -> None:
    """Import files at all times."""
    for at_s, what in sheets.files:
        await asyncio.sleep(max(0.0, at_s - world.loop.time()))
        if what in ("new", "again"):
            await _good(world, sheets, fresh=what == "new")
        else:
            await _bad(world, sheets, what)


async def import_again(world: World, sheets: Sheets) -> None:
    """Import all once more, in another order: what a restored backup has lost is there again."""
    lines = [sheets.lines[name] for name in sorted(sheets.lines)]
    sheets.random.shuffle(lines)
    if lines:
        await _taken(world, sheets, lines)


async def _good(world: World, sheets: Sheets, *, fresh: bool) -> None:
    """Import lines, twice, the second time in another order; only the first may charge."""
    lines = sheets.some(MOST_LINES)
    for _ in range(sheets.random.randint(1, MOST_LINES) if fresh else 0):
        line = sheets.new_line(world.now_ms())
        sheets.lines[line.name] = line
        lines.append(line)
    if not lines:
        return
    restores = world.judge.restores
    await _taken(world, sheets, lines)
    sheets.random.shuffle(lines)
    again = await _taken(world, sheets, lines)
    same = again.charged == 0 or restores != world.judge.restores
    world.judge.must("M5", same, f"imported again, {again.charged} lines were charged")


async def _taken(world: World, sheets: Sheets, lines: Sequence[MeteredLine]) -> Imported:
    """Import lines of which nothing is wrong, until they are taken."""
    while True:
        try:
            done = await _load(world, lines)
        except InputProblems as error:
            wrong = [one for one in error.problems if "not ended yet" not in one.what]
            world.judge.must("M5", not wrong, f"a good file was refused: {error}")
            world.trace.note("operator", f"refused: {error}")
            if wrong:
                raise
            await asyncio.sleep(AGAIN_S)
            continue
        all_told = done.charged + done.unchanged == len(lines)
        world.judge.must("M5", all_told, f"of {len(lines)} lines {done} were told")
        sheets.taken.update(one.name for one in lines)
        world.trace.note("operator", f"{done.charged} of {len(lines)} lines were charged")
        return done


async def _bad(world: World, sheets: Sheets, what: str) -> None:
    """Import a file with a good line and one that spoils it: nothing of it may count."""
    good, other = sheets.new_line(world.now_ms()), None
    sheets.refused.add(good.name)
    if what == "unpriced":
        other = sheets.new_line(world.now_ms(), UNPRICED)
        sheets.refused.add(other.name)
    elif known := sheets.some(1):
        other = known[0]._replace(gb=known[0].gb + 1)
    if other is None:
        return
    try:
        await _load(world, [good, other])
    except InputProblems as error:
        world.trace.note("operator", f"refused as it must be: {error}")
        return
    lost = world.judge.restores and what != "unpriced"
    world.judge.must("M5", lost, f"{other} was taken, {what}")
    sheets.refused.discard(good.name)
    sheets.lines[good.name] = good
    sheets.taken.add(good.name)
    sheets.lines.pop(other.name, None)
    sheets.taken.discard(other.name)
    sheets.doubted.add(other.name)


async def _load(world: World, lines: Sequence[MeteredLine]) -> Imported:
    """Import a file until there is an answer that means something.

    Raises:
        InputProblems: what the hub has against it.
    """
    text = _HEAD + "".join(f"{one.row}\n" for one in lines)
    head = (SITE, SOURCE, "csv", "meter.csv")
    while True:
        try:
            return await at_desk(
                world,
                lambda hub: hub.metering,
                lambda desk: desk.load(BytesIO(text.encode()), head, "", ADMIN),
            )
        except ConflictError:
            # The last one is still under way: its answer was lost.
            await asyncio.sleep(1)


# --- the judge ----------------------------------------------------------------------------------


def sold_micro(conn: sqlite3.Connection) -> int:
    """Return what providers were given for metered lines, in the hub's currency."""
    return sum(_entered(conn).values())


def judge_sheets(world: World, sheets: Sheets) -> None:
    """Judge lines and what they cost when nothing is under way (M5)."""
    conn, must = world.disk.conn, world.judge.must
    entered = _entered(conn)
    bills: Counter[tuple[str, str]] = Counter()
    used_gb: Counter[tuple[str, str]] = Counter()
    stored = set()
    for name, entry, account, unit, quantity, started_ms, ended_ms in conn.execute(
        "SELECT line, entry, account, unit, quantity, started_ms, ended_ms FROM metered_use"
    ):
        times = (started_ms // 1_000, ended_ms // 1_000)
        line = MeteredLine(name, account, unit, int(quantity) // GB, *times)
        known = sheets.lines.get(name) == line or name in sheets.doubted
        must("M5", known, f"{line} is charged, told was {sheets.lines.get(name)}")
        must("M5", entry in entered, f"{name} has no charge")
        place = (account, str(period_of(max(started_ms, ended_ms - 1), OFFSET_MIN)))
        bills[place] += entered.pop(entry, 0)
        used_gb[place] += line.gb
        stored.add(name)
    missing = sheets.taken - stored
    must("M5", not missing, f"taken and not kept: {sorted(missing)}")
    must("M5", not entered, f"charged for nothing: {entered}")
    for place, gb in used_gb.items():
        wanted = min(gb, TIER_GB) * FIRST_MICRO + max(0, gb - TIER_GB) * LATER_MICRO
        must("M5", bills[place] == wanted, f"{place} used {gb} GB for {bills[place]}, not {wanted}")


def _entered(conn: sqlite3.Connection) -> dict[int, int]:
    """Return what each entry about a metered line gives the provider, by its number."""
    return dict(
        conn.execute(
            "SELECT seq, sum(amount_micro) FROM ledger_entry JOIN ledger_leg USING (seq)"
            " WHERE (key LIKE 'post:metered:%' OR key LIKE 'adjust:metered:%')"
            " AND account LIKE 'provider:%' GROUP BY seq"
        ).fetchall()
    )
