"""Metered use in the embedded store: its lines are kept and charged in one transaction.

A line counts towards tiers in the month, or the year, that it belongs to, among lines that one
version of the price rates. So what an account pays is the same in whatever order, in however many
files and however often its lines come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from fenglin.catalog.pricebook.book import Ask, PriceBook
from fenglin.catalog.pricebook.items import PER_UNIT, Unit
from fenglin.catalog.pricebook.quote import METERED, Quote, quote
from fenglin.catalog.pricebook.rating import rate
from fenglin.catalog.prices import TIER
from fenglin.errors import InputError, InputProblems, Problem
from fenglin.ledger.export import utc_time
from fenglin.ledger.metering.metered import MeteredSeries, MeteredUse, charge_drafts, month_of
from fenglin.ledger.posting import CURRENCY, Charge, charge
from fenglin.model.ids import job_id, parse_attempt_key
from fenglin.ports.metering import Charged
from fenglin.quantities.shown import shown
from fenglin.storage import books, ledger
from fenglin.storage.metered_rows import USE_FIELDS, counter_of, metered_use, of_lines
from fenglin.storage.prices import of_units
from fenglin.storage.tiers import put_used, used_before
from fenglin.storage.voucher_rows import pay_postings

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Container, Iterator, Mapping, Sequence

    from fenglin.ledger.entry import Draft, Entry
    from fenglin.ledger.metering.metered import MeteredFile
    from fenglin.ports.metering import ImportHead, Seller
    from fenglin.quantities.period import Period

Place = tuple[str, str, str]
MOST_PROBLEMS = 100
_INSERT = (
    f"INSERT INTO metered_use (site, source, import, entry, {USE_FIELDS}, counter, span)"  # noqa: S608
    f" VALUES ({', '.join('?' * 15)})"
)
_USES = f"SELECT {USE_FIELDS} FROM metered_use"  # noqa: S608
_BOTH = """\
SELECT line FROM metered_use AS used WHERE site = ? AND source = ? AND EXISTS (
    SELECT 1 FROM provider_record AS told WHERE told.site = used.site
    AND told.source = used.source AND told.line = used.line AND told.import = ?)
ORDER BY line LIMIT 1"""


class _LineError(Exception):
    """Why a line cannot be charged."""

    def __init__(self, column: str, what: str, hint: str) -> None:
        super().__init__(what)
        self._column = column
        self._what = what
        self._hint = hint

    def problem(self, use: MeteredUse, file: MeteredFile) -> Problem:
        """Return it with its place in the file."""
        column = self._column
        if column == "quantity" and column not in file.places:
            column = "bytes"
        return Problem(column, self._what, self._hint, use.row, file.places.get(column, -1) + 1)


class MeteredCharges:
    """Charges the lines of one import inside one transaction."""

    def __init__(
        self,
        conn: sqlite3.Connection,
        number: int,
        head: ImportHead,
        seller: Seller,
        offset_min: int,
    ) -> None:
        """Take the connection, what is imported, who sells to whom, and the books' zone."""
        self._conn = conn
        self._number = number
        self._head = head
        self._seller = seller
        self._offset_min = offset_min
        self._series = MeteredSeries(head.site, head.source, seller.provider)
        self._hub = str(conn.execute("SELECT value FROM meta WHERE name = 'hub'").fetchone()[0])
        self._closed_ms = books.closed_until_ms(conn)
        units = (*METERED, Unit.EXCHANGE)
        self._book = PriceBook(of_units(conn, units, (seller.provider, "")))
        self._used: dict[Place, int] = {}
        self._counted: dict[str, tuple[str, str]] = {}
        self._closings: dict[Period, Entry] = {}

    def take(self, file: MeteredFile) -> Charged:
        """Keep and charge what is new of a file.

        Raises:
            InputProblems: what is wrong, by line and column; the caller rolls back.
        """
        problems: list[Problem] = []
        fresh: list[MeteredUse] = []
        drafts: list[tuple[Draft, ...]] = []
        lines = [use.line for use in file.uses]
        known, told = dict(self._known(lines)), set(self._told(lines))
        for use in file.uses:
            try:
                if self._is_known(use, known, told):
                    continue
                drafts.append(self._drafts(use))
            except _LineError as error:
                problems.append(error.problem(use, file))
                if len(problems) >= MOST_PROBLEMS:
                    break
                continue
            known[use.line] = use
            fresh.append(use)
        if problems:
            raise InputProblems(self._head.file, tuple(problems))
        charged_micro = self._enter(fresh, drafts)
        return Charged(len(fresh), len(file.uses) - len(fresh), charged_micro)

    def check_records(self) -> None:
        """Refuse an import that compares a line which was charged.

        Raises:
            InputProblems: it does; the caller rolls back.
        """
        row = self._conn.execute(
            _BOTH, (self._head.site, self._head.source, self._number)
        ).fetchone()
        if row is not None:
            what = f"the line {row[0]!r} came with a unit and was charged"
            raise InputProblems(self._head.file, (Problem("line", what, _ANOTHER),))

    @staticmethod
    def _is_known(use: MeteredUse, known: Mapping[str, MeteredUse], told: Container[str]) -> bool:
        """Return whether a line was charged before; refuse it where it said something else."""
        there = known.get(use.line)
        if there is not None:
            _check_same(use, there)
        elif use.line in told:
            raise _LineError("unit", "this line came without a unit, to be compared", _ANOTHER)
        return there is not None

    def _known(self, lines: Sequence[str]) -> Iterator[tuple[str, MeteredUse]]:
        """Yield the lines of the series that are there."""
        for row in of_lines(self._conn, _USES, self._place, lines):
            used = metered_use(row)
            yield used.line, used

    def _told(self, lines: Sequence[str]) -> Iterator[str]:
        """Yield the lines of the series that were told to be compared."""
        query = "SELECT line FROM provider_record"
        for (line,) in of_lines(self._conn, query, self._place, lines):
            yield line

    @property
    def _place(self) -> tuple[str, str]:
        return (self._head.site, self._head.source)

    def _drafts(self, use: MeteredUse) -> tuple[Draft, ...]:
        """Return what is entered for a line."""
        if use.account not in self._seller.classes:
            raise _LineError(
                "account",
                f"there is no account {use.account!r}",
                "declare [account.NAME] in the hub's configuration, or correct the name",
            )
        if use.ended_ms > self._head.begun_ms:
            raise _LineError("end", "it has not ended yet", "import it afterwards")
        use = self._with_job(use)
        month = month_of(use, self._offset_min)
        closing = None if month.to_ms > self._closed_ms else self._closing(month)
        price = self._quote(use)
        lines = self._rated(use, price, month)
        try:
            return charge_drafts(
                self._series, use, lines, price.versions, self._offset_min, closing
            )
        except InputError as error:
            raise _LineError("quantity", error.what, error.hint) from error

    def _with_job(self, use: MeteredUse) -> MeteredUse:
        """Return the line with the job whose attempt it names, which must be the account's."""
        job = use.job
        if use.attempt:
            job = self._job_of(use.attempt)
            if not job or use.job not in {0, job}:
                raise _LineError(
                    "attempt",
                    f"{use.attempt} is no attempt of {job_id(use.job) if use.job else 'this hub'}",
                    "see `fenglin job show JOB`; or leave it empty",
                )
        if job:
            row = self._conn.execute("SELECT account FROM job WHERE number = ?", (job,)).fetchone()
            if row is None or row[0] != use.account:
                raise _LineError(
                    "attempt" if use.attempt else "job",
                    f"account {use.account} has no job {job_id(job)}",
                    "who pays for the line must be who pays for the job; or leave it empty",
                )
        return msgspec.structs.replace(use, job=job)

    def _job_of(self, attempt: str) -> int:
        """Return the job of an attempt; 0 for none of this hub."""
        hub, number, nth = parse_attempt_key(attempt)
        row = self._conn.execute(
            "SELECT job, attempt FROM allocation WHERE number = ?", (number,)
        ).fetchone()
        return row[0] if row is not None and hub == self._hub and 0 < nth <= row[1] else 0

    def _quote(self, use: MeteredUse) -> Quote:
        """Return the price that was in force when a use began."""
        seller = self._seller
        ask = Ask(
            at_ms=use.started_ms,
            offset_min=self._offset_min,
            provider=seller.provider,
            site=self._head.site,
            region=seller.region,
            user_class=seller.classes[use.account],
        )
        price = quote(self._book, Unit(use.unit), ask, CURRENCY)
        if isinstance(price, Quote):
            return price
        raise _LineError(
            "unit",
            f"{price} at site {self._head.site} on {_moment(use.started_ms)}",
            f"set one that is valid then: `fenglin price set --unit {use.unit} --site"
            f" {self._head.site} --price PRICE --from DATE`",
        )

    def _rated(self, use: MeteredUse, price: Quote, month: Period) -> list[Charge]:
        """Return what a use costs, by tier, and count it."""
        unit, terms = Unit(use.unit), price.terms
        per = PER_UNIT[unit]
        if not terms.tiers:
            return [charge(use.unit, use.quantity, per, terms.price_micro)]
        counter = counter_of(unit, price.versions, terms)
        span = str(month)[:4] if price.yearly else str(month)
        place = (use.account, counter, span)
        self._counted[use.line] = (counter, span)
        before = self._used[place] if place in self._used else used_before(self._conn, place)
        self._used[place] = before + use.quantity
        lines = rate(unit, terms, use.quantity, before=before)
        return [
            Charge(
                f"{use.unit}{TIER}{one.above}" if one.above else use.unit,
                one.quantity,
                per,
                one.price_micro,
                one.amount_micro,
            )
            for one in lines
        ] or [charge(use.unit, 0, per, terms.price_micro)]

    def _closing(self, month: Period) -> Entry:
        """Return the entry that closed a month; of months before the first, that of the first."""
        if month not in self._closings:
            found = ledger.find(self._conn, f"close:{month}")
            if found is None:
                (seq,) = self._conn.execute(
                    "SELECT seq FROM ledger_entry WHERE kind = 'close' ORDER BY seq LIMIT 1"
                ).fetchone()
                found = next(ledger.entries(self._conn, after_seq=seq - 1, limit=1))
            self._closings[month] = found
        return self._closings[month]

    def _enter(self, uses: Sequence[MeteredUse], drafts: Sequence[tuple[Draft, ...]]) -> int:
        """Enter the charges, keep the lines and what counts towards tiers; return what it cost."""
        now_ms = self._head.begun_ms
        entered = iter(books.append(self._conn, [one for each in drafts for one in each], now_ms))
        charges = [[next(entered) for _ in each][-1] for each in drafts]
        head = (self._head.site, self._head.source, self._number)
        self._conn.executemany(
            _INSERT,
            (
                (
                    *head, entry.seq, use.line, use.account, use.unit, str(use.quantity),
                    use.started_ms, use.ended_ms, use.resource, use.job, use.attempt,
                    *self._counted.get(use.line, ("", "")),
                )
                for use, entry in zip(uses, charges, strict=True)
            ),
        )  # fmt: skip
        put_used(self._conn, self._used)
        pay_postings(self._conn, charges, now_ms)
        return sum(
            leg.amount_micro
            for entry in charges
            for leg in entry.legs
            if leg.account.startswith("provider:")
        )


_ANOTHER = "a series names each line once; give the line another name, or --source another"


def _check_same(use: MeteredUse, there: MeteredUse) -> None:
    """Refuse a line that says something else than when it was charged."""
    for (column, said), before in zip(use.columns.items(), there.columns.values(), strict=True):
        if said != before:
            raise _LineError(
                column,
                f"the line was charged with {_shown(column, before)}, not {_shown(column, said)}",
                "what was charged stands; what is missing comes in a line of another name",
            )


def _shown(column: str, value: str | int) -> str:
    if column in {"start", "end"}:
        return _moment(int(value))
    if column == "job":
        return job_id(int(value)) if value else "no job"
    return shown(value)


def _moment(time_ms: int) -> str:
    return utc_time(time_ms).isoformat()
