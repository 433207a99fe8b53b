"""The price book: figures worked by hand, which item wins, and what may become a version."""

import itertools
import random

import pytest
from msgspec.structs import replace

from fenglin.catalog.pricebook.book import Ask, PriceBook
from fenglin.catalog.pricebook.items import (
    FOREVER_MS,
    PER_UNIT,
    PriceDraft,
    PriceKey,
    PriceTerms,
    Unit,
    check_draft,
    read_band,
)
from fenglin.catalog.pricebook.rating import cores_billed_milli, price_for, rate
from fenglin.catalog.pricebook.versions import merge
from fenglin.errors import InputError

YUAN = 1_000_000
GIB = 2**30
CORES = PriceTerms(
    "CNY",
    120_000,
    tiers=((100_000, 100_000), (500_000, 80_000)),
    memory_per_core_bytes=4 * GIB,
    factors=(("firm", 1_000), ("partner", 800), ("school", 600)),
)
CORE_HOUR = PriceKey("core_hour", "gz")


def plain(price_micro):
    return PriceTerms("CNY", price_micro)


def total(lines):
    return sum(line.amount_micro for line in lines)


class TestRating:
    def test_600_000_core_hours_through_all_tiers(self):
        # 100,000 at 0.12 is 12,000; 400,000 at 0.10 is 40,000; 100,000 at 0.08 is 8,000.
        lines = rate(Unit.CORE_HOUR, CORES, 600_000 * PER_UNIT[Unit.CORE_HOUR])
        assert [(one.above, one.amount_micro) for one in lines] == [
            (0, 12_000 * YUAN),
            (100_000, 40_000 * YUAN),
            (500_000, 8_000 * YUAN),
        ]

    @pytest.mark.parametrize(
        ("user_class", "yuan"),
        [("school", 36_000), ("partner", 48_000), ("firm", 60_000), ("", 60_000)],
    )
    def test_classes_of_user_pay_60_80_and_100_percent(self, user_class, yuan):
        quantity = 600_000 * PER_UNIT[Unit.CORE_HOUR]
        lines = rate(Unit.CORE_HOUR, CORES, quantity, user_class=user_class)
        assert total(lines) == yuan * YUAN

    def test_a_use_that_begins_in_one_tier_and_ends_in_the_next(self):
        # 99,990 used before: 10 core-hours at 0.12 and 20 at 0.10.
        per = PER_UNIT[Unit.CORE_HOUR]
        lines = rate(Unit.CORE_HOUR, CORES, 30 * per, before=99_990 * per)
        assert [one.amount_micro for one in lines] == [1_200_000, 2_000_000]

    @pytest.mark.parametrize(
        ("unit", "price_micro", "units", "yuan_micro"),
        [
            # 8 cards for 24 hours: shared, exclusive, urgent.
            (Unit.CARD_HOUR, 2_400_000, 192, 460_800_000),
            (Unit.CARD_HOUR, 3_750_000, 192, 720_000_000),
            (Unit.CARD_HOUR, 6_000_000, 192, 1_152_000_000),
            (Unit.NODE_DAY, 720_000_000, 1.5, 1_080_000_000),
            (Unit.STORAGE_TB_MONTH, 100_000_000, 2.5, 250_000_000),
            (Unit.MEMORY_GIB_HOUR, 10_000, 64, 640_000),
            (Unit.NODE_HOUR, 256_800, 10, 2_568_000),
            (Unit.EGRESS_GB, 800_000, 3, 2_400_000),
            (Unit.TASK, 5_000, 1_000, 5_000_000),
            (Unit.FRAME, 30_000, 240, 7_200_000),
        ],
    )
    def test_published_prices(self, unit, price_micro, units, yuan_micro):
        lines = rate(unit, plain(price_micro), int(units * PER_UNIT[unit]))
        assert total(lines) == yuan_micro

    @pytest.mark.parametrize(
        ("cpu_milli", "memory_gib", "per_core_gib", "milli"),
        [(4_000, 20, 4, 5_000), (4_000, 16, 4, 4_000), (4_000, 17, 4, 5_000), (500, 64, 0, 500)],
    )
    def test_who_fills_the_memory_of_a_core_pays_for_it(
        self, cpu_milli, memory_gib, per_core_gib, milli
    ):
        assert cores_billed_milli(cpu_milli, memory_gib * GIB, per_core_gib * GIB) == milli

    def test_any_order_of_uses_gives_the_same_sum(self):
        rng = random.Random(7)
        terms = replace(CORES, tiers=((3, 99_999), (7, 33_333)))
        per = PER_UNIT[Unit.CORE_HOUR]
        for _ in range(200):
            uses = [rng.randrange(1, 2 * per) for _ in range(10)]
            sums = set()
            for _ in range(3):
                rng.shuffle(uses)
                before, charged = 0, 0
                for use in uses:
                    lines = rate(Unit.CORE_HOUR, terms, use, before=before, user_class="school")
                    charged += total(lines)
                    before += use
                sums.add(charged)
            assert sums == {total(rate(Unit.CORE_HOUR, terms, sum(uses), user_class="school"))}

    def test_the_price_of_a_class_is_rounded_half_to_even(self):
        terms = PriceTerms("CNY", 5, factors=(("half", 500),))
        assert [price_for(terms, name) for name in ("half", "other")] == [2, 5]


def book_of(*items):
    drafts = [PriceDraft(key, plain(n), 1) for n, key in enumerate(items, 1)]
    done = merge([], drafts, 1, 1, supersede=False)
    assert not done.problems
    return PriceBook(done.added)


class TestFind:
    ASK = Ask(
        at_ms=10, provider="gz", site="west", region="cn-gz", zone="a", flavor="std",
        model="A100", user_class="school", mode="urgent",
    )  # fmt: skip
    NAMED = (
        ("band", "00:00-24:00"), ("mode", "urgent"), ("user_class", "school"), ("model", "A100"),
        ("flavor", "std"), ("provider", "gz"), ("region", "cn-gz"), ("zone", "a"), ("site", "west"),
    )  # fmt: skip

    def test_each_part_of_a_key_goes_before_all_that_come_later(self):
        # The last one names the site alone, and wins over one that names all the rest.
        for n in range(1, len(self.NAMED)):
            rest = PriceKey("core_hour", **dict(self.NAMED[:n]))
            one = PriceKey("core_hour", **dict(self.NAMED[n : n + 1]))
            for order in itertools.permutations((PriceKey("core_hour"), rest, one)):
                found = book_of(*order).find(Unit.CORE_HOUR, self.ASK)
                assert found.key == one

    @pytest.mark.parametrize("name", [name for name, _ in NAMED if name != "band"])
    def test_what_names_something_else_does_not_apply(self, name):
        book = book_of(PriceKey("core_hour", **{name: "other"}))
        assert book.find(Unit.CORE_HOUR, self.ASK) is None
        assert book.find(Unit.CARD_HOUR, replace(self.ASK, **{name: "other"})) is None
        assert book.find(Unit.CORE_HOUR, replace(self.ASK, **{name: "other"})) is not None

    @pytest.mark.parametrize(
        ("band", "moment_min", "applies"),
        [
            # Minutes since 1970-01-01 00:00 UTC+8, a Thursday.
            ("08:00-22:00", 8 * 60, True),
            ("08:00-22:00", 22 * 60, False),
            ("22:00-08:00", 23 * 60, True),
            ("22:00-08:00", 24 * 60, True),
            ("22:00-08:00", 8 * 60, False),
            ("thu 00:00-24:00", 23 * 60 + 59, True),
            ("thu 00:00-24:00", 24 * 60, False),
            ("sat-mon 00:00-24:00", 2 * 24 * 60, True),
            ("sat-mon 00:00-24:00", 5 * 24 * 60, False),
        ],
    )
    def test_a_band_is_read_by_the_books_clock(self, band, moment_min, applies):
        book = book_of(PriceKey("core_hour", band=read_band(band)))
        at_ms = (moment_min - 8 * 60) * 60_000
        ask = replace(self.ASK, at_ms=at_ms + 7 * 24 * 3_600_000, offset_min=480)
        assert (book.find(Unit.CORE_HOUR, ask) is not None) is applies


class TestMerge:
    def add(self, book, *drafts, now_ms=100, supersede=False):
        first = len(book) + 1
        return merge(book, drafts, first, now_ms, supersede=supersede)

    def test_versions_that_follow_each_other_do_not_overlap(self):
        drafts = [
            PriceDraft(CORE_HOUR, plain(1), 10, 20),
            PriceDraft(CORE_HOUR, plain(2), 20, 30),
        ]
        book = self.add((), *drafts).added
        assert [PriceBook(book).find(Unit.CORE_HOUR, Ask(at_ms=at, provider="gz")) for at in (
            9, 10, 19, 20, 29, 30)] == [None, book[0], book[0], book[1], book[1], None]  # fmt: skip

    @pytest.mark.parametrize("span", [(5, 11), (19, 0), (12, 15), (1, 0)])
    def test_an_overlap_is_refused_and_named(self, span):
        book = self.add((), PriceDraft(CORE_HOUR, plain(1), 10, 20)).added
        done = self.add(book, PriceDraft(CORE_HOUR, plain(2), *span, line=7))
        assert (done.added, done.problems[0].what, done.problems[0].line) == ((), "overlaps p1", 7)

    def test_the_same_thing_twice_in_a_file_is_refused_only_if_it_differs(self):
        one = PriceDraft(CORE_HOUR, plain(1), line=2)
        done = self.add((), one, replace(one, line=3))
        assert (len(done.added), done.unchanged, done.problems) == (1, 1, ())
        done = self.add((), one, PriceDraft(CORE_HOUR, plain(2), line=3), supersede=True)
        assert done.problems[0].what == "this file prices the same thing twice"

    def test_what_is_superseded_keeps_its_past(self):
        book = self.add((), PriceDraft(CORE_HOUR, plain(1)), now_ms=10).added
        done = self.add(book, PriceDraft(CORE_HOUR, plain(2)), now_ms=50, supersede=True)
        assert (done.superseded, done.added[0].supersedes, done.added[0].from_ms) == (1, 1, 50)
        assert book[0].end_ms == FOREVER_MS

    @pytest.mark.parametrize(
        ("draft", "what"),
        [
            (PriceDraft(CORE_HOUR, plain(2), 99), "p1 would be superseded in the past"),
            (PriceDraft(CORE_HOUR, plain(2), 9), "would cut into p1"),
        ],
    )
    def test_the_past_cannot_be_superseded(self, draft, what):
        book = self.add((), PriceDraft(CORE_HOUR, plain(1), 10)).added
        done = self.add(book, draft, supersede=True)
        assert (done.added, [one.what for one in done.problems]) == ((), [what])

    def test_what_the_book_says_already_is_left_as_it_is(self):
        book = self.add((), PriceDraft(CORE_HOUR, plain(1), 10)).added
        done = self.add(book, PriceDraft(CORE_HOUR, plain(1)), supersede=True)
        assert (done.added, done.unchanged) == ((), 1)

    def test_bands_that_share_a_minute_overlap_and_others_do_not(self):
        day, night, late = (
            PriceDraft(replace(CORE_HOUR, band=band), plain(n))
            for n, band in enumerate(("08:00-22:00", "22:00-08:00", "mon 21:59-23:00"))
        )
        assert not self.add((), day, night, PriceDraft(CORE_HOUR, plain(9))).problems
        assert len(self.add((), day, night, late).problems) == 1


@pytest.mark.parametrize(
    ("draft", "where"),
    [
        (PriceDraft(PriceKey("parsec"), plain(1)), "unit"),
        (PriceDraft(PriceKey("task", mode="later"), plain(1)), "mode"),
        (PriceDraft(PriceKey("task", site="a\nb"), plain(1)), "site"),
        (PriceDraft(PriceKey("task", flavor=" a"), plain(1)), "flavor"),
        (PriceDraft(PriceKey("task", band="at noon"), plain(1)), "band"),
        (PriceDraft(PriceKey("task", band="8:00-9:00"), plain(1)), "band"),
        (PriceDraft(PriceKey("task", band="mon-sun 08:00-09:00"), plain(1)), "band"),
        (PriceDraft(PriceKey("task"), plain(-1)), "price"),
        (PriceDraft(PriceKey("task"), PriceTerms("yuan", 1)), "currency"),
        (PriceDraft(PriceKey("task"), PriceTerms("CNY", 1, ((5, 1), (5, 1)))), "tiers"),
        (PriceDraft(PriceKey("task"), PriceTerms("CNY", 1, ((5, -1),))), "tiers"),
        (PriceDraft(PriceKey("task"), PriceTerms("CNY", 1, (), "week")), "tier_period"),
        (
            PriceDraft(PriceKey("task"), replace(CORES, factors=(), tiers=())),
            "memory_per_core",
        ),
        (PriceDraft(CORE_HOUR, replace(CORES, factors=(("a", 1), ("a", 2)))), "factors"),
        (PriceDraft(CORE_HOUR, plain(1), 5, 5), "valid_to"),
        (PriceDraft(CORE_HOUR, plain(1), -1), "valid_from"),
    ],
)
def test_what_is_wrong_is_named(draft, where):
    with pytest.raises(InputError) as caught:
        check_draft(draft)
    assert caught.value.where == where
