"""Voucher rules: every step of a decision worked by hand, and what may never happen."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from fenglin.errors import ConflictError, InputError
from fenglin.ledger.posting import Charge
from fenglin.ledger.vouchers.claim import Application, Line, Reason, Verdict
from fenglin.ledger.vouchers.cover import Source, cover, in_order
from fenglin.ledger.vouchers.pool import (
    FOR_EVER_MS,
    Act,
    Event,
    State,
    approve,
    claw_back,
    fold,
    give_back,
    grants,
    lapses,
    open_pool,
    revoke,
)
from fenglin.ledger.vouchers.rounds import decide
from fenglin.ledger.vouchers.scheme import (
    NO_CAP_MICRO,
    UNIT_MICRO,
    Ratio,
    Reservation,
    Rules,
    Scheme,
    complete,
)

YUAN = 1_000_000
DAY_MS = 86_400_000
RULES = Rules(
    commodity="CNY",
    budget_micro=1_000 * YUAN,
    reservation=Reservation.FIFO,
    ratios=(Ratio(0, 2_000), Ratio(5_000, 3_000)),
    firm_cap_micro=600 * YUAN,
    items=("compute",),
    unrelated=True,
    once_per_contract=True,
    paid_proof=True,
    signed_from="2026-01-01",
    valid_days=90,
)


def asks(name="a1", yuan=1_000, **more):
    plain = {
        "id": name,
        "account": "lab",
        "firm": "91520100A",
        "seller": "91520100S",
        "contract": f"C-{name}",
        "signed": "2026-03-01",
        "lines": (Line("compute", yuan * YUAN, 10_000),),
        "paid_micro": 10**15,
        "proof": "ab" * 32,
    }
    return Application(**(plain | more))


def pool(**more):
    return open_pool("gz-2026", replace(RULES, **more))


def given_out(at, *applications, now_ms=0):
    """Return the pool after its grants, all of them approved."""
    at = fold(at, grants(decide(at, applications), now_ms))
    waiting = [one for one in at.vouchers.values() if not one.approved]
    return fold(at, [event for one in waiting for event in approve(one, now_ms)])


def charges(**items):
    """Return the charges of a posting, in yuan by item."""
    return tuple(Charge(item, 1, 1, yuan * YUAN, yuan * YUAN) for item, yuan in items.items())


def sources(at, account, now_ms):
    return in_order(
        [
            Source(at.name, one.id, at.rules.items, one.valid_to_ms, one.left_micro)
            for one in at.vouchers.values()
            if one.account == account
            and one.approved
            and one.left_micro
            and now_ms < one.valid_to_ms
        ]
    )


def used(at, account, yuan, now_ms):
    """Pay a charge of so many yuan; return the uses, and what is left to money."""
    paid = cover(charges(core_hour=yuan), sources(at, account, now_ms), {})
    uses = tuple(
        Event(act=Act.USE, voucher=one.voucher, amount_micro=part, time_ms=now_ms, why="post:a")
        for one, part in paid
    )
    return uses, yuan * YUAN - sum(one.amount_micro for one in uses)


class TestOneApplication:
    def test_a_plain_one_gets_the_ratio_of_its_price(self):
        (decision,) = decide(pool(), [asks()])
        assert (decision.granted_micro, decision.verdict) == (300 * YUAN, Verdict.ACCEPTED)
        assert decision.reasons == ()
        assert [(s.reason, s.before_micro, s.after_micro) for s in decision.steps] == [
            (Reason.RATIO, 1_000 * YUAN, 300 * YUAN)
        ]

    @pytest.mark.parametrize(
        ("domestic_bp", "yuan"), [(0, 200), (4_999, 200), (5_000, 300), (10_000, 300)]
    )
    def test_the_ratio_follows_the_domestic_share(self, domestic_bp, yuan):
        lines = (Line("compute", 1_000 * YUAN, domestic_bp),)
        assert decide(pool(), [asks(lines=lines)])[0].granted_micro == yuan * YUAN

    def test_below_every_ratio_nothing_is_paid_and_the_reason_is_told(self):
        lines = (Line("compute", 1_000 * YUAN, 0),)
        (decision,) = decide(pool(ratios=(Ratio(5_000, 3_000),)), [asks(lines=lines)])
        assert (decision.verdict, decision.reasons) == (Verdict.REFUSED, (Reason.RATIO,))

    def test_part_payment_mixed_items_and_ratios_by_hand(self):
        # 1,000 of which 500 is paid: 300 + 100 + 100 by the same half of 600 + 200 + 200.
        # Storage is out: 400 left. 30 % of 300 and 20 % of 100 make 110.
        lines = (
            Line("compute", 600 * YUAN, 10_000),
            Line("compute", 200 * YUAN, 0),
            Line("storage", 200 * YUAN, 0),
        )
        (decision,) = decide(pool(), [asks(lines=lines, paid_micro=500 * YUAN)])
        assert [(s.reason, s.after_micro // YUAN) for s in decision.steps] == [
            (Reason.NOT_PAID, 500),
            (Reason.ITEM_NOT_ELIGIBLE, 400),
            (Reason.RATIO, 110),
        ]
        assert decision.verdict is Verdict.REDUCED
        assert decision.steps[-1].text == "30 % of 300.00 CNY; 20 % of 100.00 CNY"

    @pytest.mark.parametrize(
        ("more", "reason"),
        [
            ({"seller": "91520100A"}, Reason.RELATED_PARTIES),
            ({"firm_group": "g", "seller_group": "g"}, Reason.RELATED_PARTIES),
            ({"other_subsidy": "city fund"}, Reason.SUBSIDISED_ALREADY),
            ({"signed": ""}, Reason.NOT_SIGNED),
            ({"signed": "2025-12-31"}, Reason.SIGNED_TOO_EARLY),
            ({"paid_micro": 0}, Reason.NOT_PAID),
            ({"proof": ""}, Reason.NOT_PAID),
            ({"lines": (Line("network", YUAN),)}, Reason.ITEM_NOT_ELIGIBLE),
        ],
    )
    def test_what_is_refused(self, more, reason):
        (decision,) = decide(pool(), [asks(**more)])
        assert (decision.verdict, decision.granted_micro) == (Verdict.REFUSED, 0)
        assert decision.reasons == (reason,)

    def test_rules_that_a_scheme_does_not_have_refuse_nobody(self):
        loose = pool(
            unrelated=False,
            once_per_contract=False,
            paid_proof=False,
            signed_from="",
            items=("any",),
        )
        asked = asks(
            seller="91520100A",
            other_subsidy="city",
            paid_micro=0,
            signed="1999-01-01",
            lines=(Line("network", 100 * YUAN),),
        )
        assert decide(loose, [asked], [asked.deal])[0].granted_micro == 20 * YUAN

    def test_it_is_cut_to_whole_fen_and_never_above_the_ratio(self):
        # 30 % of 0.99 is 0.297.
        lines = (Line("compute", 990_000, 10_000),)
        (decision,) = decide(pool(), [asks(lines=lines)])
        assert (decision.granted_micro, decision.verdict) == (290_000, Verdict.ACCEPTED)

    @pytest.mark.parametrize(
        "more",
        [
            {"firm": ""},
            {"lines": ()},
            {"lines": (Line("compute", 0),)},
            {"lines": (Line("compute", 1, 10_001),)},
            {"lines": (Line("", 1),)},
            {"paid_micro": -1},
            {"lines": (Line("compute", 10**17), Line("compute", 1))},
        ],
    )
    def test_what_cannot_be_judged_is_an_error(self, more):
        with pytest.raises(InputError):
            decide(pool(), [asks(**more)])


class TestARound:
    def test_first_come_first_served_until_the_budget_ends(self):
        rich = pool(firm_cap_micro=NO_CAP_MICRO)
        rows = decide(rich, [asks("a", 2_000), asks("b", 2_000), asks("c", 10)])
        assert [row.granted_micro // YUAN for row in rows] == [600, 400, 0]
        assert [row.reasons for row in rows] == [(), (Reason.BUDGET,), (Reason.BUDGET,)]

    def test_the_cap_is_the_firms_whatever_its_accounts(self):
        rows = decide(pool(), [asks("a", 1_500), asks("b", 1_500, account="lab2")])
        assert [row.granted_micro // YUAN for row in rows] == [450, 150]
        assert rows[1].reasons == (Reason.FIRM_CAP,)

    def test_the_cap_counts_what_earlier_rounds_gave(self):
        later = given_out(pool(), asks("a", 1_500))
        assert decide(later, [asks("b", 1_500)])[0].granted_micro == 150 * YUAN

    def test_a_contract_is_subsidised_once(self):
        twice = [asks("a", contract="C"), asks("b", contract="C", firm="other")]
        rows = decide(pool(), twice)
        assert [row.verdict for row in rows] == [Verdict.ACCEPTED, Verdict.REFUSED]
        assert rows[1].reasons == (Reason.SUBSIDISED_ALREADY,)
        (row,) = decide(given_out(pool(), twice[0]), [twice[1]])
        assert row.reasons == (Reason.SUBSIDISED_ALREADY,)
        (row,) = decide(pool(), [twice[0]], [("91520100S", "C")])
        assert row.reasons == (Reason.SUBSIDISED_ALREADY,)

    def test_quotas_bind_each_account(self):
        shared = pool(reservation=Reservation.QUOTA, quotas=(("lab", 100 * YUAN),))
        rows = decide(shared, [asks("a", 200), asks("b", 200), asks("c", 200, account="none")])
        assert [row.granted_micro // YUAN for row in rows] == [60, 40, 0]
        assert [row.reasons for row in rows] == [(), (Reason.QUOTA,), (Reason.QUOTA,)]

    def test_pro_rata_divides_to_the_last_fen(self):
        # Three ask for 300 each of 0.10: ten fen as 4 + 3 + 3.
        few = pool(reservation=Reservation.PRO_RATA, budget_micro=100_000)
        rows = decide(few, [asks(n, firm=n) for n in "abc"])
        assert [row.granted_micro // UNIT_MICRO for row in rows] == [4, 3, 3]
        assert {row.reasons for row in rows} == {(Reason.PRO_RATA,)}

    def test_pro_rata_gives_all_to_all_when_it_can(self):
        rows = decide(pool(reservation=Reservation.PRO_RATA), [asks("a"), asks("b", firm="B")])
        assert [(row.granted_micro // YUAN, row.reasons) for row in rows] == [(300, ())] * 2

    def test_an_id_is_decided_on_once(self):
        for rows in ([asks(), asks()], [asks()]):
            with pytest.raises(ConflictError, match="decided on already"):
                decide(given_out(pool(), asks()) if len(rows) == 1 else pool(), rows)


class TestUse:
    def test_the_soonest_to_expire_pays_first_and_money_the_rest(self):
        # 300 that end on day 90 are spent before 60 that end on day 95; 40 of money remain.
        at = given_out(pool(), asks("z"), now_ms=0)
        at = given_out(at, asks("a", 200), now_ms=5 * DAY_MS)
        uses, money_micro = used(at, "lab", 400, 6 * DAY_MS)
        assert [(one.voucher, one.amount_micro // YUAN) for one in uses] == [("z", 300), ("a", 60)]
        assert money_micro == 40 * YUAN
        after = fold(at, uses)
        assert (after.reserved_micro, after.paid_micro) == (0, 360 * YUAN)
        assert after.voucher("z").state(0) is State.USED

    def test_a_voucher_may_be_used_in_parts(self):
        at = given_out(pool(), asks())
        uses, money_micro = used(at, "lab", 100, 1)
        assert (money_micro, fold(at, uses).voucher("a1").left_micro) == (0, 200 * YUAN)

    def test_what_is_not_approved_pays_nothing_and_its_time_does_not_run(self):
        at = fold(pool(), grants(decide(pool(), [asks()]), 0))
        one = at.voucher("a1")
        assert (one.state(10**15), lapses([one], 10**15)) == (State.RESERVED, ())
        use = Event(act=Act.USE, voucher="a1", amount_micro=1, time_ms=1)
        with pytest.raises(ConflictError, match="not approved"):
            fold(at, [use])
        later = fold(at, approve(one, 7 * DAY_MS)).voucher("a1")
        assert (later.valid_to_ms, approve(later, 8 * DAY_MS)) == (97 * DAY_MS, ())
        with pytest.raises(ConflictError, match="approved already"):
            fold(pool(), [*grants(decide(pool(), [asks()]), 0), *approve(one, 1), *approve(one, 2)])

    def test_what_expires_is_free_for_others(self):
        at = given_out(pool(), asks())
        assert lapses(at.vouchers.values(), 90 * DAY_MS - 1) == ()
        after = fold(at, lapses(at.vouchers.values(), 90 * DAY_MS))
        assert (after.free_micro, after.reserved_micro) == (1_000 * YUAN, 0)
        assert after.voucher("a1").state(90 * DAY_MS) is State.EXPIRED

    def test_without_expiry_it_lasts(self):
        at = given_out(pool(valid_days=0), asks())
        one = at.voucher("a1")
        assert (one.valid_to_ms, lapses([one], 10**15)) == (FOR_EVER_MS, ())

    def test_a_revocation_takes_the_unused_and_a_clawback_all(self):
        at = given_out(pool(), asks())
        at = fold(at, used(at, "lab", 100, 1)[0])
        one = at.voucher("a1")
        assert [e.amount_micro // YUAN for e in revoke(one, 2, "forged")] == [200]
        back = claw_back(one, 2, "forged proof")
        assert [(e.act, e.amount_micro // YUAN) for e in back] == [
            (Act.REVOKE, 200),
            (Act.CLAWBACK, 100),
        ]
        after = fold(at, back)
        assert (after.free_micro, after.paid_micro) == (1_000 * YUAN, 0)
        assert after.voucher("a1").state(3) is State.CLAWED_BACK
        assert decide(after, [asks("a2", contract="C-a1")])[0].verdict is Verdict.ACCEPTED
        for again in (revoke, claw_back):
            with pytest.raises(ConflictError, match="nothing"):
                again(after.voucher("a1"), 3, "again")
        with pytest.raises(InputError, match="why"):
            revoke(one, 3, " ")
        with pytest.raises(ConflictError, match="revoked"):
            approve(replace(one, approved=False, left_micro=0), 3)

    def test_a_part_of_what_was_used_may_be_clawed_back(self):
        at = given_out(pool(), asks())
        at = fold(at, used(at, "lab", 100, 1)[0])
        after = fold(at, claw_back(at.voucher("a1"), 2, "one item", 40 * YUAN))
        assert (after.paid_micro, after.reserved_micro) == (60 * YUAN, 200 * YUAN)
        with pytest.raises(ConflictError, match=r"60\.00 CNY used"):
            fold(after, claw_back(after.voucher("a1"), 3, "x", 61 * YUAN))
        with pytest.raises(InputError, match="of nothing"):
            fold(after, claw_back(after.voucher("a1"), 3, "x", -1))

    def test_what_paid_for_no_use_returns_as_far_as_it_was_not_clawed_back(self):
        at = given_out(pool(), asks())
        at = fold(at, used(at, "lab", 100, 1)[0])
        at = fold(at, claw_back(at.voucher("a1"), 2, "one item", 40 * YUAN))
        back = give_back(at.voucher("a1"), "post:a", 90 * YUAN, 3, "counted twice")
        assert [(e.act, e.amount_micro // YUAN, e.pays) for e in back] == [
            (Act.RETURN, 60, "post:a")
        ]
        after = fold(at, back)
        assert (after.paid_micro, after.reserved_micro) == (0, 260 * YUAN)
        assert give_back(after.voucher("a1"), "post:a", YUAN, 4, "again") == ()
        # Void it stays: what returns is free at once.
        late = give_back(at.voucher("a1"), "post:a", YUAN, 90 * DAY_MS, "x")
        assert [e.act for e in late] == [Act.RETURN, Act.LAPSE]
        at = fold(at, revoke(at.voucher("a1"), 3, "forged"))
        gone = give_back(at.voucher("a1"), "post:a", YUAN, 4, "x")
        assert [(e.act, e.amount_micro) for e in gone] == [(Act.RETURN, YUAN), (Act.REVOKE, YUAN)]

    @pytest.mark.parametrize(
        ("act", "yuan", "time_ms"),
        [
            (Act.USE, 301, 1),
            (Act.USE, 1, 90 * DAY_MS),
            (Act.LAPSE, 300, 1),
            (Act.REVOKE, 301, 1),
            (Act.CLAWBACK, 1, 1),
            (Act.RETURN, 1, 1),
        ],
    )
    def test_an_overdraft_is_refused_wherever_it_comes_from(self, act, yuan, time_ms):
        at = given_out(pool(), asks())
        with pytest.raises(ConflictError):
            fold(at, [Event(act=act, voucher="a1", amount_micro=yuan * YUAN, time_ms=time_ms)])

    def test_a_grant_beyond_the_budget_is_refused(self):
        events = grants(decide(pool(), [asks()]), 0)
        with pytest.raises(ConflictError, match=r"1\.00 CNY free"):
            fold(pool(budget_micro=YUAN), events)
        with pytest.raises(ConflictError, match="granted already"):
            fold(fold(pool(), events), events)
        with pytest.raises(InputError, match="does not say"):
            fold(pool(), [replace(events[0], amount_micro=YUAN)])
        with pytest.raises(InputError, match="nothing"):
            fold(pool(), [replace(events[0], amount_micro=0)])


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["file", "use", "lapse", "take"]),
        st.integers(1, 3_000),
        st.integers(0, 3),
        st.integers(0, 40),
    ),
    max_size=25,
)


@settings(max_examples=120, deadline=None)
@given(steps=STEPS, mode=st.sampled_from(list(Reservation)), cap=st.integers(1, 900))
def test_nothing_that_happens_makes_or_loses_money(steps, mode, cap):
    quotas = tuple((f"t{n}", 200 * YUAN) for n in range(4))
    at = pool(reservation=mode, firm_cap_micro=cap * YUAN, quotas=quotas)
    now_ms = 0
    for n, (what, size, who, days) in enumerate(steps):
        now_ms += days * DAY_MS
        account, firm = f"t{who}", f"f{who % 2}"
        if what == "file":
            asked = [
                asks(f"a{n}.{i}", size + i, account=account, firm=firm, contract=f"{size}.{i}")
                for i in range(2)
            ]
            at = given_out(at, *asked, now_ms=now_ms)
        elif what == "use":
            uses, rest_micro = used(at, account, size, now_ms)
            assert sum(one.amount_micro for one in uses) + rest_micro == size * YUAN
            at = fold(at, uses)
        elif what == "lapse":
            at = fold(at, lapses(at.vouchers.values(), now_ms))
        else:
            live = [v for v in at.vouchers.values() if v.counted_micro]
            if live:
                one = live[size % len(live)]
                back = revoke if one.left_micro else claw_back
                at = fold(at, back(one, now_ms, "audit"))
        check(at, cap)


def check(at, cap):
    assert at.free_micro + at.reserved_micro + at.paid_micro == at.rules.budget_micro
    assert at.free_micro >= 0
    firms, accounts, deals = {}, {}, []
    for one in at.vouchers.values():
        assert min(one.left_micro, one.used_micro - one.clawed_micro, one.clawed_micro) >= 0
        assert one.left_micro + one.used_micro <= one.granted_micro
        firms[one.firm] = firms.get(one.firm, 0) + one.counted_micro
        accounts[one.account] = accounts.get(one.account, 0) + one.counted_micro
        deals += [one.deal] if one.counted_micro else []
    assert max(firms.values(), default=0) <= cap * YUAN
    assert len(deals) == len(set(deals))
    if at.rules.reservation is Reservation.QUOTA:
        assert max(accounts.values(), default=0) <= 200 * YUAN


@pytest.mark.parametrize(
    "more",
    [
        {"id": "a/b"},
        {"id": "-a"},
        {"id": "a" * 65},
        {"firm": "x" * 201},
        {"contract": "C\x1b[2J"},
        {"signed": "2026-02-30"},
        {"signed": "2026-3-1"},
    ],
)
def test_words_that_cannot_be_shown_or_addressed_are_refused(more):
    with pytest.raises(InputError):
        decide(pool(), [asks(**more)])


class TestSchemes:
    def test_blanks_are_named_and_decide_nothing(self):
        scheme = Scheme(name="x", title="X", budget_micro=YUAN, signed_from="")
        assert scheme.blanks[:3] == ("reservation", "ratios", "firm_cap_micro")
        assert not {"budget_micro", "signed_from", "quotas"} & set(scheme.blanks)
        with pytest.raises(InputError, match="does not say: reservation, ratios"):
            complete(scheme)

    def test_quotas_are_asked_for_only_where_they_count(self):
        assert "quotas" in Scheme(name="x", title="X", reservation=Reservation.QUOTA).blanks

    @pytest.mark.parametrize(
        ("more", "what"),
        [
            ({"budget_micro": 0}, "budget"),
            ({"budget_micro": 1}, "whole fen"),
            ({"firm_cap_micro": 0}, "cap"),
            ({"items": ()}, "nothing"),
            ({"ratios": (Ratio(0, 10_001),)}, "share"),
            ({"ratios": (Ratio(0, 1), Ratio(0, 2))}, "two ratios"),
            ({"valid_days": -1}, "validity"),
            ({"quotas": (("a", -1),)}, "negative"),
            ({"quotas": (("a", 1), ("a", 1))}, "two quotas"),
            ({"quotas": (("a", 1_001 * YUAN),)}, "exceed"),
        ],
    )
    def test_rules_that_contradict_each_other_are_refused(self, more, what):
        said = {name: getattr(RULES, name) for name in Rules.__struct_fields__}
        assert complete(Scheme(name="x", title="X", **said)) == RULES
        with pytest.raises(InputError, match=what):
            complete(Scheme(name="x", title="X", **(said | more)))
