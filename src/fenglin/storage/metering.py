"""The port of metering over the embedded store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fenglin.ledger.accounts import held
from fenglin.ledger.entry import Entry, Kind
from fenglin.ledger.metering.items import Finding, State, What
from fenglin.ledger.metering.reconcile import Told, Tolerance, Used
from fenglin.ledger.metering.records import ProviderRecord, UseRecord, digest
from fenglin.ledger.metering.spans import Span, span_findings
from fenglin.model.ids import attempt_key
from fenglin.ports.metering import Charged, Item, Series, SeriesFacts, Taken
from fenglin.storage.discrepancies import items, open_items, step
from fenglin.storage.late_use import LateUse
from fenglin.storage.ledger_rows import PARAMETERS, where_in
from fenglin.storage.metered import MeteredCharges
from fenglin.storage.metered_back import give_back, lines_of
from fenglin.storage.metered_rows import of_lines
from fenglin.storage.rows import ALLOCATION_COLUMNS, allocation_record

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping, Sequence

    from fenglin.ledger.metering.metered import MeteredFile
    from fenglin.ports.metering import (
        BackAsk,
        ChargedLine,
        GivenBack,
        ImportCounts,
        ImportHead,
        ItemFilter,
        Seller,
    )
    from fenglin.quantities.period import Period
    from fenglin.storage.store import SqlStore

_FIELDS = (
    "line, attempt, resource, started_ms, ended_ms, wall_ms, core_ms, card_ms, energy_j,"
    " cost_micro, currency, what"
)
_INSERT = (
    f"INSERT INTO provider_record (site, source, import, digest, {_FIELDS})"  # noqa: S608
    f" VALUES ({', '.join('?' * 16)}) ON CONFLICT (site, source, line) DO NOTHING"
)
_DONE = "import NOT IN (SELECT number FROM metering_import WHERE done_ms = 0)"
_OF_SERIES = f"site = ? AND source = ? AND {_DONE}"
_LATE = """\
SELECT use_record.attempt, COUNT(*), SUM(use_record.wall_ms) FROM use_record
JOIN usage ON usage.attempt = use_record.attempt WHERE outcome = 'billed' AND"""
_LEFT = """\
SELECT site, source, line FROM provider_record
WHERE import IN (SELECT number FROM metering_import WHERE done_ms = 0) LIMIT ?"""
_MOST_SWEPT = 20_000
_TOLD = f"""\
SELECT usage.attempt, COUNT(*), COUNT(told.wall_ms), SUM(told.wall_ms),
    COUNT(told.core_ms), SUM(told.core_ms), COUNT(told.card_ms), SUM(told.card_ms),
    COUNT(told.cost_micro), SUM(told.cost_micro), MIN(told.currency), MAX(told.currency)
FROM usage JOIN provider_record AS told ON told.attempt = usage.attempt AND told.attempt <> ''
WHERE usage.site = ? AND usage.ended_ms >= ? AND usage.ended_ms < ?
    AND told.site = ? AND told.source = ? AND told.{_DONE} GROUP BY usage.attempt"""  # noqa: S608
_ALL_MEASURED = """HAVING SUM(energy_j) > 0 AND
    SUM(CASE WHEN energy_j IS NULL AND COALESCE(wall_ms, 1) > 0 THEN 1 ELSE 0 END) = 0"""
_POSTED = "SELECT seq FROM ledger_entry WHERE kind = ? AND time_ms >= ? AND time_ms < ?"
_POSTED_OF = f"""{_POSTED} AND EXISTS (SELECT 1 FROM ledger_leg
    WHERE ledger_leg.seq = ledger_entry.seq AND account = ?)"""  # noqa: S608


class SqliteMetering:
    """Implements `ports.metering.Metering`."""

    def __init__(self, store: SqlStore, offset_min: int) -> None:
        """Take the store, and the books' zone."""
        self._store = store
        self._offset_min = offset_min

    async def begin(self, epoch: int, head: ImportHead) -> int:
        """See `ports.metering.Metering`."""
        await self.sweep(epoch)
        return await self._store.write(epoch, lambda conn: begin(conn, head))

    async def sweep(self, epoch: int) -> None:
        """See `ports.metering.Metering`."""
        # Piece by piece: the one writer has other work, too.
        while await self._store.write(epoch, sweep_piece):
            pass

    async def add(
        self, epoch: int, number: int, head: ImportHead, records: Sequence[ProviderRecord]
    ) -> tuple[int, list[Finding]]:
        """See `ports.metering.Metering`."""
        return await self._store.write(epoch, lambda conn: add(conn, number, head, records))

    async def finish(
        self,
        epoch: int,
        number: int,
        head: ImportHead,
        counts: ImportCounts,
        findings: Sequence[Finding],
        sold: tuple[MeteredFile, Seller],
    ) -> Charged:
        """See `ports.metering.Metering`."""
        file, seller = sold

        def work(conn: sqlite3.Connection) -> Charged:
            charges = MeteredCharges(conn, number, head, seller, self._offset_min)
            if counts.added:
                charges.check_records()
            charged = charges.take(file) if file.uses else Charged()
            conn.execute(
                "UPDATE metering_import SET done_ms = begun_ms, added = ?, unchanged = ?,"
                " contradicting = ?, passed = ?, from_ms = ?, to_ms = ? WHERE number = ?",
                (
                    counts.added + charged.charged,
                    counts.unchanged + charged.unchanged,
                    counts.contradicting,
                    counts.passed,
                    counts.from_ms,
                    counts.to_ms,
                    number,
                ),
            )
            open_items(conn, findings, "", head.actor, head.begun_ms)
            return charged

        return await self._store.write(epoch, work)

    async def give_back(self, epoch: int, ask: BackAsk, who: str, now_ms: int) -> GivenBack:
        """See `ports.metering.Metering`."""
        return await self._store.write(epoch, lambda conn: give_back(conn, ask, who, now_ms))

    async def charged(self, job: int) -> list[ChargedLine]:
        """See `ports.metering.Metering`."""
        return await self._store.read(lambda conn: lines_of(conn, job))

    async def take(
        self,
        epoch: int,
        records: Sequence[UseRecord],
        providers: Mapping[str, str],
        who: str,
        now_ms: int,
    ) -> Taken:
        """See `ports.metering.Metering`."""
        return await self._store.write(
            epoch,
            lambda conn: LateUse(conn, providers, self._offset_min, who, now_ms).take(records),
        )

    async def used(self, site: str, period: Period) -> list[Used]:
        """See `ports.metering.Metering`."""
        where = "usage.site = ? AND usage.ended_ms >= ? AND usage.ended_ms < ?"
        values = (site, period.from_ms, period.to_ms)
        return await self._store.read(lambda conn: [one for one, _ in used(conn, where, values)])

    async def series(self) -> list[Series]:
        """See `ports.metering.Metering`."""
        return await self._store.read(
            lambda conn: [
                Series(*row)
                for row in conn.execute(
                    "SELECT site, source, MAX(form), MIN(from_ms), MAX(to_ms) FROM metering_import"
                    " WHERE done_ms > 0 AND from_ms > 0 GROUP BY site, source ORDER BY site, source"
                )
            ]
        )

    async def facts(self, series: Series, period: Period, tolerance: Tolerance) -> SeriesFacts:
        """See `ports.metering.Metering`."""
        return await self._store.read(lambda conn: facts(conn, series, period, tolerance))

    async def open(
        self, epoch: int, findings: Sequence[Finding], period: str, who: str, now_ms: int
    ) -> list[int]:
        """See `ports.metering.Metering`."""
        return await self._store.write(
            epoch, lambda conn: open_items(conn, findings, period, who, now_ms)
        )

    async def items(self, wanted: ItemFilter) -> list[Item]:
        """See `ports.metering.Metering`."""
        return await self._store.read(lambda conn: items(conn, wanted))

    async def step(
        self, epoch: int, number: int, then: State, why: str, who: str, now_ms: int
    ) -> Item:
        """See `ports.metering.Metering`."""
        return await self._store.write(
            epoch, lambda conn: step(conn, number, then, why, who, now_ms)
        )

    async def attempts(self, job: int, account: str) -> list[tuple[Used, str]] | None:
        """See `ports.metering.Metering`."""

        def work(conn: sqlite3.Connection) -> list[tuple[Used, str]] | None:
            row = conn.execute("SELECT account FROM job WHERE number = ?", (job,)).fetchone()
            if row is None or account not in {"", row[0]}:
                return None
            return list(used(conn, "usage.job = ?", (job,)))

        return await self._store.read(work)

    async def lines(self, attempt: str) -> list[tuple[str, ProviderRecord]]:
        """See `ports.metering.Metering`."""
        query = (
            f"SELECT source, {_FIELDS} FROM provider_record WHERE attempt = ?"  # noqa: S608
            f" AND attempt <> '' AND {_DONE} ORDER BY site, source, started_ms, line"
        )
        return await self._store.read(
            lambda conn: [
                (source, ProviderRecord(*row)) for source, *row in conn.execute(query, (attempt,))
            ]
        )

    async def uses(self, attempt: str) -> list[tuple[UseRecord, str]]:
        """See `ports.metering.Metering`."""
        query = (
            "SELECT outcome, attempt, task, started_ms, wall_ms, cpu_ms FROM use_record"
            " WHERE attempt = ? ORDER BY task"
        )
        return await self._store.read(
            lambda conn: [
                (UseRecord(*row), outcome) for outcome, *row in conn.execute(query, (attempt,))
            ]
        )

    async def posted(self, account: str, period: Period) -> list[Entry]:
        """See `ports.metering.Metering`."""

        def work(conn: sqlite3.Connection) -> list[Entry]:
            values: tuple[Any, ...] = (Kind.POST.value, period.from_ms, period.to_ms)
            if account:
                rows = conn.execute(_POSTED_OF, (*values, held(account)))
            else:
                rows = conn.execute(_POSTED, values)
            return list(where_in(conn, "seq", [seq for (seq,) in rows]))

        return await self._store.read(work)

    async def postings(self, job: int) -> list[Entry]:
        """See `ports.metering.Metering`."""

        def work(conn: sqlite3.Connection) -> list[Entry]:
            (hub,) = conn.execute("SELECT value FROM meta WHERE name = 'hub'").fetchone()
            rows = conn.execute("SELECT number, attempt FROM allocation WHERE job = ?", (job,))
            keys = [f"post:{attempt_key(hub, *row)}" for row in rows]
            return list(where_in(conn, "key", keys))

        return await self._store.read(work)

    async def measured_j(self, attempts: Sequence[str]) -> dict[str, int]:
        """See `ports.metering.Metering`."""
        return await self._store.read(lambda conn: measured_j(conn, attempts))


def sweep_piece(conn: sqlite3.Connection) -> bool:
    """Remove some of what unfinished imports have left; return whether more may be there."""
    piece = conn.execute(_LEFT, (_MOST_SWEPT,)).fetchall()
    conn.executemany(
        "DELETE FROM provider_record WHERE site = ? AND source = ? AND line = ?", piece
    )
    if not piece:
        conn.execute("DELETE FROM metering_import WHERE done_ms = 0")
    return bool(piece)


def begin(conn: sqlite3.Connection, head: ImportHead) -> int:
    """Begin an import; see `ports.metering.Metering`."""
    (number,) = conn.execute("SELECT COALESCE(MAX(number), 0) + 1 FROM metering_import").fetchone()
    conn.execute(
        "INSERT INTO metering_import (number, site, source, form, file, actor, begun_ms)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (number, head.site, head.source, head.form, head.file, head.actor, head.begun_ms),
    )
    return int(number)


def add(
    conn: sqlite3.Connection, number: int, head: ImportHead, records: Sequence[ProviderRecord]
) -> tuple[int, list[Finding]]:
    """Add lines; see `ports.metering.Metering`."""
    digests = [digest(record) for record in records]
    added = conn.executemany(
        _INSERT,
        (
            (
                head.site, head.source, number, own, one.line, one.attempt, one.resource,
                one.started_ms, one.ended_ms, one.wall_ms, one.core_ms, one.card_ms,
                one.energy_j, one.cost_micro, one.currency, one.what,
            )
            for one, own in zip(records, digests, strict=True)
        ),
    ).rowcount  # fmt: skip
    if added == len(records):
        return added, []
    lines = [one.line for one in records]
    query = "SELECT line, digest FROM provider_record"
    known = dict(of_lines(conn, query, (head.site, head.source), lines))
    return added, [
        _contradiction(head, one)
        for one, own in zip(records, digests, strict=True)
        if known[one.line] != own
    ]


def facts(
    conn: sqlite3.Connection, series: Series, period: Period, tolerance: Tolerance
) -> SeriesFacts:
    """Return what a check needs of a series and month, as one state of the database."""
    named = (series.site, series.source)
    month = (period.from_ms, period.to_ms)
    in_month = f"{_OF_SERIES} AND ended_ms >= ? AND ended_ms < ?"
    conn.execute("BEGIN")
    try:
        strange = conn.execute(
            "SELECT attempt, COUNT(*), COALESCE(SUM(wall_ms), 0) FROM provider_record"  # noqa: S608
            f" WHERE {in_month} AND attempt <> '' AND NOT EXISTS (SELECT 1 FROM usage"
            " WHERE usage.attempt = provider_record.attempt) GROUP BY attempt ORDER BY attempt",
            (*named, *month),
        ).fetchall()
        charged = conn.execute(
            "SELECT currency, COUNT(*), COALESCE(SUM(cost_micro), 0) FROM provider_record"  # noqa: S608
            f" WHERE {in_month} AND attempt = '' GROUP BY currency ORDER BY currency",
            (*named, *month),
        ).fetchall()
        spans = conn.execute(
            "SELECT resource, started_ms, ended_ms, line, attempt FROM provider_record"  # noqa: S608
            f" WHERE {in_month} AND resource <> '' ORDER BY resource, started_ms, ended_ms, line",
            (*named, *month),
        )
        return SeriesFacts(
            told=dict(_told(conn, series, period)),
            strange=strange,
            charged=[row for row in charged if row[0]],
            foreign=sum(row[1] for row in charged if not row[0]),
            spans=list(
                span_findings(
                    (Span(*row) for row in spans),
                    tolerance.slack_ms,
                    site=series.site,
                    source=series.source,
                    form=series.form,
                )
            ),
        )
    finally:
        conn.execute("ROLLBACK")


def used(
    conn: sqlite3.Connection, where: str, values: tuple[Any, ...]
) -> Iterator[tuple[Used, str]]:
    """Yield ended attempts, what was told late included, with why they ended early.

    Args:
        conn: Any connection.
        where: Our own condition on `usage`; never text from outside.
        values: Its parameters.
    """
    late = {
        attempt: (tasks, wall_ms)
        for attempt, tasks, wall_ms in conn.execute(
            f"{_LATE} {where} GROUP BY use_record.attempt", values
        )
    }
    (hub,) = conn.execute("SELECT value FROM meta WHERE name = 'hub'").fetchone()
    numbers = f"SELECT allocation FROM usage WHERE {where}"  # noqa: S608 - our own condition
    for row in conn.execute(
        f"SELECT {ALLOCATION_COLUMNS} FROM allocation"  # noqa: S608
        f" WHERE number IN ({numbers}) ORDER BY number",
        values,
    ):
        one = allocation_record(row)
        key = attempt_key(hub, one.number, one.attempt)
        tasks, wall_ms = late.get(key, (0, 0))
        yield (
            Used(
                attempt=key,
                site=one.site,
                tasks=one.usage.tasks + tasks,
                wall_ms=one.usage.wall_ms + wall_ms,
                cores_milli=one.resources.cpu_milli * one.nodes,
                cards_milli=one.resources.accelerator_milli * one.nodes,
                nodes=one.nodes,
                started_ms=one.started_ms,
                ended_ms=one.ended_ms,
                cost_micro=one.cost_micro,
                currency=one.price.currency,
            ),
            str(one.reason or ""),
        )


def measured_j(conn: sqlite3.Connection, attempts: Sequence[str]) -> dict[str, int]:
    """Return the energy that sites measured of attempts; of several series the largest.

    What a series says is a sum only if each of its lines that ran says its part.
    """
    found: dict[str, int] = {}
    for start in range(0, len(attempts), PARAMETERS):
        part = attempts[start : start + PARAMETERS]
        marks = ", ".join("?" * len(part))
        for attempt, energy_j in conn.execute(
            "SELECT attempt, SUM(energy_j) FROM provider_record"  # noqa: S608
            f" WHERE attempt <> '' AND attempt IN ({marks}) AND {_DONE}"
            f" GROUP BY attempt, site, source {_ALL_MEASURED}",
            part,
        ):
            found[attempt] = max(energy_j, found.get(attempt, 0))
    return found


def _told(conn: sqlite3.Connection, series: Series, period: Period) -> Iterator[tuple[str, Told]]:
    """Yield what a series says of the attempts that ended in a month."""
    for attempt, lines, *sums, costs, cost_micro, first, last in conn.execute(
        _TOLD, (series.site, period.from_ms, period.to_ms, series.site, series.source)
    ):
        # A sum is one only if every line says its part.
        wall_ms, core_ms, card_ms = (
            total if count == lines else None
            for count, total in zip(sums[::2], sums[1::2], strict=True)
        )
        yield (
            attempt,
            Told(
                lines=lines,
                wall_ms=wall_ms,
                core_ms=core_ms,
                card_ms=card_ms,
                cost_micro=cost_micro if costs else None,
                currency=last if first in {last, ""} else "*",
            ),
        )


def _contradiction(head: ImportHead, record: ProviderRecord) -> Finding:
    told = {
        "wall": record.wall_ms,
        "cores × ms": record.core_ms,
        "energy": record.energy_j,
        "cost": record.cost_micro,
    }
    said = ", ".join(f"{name} {value}" for name, value in told.items() if value is not None)
    return Finding(
        what=What.CONTRADICTION,
        site=head.site,
        source=head.source,
        attempt=record.attempt,
        subject=record.line,
        theirs=f"{digest(record).hex()[:12]}: {said}",
        text=f"{head.file} tells the line with another body; the first one stands",
    )
