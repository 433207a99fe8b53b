"""The port of settlements over the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from fenglin.errors import ConflictError, DamageError
from fenglin.ledger.entry import Entry, Kind
from fenglin.ledger.report import UsageSum
from fenglin.ledger.settlement import Settlement, settle_entry, settle_month
from fenglin.ledger.settlement_check import KINDS, Posted, ThreeWay, ThreeWayCheck
from fenglin.ledger.vouchers.entries import PAYS
from fenglin.ports.settling import Settled
from fenglin.quantities.resources import Resources
from fenglin.storage import books, ledger
from fenglin.storage import dues as rooms
from fenglin.storage.ledger_rows import COLUMNS, LEG_COLUMNS, assemble

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping, Sequence

    from fenglin.ledger.entry import Draft
    from fenglin.ledger.settlement_deal import Deal
    from fenglin.ledger.verify import Unreadable
    from fenglin.ports.settling import Due
    from fenglin.quantities.period import Period
    from fenglin.storage.store import SqlStore

_CHUNK = 900
_ENCODE = msgspec.json.Encoder().encode
_SETTLEMENT = msgspec.json.Decoder(Settlement)
_RESOURCES = msgspec.json.Decoder(Resources)
_CHARGING = (Kind.POST, Kind.ADJUST)
# Keys of settlements, by the index on keys.
_SETTLES = "key >= 'settle:' AND key < 'settle;'"


class SqliteSettlings:
    """Implements `ports.settling.Settlings`."""

    def __init__(self, store: SqlStore) -> None:
        """Take the store."""
        self._store = store

    async def month(
        self, period: Period, deals: Mapping[str, Sequence[Deal]]
    ) -> tuple[tuple[Settled, ...], int]:
        """See `ports.settling.Settlings`."""
        return await self._store.read(lambda conn: read_month(conn, period, deals))

    async def post(
        self, epoch: int, made: Sequence[Settlement], who: str, now_ms: int
    ) -> tuple[Settled, ...]:
        """See `ports.settling.Settlings`."""

        def work(conn: sqlite3.Connection) -> tuple[Settled, ...]:
            return tuple(_post(conn, one, who, now_ms) for one in made)

        return await self._store.write(epoch, work)

    async def dues(self) -> tuple[Due, ...]:
        """See `ports.settling.Settlings`."""
        return await self._store.read(rooms.dues)

    async def pay(self, epoch: int, draft: Draft, now_ms: int) -> Entry:
        """See `ports.settling.Settlings`."""
        return await self._store.write(epoch, lambda conn: rooms.pay(conn, draft, now_ms))

    async def check(self, period: Period) -> ThreeWay:
        """See `ports.settling.Settlings`."""
        return await self._store.read(lambda conn: three_way(conn, period))

    async def usage(self, period: Period) -> tuple[UsageSum, ...]:
        """See `ports.settling.Settlings`."""
        return await self._store.read(lambda conn: _usage(conn, period))


def read_month(
    conn: sqlite3.Connection, period: Period, deals: Mapping[str, Sequence[Deal]]
) -> tuple[tuple[Settled, ...], int]:
    """Return a month's settlements as one state of the ledger; see `ports.settling.Settlings`."""
    conn.execute("BEGIN")
    try:
        kept = {_place(one.settlement): one for one in _kept(conn, period)}
        made = settle_month(_sound(conn, period), period, _merged(deals, kept))
        closed = ledger.find(conn, f"{Kind.CLOSE}:{period}")
    finally:
        conn.execute("ROLLBACK")
    anew = {_place(one): one for one in made}
    for place, posted in kept.items():
        if anew.get(place) != posted.settlement:
            raise DamageError(
                f"the settlement of {place[0]} comes to something else than what was posted",
                where=f"entry {posted.seq}",
                hint="run `fenglin settle --check` and `fenglin ledger verify`",
            )
    settled = tuple(kept.get(_place(one), Settled(one)) for one in made)
    return settled, closed.seq if closed is not None else 0


def three_way(conn: sqlite3.Connection, period: Period) -> ThreeWay:
    """Reconcile a month as one state of the ledger."""
    check = ThreeWayCheck(period)
    conn.execute("BEGIN")
    try:
        for seq, item in _items(conn, period, KINDS):
            if isinstance(item, Entry):
                check.add(item, _paid(conn, item))
            else:
                check.unreadable(seq, item.why)
        for seq, item in _rows(conn, _SETTLES, ()):
            if isinstance(item, Entry):
                check.add_settle(item)
            else:
                check.unreadable(seq, item.why)
        kept = _kept(conn, period)
        posted = []
        for one in kept:
            found = [item for _, item in _rows(conn, "seq = ?", (one.seq,))]
            entry = found[0] if found and isinstance(found[0], Entry) else None
            posted.append((Posted(one.settlement, one.seq), entry))
        check.compare(posted, _anew(conn, period, kept))
    finally:
        conn.execute("ROLLBACK")
    return check.finish()


def _paid(conn: sqlite3.Connection, entry: Entry) -> Entry | None:
    """Return the posting that a voucher's entry pays, if it names one that can be read."""
    key = entry.detail(PAYS)
    if entry.kind is not Kind.VOUCHER or not key:
        return None
    found = [item for _, item in _rows(conn, "key = ?", (key,))]
    return found[0] if found and isinstance(found[0], Entry) else None


def _post(conn: sqlite3.Connection, made: Settlement, who: str, now_ms: int) -> Settled:
    """Enter one settlement, unless it is there."""
    place = (made.provider, made.period, made.commodity)
    row = conn.execute(
        "SELECT body, entry, posted_by FROM settlement"
        " WHERE provider = ? AND period = ? AND commodity = ?",
        place,
    ).fetchone()
    if row is not None:
        known = Settled(_SETTLEMENT.decode(row[0]), row[1], row[2])
        if known.settlement != made:
            raise ConflictError(
                f"{made.provider} was settled otherwise", where=f"entry {known.seq}"
            )
        return known
    (entry,) = books.append(conn, [settle_entry(made)], now_ms)
    conn.execute(
        "INSERT INTO settlement (provider, period, commodity, entry, body, posted_by)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (*place, entry.seq, _ENCODE(made), who),
    )
    return Settled(made, entry.seq, who)


def _kept(conn: sqlite3.Connection, period: Period) -> list[Settled]:
    """Return the month's settlements that were posted."""
    rows = conn.execute(
        "SELECT body, entry, posted_by FROM settlement WHERE period = ?"
        " ORDER BY provider, commodity",
        (str(period),),
    )
    try:
        return [Settled(_SETTLEMENT.decode(body), seq, who) for body, seq, who in rows]
    except msgspec.DecodeError as error:
        raise DamageError(f"a settlement cannot be read: {error}", where=str(period)) from error


def _merged(
    deals: Mapping[str, Sequence[Deal]], kept: Mapping[tuple[str, str], Settled]
) -> dict[str, list[Deal]]:
    """Return the deals, with those that were kept in place of what is declared now."""
    merged = {
        provider: [deal for deal in each if (provider, deal.commodity) not in kept]
        for provider, each in deals.items()
    }
    for (provider, _), posted in kept.items():
        merged.setdefault(provider, []).append(posted.settlement.deal)
    return merged


def _anew(
    conn: sqlite3.Connection, period: Period, kept: Sequence[Settled]
) -> tuple[Settlement, ...] | None:
    """Make the settlements that were posted again; None where entries are damaged."""
    deals = _merged({}, {_place(one.settlement): one for one in kept})
    try:
        return settle_month(_sound(conn, period), period, deals) if kept else ()
    except DamageError:
        return None


def _place(made: Settlement) -> tuple[str, str]:
    return made.provider, made.commodity


def _sound(conn: sqlite3.Connection, period: Period) -> Iterator[Entry]:
    """Yield the month's entries that charge or correct.

    Raises:
        DamageError: a row cannot be read as an entry.
    """
    for seq, item in _items(conn, period, _CHARGING):
        if not isinstance(item, Entry):
            raise DamageError(item.why, where=f"entry {seq}", hint="run `fenglin settle --check`")
        yield item


def _items(
    conn: sqlite3.Connection, period: Period, kinds: Sequence[Kind]
) -> Iterator[tuple[int, Entry | Unreadable]]:
    """Yield the month's entries of some kinds with their numbers, in order."""
    marks = ", ".join("?" * len(kinds))
    condition = f"kind IN ({marks}) AND time_ms >= ? AND time_ms < ?"
    values = (*(kind.value for kind in kinds), period.from_ms, period.to_ms)
    return _rows(conn, condition, values)


def _rows(
    conn: sqlite3.Connection, condition: str, values: tuple[str | int, ...]
) -> Iterator[tuple[int, Entry | Unreadable]]:
    """Yield entries (the condition is ours, never input), in memory that does not grow."""
    after = 0
    while True:
        rows = conn.execute(
            f"SELECT {COLUMNS} FROM ledger_entry WHERE seq > ? AND {condition}"  # noqa: S608
            " ORDER BY seq LIMIT ?",
            (after, *values, _CHUNK),
        ).fetchall()
        if not rows:
            return
        seqs = [row[2] for row in rows]
        legs = conn.execute(
            f"SELECT {LEG_COLUMNS} FROM ledger_leg"  # noqa: S608
            f" WHERE seq IN ({', '.join('?' * len(seqs))}) ORDER BY seq, n",
            seqs,
        ).fetchall()
        yield from zip(seqs, assemble(rows, legs), strict=True)
        after = seqs[-1]


def _usage(conn: sqlite3.Connection, period: Period) -> tuple[UsageSum, ...]:
    """Sum the usage that was recorded in a month."""
    sums: dict[tuple[str, str, str], list[int]] = {}
    rows = conn.execute(
        "SELECT j.account, u.site, u.flavor, a.resources, a.nodes, u.tasks, u.wall_ms, u.cpu_ms"
        " FROM usage AS u JOIN allocation AS a ON a.number = u.allocation"
        " JOIN job AS j ON j.number = u.job WHERE u.recorded_ms >= ? AND u.recorded_ms < ?",
        (period.from_ms, period.to_ms),
    )
    for account, site, flavor, body, nodes, tasks, wall_ms, cpu_ms in rows:
        held = _RESOURCES.decode(body).times(nodes)
        parts = (
            1,
            tasks,
            wall_ms,
            held.cpu_milli * wall_ms,
            held.accelerator_milli * wall_ms,
            cpu_ms,
        )
        known = sums.setdefault((account, site, flavor), [0] * len(parts))
        for n, part in enumerate(parts):
            known[n] += part
    return tuple(
        UsageSum(
            account=account,
            site=site,
            flavor=flavor,
            attempts=parts[0],
            tasks=parts[1],
            wall_ms=parts[2],
            core_ms=parts[3],
            card_ms=parts[4],
            cpu_ms=parts[5],
        )
        for (account, site, flavor), parts in sorted(sums.items())
    )
