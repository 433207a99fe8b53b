"""The three published schemes through the store: from the rule file to what a bill is paid with.

What the documents leave open is assumed here, as a bureau would fill it. Amounts are in 万元.
"""

from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.unit.storage.voucherbench import NOW_MS, YUAN, Bench

from fenglin.intake.voucherfile import read_voucher_file
from fenglin.ledger.vouchers.claim import Application, Line, Reason
from fenglin.ledger.vouchers.scheme import NO_CAP_MICRO, Ratio, Reservation

EXAMPLES = Path(__file__).parents[3] / "examples" / "vouchers"
WAN = 10_000
COMMON = {
    "unrelated": True, "once_per_contract": True, "paid_proof": False, "signed_from": "",
    "valid_days": 365,
}  # fmt: skip


def contract(name, *lines, **more):
    plain = {"account": "ann", "firm": name, "seller": "S", "signed": "2023-09-01"}
    made = tuple(Line(item, wan * WAN * YUAN, share_bp) for item, wan, share_bp in lines)
    return Application(id=name, contract=name, lines=made, **(plain | more))


# Scheme, what is assumed, applications, what each is granted and why not more.
CASES = {
    # 30 % of 1,000 domestic; 20 % of 1,000 other; 30 % of 3,000 is 900, above the firm's 800.
    "hangzhou": (
        {**COMMON, "reservation": Reservation.FIFO},
        [
            contract("a", ("compute", 1_000, 10_000)),
            contract("b", ("compute", 1_000, 0), ("storage", 500, 0)),
            contract("c", ("model", 3_000, 10_000)),
        ],
        [(300, ()), (200, (Reason.ITEM_NOT_ELIGIBLE,)), (800, (Reason.FIRM_CAP,))],
    ),
    # 20 % of 1,500 is 300, above the firm's 200; half of 500 is paid: 20 % of 250 is 50.
    "beijing": (
        {
            **COMMON, "budget_micro": 10_000 * WAN * YUAN, "reservation": Reservation.FIFO,
            "ratios": (Ratio(0, 2_000),), "paid_proof": True, "signed_from": "2023-09-01",
        },
        [
            contract("a", ("compute", 1_500, 0), paid_micro=1_500 * WAN * YUAN, proof="p"),
            contract("b", ("compute", 500, 0), paid_micro=250 * WAN * YUAN, proof="p"),
            contract("c", ("compute", 500, 0), signed="2023-08-31"),
            contract("d", ("compute", 500, 0), other_subsidy="city fund"),
        ],
        [
            (200, (Reason.FIRM_CAP,)),
            (50, (Reason.NOT_PAID,)),
            (0, (Reason.SIGNED_TOO_EARLY,)),
            (0, (Reason.SUBSIDISED_ALREADY,)),
        ],
    ),
    # 30 % of 30,000 and of 10,000 are 9,000 and 3,000 of 8,000: two thirds, 6,000 and 2,000.
    "guizhou": (
        {
            **COMMON, "reservation": Reservation.PRO_RATA, "ratios": (Ratio(0, 3_000),),
            "firm_cap_micro": NO_CAP_MICRO,
        },
        [contract("a", ("compute", 30_000, 0)), contract("b", ("data", 10_000, 0))],
        [(6_000, (Reason.PRO_RATA,)), (2_000, (Reason.PRO_RATA,))],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_published_scheme_from_its_file_to_the_charge(desk, name):
    assumed, asked, expected = CASES[name]
    published = read_voucher_file((EXAMPLES / f"{name}.toml").read_text(encoding="utf-8"), name)
    # The assumptions fill blanks only; what was published stays as it is.
    scheme = replace(
        published, **{rule: assumed[rule] for rule in published.blanks if rule in assumed}
    )

    async def scene(here):
        bench = Bench(here)
        pool = f"{name}-2023"
        await bench.rooms.open(here.epoch, pool, scheme, "bo", NOW_MS)
        granted = await bench.give(*asked, pool=pool)
        found = await bench.rooms.records([("pool", pool)], "", 0, 10)
        reasons = [one.decision.reasons for one in found]
        assert list(zip((yuan // WAN for yuan in granted), reasons, strict=True)) == expected
        whole = sum(granted)
        assert await bench.charge(whole - 7) == whole - 7
        assert await bench.charge(10) == 7
        assert await bench.charge(10) == 0
        await bench.check()

    desk(scene)
