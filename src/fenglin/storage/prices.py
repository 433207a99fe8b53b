"""The price book in the embedded store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from fenglin.catalog.pricebook.items import PriceKey, PriceTerms, PriceVersion

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterator, Sequence

    from fenglin.ports.prices import PriceBatch, PriceFilter
    from fenglin.storage.store import SqlStore

_KEY = "unit, provider, site, region, zone, flavor, model, user_class, mode, band"
_TERMS = "currency, price_micro, tiers, tier_period, memory_per_core_bytes, factors"
_END = """\
MIN(to_ms, COALESCE((
    SELECT MIN(later.from_ms) FROM price AS later
    WHERE later.supersedes = price.number AND later.supersedes > 0), to_ms))"""
_SELECT = f"SELECT number, {_KEY}, {_TERMS}, from_ms, to_ms, supersedes, {_END} FROM price"  # noqa: S608
_INSERT = f"""\
INSERT INTO price (number, batch, {_KEY}, {_TERMS}, from_ms, to_ms, supersedes)
VALUES ({", ".join("?" * 21)})"""  # noqa: S608 - names of columns
_FIELDS = frozenset(PriceKey.__struct_fields__)
_TIERS = msgspec.json.Decoder(tuple[tuple[int, int], ...])
_FACTORS = msgspec.json.Decoder(tuple[tuple[str, int], ...])


class SqlitePrices:
    """Implements `ports.prices.Prices`."""

    def __init__(self, store: SqlStore) -> None:
        """Take the store."""
        self._store = store

    async def last(self) -> int:
        """See `ports.prices.Prices`."""
        return await self._store.read(last)

    async def versions(self, providers: Collection[str]) -> list[PriceVersion]:
        """See `ports.prices.Prices`."""
        wanted = sorted(providers)
        marks = ", ".join("?" * len(wanted))
        where = f"WHERE provider IN ({marks}) ORDER BY number"
        return await self._store.read(lambda conn: list(_select(conn, where, wanted)))

    async def page(self, wanted: PriceFilter) -> list[PriceVersion]:
        """See `ports.prices.Prices`."""
        return await self._store.read(lambda conn: page(conn, wanted))

    async def append(
        self, epoch: int, last: int, added: Sequence[PriceVersion], batch: PriceBatch
    ) -> bool:
        """See `ports.prices.Prices`."""
        return await self._store.write(epoch, lambda conn: append(conn, last, added, batch))


def last(conn: sqlite3.Connection) -> int:
    """Return the highest version number; 0 for an empty book."""
    (number,) = conn.execute("SELECT COALESCE(MAX(number), 0) FROM price").fetchone()
    return int(number)


def of_units(
    conn: sqlite3.Connection, units: Collection[str], providers: Collection[str]
) -> list[PriceVersion]:
    """Return every version of these units and providers, in the order of their numbers."""
    where = (
        f"WHERE unit IN ({', '.join('?' * len(units))})"
        f" AND provider IN ({', '.join('?' * len(providers))}) ORDER BY number"
    )
    return list(_select(conn, where, [*units, *providers]))


def page(conn: sqlite3.Connection, wanted: PriceFilter) -> list[PriceVersion]:
    """Return some versions, in the order of their numbers."""
    any_of: dict[str, list[str]] = {}
    for name, value in wanted.fields:
        if name in _FIELDS:
            any_of.setdefault(name, []).append(value)
    tests = ["number > ?"]
    values: list[str | int] = [wanted.after]
    for name, texts in any_of.items():
        tests.append(f"{name} IN ({', '.join('?' * len(texts))})")
        values += texts
    if wanted.at_ms:
        tests.append(f"from_ms <= ? AND ? < {_END}")
        values += [wanted.at_ms, wanted.at_ms]
    where = f"WHERE {' AND '.join(tests)} ORDER BY number LIMIT ?"
    return list(_select(conn, where, [*values, wanted.limit]))


def append(
    conn: sqlite3.Connection, before: int, added: Sequence[PriceVersion], batch: PriceBatch
) -> bool:
    """Add versions, unless others have added some since `before` was the last."""
    if last(conn) != before:
        return False
    (number,) = conn.execute("SELECT COALESCE(MAX(number), 0) + 1 FROM price_batch").fetchone()
    conn.execute(
        "INSERT INTO price_batch VALUES (?, ?, ?, ?, ?)",
        (number, batch.time_ms, batch.actor, batch.source, len(added)),
    )
    conn.executemany(_INSERT, (_row(one, number) for one in added))
    return True


def _row(version: PriceVersion, batch: int) -> tuple[object, ...]:
    key, terms = version.key, version.terms
    return (
        version.number, batch,
        key.unit, key.provider, key.site, key.region, key.zone, key.flavor, key.model,
        key.user_class, key.mode, key.band,
        terms.currency, terms.price_micro, _text(terms.tiers), terms.tier_period,
        terms.memory_per_core_bytes, _text(terms.factors),
        version.from_ms, version.to_ms, version.supersedes,
    )  # fmt: skip


def _text(pairs: tuple[object, ...]) -> str:
    return msgspec.json.encode(pairs).decode() if pairs else ""


def _select(
    conn: sqlite3.Connection, where: str, values: Sequence[str | int]
) -> Iterator[PriceVersion]:
    # A cloud's list repeats few prices many times: equal terms are one object in memory.
    known: dict[tuple[object, ...], PriceTerms] = {}
    for row in conn.execute(f"{_SELECT} {where}", values):
        words = row[11:17]
        terms = known.get(words)
        if terms is None:
            currency, price_micro, tiers, tier_period, per_core_bytes, factors = words
            terms = known[words] = PriceTerms(
                currency,
                price_micro,
                _TIERS.decode(tiers) if tiers else (),
                tier_period,
                per_core_bytes,
                _FACTORS.decode(factors) if factors else (),
            )
        yield PriceVersion(row[0], PriceKey(*row[1:11]), terms, *row[17:21])
