"""Use that is told late: kept for ever, and billed once.

An attempt's bill is the rating of **all** its distinct ends together. What is told before the
attempt is settled is in its posting; each end that is told later enters the difference between
the rating with it and the rating without it, as an adjustment. The differences telescope, so the
sum is the same in whatever order, however often and however late ends are told. An adjustment
whose month is closed is entered in the open one, and names the month that it belongs to.

What is billed: ends of tasks that the attempt was given and that the hub did not hear of before.
What is not: an end that was heard of (`counted`: the first is believed, differences are found by
the reconciliation), and work that the hub itself took away by preemption (`unbilled`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.catalog.prices import billed_ms, rate_usage, total_micro
from fenglin.errors import InputError
from fenglin.ledger.accounts import available, due
from fenglin.ledger.entry import Leg
from fenglin.ledger.metering.items import Finding, What
from fenglin.ledger.metering.records import UseRecord, digest
from fenglin.ledger.posting import adjust
from fenglin.model.allocation import Usage
from fenglin.model.ids import attempt_key, parse_attempt_key
from fenglin.model.reason import Reason
from fenglin.ports.metering import Taken
from fenglin.quantities.period import period_of
from fenglin.storage import books, ledger, tiers
from fenglin.storage.discrepancies import open_items
from fenglin.storage.rows import ALLOCATION_COLUMNS, allocation_record

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from fenglin.ports.store import AllocationRecord

_DUE_SUFFIX = ":due"


class LateUse:
    """Takes late records inside one transaction."""

    def __init__(
        self,
        conn: sqlite3.Connection,
        providers: Mapping[str, str],
        offset_min: int,
        who: str,
        now_ms: int,
    ) -> None:
        """Take the connection, providers by site, the books' zone, who speaks, and the time."""
        self._conn = conn
        self._providers = providers
        self._offset_min = offset_min
        self._who = who
        self._now_ms = now_ms
        self._hub = str(conn.execute("SELECT value FROM meta WHERE name = 'hub'").fetchone()[0])

    def take(self, records: Sequence[UseRecord]) -> Taken:
        """Keep the records, and bill what can be billed."""
        counts = {"new": 0, "repeated": 0, "contradicting": 0, "foreign": 0}
        findings: list[Finding] = []
        for record in records:
            known = self._conn.execute(
                "SELECT digest FROM use_record WHERE key = ?", (record.key,)
            ).fetchone()
            if known is not None:
                same = known[0] == digest(record)
                counts["repeated" if same else "contradicting"] += 1
                findings += [] if same else [_contradiction(record, self._who)]
                continue
            foreign = self._foreign(record)
            counts["foreign" if foreign else "new"] += 1
            findings += [foreign] if foreign else []
            self._keep(record, "foreign" if foreign else "waiting")
        open_items(self._conn, findings, "", self._who, self._now_ms)
        return Taken(**counts, billed=self._settle())

    def _keep(self, record: UseRecord, outcome: str) -> None:
        self._conn.execute(
            "INSERT INTO use_record (key, attempt, task, started_ms, wall_ms, cpu_ms, digest,"
            " recorded_by, recorded_ms, outcome) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                record.key,
                record.attempt,
                record.task,
                record.started_ms,
                record.wall_ms,
                record.cpu_ms,
                digest(record),
                self._who,
                self._now_ms,
                outcome,
            ),
        )

    def _foreign(self, record: UseRecord) -> Finding | None:
        """Return why a record is of nothing that this hub ever started; None when it is."""
        allocation = self._allocation(record.attempt)
        if allocation is not None and record.task in allocation.tasks:
            return None
        what = "no such task" if allocation is not None else "no such attempt"
        return Finding(
            what=What.MISSING_AT_HUB,
            site=allocation.site if allocation is not None else "",
            source="records",
            attempt=record.attempt,
            subject=record.key,
            theirs=f"{record.wall_ms / 1_000:.3f} s",
            text=f"{what} was ever started by this hub",
        )

    def _settle(self) -> int:
        """Bill every record that waits and whose attempt is settled; return how many."""
        waiting = self._conn.execute(
            "SELECT attempt, task, started_ms, wall_ms, cpu_ms FROM use_record"
            " WHERE outcome = 'waiting' ORDER BY attempt, task"
        ).fetchall()
        by_attempt: dict[str, list[UseRecord]] = {}
        for row in waiting:
            by_attempt.setdefault(row[0], []).append(UseRecord(*row))
        return sum(self._settle_attempt(*one) for one in by_attempt.items())

    def _settle_attempt(self, attempt: str, records: list[UseRecord]) -> int:
        if not self._conn.execute("SELECT 1 FROM usage WHERE attempt = ?", (attempt,)).fetchone():
            return 0
        allocation = self._allocation(attempt)
        if allocation is None:
            return 0
        heard = allocation.succeeded | allocation.failed
        used = allocation.usage
        for wall_ms, cpu_ms in self._conn.execute(
            "SELECT wall_ms, cpu_ms FROM use_record WHERE attempt = ? AND outcome = 'billed'",
            (attempt,),
        ):
            used += _one(allocation, wall_ms, cpu_ms)
        billed = 0
        for record in records:
            if record.task in heard:
                self._decide(record, "counted")
            elif allocation.reason is Reason.PREEMPTED:
                self._decide(record, "unbilled")
            else:
                after = used + _one(allocation, record.wall_ms, record.cpu_ms)
                self._bill(record, allocation, self._more(allocation, used, after, record))
                self._decide(record, "billed")
                used = after
                billed += 1
        return billed

    def _more(
        self, allocation: AllocationRecord, used: Usage, after: Usage, record: UseRecord
    ) -> int:
        """Return what a record adds to the cost of its attempt."""
        if not allocation.price.tiers:
            return _cost(allocation, after) - _cost(allocation, used)
        one = _one(allocation, record.wall_ms, record.cpu_ms)
        payer = self._account(allocation)
        return total_micro(tiers.take(self._conn, payer, allocation, one, self._now_ms))

    def _account(self, allocation: AllocationRecord) -> str:
        row = self._conn.execute("SELECT account FROM job WHERE number = ?", (allocation.job,))
        return str(row.fetchone()[0])

    def _bill(self, record: UseRecord, allocation: AllocationRecord, micro: int) -> None:
        """Enter the difference that a record makes."""
        corrects = ledger.find(self._conn, f"post:{record.attempt}") or ledger.find(
            self._conn, f"void:{record.attempt}"
        )
        if corrects is None:
            # Usage is never recorded without an entry that resolves its hold.
            raise InputError(f"the attempt {record.attempt} was never settled", where=record.key)
        account = self._account(allocation)
        owed = [leg.account for leg in corrects.legs if leg.account.endswith(_DUE_SUFFIX)]
        provider = owed[0] if owed else due(self._providers.get(allocation.site, allocation.site))
        commodity = allocation.price.currency
        month = period_of(record.started_ms + record.wall_ms, self._offset_min)
        draft = adjust(
            corrects,
            (Leg(available(account), commodity, -micro), Leg(provider, commodity, micro)),
            f"use:{record.key}",
            memo=f"late use of {month}: task {record.task} ran {record.wall_ms / 1_000:.3f} s",
        )
        books.append(self._conn, [draft], self._now_ms)

    def _decide(self, record: UseRecord, outcome: str) -> None:
        self._conn.execute("UPDATE use_record SET outcome = ? WHERE key = ?", (outcome, record.key))

    def _allocation(self, attempt: str) -> AllocationRecord | None:
        """Return the allocation of an attempt of this hub."""
        try:
            hub, number, nth = parse_attempt_key(attempt)
        except InputError:
            return None
        row = self._conn.execute(
            f"SELECT {ALLOCATION_COLUMNS} FROM allocation WHERE number = ?",  # noqa: S608
            (number,),
        ).fetchone()
        record = None if row is None or hub != self._hub else allocation_record(row)
        known = record is not None and attempt == attempt_key(hub, number, record.attempt)
        return record if known and nth else None


def _one(allocation: AllocationRecord, wall_ms: int, cpu_ms: int) -> Usage:
    return Usage(1, wall_ms, billed_ms(allocation.price, wall_ms), cpu_ms)


def _cost(allocation: AllocationRecord, usage: Usage) -> int:
    """Return what an attempt costs with this use; nothing where nothing ended."""
    if not usage.tasks:
        return 0
    held = allocation.resources.times(allocation.nodes)
    return total_micro(rate_usage(allocation.price, held, usage))


def _contradiction(record: UseRecord, who: str) -> Finding:
    return Finding(
        what=What.CONTRADICTION,
        site="",
        source="records",
        attempt=record.attempt,
        subject=record.key,
        theirs=f"{record.wall_ms / 1_000:.3f} s from {record.started_ms}, CPU {record.cpu_ms} ms",
        text=f"{who} told it again with another body; the first one stands",
    )
