"""Settlements: every fen has an owner, in any order of entries, and the same bytes again."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fenglin.errors import DamageError, InputError
from fenglin.ledger.accounts import FEE, GRANTS, available, due, tax, voucher_reserved
from fenglin.ledger.entry import Draft, Kind, Leg, check_draft, genesis, seal
from fenglin.ledger.moves import move_fault, move_voucher
from fenglin.ledger.posting import Hold, Terms, adjust, charge, hold, post
from fenglin.ledger.settlement import FEN_MICRO, settle_entry, settle_month
from fenglin.ledger.settlement_check import Posted, ThreeWayCheck
from fenglin.ledger.settlement_deal import Deal, DealKind, Rate, Tier, check_deal
from fenglin.quantities.period import Period

NOVEMBER = Period(2026, 11)
HOUR = 3_600_000


def chain(drafts, period=NOVEMBER):
    """Seal drafts one after another in a month, behind a genesis."""
    entries = [genesis("hub-1", period.from_ms)]
    for draft in drafts:
        entries.append(seal(entries[-1].head, draft, period.from_ms + len(entries)))
    return entries


def use(key, provider, *charges, tenant="lab", held_micro=10**12):
    """Return the hold and the posting of one attempt."""
    of = Hold(key, tenant, "CNY", held_micro, 1)
    return [
        hold(tenant, held_micro, key, job=1),
        post(of, provider, [charge(*one) for one in charges], Terms(f"site-{provider}")),
    ]


def settled(drafts, *deals):
    by_provider = {}
    for deal in deals:
        check_deal(deal)
        by_provider.setdefault(deal.provider, []).append(deal)
    return settle_month(chain(drafts), NOVEMBER, by_provider)


# Three core-hours at 0.12 and half a card-hour at 3.333333: 0.36 + 1.666666 (half to even).
CHARGES = (("core_hour", 3 * HOUR, HOUR, 120_000), ("card_hour", HOUR // 2, HOUR, 3_333_333))
VAT = ("vat", Rate(6, 106))


def test_without_a_deal_the_provider_gets_everything():
    (made,) = settled(use("a1", "gz", *CHARGES))
    assert made.charged_micro == made.provider_micro == 2_026_666
    assert (made.payable_micro, made.remainder_micro) == (2_020_000, 6_666)
    assert (made.fee_micro, made.taxes, made.short_micro) == (0, (), 0)
    assert not made.deal.declared
    assert settle_entry(made).legs == (Leg(due("gz"), "CNY", 0), Leg(FEE, "CNY", 0))


def test_a_share_by_largest_remainder_to_the_fen():
    # 202 fen and 6,666 micro. Exact: 161.6 to the provider, 11.43… of tax, 28.96… to the hub; the
    # two missing fen go to .96 and .6.
    (made,) = settled(
        use("a1", "gz", *CHARGES), Deal(provider="gz", share=Rate(4, 5), taxes=(VAT,))
    )
    assert made.taxes == (("vat", 110_000),)
    assert made.fee_micro == 290_000
    assert (made.provider_micro, made.payable_micro) == (1_626_666, 1_620_000)
    draft = settle_entry(made)
    check_draft(draft)
    assert move_fault(draft.kind, draft.legs) == ""
    assert draft.legs == (
        Leg(due("gz"), "CNY", -400_000),
        Leg(FEE, "CNY", 290_000),
        Leg(tax("vat"), "CNY", 110_000),
    )


def test_unit_prices_pay_by_quantity_and_the_rest_by_share():
    deal = Deal(provider="gz", kind=DealKind.UNIT, units=(("core_hour", 30_000),), share=Rate(1, 2))
    (made,) = settled(use("a1", "gz", *CHARGES), deal)
    # 3 x 0.03 + 1.666666 / 2 = 0.923333 of 2.026666: 92.0… of 202 fen.
    assert made.payable_micro == 920_000
    assert made.fee_micro == 1_100_000
    assert [one.rule for one in made.items] == ["50 %", "0.03 CNY each"]


def test_a_unit_price_above_the_charge_is_capped_and_told():
    deal = Deal(
        provider="gz", kind=DealKind.UNIT, units=(("core_hour", 200_000),), taxes=(VAT,),
        share=Rate(100, 106),
    )  # fmt: skip
    (made,) = settled(use("a1", "gz", CHARGES[0]), deal)
    # 0.60 wanted, 0.36 charged of which 0.0203… is tax.
    assert made.short_micro == 600_000 - 360_000 + 20_378
    assert made.fee_micro == 0
    assert made.provider_micro + made.taxes_micro == made.charged_micro


@pytest.mark.parametrize(
    ("price_micro", "share"), [(120_000, "85 %"), (96_000, "85 %"), (95_999, "90 %")]
)
def test_tiers_go_by_deal_price_over_list_price(price_micro, share):
    deal = Deal(
        provider="gz",
        kind=DealKind.TIERED,
        lists=(("core_hour", 120_000),),
        tiers=(Tier(Rate(0), Rate(9, 10)), Tier(Rate(4, 5), Rate(17, 20))),
    )
    (made,) = settled(use("a1", "gz", ("core_hour", 1_000 * HOUR, HOUR, price_micro)), deal)
    assert made.items[0].rule == f"{share} for a list price of 0.12 CNY"
    exact = made.charged_micro * int(share.split()[0]) / 100
    assert abs(made.provider_micro - exact) < FEN_MICRO


def test_corrections_are_divided_as_the_charges_and_may_eat_them_up():
    drafts = use("a1", "gz", ("core_hour", 10 * HOUR, HOUR, 100_000))
    posted = chain(drafts)[2]
    back = lambda amount: adjust(  # noqa: E731 - two lines of one shape
        posted, [Leg(available("lab"), "CNY", amount), Leg(due("gz"), "CNY", -amount)], f"{amount}"
    )
    deal = Deal(provider="gz", share=Rate(4, 5))
    (half,) = settled([*drafts, back(500_000)], deal)
    assert (half.adjusted_micro, half.provider_micro, half.fee_micro) == (
        -500_000,
        400_000,
        100_000,
    )
    (none,) = settled([*drafts, back(1_234_567)], deal)
    assert (none.provider_micro, none.fee_micro) == (-234_567, 0)
    assert (none.payable_micro, none.remainder_micro) == (-230_000, -4_567)
    assert settle_entry(none).legs[0] == Leg(due("gz"), "CNY", 0)


def test_the_deal_of_the_month_counts():
    deals = (Deal(provider="gz", share=Rate(1, 2)),
             Deal(provider="gz", since="2026-11", share=Rate(3, 4)),
             Deal(provider="gz", since="2026-12", share=Rate(1, 4)))  # fmt: skip
    (made,) = settled(use("a1", "gz", CHARGES[0]), *deals)
    assert made.deal.since == "2026-11"


def test_entries_of_other_months_count_nothing():
    entries = chain(use("a1", "gz", CHARGES[0]))
    assert settle_month(entries, NOVEMBER.next(), {}) == ()


def test_charges_that_are_not_what_was_earned_are_damage():
    drafts = use("a1", "gz", CHARGES[0])
    legs = [msgspec.structs.replace(leg) for leg in drafts[1].legs]
    legs[1] = Leg(legs[1].account, "CNY", legs[1].amount_micro + 1)
    legs[2] = Leg(legs[2].account, "CNY", legs[2].amount_micro - 1)
    wrong = msgspec.structs.replace(drafts[1], legs=tuple(legs))
    with pytest.raises(DamageError, match="entry 3"):
        settled([drafts[0], wrong])


@pytest.mark.parametrize(
    "deal",
    [
        Deal(provider="gz", taxes=(("a", Rate(1)), ("b", Rate(1, 100)))),
        Deal(provider="gz", taxes=(VAT,)),
        Deal(provider="gz", tiers=(Tier(Rate(1, 2), Rate(1)),)),
        Deal(provider="gz", tiers=(Tier(Rate(0), Rate(1)), Tier(Rate(0), Rate(1)))),
    ],
)
def test_deals_that_cannot_be(deal):
    with pytest.raises(InputError):
        check_deal(deal)


rates = st.builds(lambda a, b: Rate(*_lowest(a, a + b)), st.integers(0, 50), st.integers(1, 50))
prices = st.integers(1, 5_000_000)


def _lowest(part, whole):
    exact = Rate(part, whole).exact
    return exact.numerator, exact.denominator


@st.composite
def deals_of(draw, provider):
    taxes = tuple(
        (name, Rate(*_lowest(draw(st.integers(0, 10)), 100)))
        for name in draw(st.sampled_from([(), ("vat",), ("levy", "vat")]))
    )
    left = 1 - sum((rate.exact for _, rate in taxes), Rate(0).exact)

    def share():
        exact = left * draw(rates).exact
        return Rate(exact.numerator, exact.denominator)

    items = draw(st.sets(st.sampled_from(["core_hour", "card_hour"]), min_size=1))
    priced = tuple((item, draw(prices)) for item in sorted(items))
    kind = draw(st.sampled_from(list(DealKind)))
    return Deal(
        provider=provider,
        kind=kind,
        share=share(),
        taxes=taxes,
        units=priced if kind is DealKind.UNIT else (),
        lists=priced if kind is DealKind.TIERED else (),
        tiers=(Tier(Rate(0), share()), Tier(Rate(4, 5), share()))
        if kind is DealKind.TIERED
        else (),
    )  # fmt: skip


charges_drawn = st.tuples(
    st.sampled_from(["core_hour", "card_hour"]), st.integers(0, 10**9), st.just(HOUR), prices
)
uses_drawn = st.tuples(
    st.sampled_from(["gz", "cloud"]),
    st.sampled_from(["lab", "ann"]),
    st.lists(charges_drawn, max_size=2, unique_by=lambda one: one[0]),
    st.integers(0, 10**9),
)

corrections_drawn = st.tuples(
    st.sampled_from(["gz", "cloud"]),
    st.integers(-(10**7), 10**7),
    st.sampled_from([available("lab"), due("cloud"), "hub:bank"]),
)
vouchers_drawn = st.tuples(st.sampled_from(["lab", "ann", "idle"]), st.integers(1, 10**8))


@st.composite
def ledgers(draw):
    """Return drafts of a month: uses, corrections, vouchers in any number and order."""
    drafts = []
    for n, (provider, tenant, charges, held_micro) in enumerate(
        draw(st.lists(uses_drawn, max_size=6))
    ):
        drafts += use(f"a{n}", provider, *charges, tenant=tenant, held_micro=held_micro)
    corrected = chain(use("x", "gz", CHARGES[0]))[2]
    for n, (provider, amount, other) in enumerate(draw(st.lists(corrections_drawn, max_size=2))):
        legs = [Leg(due(provider), "CNY", amount), Leg(other, "CNY", -amount)]
        drafts.append(adjust(corrected, legs, f"c{n}"))
    for n, (tenant, amount) in enumerate(draw(st.lists(vouchers_drawn, max_size=3))):
        source = voucher_reserved("spring")
        drafts.append(move_voucher(source, available(tenant), amount, f"v{n}"))
    return drafts


@settings(deadline=None)
@given(ledgers(), deals_of("gz"), st.randoms(use_true_random=False))
def test_conservation_order_and_bytes(drafts, deal, random):
    check_deal(deal)
    deals = {"gz": (deal,)}
    entries = chain(drafts)
    made = settle_month(entries, NOVEMBER, deals)
    for one in made:
        gross = one.charged_micro + one.adjusted_micro
        assert one.provider_micro + one.taxes_micro + one.fee_micro == gross
        assert one.payable_micro + one.remainder_micro == one.provider_micro
        assert one.payable_micro % FEN_MICRO == one.fee_micro % FEN_MICRO == 0
        assert all(amount % FEN_MICRO == 0 <= amount for _, amount in one.taxes)
        assert abs(one.remainder_micro) < FEN_MICRO
        assert one.fee_micro >= 0
        if one.charged_micro > 0 and not one.adjusted_micro and one.deal.kind is DealKind.SHARE:
            exact = one.charged_micro * one.deal.share.exact
            assert abs(one.payable_micro - exact) < 2 * FEN_MICRO
    shuffled = entries[:]
    random.shuffle(shuffled)
    encode = msgspec.json.encode
    assert encode(settle_month(shuffled, NOVEMBER, deals)) == encode(made)
    assert _three_way(entries, made).ok
    assert _three_way(entries, ()).ok


def _three_way(entries, made):
    """Post settlements behind the entries and reconcile."""
    tail, posts = entries[-1], []
    for one in made:
        tail = seal(tail.head, settle_entry(one), tail.time_ms)
        posts.append(tail)
    check = ThreeWayCheck(NOVEMBER)
    for entry in entries:
        check.add(entry)
    for entry in posts:
        check.add_settle(entry)
    posted = [(Posted(one, entry.seq), entry) for one, entry in zip(made, posts, strict=True)]
    check.compare(posted, made)
    return check.finish()


def test_vouchers_are_divided_over_what_a_tenant_was_charged():
    drafts = [
        *use("a1", "gz", ("core_hour", 2 * HOUR, HOUR, 1_000_000)),
        *use("a2", "cloud", ("core_hour", HOUR, HOUR, 1_000_000)),
        *use("a3", "cloud", ("core_hour", HOUR, HOUR, 1_000_000), tenant="ann"),
        move_voucher(voucher_reserved("spring"), available("lab"), 1_000_000, "v1"),
        move_voucher(voucher_reserved("spring"), available("idle"), 7, "v2"),
        move_voucher(GRANTS, voucher_reserved("spring"), 500, "v3"),
    ]
    made = settled(drafts, Deal(provider="gz", share=Rate(1, 2)))
    found = _three_way(chain(drafts), made)
    assert found.ok
    rows = {row.provider: row for row in found.rows}
    assert rows["gz"].vouchers_micro == 666_667
    assert rows["cloud"].vouchers_micro == 333_333
    assert rows[""].vouchers_micro == 7
    assert (rows["gz"].charged_micro, rows["gz"].dues_micro, rows["gz"].fee_micro) == (
        2_000_000, 1_000_000, 1_000_000,
    )  # fmt: skip
    assert rows["gz"].settled


def test_a_voucher_counts_with_the_provider_whose_posting_it_pays():
    drafts = [
        *use("a1", "gz", ("core_hour", HOUR, HOUR, 1_000_000)),
        *use("a2", "cloud", ("core_hour", HOUR, HOUR, 1_000_000)),
    ]
    entries = chain(drafts)
    source = voucher_reserved("spring")
    paid = seal(
        entries[-1].head,
        move_voucher(source, available("lab"), 700_000, "v1", details=(("pays", entries[2].key),)),
        entries[-1].time_ms,
    )
    other = seal(paid.head, move_voucher(source, available("lab"), 101, "v2"), paid.time_ms)
    check = ThreeWayCheck(NOVEMBER)
    for entry in entries:
        check.add(entry)
    check.add(paid, entries[2])
    check.add(other)
    found = check.finish()
    assert found.ok
    assert {row.provider: row.vouchers_micro for row in found.rows} == {"gz": 700_050, "cloud": 51}


def replaced(entry, **parts):
    return msgspec.structs.replace(entry, **parts)


def _leg(entry, n, **parts):
    legs = list(entry.legs)
    legs[n] = replaced(legs[n], **parts)
    return replaced(entry, legs=tuple(legs))


def _both(entry):
    """Take one more from the tenant and give it to the provider: balanced, but not charged."""
    one = _leg(entry, 1, amount_micro=entry.legs[1].amount_micro - 1)
    return _leg(one, 2, amount_micro=entry.legs[2].amount_micro + 1)


def _reseal(entry):
    """Give a changed entry a hash of its own, as a forger would."""
    head = genesis("hub-1", 0).head
    made = seal(replaced(head, seq=entry.seq - 1, hash=entry.prev_hash), entry.draft, entry.time_ms)
    assert made.hash != entry.hash
    return made


@pytest.mark.parametrize(
    ("at", "change", "word"),
    [
        (2, lambda e: _leg(e, 2, amount_micro=e.legs[2].amount_micro - 1), "sum to zero"),
        (2, lambda e: _leg(e, 1, amount_micro=e.legs[1].amount_micro - 1), "sum to zero"),
        (2, _both, "lists charges of"),
        (2, lambda e: _reseal(_both(e)), "lists charges of"),
        (2, lambda e: replaced(e, details=e.details[1:]), "hash"),
        (2, lambda e: replaced(e, details=(("charge-x", "}"),)), "cannot be read"),
        (2, lambda e: _leg(e, 2, account=due("me")), "hash"),
        (5, lambda e: _leg(e, 0, account=available("me")), "hash"),
        (6, lambda e: _leg(e, 1, amount_micro=e.legs[1].amount_micro + 1), "sum to zero"),
        (6, lambda e: _reseal(replaced(e, details=(("period", "2026-11"),))), "was kept"),
    ],
)
def test_a_changed_row_is_named(at, change, word):
    drafts = [
        *use("a1", "gz", *CHARGES),
        *use("a2", "gz", *CHARGES),
        move_voucher(voucher_reserved("spring"), available("lab"), 1_000_000, "v1"),
    ]
    deal = Deal(provider="gz", share=Rate(1, 2))
    made = settled(drafts, deal)
    entries = chain(drafts)
    settle = seal(entries[-1].head, settle_entry(made[0]), entries[-1].time_ms)
    entries.append(settle)
    entries[at] = change(entries[at])
    check = ThreeWayCheck(NOVEMBER)
    for entry in entries:
        check.add(entry)
    check.add_settle(entries[6])
    check.compare([(Posted(made[0], settle.seq), entries[6])], made)
    found = check.finish()
    assert not found.ok
    assert any(fault.seq == at + 1 and word in fault.why for fault in found.faults), found.faults


def test_a_settlement_without_a_record_twice_or_of_other_entries_is_told():
    drafts = use("a1", "gz", *CHARGES)
    (made,) = settled(drafts, Deal(provider="gz", share=Rate(1, 2)))
    entries = chain(drafts)
    first = seal(entries[-1].head, settle_entry(made), entries[-1].time_ms)
    again = seal(first.head, replaced(settle_entry(made), key="settle:again"), first.time_ms)

    def told(settles, posted, anew):
        check = ThreeWayCheck(NOVEMBER)
        for entry in entries:
            check.add(entry)
        for entry in settles:
            check.add_settle(entry)
        check.compare(posted, anew)
        return [fault.why for fault in check.finish().faults]

    kept = [(Posted(made, first.seq), first)]
    assert told([first], kept, (made,)) == []
    assert "nothing was kept" in told([first], [], ())[0]
    assert "already" in " ".join(told([first, again], kept, (made,)))
    assert "or others" in told([first], kept, ())[0]
    assert "something else" in told([first], kept, (replaced(made, short_micro=1),))[0]
    assert "was kept" in told([], [(Posted(made, 9), None)], (made,))[0]


def test_other_kinds_are_passed_over():
    entry = chain([Draft(Kind.DEPOSIT, "deposit:x", (
        Leg("hub:bank", "CNY", -5), Leg(available("lab"), "CNY", 5)))])[1]  # fmt: skip
    check = ThreeWayCheck(NOVEMBER)
    check.add(entry)
    check.unreadable(9, "torn")
    found = check.finish()
    assert (found.rows, [(fault.seq, fault.why) for fault in found.faults]) == ((), [(9, "torn")])
