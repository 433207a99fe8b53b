"""Rule files of voucher schemes: three published ones worked by hand, and what is refused."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from fenglin.errors import InputError
from fenglin.intake.voucherfile import read_voucher_file
from fenglin.ledger.vouchers.claim import Application, Line, Reason
from fenglin.ledger.vouchers.pool import open_pool
from fenglin.ledger.vouchers.rounds import decide
from fenglin.ledger.vouchers.scheme import (
    NO_CAP_MICRO,
    NO_EXPIRY_DAYS,
    Ratio,
    Reservation,
    complete,
)

EXAMPLES = Path(__file__).parents[3] / "examples" / "vouchers"
WAN = 10_000 * 1_000_000  # 万元


def published(name):
    path = EXAMPLES / f"{name}.toml"
    return read_voucher_file(path.read_text(encoding="utf-8"), path.name)


def filled(name, **assumed):
    """A pool of a published scheme; the blanks are filled by what this test assumes."""
    scheme = published(name)
    assert set(assumed) == set(scheme.blanks), "only blanks are assumed, and all of them"
    return open_pool(f"{name}-2026", complete(replace(scheme, **assumed)))


def asks(name, firm, *lines, **more):
    plain = {"account": firm, "seller": "S", "contract": name, "signed": "2026-03-01"}
    return Application(id=name, firm=firm, lines=lines, **(plain | more))


def granted_wan(pool, *applications):
    rows = decide(pool, applications)
    assert all(row.granted_micro % WAN == 0 for row in rows)
    return [row.granted_micro // WAN for row in rows], [row.reasons for row in rows]


def test_hangzhou_by_hand():
    pool = filled(
        "hangzhou",
        reservation=Reservation.FIFO,
        unrelated=True,
        once_per_contract=True,
        paid_proof=False,
        signed_from="",
        valid_days=365,
    )
    assert pool.free_micro == 25_000 * WAN
    # 30 % of 1,000 = 300 on domestic cards; 20 % of 1,000 = 200 on others.
    # 1,000 domestic and 500 other, 300 of storage: 30 % + 20 % = 400, storage pays nothing.
    # 3,000 domestic = 900, and the firm's cap is 800; its next contract gets nothing.
    domestic = Line("compute", 1_000 * WAN, 10_000)
    amounts, reasons = granted_wan(
        pool,
        asks("d", "A", domestic),
        asks("o", "B", Line("compute", 1_000 * WAN, 0)),
        asks("m", "C", domestic, Line("model", 500 * WAN), Line("storage", 300 * WAN)),
        asks("c", "D", Line("compute", 3_000 * WAN, 10_000)),
        asks("n", "D", domestic),
    )
    assert amounts == [300, 200, 400, 800, 0]
    assert reasons == [
        (),
        (),
        (Reason.ITEM_NOT_ELIGIBLE,),
        (Reason.FIRM_CAP,),
        (Reason.FIRM_CAP,),
    ]


def test_beijing_by_hand():
    # The ratio of 20 % and the budget are this test's own.
    pool = filled(
        "beijing",
        budget_micro=1_000 * WAN,
        reservation=Reservation.FIFO,
        ratios=(Ratio(0, 2_000),),
        paid_proof=True,
        valid_days=180,
    )
    compute = Line("compute", 500 * WAN)
    paid = {"proof": "p", "paid_micro": 10**15}
    # 20 % of 500 = 100. Half paid: 50. Storage beside it pays nothing. 20 % of 2,000 is 400,
    # the cap 200.
    amounts, reasons = granted_wan(
        pool,
        asks("a", "A", compute, **paid),
        asks("b", "B", compute, proof="p", paid_micro=250 * WAN),
        asks("c", "C", compute, Line("storage", 100 * WAN), **paid),
        asks("d", "D", Line("compute", 2_000 * WAN), **paid),
        asks("e", "S", compute, **paid),
        asks("f", "F", compute, **paid, signed="2023-08-31"),
        asks("g", "G", compute, **paid, other_subsidy="市级算力补贴"),
        asks("h", "H", compute),
    )
    assert amounts == [100, 50, 100, 200, 0, 0, 0, 0]
    assert reasons == [
        (),
        (Reason.NOT_PAID,),
        (Reason.ITEM_NOT_ELIGIBLE,),
        (Reason.FIRM_CAP,),
        (Reason.RELATED_PARTIES,),
        (Reason.SIGNED_TOO_EARLY,),
        (Reason.SUBSIDISED_ALREADY,),
        (Reason.NOT_PAID,),
    ]


@pytest.mark.parametrize(
    ("mode", "wan", "reason"),
    [
        # By turns: 10 % of 100,000 = 5,000 … 8,000 is all there is.
        (Reservation.FIFO, [5_000, 3_000, 0], Reason.BUDGET),
        # 5,000 + 10,000 + 1,000 are asked for; half of each is there.
        (Reservation.PRO_RATA, [2_500, 5_000, 500], Reason.PRO_RATA),
    ],
)
def test_guizhou_by_hand(mode, wan, reason):
    # The ratio of 10 % is this test's own: the budget of 8,000 binds, as it did in 2024.
    pool = filled(
        "guizhou",
        reservation=mode,
        ratios=(Ratio(0, 1_000),),
        firm_cap_micro=NO_CAP_MICRO,
        unrelated=True,
        once_per_contract=True,
        paid_proof=False,
        signed_from="",
        valid_days=365,
    )
    amounts, reasons = granted_wan(
        pool,
        asks("a", "A", Line("compute", 50_000 * WAN)),
        asks("b", "B", Line("data", 100_000 * WAN)),
        asks("c", "C", Line("compute", 10_000 * WAN)),
    )
    assert amounts == wan
    assert reasons[1] == (reason,)
    assert sum(amounts) == 8_000


@pytest.mark.parametrize("name", ["beijing", "guizhou", "hangzhou"])
def test_every_published_rule_names_its_document_and_date(name):
    scheme = published(name)
    said = {
        field
        for field in ("budget_micro", "ratios", "firm_cap_micro", "items", "unrelated")
        if getattr(scheme, field) is not None
    }
    assert said <= {fact.rule for fact in scheme.facts}
    with pytest.raises(InputError, match="does not say"):
        complete(scheme)


HEAD = '[voucher]\nname = "x"\ntitle = "X"\n'


def rule(name, value, date="2026-01"):
    return f'{HEAD}[{name}]\nvalue = {value}\nsource = "s"\ndate = "{date}"\n'


def test_what_is_deliberately_without_limit_is_said():
    assert read_voucher_file(rule("firm_cap", '"none"'), "f").firm_cap_micro == NO_CAP_MICRO
    assert read_voucher_file(rule("valid_days", '"none"'), "f").valid_days == NO_EXPIRY_DAYS
    assert read_voucher_file(rule("signed_from", '"none"'), "f").signed_from == ""
    quotas = read_voucher_file(rule("quota", '{ lab = "5" }'), "f").quotas
    assert quotas == (("lab", 5_000_000),)
    assert read_voucher_file(HEAD, "f").facts == ()


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("[voucher\n", "f"),
        ('[voucher]\nname = "Bad Name"\ntitle = "X"\n', "f: voucher.name"),
        (HEAD + 'commodity = "yuan"\n', "f: voucher.commodity"),
        (HEAD + "[budgets]\n", "f"),
        (HEAD + '[budget]\nvalue = "5"\n', "f.budget"),
        (rule("budget", '"5"', "soon"), "f: budget.date"),
        (rule("budget", '"none"'), "f: budget.value"),
        (rule("budget", '"5 USD"'), "f: budget.value"),
        (rule("firm_cap", "5"), "f: firm_cap.value"),
        (rule("reservation", '"lottery"'), "f: reservation.value"),
        (rule("ratio", '[{ domestic_from = "0 %" }]'), "f: ratio.value[0]"),
        (
            rule("ratio", '[{ domestic_from = "0 %", ratio = "101 %" }]'),
            "f: ratio.value[0].ratio",
        ),
        (rule("items", '["Compute!"]'), "f: items.value"),
        (rule("unrelated", '"yes"'), "f: unrelated.value"),
        (rule("signed_from", '"2026"'), "f: signed_from.value"),
        (rule("valid_days", "true"), "f: valid_days.value"),
        (rule("valid_days", "0"), "f: valid_days.value"),
        (rule("quota", '{ lab = "much" }'), "f: quota.value"),
        (rule("quota", '{ "a:b" = "5" }'), "f: quota.value"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(text, where):
    with pytest.raises(InputError) as caught:
        read_voucher_file(text, "f")
    assert caught.value.where == where
