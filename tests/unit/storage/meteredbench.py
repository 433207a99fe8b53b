"""A desk of metering over a real store, with prices in its book."""

import io
from types import SimpleNamespace

import pytest

from fenglin.catalog.pricebook.items import FOREVER_MS, PriceKey, PriceTerms, PriceVersion
from fenglin.engine.books.metering import MeteringDesk
from fenglin.errors import InputProblems
from fenglin.ports.hub import Principal
from fenglin.ports.prices import PriceBatch
from fenglin.quantities.period import parse_period
from fenglin.storage import ledger, prices
from fenglin.storage.accounts import SqliteAccounts
from fenglin.storage.metering import SqliteMetering
from fenglin.testing.builders import a_site

# 2023-11-15 06:13:20 by the books' clock.
NOW_MS = 1_700_000_000_000
OCTOBER, NOVEMBER, DECEMBER = map(parse_period, ("2023-10", "2023-11", "2023-12"))
CNY = 1_000_000
TB_MONTH = 10**12 * 30 * 24 * 3_600_000
ADMIN = Principal("ada", frozenset({"read", "write", "admin"}))
HEAD = "line,account,unit,quantity,bytes,start,end,resource,job,attempt\n"
SPAN = "2023-11-01T00:00:00,2023-11-11T00:00:00"
# Odd prices, so that rounding shows: up to 3 GB, up to 10, and above.
TIERS = ((3, 333_331), (10, 111_113))
EGRESS = PriceTerms("CNY", 777_777, TIERS)


def row(line, unit="frame", quantity="", *, account="default", held="", span=SPAN, more=",,"):
    return f"{line},{account},{unit},{quantity},{held},{span},{more}\n"


def version(number, unit, terms, *, from_ms=OCTOBER.from_ms, to_ms=FOREVER_MS, **key):
    end = min(to_ms, FOREVER_MS)
    return PriceVersion(number, PriceKey(unit, **key), terms, from_ms, to_ms, 0, end)


BOOK = (
    version(1, "storage_tb_month", PriceTerms("CNY", 300 * CNY, factors=(("school", 500),))),
    version(2, "egress_gb", EGRESS, provider="provider-site"),
    version(3, "frame", PriceTerms("CNY", 20_000), site="site"),
)


class House:
    """A desk over a real store, with prices in its book."""

    def __init__(self, here):
        self.here = here
        self.now_ms = NOW_MS
        self.heard = 0
        site = a_site(cpu=4, nodes=2)
        self.pool = SimpleNamespace(
            hub=here.loaded.hub, epoch=here.epoch, allocations={}, classes={"campus": "school"},
            sites={"site": SimpleNamespace(site=site)},
        )  # fmt: skip
        self.meters = SqliteMetering(here.store, 480)
        self.desk = MeteringDesk(
            self.meters, self.pool, {}, SimpleNamespace(now_ms=lambda: self.now_ms), {}, 480,
            SimpleNamespace(names={"default", "campus", "poor"}, moved=self.hear),
        )  # fmt: skip

    def hear(self):
        self.heard += 1

    async def price(self, *versions):
        def work(conn):
            batch = PriceBatch(NOW_MS, "ada", "test")
            assert prices.append(conn, prices.last(conn), versions, batch)

        await self.here.store.write(self.here.epoch, work)

    async def load(self, *rows, source="", head=HEAD):
        text = head + "".join(rows)
        asked = ("site", source, "csv", "use.csv")
        return await self.desk.load(io.BytesIO(text.encode()), asked, "", ADMIN)

    async def refused(self, *rows, **more):
        with pytest.raises(InputProblems) as caught:
            await self.load(*rows, **more)
        assert caught.value.source == "use.csv"
        return caught.value.problems

    async def close(self, month):
        self.now_ms = month.to_ms + 5_000
        await SqliteAccounts(self.here.store).close(self.here.epoch, month, self.now_ms)

    async def entries(self):
        return await self.here.store.read(lambda conn: list(ledger.entries(conn)))

    async def charged(self, account="default"):
        """Return what lines of use cost an account, posted and adjusted."""
        return -sum(
            leg.amount_micro
            for entry in await self.entries()
            for leg in entry.legs
            if entry.kind in {"post", "adjust"} and leg.account == f"tenant:{account}:available"
        )

    def count(self, *tables):
        return [self.here.sql(f"SELECT COUNT(*) FROM {name}")[0][0] for name in tables]  # noqa: S608

    async def sound(self):
        check = await self.here.store.ledger_verify()
        assert check.ok, check.problem


async def played(here, scene):
    """Return what comes of a scene at a desk whose book holds `BOOK`."""
    made = House(here)
    await made.price(*BOOK)
    found = await scene(made)
    await made.sound()
    return found
