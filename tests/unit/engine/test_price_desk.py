"""The price book at work: who may add, and that a file is added whole or not at all."""

import asyncio

import pytest
from msgspec.structs import replace

from fenglin.engine.books.prices import PriceDesk
from fenglin.errors import (
    ConflictError,
    DeniedError,
    InputError,
    InputProblems,
    NotFoundError,
    UnavailableError,
)
from fenglin.ports.hub import Listing, Principal
from fenglin.wire.price_views import PriceAsk

ADMIN = Principal("ada", frozenset({"read", "write", "admin"}))
WRITER = Principal("walt", frozenset({"read", "write"}))
HEAD = "unit,provider,currency,price\n"
CORES = PriceAsk(unit="core_hour", provider="gz", currency="CNY", price="0.12")


class FakePrices:
    """A book in memory; `busy` times somebody else is quicker."""

    def __init__(self):
        self.book = []
        self.batches = []
        self.busy = 0

    async def last(self):
        return len(self.book)

    async def versions(self, providers):
        ends = {one.supersedes: one.from_ms for one in self.book}
        return [
            replace(one, end_ms=ends.get(one.number, one.end_ms))
            for one in self.book
            if one.key.provider in providers
        ]

    async def page(self, wanted):
        units = [value for name, value in wanted.fields if name == "unit"]
        found = [one for one in self.book if not units or one.key.unit in units]
        return [one for one in found if one.number > wanted.after][: wanted.limit]

    async def append(self, epoch, last, added, batch):
        assert (epoch, last) == (7, len(self.book))
        if self.busy:
            self.busy -= 1
            return False
        self.book += added
        self.batches.append(batch)
        return True


class Clock:
    now = 1_700_000_000_000

    def now_ms(self):
        return self.now

    def monotonic_ms(self):
        return self.now


@pytest.fixture
def kept():
    return FakePrices()


@pytest.fixture
def desk(kept):
    return PriceDesk(kept, Clock(), lambda: 7)


def load(desk, text, *, principal=ADMIN, supersede=False, form="fenglin", provider=""):
    data = text if isinstance(text, bytes) else text.encode()
    return asyncio.run(
        desk.load(
            data, principal, form=form, source="p.csv", provider=provider, supersede=supersede
        )
    )


def add(desk, ask, principal=ADMIN):
    return asyncio.run(desk.add(ask, principal))


def test_only_an_administrator_adds(desk, kept):
    for call in (
        lambda: add(desk, CORES, WRITER),
        lambda: load(desk, HEAD + "task,gz,CNY,1\n", principal=WRITER),
    ):
        with pytest.raises(DeniedError):
            call()
    assert kept.book == []


def test_an_item_is_added_once_and_repeating_is_harmless(desk, kept):
    done = add(desk, CORES)
    assert (done.first, done.added, done.unchanged) == ("p1", 1, 0)
    done = add(desk, CORES)
    assert (done.first, done.added, done.unchanged) == ("", 0, 1)
    assert [(one.actor, one.source) for one in kept.batches] == [("ada", "")]


def test_another_price_must_supersede_the_version_it_means(desk, kept):
    add(desk, CORES)
    cheaper = PriceAsk(unit="core_hour", provider="gz", currency="CNY", price="0.10")
    with pytest.raises(ConflictError, match="overlaps p1"):
        add(desk, cheaper)
    asked = PriceAsk(
        unit="core_hour", provider="gz", currency="CNY", price="0.10", supersedes="p2",
        valid_from="2024-01-01",
    )  # fmt: skip
    with pytest.raises(ConflictError, match="p2 is not in force"):
        add(desk, asked)
    done = add(desk, PriceAsk(**{**_fields(asked), "supersedes": "p1"}))
    assert (done.first, done.superseded) == ("p2", 1)
    # 2024-01-01 00:00 by the books' clock, UTC+8.
    assert (kept.book[1].supersedes, kept.book[1].from_ms) == (1, 1_704_038_400_000)


def _fields(ask):
    return {name: getattr(ask, name) for name in ask.__struct_fields__}


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"price": "-1"}, "price"),
        ({"unit": "parsec"}, "unit"),
        ({"valid_from": "x"}, "valid_from"),
        ({"price": "1 USD"}, "price"),
        ({"supersedes": "7"}, ""),
        ({"provider": "a\n"}, "provider"),
    ],
)
def test_a_wrong_field_is_named(desk, kept, change, where):
    with pytest.raises(InputError) as caught:
        add(desk, PriceAsk(**{**_fields(CORES), **change}))
    assert (caught.value.where, kept.book) == (where, [])


def test_a_file_with_one_bad_line_adds_nothing(desk, kept):
    lines = "".join(f"core_hour,p{n},CNY,0.12\n" for n in range(2_000))
    with pytest.raises(InputProblems) as caught:
        load(desk, HEAD + lines + "core_hour,gz,CNY,-0.12\n")
    (problem,) = caught.value.problems
    assert (caught.value.source, problem.line, problem.column) == ("p.csv", 2_002, 4)
    assert kept.book == []


def test_a_file_with_one_overlap_adds_nothing_and_names_its_line(desk, kept):
    add(desk, CORES)
    text = HEAD + "task,gz,CNY,1\ncore_hour,gz,CNY,0.11\n"
    with pytest.raises(InputProblems) as caught:
        load(desk, text)
    assert [(one.line, one.what) for one in caught.value.problems] == [(3, "overlaps p1")]
    assert len(kept.book) == 1
    done = load(desk, text, supersede=True)
    assert (done.first, done.added, done.superseded) == ("p2", 2, 1)
    done = load(desk, text, supersede=True)
    assert (done.added, done.unchanged) == (0, 2)


def test_a_list_of_a_cloud_whose_provider_is_told(desk, kept):
    text = (
        "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,SpotPrice,Region\n"
        "m5,,,2,8,0.5,0.2,us\n"
    )
    assert load(desk, text, form="skypilot", provider="AWS").added == 2
    assert [(one.key.provider, one.key.mode) for one in kept.book] == [("aws", ""), ("aws", "spot")]


@pytest.mark.parametrize(("text", "what"), [(HEAD, "no prices"), (b"unit\n\xff", "not UTF-8")])
def test_what_is_no_price_list(desk, text, what):
    with pytest.raises(InputError, match=what):
        load(desk, text)


def test_others_may_add_meanwhile(desk, kept):
    kept.busy = 2
    assert add(desk, CORES).added == 1
    kept.busy = 1_000
    with pytest.raises(UnavailableError, match="nothing was added"):
        add(desk, PriceAsk(unit="task", currency="CNY", price="1"))


def test_prices_are_listed_page_by_page_and_shown(desk):
    load(desk, HEAD + "core_hour,gz,CNY,0.12\ntask,gz,CNY,1\nframe,gz,CNY,2\n")
    page = asyncio.run(desk.prices(Listing(limit=2), every=True))
    assert ([one.id for one in page.items], page.next) == (["p1", "p2"], "p2")
    page = asyncio.run(desk.prices(Listing(limit=2, cursor="p2"), every=True))
    assert ([one.id for one in page.items], page.next) == (["p3"], "")
    view = asyncio.run(desk.price("p2"))
    assert (view.unit, view.price_micro, view.end_ms, view.grade) == (
        "task", 1_000_000, 0, "declared",
    )  # fmt: skip
    with pytest.raises(NotFoundError):
        asyncio.run(desk.price("p4"))
    with pytest.raises(InputError):
        asyncio.run(desk.price("4"))


def test_currencies_that_cannot_be_charged_are_told(desk):
    dollars = replace(CORES, currency="USD")
    assert asyncio.run(desk.add(dollars, ADMIN)).no_exchange == ["USD"]
    rate = PriceAsk(unit="exchange", model="USD", currency="CNY", price="7.12")
    assert asyncio.run(desk.add(rate, ADMIN)).no_exchange == []
    assert asyncio.run(desk.add(dollars, ADMIN)).no_exchange == []


@pytest.mark.parametrize(
    "wrong",
    [{"model": ""}, {"model": "H100"}, {"site": "east"}, {"currency": "USD"}, {"price": "0"},
     {"tiers": "5:1"}, {"band": "08:00-22:00"}],
)  # fmt: skip
def test_what_is_no_rate_of_exchange_is_refused(desk, wrong):
    rate = PriceAsk(unit="exchange", model="USD", currency="CNY", price="7.12")
    with pytest.raises(InputError):
        asyncio.run(desk.add(replace(rate, **wrong), ADMIN))
